"""The gate's verdicts as one plain sentence each, with numbers a user understands."""

from __future__ import annotations

import math
from collections.abc import Sequence

from everloop.core.decisions import Comparison, Evidence

from .measures import METRICS

_SHOWN_SLICES = 3


def too_few(rows: int, least: int) -> str:
    return f"{rows:,} unseen rows are too few to judge: the gate asks for {least:,}"


def nothing_to_compare(rows: int) -> str:
    return f"the first model, with nothing to compare it with on {rows:,} unseen rows"


def alike(against: str, rows: int) -> str:
    return f"it gives the same answers as {against} on all {rows:,} unseen rows: nothing to gain"


def one_class(name: str, rows: int) -> str:
    return (
        f"all {rows:,} unseen rows are of the class '{name}': by these alone that model is better which says "
        "it most"
    )


def first_model(c: Comparison, against: str) -> str:
    """Without a champion: the bar is a constant answer, and the interval only informs."""
    sentence = f"the first model: {difference(c, against)}"
    if c.improvement <= 0:
        return f"{sentence}: no better than a constant answer"
    return sentence if c.low > 0 else f"{sentence}, a gain that may be chance"


def against_champion(
    c: Comparison, against: str, margin: float, judged: Sequence[Comparison], worse: Sequence[Comparison]
) -> str:
    shown_better = c.low > margin
    sentence = difference(c, against) + ("" if shown_better else _doubt(c, margin))
    if worse:
        shown = "; ".join(_slice(s) for s in worse[:_SHOWN_SLICES])
        more = f" and {len(worse) - _SHOWN_SLICES} more" if len(worse) > _SHOWN_SLICES else ""
        return f"{sentence}, {'but' if shown_better else 'and'} worse on {shown}{more}"
    if judged and shown_better:
        sentence += f", and worse on none of {len(judged):,} guarded slice{'s' if len(judged) > 1 else ''}"
    return sentence


def but(reason: str, against: Sequence[Evidence]) -> str:
    """The sentence of one that would be promoted, with the first of the checks that speak against it."""
    more = len(against) - 1
    also = f" (and {more} more check{'s' if more > 1 else ''} against it)" if more else ""
    return f"{reason}, but {against[0].message}{also}"


def _doubt(c: Comparison, margin: float) -> str:
    if c.high < 0:
        return ", which is a loss"
    if c.improvement <= 0:
        return ": no gain"
    return ", a gain that may be chance" if margin == 0 else f", a gain not surely above {margin:g}"


def difference(c: Comparison, against: str) -> str:
    """Both values, how far they lie apart, and how sure that is."""
    low, high = (c.low, c.high) if c.improvement >= 0 else (-c.high, -c.low)
    verb = "better" if c.improvement > 0 else "worse"
    change = "equal" if c.improvement == 0 else f"{verb} by {_number(abs(c.improvement), c)}"
    interval = f"{c.confidence * 100:g}% interval {_number(low, c)} to {_number(high, c)}"
    words, new, old = METRICS[c.metric].words, _number(c.challenger, c), _number(c.champion, c)
    return f"{words} {new} against {old} of {against}: {change} ({interval}) on {c.rows:,} unseen rows"


def _slice(c: Comparison) -> str:
    return f"{c.name} ({_number(c.challenger, c)} against {_number(c.champion, c)}, {c.rows:,} rows)"


def _number(value: float, c: Comparison) -> str:
    """With as many decimals (0 to 6) as show the difference, or its uncertainty, in two digits."""
    size = max(abs(c.improvement), (c.high - c.low) / 2)
    places = 3 if size == 0 else min(6, max(0, 1 - math.floor(math.log10(size))))
    return f"{value:z,.{places}f}"
