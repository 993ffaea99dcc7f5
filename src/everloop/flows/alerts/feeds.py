"""Which feeds an alert says are broken, and whether they still are."""

from __future__ import annotations

from datetime import datetime

from everloop.core.monitoring import Alert, Finding
from everloop.store import monitors
from everloop.store.database import Tx


def broken(tx: Tx, alert: Alert, quiet: int) -> list[Finding]:
    """What breaks a feed and was not missing from ``quiet`` windows in a row since."""
    return [each for each in alert.findings if each.result.breaks_feed and not _over(tx, alert, each, quiet)]


def are_past(tx: Tx, alert: Alert, since: datetime, quiet: int) -> bool:
    """Whether it named feeds and all were sound again: what is found in a window from ``since`` on is of
    something else."""
    named = [each for each in alert.findings if each.result.breaks_feed]
    return bool(named) and all(each.until <= since for each in named) and not broken(tx, alert, quiet)


def _over(tx: Tx, alert: Alert, finding: Finding, quiet: int) -> bool:
    """A finding is the newest of its subject, so nothing was found of it in windows that begin later."""
    later = monitors.checks(tx, alert.model, kind=finding.kind, since=finding.until)
    sound = {each.since for each in later if each.since >= finding.until and each.rows}
    return len(sound) >= quiet
