"""An alert as a page: what was found, what it costs, what is proposed, how it went. It runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from everloop.core.monitoring import Alert, Finding
from everloop.flows.alerts.showing import Step

from . import page
from .monitoring import BADGES

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Window:
    """Of production, with what was found in it for the last time, and where its report is."""

    version: str
    kind: str
    since: datetime
    until: datetime
    findings: tuple[Finding, ...]
    report: str


def render(alert: Alert, steps: Sequence[Step]) -> str:
    """``steps``: how it went, oldest first."""
    return page.plain(
        "alert.html",
        {"moment": lambda at: f"{at.astimezone(UTC):%-d %b %Y %H:%M}"},
        alert=alert,
        steps=steps,
        windows=windows(alert),
        badge=BADGES,
    )


def windows(alert: Alert) -> list[Window]:
    """The newest first; findings in each as the alert has them, the worst first."""
    found: dict[tuple[str, str, datetime, datetime], list[Finding]] = {}
    for each in alert.findings:
        found.setdefault((each.version, each.kind, each.since, each.until), []).append(each)
    order = sorted(found, key=lambda key: key[3], reverse=True)
    return [Window(*key, tuple(found[key]), _report(alert.model, key[0], key[3])) for key in order]


def _report(model: str, version: str, until: datetime) -> str:
    """Relative to the page of an alert."""
    asked = urlencode({"version": version, "until": f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    return f"../monitors/{quote(model, safe='')}/report?{asked}"
