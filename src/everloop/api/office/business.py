"""Metrics that users define: figures of their business, shown beside those of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from everloop.core.errors import Conflict, Invalid

MOST_NAMES = 200
MOST_SERIES = 1_000
_PREFIX = "everloop_business_"
_TOTAL = re.compile(r"(_total)+$")
_LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,39}")


@dataclass
class _Family:
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], float] = field(default_factory=dict)


class Business:
    """Kept in memory, as Prometheus expects of counters: they begin anew when the server does."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def observe(
        self,
        name: str,
        value: float,
        kind: Literal["counter", "gauge"],
        help_: str,
        labels: Mapping[str, str],
    ) -> None:
        """Raises Invalid, and Conflict for what does not go with what is known under the name."""
        names = tuple(sorted(labels))
        for label in names:
            if not _LABEL.fullmatch(label) or label.startswith("__"):
                raise Invalid(f"'{label[:60]}' cannot be a label.", remedy="Use letters, digits and _.")
            if len(labels[label]) > 100:
                raise Invalid(f"The value of '{label}' is longer than 100 characters.", remedy="Shorten it.")
        if kind == "counter" and value < 0:
            raise Invalid(f"The counter '{name}' cannot fall by {-value:g}.", remedy="Use a gauge.")
        family = self._families.get(name)
        if family is None:
            if len(self._families) >= MOST_NAMES:
                raise Conflict(f"There are {MOST_NAMES} metrics already.", remedy="Use one with labels.")
            self._check_new(name)
            family = self._families[name] = _Family(kind, help_ or name.replace("_", " "), names)
        if (family.kind, family.labels) != (kind, names):
            raise Conflict(
                f"'{name}' is a {family.kind} with the labels {list(family.labels)}.",
                remedy="Send it as it began, or give it another name.",
            )
        key = tuple(labels[label] for label in names)
        if key not in family.values and len(family.values) >= MOST_SERIES:
            raise Conflict(f"'{name}' has {MOST_SERIES} series already.", remedy="Use labels of few values.")
        family.values[key] = family.values.get(key, 0.0) + value if kind == "counter" else value

    def _check_new(self, name: str) -> None:
        """Prometheus takes no two metrics of one name, which ``_total`` at the end is no part of."""
        for other in self._families:
            if _shown(other) == _shown(name):
                raise Conflict(
                    f"'{name}' would be shown as {_PREFIX}{_shown(name)}, as '{other}' is.",
                    remedy=f"Send '{other}', or give it another name.",
                )

    def metrics(self) -> Iterator[Metric]:
        for name, family in self._families.items():
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            shown = kind(_PREFIX + name.removesuffix("_total"), family.help, labels=family.labels)
            for key, value in family.values.items():
                shown.add_metric(list(key), value)
            yield shown


def _shown(name: str) -> str:
    return _TOTAL.sub("", name)
