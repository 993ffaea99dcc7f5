"""Columns in each other's place."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa

from everloop.core.monitoring import Result

from . import fits
from .reference import FeatureReference, Reference

_OWN = 0.15  # from its own reference
_SCREEN = 2_000  # rows that a first look takes
_STARTS = (0.0, 0.5)


def find(
    reference: Reference, table: pa.Table, names: Collection[str], *, leave: Collection[str] = ()
) -> Iterator[Result]:
    """Pairs of columns that each fit the other's reference and not their own, none of them among those to
    ``leave``. One of them is among ``names``: the other may have moved less."""
    if not names:
        return
    here = [
        name for name, feature in reference.features.items()
        if name in table.column_names and name not in leave and _judged(feature)
    ]  # fmt: skip
    late = table.slice(table.num_rows // 2)
    here = [name for name in here if fits.apart(reference.features[name], late.column(name)) >= _OWN]
    done: set[str] = set()
    for place, one in enumerate(here):
        for other in here[place + 1 :]:
            if {one, other} & done or (one not in names and other not in names):
                continue
            start = _crossed(reference, table, one, other)
            if start is not None:
                done |= {one, other}
                yield _told(one, other, start)


def _judged(feature: FeatureReference) -> bool:
    return feature.bins is not None or feature.levels is not None


def _crossed(reference: Reference, table: pa.Table, one: str, other: str) -> float | None:
    """From which part of the rows on."""
    for start in _STARTS:
        rows = table.slice(int(start * table.num_rows))
        if rows.num_rows < fits.LEAST:
            return None
        few = rows.slice(max(0, rows.num_rows - _SCREEN))
        if _fits(reference, few, one, other, 1.5) and _fits(reference, rows, one, other, 1.0):
            return start
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


def _told(one: str, other: str, start: float) -> Result:
    since = f" in the newest {1 - start:.0%} of the rows" if start else ""
    text = f"'{one}' and '{other}' came in each other's place{since}: each is distributed as the other was."
    return Result(
        "quality", one, "fault", True, text, "critical",
        details={"fault": "swapped", "features": [one, other], "since": start},
    )  # fmt: skip
