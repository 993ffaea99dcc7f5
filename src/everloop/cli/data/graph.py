"""A dataset's history drawn with lines, newest first: which version follows which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everloop.core.data import DatasetVersion


def draw(versions: Sequence[DatasetVersion]) -> Iterator[tuple[str, DatasetVersion | None]]:
    """Each line's drawing and the version on it; lines that only join branches have none.

    ``versions`` are of one dataset, newest first: each before the one that it follows.
    """
    there = {version.version_id for version in versions}
    lanes: list[str | None] = []  # the version that each lane is on its way to
    for version in versions:
        waiting = [at for at, lane in enumerate(lanes) if lane == version.version_id]
        if len(waiting) > 1:
            yield _join(lanes, waiting), None
            for at in waiting[1:]:
                lanes[at] = None
            _trim(lanes)
        place = waiting[0] if waiting else _free(lanes)
        lanes[place] = version.version_id
        yield _row(lanes, place), version
        lanes[place] = version.parent if version.parent in there else None
        _trim(lanes)


def _trim(lanes: list[str | None]) -> None:
    while lanes and lanes[-1] is None:
        lanes.pop()


def _free(lanes: list[str | None]) -> int:
    if None not in lanes:
        lanes.append(None)
    return lanes.index(None)


def _row(lanes: Sequence[str | None], place: int) -> str:
    drawn = ("●" if at == place else " " if lane is None else "│" for at, lane in enumerate(lanes))
    return " ".join(drawn)


def _join(lanes: Sequence[str | None], joining: Sequence[int]) -> str:
    """``├─┴─┘``: the lanes ``joining`` come together in the first of them."""
    first, last = joining[0], joining[-1]
    drawn = ""
    for at, lane in enumerate(lanes):
        inside = first < at <= last
        if at:
            drawn += "─" if inside else " "
        if at == first:
            drawn += "├"
        elif at in joining:
            drawn += "┘" if at == last else "┴"
        elif inside:
            drawn += "─" if lane is None else "┼"
        else:
            drawn += " " if lane is None else "│"
    return drawn
