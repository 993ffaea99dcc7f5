"""Columns in each other's place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import pyarrow as pa

from everloop.core.monitoring import Result

from . import fits
from .reference import FeatureReference, Reference
from .stretches import Stretch

Parts = Callable[[str], Sequence[Stretch]]

_OWN = 0.15  # from its own reference
_SCREEN = 2_000  # rows that a first look takes
MOST_COLUMNS = 100  # of which all pairs are looked at


def find(
    reference: Reference,
    table: pa.Table,
    names: Collection[str],
    parts_of: Parts,
    *,
    leave: Collection[str] = (),
) -> Iterator[Result]:
    """Pairs of columns that each fit the other's reference and not their own, none of them among those to
    ``leave``. One of them is among ``names``: the other may have moved less. Of more than
    100 columns those are looked at that moved most. ``parts_of``: the stretches of a column."""
    if not names:
        return
    given = set(table.column_names)
    here = [
        name for name, feature in reference.features.items()
        if name in given and name not in leave and _judged(feature)
    ]  # fmt: skip
    here = _farthest(reference, table, here)
    parts = {
        name: [part for part in parts_of(name) if _moved(reference.features[name], table.column(name), part)]
        for name in here
    }
    here = [name for name in here if parts[name]]
    done: set[str] = set()
    for place, one in enumerate(here):
        for other in here[place + 1 :]:
            if {one, other} & done or (one not in names and other not in names):
                continue
            part = _crossed(reference, table.select([one, other]), one, other, [*parts[one], *parts[other]])
            if part is not None:
                done |= {one, other}
                yield _told(one, other, part)


def _farthest(reference: Reference, table: pa.Table, names: list[str]) -> list[str]:
    """Those that are farthest from their reference, in the order that they came in."""
    if len(names) <= MOST_COLUMNS:
        return names
    far = {name: fits.apart(reference.features[name], table.column(name)) for name in names}
    chosen = set(sorted(names, key=far.__getitem__, reverse=True)[:MOST_COLUMNS])
    return [name for name in names if name in chosen]


def _judged(feature: FeatureReference) -> bool:
    return feature.bins is not None or feature.levels is not None


def _moved(feature: FeatureReference, column: pa.ChunkedArray, part: Stretch) -> bool:
    """Whether a column is not as it was."""
    return fits.apart(feature, column.slice(part.first, part.last - part.first)) >= _OWN


def _crossed(
    reference: Reference, table: pa.Table, one: str, other: str, parts: list[Stretch]
) -> Stretch | None:
    """In which part of the rows."""
    for part in parts:
        rows = table.slice(part.first, part.last - part.first)
        if rows.num_rows < fits.LEAST:
            continue
        few = rows.slice(max(0, rows.num_rows - _SCREEN))
        if _fits(reference, few, one, other, 1.5) and _fits(reference, rows, one, other, 1.0):
            return part
    return None


def _fits(reference: Reference, table: pa.Table, one: str, other: str, slack: float) -> bool:
    for name, source in ((one, other), (other, one)):
        feature, rows = reference.features[name], table.num_rows
        near = fits.limit(fits.free_rows(feature, rows))
        if near > _OWN or fits.apart(feature, table.column(source)) > slack * near:
            return False
        if fits.apart(feature, table.column(name)) < max(_OWN, 2 * near):
            return False
    return True


def _told(one: str, other: str, part: Stretch) -> Result:
    text = (
        f"'{one}' and '{other}' came in each other's place{part.words}: each is distributed as the other was."
    )
    return Result(
        "quality", one, "fault", True, text, "critical",
        details={"fault": "swapped", "features": [one, other], "since": part.since, "until": part.until},
    )  # fmt: skip
