"""What to make of findings: the damage to expect, and what is proposed. Nothing is retrained by it.

``incident``: what was found before in the alerts that are still open. A feed that broke in it stays the
reason until they close: a later window that looks better does not take it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everloop.core.monitoring import LEVELS, Checked, Result

MOST_NAMED = 3
MOST_ROOMS = 5
NEAR = 0.1  # of the usual value, where no floor says what counts


def damage(checked: Checked, incident: Sequence[Result] = ()) -> str:
    """From labels where there are some, else what drift does to the answers and what is estimated. With a
    broken feed no estimate is told: the model takes the wrong values for true ones, and so do estimates."""
    fired = [each for each in checked.findings if each.fired]
    known = [*fired, *(each for each in incident if each.fired)]
    if measured := _first(known, "performance", "concept"):
        return measured
    moved = _moved(checked)
    broken = [each for each in known if each.breaks_feed]
    if broken:
        unknown = (
            f"How good the answers are only labels will tell: estimates rest on what feeds {_named(broken)}, "
            "which is broken."
        )
        return f"{moved} {unknown}".strip()
    estimated = _first(fired, "estimated")
    if not estimated and fired:
        estimated = _estimates(checked)
    return " ".join(filter(None, (estimated, moved)))


def proposal(checked: Checked, incident: Sequence[Result] = ()) -> str:
    fired = [each for each in checked.findings if each.fired]
    families = {each.family for each in fired}
    model = checked.model
    feeds = _feeds(fired, incident)
    if fired and feeds:
        named = _named(feeds)
        what = f"what feeds {named}" if named else "the feed"
        return f"Repair {what} first. Do not train on these rows."
    if families & {"performance", "concept"}:
        return f"Train on newer labelled rows: everloop retrain {model}. Its gate decides if that is better."
    if families & {"estimated", "prediction"}:
        return f"See what the labels say before anything is retrained: everloop monitor show {model}."
    if families & {"data", "joint"}:
        return "Nothing: inputs that moved are no harm by themselves. The labels will tell."
    return ""


def _feeds(fired: Sequence[Result], incident: Sequence[Result]) -> list[Result]:
    """What is wrong with the feed, the worst first; what is only news where nothing else was found."""
    found = [each for each in fired if each.family in ("quality", "check")]
    found += [each for each in incident if each.breaks_feed]
    if any(each.level != "info" for each in (*fired, *found)):
        found = [each for each in found if each.level != "info"]
    return sorted(found, key=lambda each: (each.breaks_feed, LEVELS.index(each.level)), reverse=True)


def _first(results: Iterable[Result], *families: str) -> str:
    for family in families:
        for each in results:
            if each.family == family:
                return each.message
    return ""


def _moved(checked: Checked) -> str:
    """What drift does to the answers, where the model could be asked."""
    return next((e.message for e in checked.results if e.statistic == "damage" and not e.unable), "")


def _estimates(checked: Checked) -> str:
    """None fired; that is no news of good performance where they are far from what is usual."""
    known = [each for each in checked.results if each.family == "estimated" and each.value is not None]
    if not known:
        return ""
    far = [each for each in known if not _is_near(each)]
    if not far:
        told = ", ".join(f"{each.statistic} {each.value:.3g}" for each in known[:MOST_NAMED])
        return f"Performance is expected to be as usual: {told}."
    told = ", ".join(
        f"{each.statistic} {each.value:.3g}, usually {each.usual:.3g}" for each in far[:MOST_NAMED]
    )
    return f"How good the answers are only labels will tell: estimates moved, but prove nothing ({told})."


def _is_near(result: Result) -> bool:
    """To what is usual: by less than what counts, or within its interval and not many times that."""
    if result.usual is None or result.value is None:
        return True
    room = result.floor if result.floor is not None else NEAR * abs(result.usual)
    away = abs(result.value - result.usual)
    if result.low is None or result.high is None:
        return away <= room
    return away <= room or (result.low <= result.usual <= result.high and away <= MOST_ROOMS * room)


def _named(results: Iterable[Result]) -> str:
    """The columns, where a check says which: the subject of one may be the table."""
    columns = [name for each in results for name in each.details.get("columns", [each.subject])]
    names = list(dict.fromkeys(f"'{name}'" for name in columns))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
