"""Two tables side by side: one HTML file that needs nothing else, on no network."""

from __future__ import annotations

from everloop.flows.monitoring.comparing import Beside

from . import page
from .monitoring import BADGES, shape


def render(found: Beside, before: str, now: str) -> str:
    """The comparison as a page of HTML; ``before`` and ``now`` are what the tables are called."""
    findings = [each for each in found.results if each.fired or each.unable]
    order = {"critical": 0, "warning": 1, "info": 2}
    findings.sort(key=lambda each: (each.unable, order[each.level]))
    return page.render(
        "comparison.html",
        {"share": lambda value: f"{value:.1%}"},
        found=found,
        before=before,
        now=now,
        story=story(found),
        findings=findings,
        shapes=list(enumerate(found.shapes)),
        figures={f"shape-{number}": shape(each) for number, each in enumerate(found.shapes)},
        badge=BADGES,
    )


def story(found: Beside) -> str:
    """What came of it in a sentence."""
    if found.reason is not None:
        return f"Nothing could be compared: {found.reason}"
    fired = [each for each in found.results if each.fired]
    many = sum(not each.unable for each in found.results)
    if not fired:
        return f"Nothing fired, of {many} things that were checked."
    names = len(found.shapes) + found.more
    features = f" {names} feature{'s' if names != 1 else ''} drifted." if names else ""
    return f"{len(fired)} of {many} things that were checked fired.{features}"
