"""The course of a model's loop as lanes over time, drawn without a script: places are shares of the width, so
that text keeps its size in a narrow window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from everloop.core.loop import DecisionRecord
from everloop.flows.loop.course import Course, Score

from .figures import name_of

HEIGHT = 110  # of the lane of scores, in pixels
_ROOM = 8  # above and below the scores
_NARROW = 6.0  # percent of the width, in which no version can be read
_TICKS = 4
_LANES = (("retrain", "retrained"), ("defer", "deferred"), ("refuse", "refused"))


@dataclass(frozen=True)
class Bar:
    """From one place to another, in percent of the width; a moment where both are the same."""

    begin: float
    end: float
    kind: str
    words: str
    label: str = ""
    decision_id: str = ""

    @property
    def width(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Dot:
    """``x`` in percent of the width, the rest in pixels; ``before``: the one that it is joined to."""

    x: float
    y: float
    low: float
    high: float
    fired: bool
    words: str
    before: tuple[float, float] | None


@dataclass(frozen=True)
class Timeline:
    """``levels``: heights in pixels with what they mean; ``lanes`` by their names; ``ticks`` of the axis."""

    scored: str
    dots: tuple[Dot, ...]
    levels: tuple[tuple[float, str], ...]
    reigns: tuple[Bar, ...]
    lanes: tuple[tuple[str, tuple[Bar, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    height: int = HEIGHT


def draw(course: Course) -> Timeline:
    place = _Place(course.since, course.until)
    metric = name_of(course.metric)
    dots, levels = _dots(course, place, metric)
    return Timeline(
        scored=f"{metric}, {'estimated' if course.estimated else 'from labels'}" if dots else "",
        dots=dots,
        levels=levels,
        reigns=tuple(_reigns(course, place)),
        lanes=tuple(
            (name, tuple(_decided(one, place) for one in course.decisions if one.action == action))
            for action, name in _LANES
        ),
        ticks=tuple(_ticks(course)),
    )


class _Place:
    def __init__(self, since: datetime, until: datetime) -> None:
        self._since, self._all = since, max(until - since, timedelta(seconds=1))

    def __call__(self, at: datetime) -> float:
        return round(min(100.0, max(0.0, 100 * ((at - self._since) / self._all))), 3)


def kind_of(one: DecisionRecord) -> str:
    """By what came of it: good, bad, not (taken), or nothing of all these."""
    if one.outcome in ("promoted", "kept", "held"):
        return "good" if one.outcome == "promoted" else "not"
    return "bad" if one.outcome in ("rolled_back", "failed") else ""


def _decided(one: DecisionRecord, place: _Place) -> Bar:
    often = f", {one.times} times until {_moment(one.newest)}" if one.newest else ""
    came = f" ({one.outcome.replace('_', ' ')})" if one.action == "retrain" and one.outcome else ""
    said = f"{_moment(one.at)}{often}: {one.action}{came}. {one.reason}"
    end = one.newest or one.at
    return Bar(place(one.at), place(max(end, one.at)), kind_of(one), said, "", one.decision_id)


def _reigns(course: Course, place: _Place) -> list[Bar]:
    found = []
    for number, one in enumerate(course.reigns):
        begin, end = place(one.since), place(one.until)
        said = f"{course.model}@{one.version} was champion from {_moment(one.since)} to {_moment(one.until)}"
        label = one.version if end - begin >= _NARROW else ""
        found.append(Bar(begin, end, "other" if number % 2 else "", said, label))
    return found


def _dots(
    course: Course, place: _Place, metric: str
) -> tuple[tuple[Dot, ...], tuple[tuple[float, str], ...]]:
    if not course.scores:
        return (), ()
    ends = [_ends(each) for each in course.scores]
    least, most = min(low for low, _ in ends), max(high for _, high in ends)
    if most <= least:
        least, most = least - 0.5, most + 0.5

    def height(value: float) -> float:
        return round(_ROOM + (HEIGHT - 2 * _ROOM) * (most - value) / (most - least), 1)

    found: list[Dot] = []
    for number, (each, (low, high)) in enumerate(zip(course.scores, ends, strict=True)):
        joined = number > 0 and course.scores[number - 1].version == each.version
        said = (
            f"{metric} of {each.version} was {each.value:.4g} ({low:.4g} to {high:.4g}), "
            f"{_moment(each.since)} to {_moment(each.until)}"
        )
        before = (found[-1].x, found[-1].y) if joined else None
        found.append(
            Dot(place(each.until), height(each.value), height(low), height(high), each.fired, said, before)
        )
    middle = (least + most) / 2
    return tuple(found), tuple((height(each), f"{each:.3g}") for each in (most, middle, least))


def _ends(one: Score) -> tuple[float, float]:
    low = one.value if one.low is None else one.low
    high = one.value if one.high is None else one.high
    return min(low, one.value), max(high, one.value)


def _ticks(course: Course) -> list[tuple[float, str]]:
    whole = course.until - course.since
    form = "%-d %b %Y" if whole > timedelta(days=3) else "%-d %b %H:%M"
    step = whole / _TICKS
    return [(100 * n / _TICKS, f"{(course.since + n * step).astimezone(UTC):{form}}") for n in range(_TICKS)]


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %b %Y %H:%M}"
