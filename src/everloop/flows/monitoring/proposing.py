"""What to make of findings: the damage to expect, and what is proposed. Nothing is retrained by it."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.core.monitoring import Checked, Result

MOST_NAMED = 3


def damage(checked: Checked) -> str:
    """From labels where there are some, else from the estimate; nothing where neither says anything."""
    for family in ("performance", "concept", "estimated"):
        fired = [each for each in checked.findings if each.fired and each.family == family]
        if fired:
            return fired[0].message
    if any(each.fired for each in checked.findings) and (told := _estimates(checked)):
        return f"Performance is expected to be as usual: {told}."
    return ""


def proposal(checked: Checked) -> str:
    fired = [each for each in checked.findings if each.fired]
    families = {each.family for each in fired}
    model = checked.model
    if families & {"quality", "check"}:
        named = _named(each for each in fired if each.family in ("quality", "check"))
        return f"Repair what feeds {named} first. Do not train on these rows."
    if families & {"performance", "concept"}:
        return f"Train on newer labelled rows: everloop run {model}. Its gate decides whether that is better."
    if families & {"estimated", "prediction"}:
        return f"See what the labels say before anything is retrained: everloop monitor show {model}."
    if families & {"data", "joint"}:
        return "Nothing: inputs that moved are no harm by themselves. The labels will tell."
    return ""


def _estimates(checked: Checked) -> str:
    known = [each for each in checked.results if each.family == "estimated" and each.value is not None]
    return ", ".join(f"{each.statistic} {each.value:.3g}" for each in known[:MOST_NAMED])


def _named(results: Iterable[Result]) -> str:
    names = list(dict.fromkeys(f"'{each.subject}'" for each in results))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
