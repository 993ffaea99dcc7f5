"""What monitors found last, open alerts and releases that run, for Prometheus.

The database is read every few seconds at most; where it does not answer, the page has what was read last.
Series are bounded: of too many results those that fired stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import LEVELS, Result
from everloop.flows import gauges
from everloop.flows.gauges import Gauges
from everloop.flows.project import Project

from .hand import Hand

EVERY = 5.0  # seconds between reads, at least
PATIENCE = 2.0  # seconds that a page waits for the database
MOST = 2_000  # results that have series
Key = tuple[str, ...]
_RESULT = ["model", "version", "family", "subject", "statistic"]
_CHECK = ["model", "version", "kind"]


class Monitored:
    def __init__(self, project: Project) -> None:
        self._project = project
        self._hand = Hand("everloop-monitored")
        self._known = Gauges()
        self._next = float("-inf")
        self._read = 0.0
        self._reading: asyncio.Future[Gauges] | None = None

    async def metrics(self) -> list[Metric]:
        """As of now or, while the database is slow or away, of before."""
        clock = self._project.clock
        if self._reading is None and clock.monotonic() >= self._next:
            self._reading = asyncio.ensure_future(self._hand.do(lambda: gauges.read(self._project)))
        reading = self._reading
        if reading is not None:
            try:
                with contextlib.suppress(TimeoutError, MLOpsError):
                    self._known = await asyncio.wait_for(asyncio.shield(reading), PATIENCE)
                    self._read = clock.now().timestamp()
            finally:
                if reading.done():
                    self._reading, self._next = None, clock.monotonic() + EVERY
        read = GaugeMetricFamily(
            "everloop_database_read_timestamp_seconds",
            "When what follows was read from it.",
            value=self._read,
        )
        return [read, *_checks(self._known), *_alerts(self._known), *_releases(self._known)]


def _checks(known: Gauges) -> Iterator[Metric]:
    results: dict[Key, Result] = {}
    last = GaugeMetricFamily(
        "everloop_monitor_last_check_timestamp_seconds", "When a version was last checked.", labels=_CHECK
    )
    rows = GaugeMetricFamily("everloop_monitor_rows", "Rows of the newest window.", labels=_CHECK)
    unable = GaugeMetricFamily("everloop_monitor_unable", "What could not be checked in it.", labels=_CHECK)
    for check in known.checks:
        labels = [check.model, check.version, check.kind]
        last.add_metric(labels, check.at.timestamp())
        rows.add_metric(labels, check.rows)
        unable.add_metric(labels, sum(each.unable for each in check.results))
        for each in check.results:
            if not each.unable:
                key: Key = (check.model, check.version, each.family, each.subject, each.statistic)
                if key not in results or each.fired:
                    results[key] = each
    chosen = sorted(results.items(), key=lambda item: not item[1].fired)[:MOST]
    yield from (last, rows, unable)
    yield GaugeMetricFamily(
        "everloop_monitor_left_out",
        "Results beyond those that have series.",
        value=len(results) - len(chosen),
    )
    fired = GaugeMetricFamily("everloop_monitor_fired", "1: it was found to have changed.", labels=_RESULT)
    for key, each in chosen:
        fired.add_metric(list(key), float(each.fired))
    yield fired
    for name, help_ in (
        ("value", "What was measured in the newest window."),
        ("usual", "The same of the reference."),
        ("low", "The lower bound of the value."),
        ("high", "The upper bound of the value."),
    ):
        metric = GaugeMetricFamily(f"everloop_monitor_{name}", help_, labels=_RESULT)
        for key, each in chosen:
            value = getattr(each, name)
            if value is not None:
                metric.add_metric(list(key), value)
        yield metric


def _alerts(known: Gauges) -> Iterator[Metric]:
    opened = GaugeMetricFamily("everloop_alerts_open", "Open alerts.", labels=["model", "level"])
    for model in known.models:
        for level in LEVELS:
            here = [alert for alert in known.alerts if (alert.model, alert.level) == (model, level)]
            opened.add_metric([model, level], len(here))
    yield opened
    yield GaugeMetricFamily(
        "everloop_alert_messages_waiting", "Messages that are to be delivered.", value=known.waiting
    )
    yield GaugeMetricFamily(
        "everloop_alert_messages_given_up", "Messages given up in the last 7 days.", value=known.given_up
    )


def _releases(known: Gauges) -> Iterator[Metric]:
    named = ["model", "environment", "release", "arm"]
    units = GaugeMetricFamily("everloop_release_units", "Units seen of an arm.", labels=[*named, "version"])
    bounds = {
        name: GaugeMetricFamily(f"everloop_release_{name}", help_, labels=[*named, "measure"])
        for name, help_ in (
            ("difference", "Arm minus control, positive where the arm is better."),
            ("low", "Its lower bound, at all looks at once."),
            ("high", "Its upper bound, at all looks at once."),
        )
    }
    for release, look in known.releases:
        where = [release.model, release.environment, release.release_id]
        for seen in look.seen if look else ():
            units.add_metric([*where, seen.arm, seen.version], seen.units)
        for interval in look.intervals if look else ():
            for name, metric in bounds.items():
                metric.add_metric([*where, interval.arm, interval.measure], getattr(interval, name))
    yield from (units, *bounds.values())
