"""Two tables, or two streams of losses, side by side: without a project."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import Corrupt, FileMissing, Invalid, Unreadable, WrongType
from everloop.core.monitoring import Result
from everloop.data import reading
from everloop.monitoring import checks, damage, faults, overall, reference, windows
from everloop.monitoring.detectors import DEFAULT, Detectors, Make
from everloop.monitoring.packing import unpack
from everloop.monitoring.reference import Reference
from everloop.monitoring.windows import Window

from . import shapes
from .shapes import Shape

MOST_SHAPES = 60
MOST_REASONS = 3


@dataclass(frozen=True)
class Beside:
    """Two tables side by side: ``rows`` of each, all that was looked at, and how what drifted is distributed
    in both, the largest effect first. ``more`` drifted and is not drawn. ``p_value``: see ``overall``;
    None where nothing could be compared."""

    rows: tuple[int, int]
    results: tuple[Result, ...]
    shapes: tuple[Shape, ...]
    more: int
    p_value: float | None

    @property
    def reason(self) -> str | None:
        """Why nothing could be compared, where that is so."""
        if self.p_value is not None:
            return None
        why = [each.message for each in self.results if each.unable]
        more = f"{len(why) - MOST_REASONS:,} more could not be compared."
        return " ".join([*why[:MOST_REASONS], *([more] if len(why) > MOST_REASONS else [])])


def profile(source: object, like: object = None) -> dict[str, Any]:
    """A summary of a table, as JSON types, that others can be compared with; its rows are not in it. ``like``
    is a profile made before: then it is summed up over the same bins, and the two can be compared without
    any table."""
    if like is None:
        return {"profile": "reference", **reference.build(reading.refuse_empty(_table(source))).to_document()}
    usual = _reference(like)
    document = windows.summarise(usual, _table(source)).to_document()
    return {"profile": "window", "like": _name_of(usual), **document}


def compare(before: object, now: object, alpha: float) -> list[Result]:
    """``now`` beside ``before``: each a table, a file, an array (rows,) or (rows, features), or the document
    of a profile. All that is looked at fires by chance with probability ``alpha`` at most. Raises Invalid for
    profiles that do not belong together."""
    usual, window, table = _both(before, now)
    return _checked(usual, window, table, alpha)


def beside(before: object, now: object, alpha: float) -> Beside:
    """As ``compare``, with what there is to draw."""
    usual, window, table = _both(before, now)
    results = _checked(usual, window, table, alpha)
    drifted = damage.drifted(results)
    drawn = shapes.of(usual, window, drifted[:MOST_SHAPES], results)
    left, chance = len(drifted) - len(drawn), overall.p_value(usual, window, results)
    return Beside((usual.rows, window.rows), tuple(results), tuple(drawn), left, chance)


def _checked(usual: Reference, window: Window, table: pa.Table | None, alpha: float) -> list[Result]:
    found = checks.check(usual, window, alpha=alpha)
    broken = [] if table is None else faults.diagnose(usual, window, table, found, in_time=False)
    return [*faults.told_once(found, broken), *overall.unread(usual)]


def _both(before: object, now: object) -> tuple[Reference, Window, pa.Table | None]:
    """The reference, what is beside it, and its rows where there are any."""
    usual = _reference(before) if isinstance(before, Mapping) else None
    if usual is None:
        usual = reference.build(reading.refuse_empty(_table(before), "The reference data"))
    if not isinstance(now, Mapping):
        table = _table(now)
        return usual, windows.summarise(usual, table), table
    if "profile" not in now:
        raise _no_table(now)
    if now.get("profile") != "window" or now.get("like") != _name_of(usual):
        raise Invalid(
            "The second profile was not made over the bins of the first.",
            remedy="Make it so: everloop monitor profile FILE --like FIRST.json --to SECOND.json.",
        )
    told = {name: value for name, value in now.items() if name not in ("profile", "like")}
    return usual, Window.from_document(usual, told), None


def read_profile(path: Path) -> object:
    """The document in a .json file, or the path of a table as text."""
    if path.suffix != ".json":
        return str(path)
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileMissing(f"There is no file '{path}'.", remedy="Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"'{path}' is no JSON ({error}).", remedy="Give a profile or a table.") from error
    if not isinstance(found, dict) or "profile" not in found:
        raise Unreadable(
            f"'{path}' is no profile.", remedy=f"Make one: everloop monitor profile FILE --to {path}."
        )
    if found.get("format") == reference.FORMAT:  # another one is told as that
        try:
            unpack(found["packed"])
        except (Corrupt, KeyError) as error:
            raise Corrupt(
                f"The profile '{path}' is damaged.",
                remedy=f"Make it again: everloop monitor profile FILE --to {path}.",
            ) from error
    return found


def _reference(document: object) -> Reference:
    if not isinstance(document, Mapping) or "profile" not in document:
        raise _no_table(document)
    if document["profile"] != "reference":
        raise Invalid(
            "The first profile was made over the bins of another one, so it is no reference.",
            remedy="Make it so: everloop monitor profile FILE --to FIRST.json.",
        )
    return Reference.from_document({name: v for name, v in document.items() if name != "profile"})


def _name_of(usual: Reference) -> str:
    """Tells references apart: what their bins are."""
    return sha256(json.dumps(usual.to_document(), sort_keys=True).encode()).hexdigest()[:16]


def errors(
    before: object,
    now: object,
    detector: str | None,
    options: Mapping[str, Any],
    makers: Mapping[str, Make],
) -> tuple[str, list[int]]:
    """The detector, and the positions in ``now`` at which it raised an alarm. Raises Invalid."""
    name = DEFAULT if detector is None else detector
    if not isinstance(name, str):
        raise WrongType(f"The detector is {name!r}.", remedy=f"Give its name, such as '{DEFAULT}'.")
    usual, current = _losses(before, "Losses of the reference"), _losses(now, "Current losses")
    return name, Detectors(makers).make(name, usual, **options).update(current)


def _no_table(source: object) -> WrongType:
    return WrongType(
        f"A {type(source).__name__} is neither a table nor a profile.",
        remedy="Give a DataFrame, an array, the path of a file, or what 'everloop monitor profile' wrote.",
    )


def _table(source: object) -> pa.Table:
    if isinstance(source, (pa.Array, pa.ChunkedArray)):
        source = pa.table({"feature_0": source})
    if hasattr(source, "to_frame") and not hasattr(source, "columns"):  # a Series
        source = source.to_frame("feature_0")
        if hasattr(source, "reset_index"):  # of pandas: its index is no column
            source = source.reset_index(drop=True)
    if not isinstance(source, (np.ndarray, list, tuple)):
        return reading.to_table(source)
    if len(source) and all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(name for row in source for name in row)
        records = {name: np.array([row.get(name) for row in source], dtype=object) for name in names}
        return reading.checked(pa.table({f"{name}": _column(values) for name, values in records.items()}))
    rows = _array(source)
    if rows.ndim == 1:
        rows = rows.reshape(-1, 1)
    if rows.ndim != 2:
        raise WrongType(
            f"An array of {rows.ndim} dimensions is no table.", remedy="Give one of (rows, features)."
        )
    return reading.checked(
        pa.table({f"feature_{place}": _column(rows[:, place]) for place in range(rows.shape[1])})
    )


def _array(source: object) -> np.ndarray:
    """What is masked stays so: it is missing."""
    if isinstance(source, np.ma.MaskedArray):
        return source
    try:
        return np.asarray(source)
    except ValueError as error:
        raise WrongType(
            f"These rows make no table: {reprlib.repr(source)}.", remedy="Give rows of one length."
        ) from error


def _column(values: np.ndarray) -> pa.Array:
    try:
        return pa.array(values.tolist(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise WrongType(f"There is a column of mixed types ({error}).", remedy="Give it one type.") from error


def _losses(values: object, what: str) -> np.ndarray:
    try:
        losses = np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError) as error:
        raise WrongType(
            f"{what} are no numbers but a {type(values).__name__}: {reprlib.repr(values)}.",
            remedy="Give numbers: 0 for right, 1 for wrong.",
        ) from error
    if not losses.size:
        raise Invalid(f"{what} are empty.", remedy="Give them in the order of time.")
    odd = np.flatnonzero(~np.isfinite(losses))
    if odd.size:
        raise Invalid(
            f"{what} hold {losses[odd[0]]} at position {odd[0]:,}; {odd.size:,} in all are not finite.",
            remedy="Leave those out that are not known, and cut off those that are infinite.",
        )
    return losses
