"""Which feeds an alert says are broken, and whether they still are."""

from __future__ import annotations

from everloop.core.monitoring import Alert, Finding
from everloop.store import monitors
from everloop.store.database import Tx


def broken(tx: Tx, alert: Alert, quiet: int) -> list[Finding]:
    """What breaks a feed and was not missing from ``quiet`` windows in a row since."""
    return [each for each in alert.findings if each.result.breaks_feed and not _over(tx, alert, each, quiet)]


def sound_again(tx: Tx, alert: Alert, quiet: int) -> bool:
    """Whether all feeds that it named are: what is found later is something else."""
    return any(each.result.breaks_feed for each in alert.findings) and not broken(tx, alert, quiet)


def _over(tx: Tx, alert: Alert, finding: Finding, quiet: int) -> bool:
    """A finding is the newest of its subject, so nothing was found of it in windows that begin later."""
    later = monitors.checks(tx, alert.model, kind=finding.kind, since=finding.until)
    sound = {each.since for each in later if each.since >= finding.until and each.rows}
    return len(sound) >= quiet
