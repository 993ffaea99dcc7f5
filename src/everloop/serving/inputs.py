"""Values of requests -> what a model takes, each checked against the model's contract.

A row's values come in the order of the model's fields. What breaks the contract is a warning or refuses the
request, as the model's ``InputPolicy`` says; what the model cannot take at all always refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everloop.core.contracts import ColumnRule
from everloop.core.errors import Invalid
from everloop.core.serving import Field, Form, time_of

Reaction = Literal["allow", "warn", "refuse"]
Row = Sequence[Any]
LONGEST = 10_000  # characters of a text: beyond that it is no category
MOST_TOLD = 20  # wrong inputs of a request
LARGEST = float(np.finfo(np.float32).max)
_PLAIN = frozenset((float, int))
HIDDEN = "***"
_SHOWN = 80
_NAMES = 40
_MISSING = "(missing)"


@dataclass(frozen=True)
class InputPolicy:
    """What breaking the contract does. None: as the contract's severity says; for ``missing``, a value may be
    missing where it was in the training data."""

    missing: Reaction | None = None
    range: Reaction | None = None
    category: Reaction | None = None
    extra: Reaction = "refuse"


@dataclass(frozen=True)
class Wrong:
    """An input that is not as the contract asks: its ``value`` as text, and what is ``allowed``."""

    field: str
    value: str
    reason: str
    allowed: str
    row: int | None = None

    def __str__(self) -> str:
        where = "" if self.row is None else f" in row {self.row}"
        return f"{self.field}{where}: {self.value} {self.reason}; allowed: {self.allowed}."


class Rejected(Invalid):
    """Inputs that the contract refuses; ``wrong`` names each field, value and what is allowed."""

    code = "input_rejected"

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        self.wrong = tuple(wrong)
        more = f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""
        super().__init__(f"{wrong[0]}{more}", remedy="Correct the inputs that 'errors' names.")


class Refusal(Exception):
    """Why a value is refused, and what is allowed."""

    def __init__(self, reason: str, allowed: str) -> None:
        self.reason = reason
        self.allowed = allowed


class Inputs:
    """The fields of a model, checked and turned into tensors.

    ``encode`` takes rows and gives the matrix of ``ColumnTypes`` (float64, (rows, columns)), and each row's
    warnings. The layout ``columns`` has no matrix: the original takes the values themselves. Of ``masked``
    fields neither values nor known categories are told.
    """

    def __init__(self, form: Form, policy: InputPolicy | None = None, masked: Collection[str] = ()) -> None:
        self.form = form
        self.fields = form.fields
        self.names = tuple(field.name for field in form.fields)
        self._layout = form.layout
        self._policy = policy or InputPolicy()
        self.known = frozenset(self.names)
        self._masked = frozenset(masked)
        self._readers = [_reader(field, self._policy, field.name in masked) for field in form.fields]
        self.booleans = tuple(at for at, field in enumerate(form.fields) if field.kind == "boolean")
        self._codes = [_plain_codes(field, self._policy) for field in form.fields]
        self._categories = any(codes is not None for codes in self._codes)
        self._simple = all(field.kind in ("number", "category") for field in form.fields)
        bounds = [_bounds(field) for field in form.fields]
        self._low = np.array([low for low, _ in bounds])
        self._high = np.array([high for _, high in bounds])

    def ordered(self, values: Mapping[str, Any], row: int | None = None) -> tuple[list[Any], list[str]]:
        """A row given by name, in the order of the fields, and its warnings. A field that is absent is
        missing; one that the model does not have is what ``policy.extra`` says."""
        warned: list[str] = []
        if not self.known.issuperset(values) and self._policy.extra != "allow":
            extra = [name for name in values if name not in self.known][:MOST_TOLD]
            wrong = [
                Wrong(name[:_SHOWN], "a value", "was given, but is no input of this model",
                      ", ".join(self.names[:_NAMES]), row)
                for name in extra
            ]  # fmt: skip
            if self._policy.extra == "refuse":
                raise Rejected(wrong)
            warned = [str(one) for one in wrong]
        return [values.get(name) for name in self.names], warned

    def encode(self, rows: Sequence[Row]) -> tuple[Any, list[list[str]] | None]:
        """The tensors of rows and their warnings (None: there are none). Raises Rejected."""
        if self._simple and self._layout == "matrix":
            matrix = self._plain(rows)
            if matrix is not None:
                return matrix, None
        return self._carefully(rows)

    def _plain(self, rows: Sequence[Row]) -> npt.NDArray[np.float64] | None:
        """The matrix of rows of numbers and known categories that break no rule; None where one may."""
        width = len(self.names)
        plain: list[Row] = []
        for row in rows:
            if len(row) != width:
                return None
            if self._categories:
                try:
                    row = [
                        value if codes is None else codes[value]
                        for codes, value in zip(self._codes, row, strict=True)
                    ]
                except (KeyError, TypeError):  # a category without a code, or what is no text
                    return None
            if not _PLAIN.issuperset(map(type, row)):
                return None
            plain.append(row)
        try:
            values: npt.NDArray[np.float64] = np.array(plain, dtype=np.float64)
        except OverflowError:
            return None
        if not ((values >= self._low) & (values <= self._high)).all():
            return None
        return values

    def _carefully(self, rows: Sequence[Row]) -> tuple[Any, list[list[str]] | None]:
        """Value by value. Tells of every field that is wrong, not only of the first."""
        many = len(rows) > 1
        wrong: list[Wrong] = []
        warned: list[list[str]] = []
        encoded: list[list[Any]] = []
        width = len(self.names)
        for number, row in enumerate(rows):
            at = number if many else None
            if len(row) != width:
                allowed = f"{width} values: {', '.join(self.names[:_NAMES])}"
                if any(isinstance(value, list) for value in row):
                    allowed += "; rows in a list are sent as 'instances'"
                wrong.append(Wrong("features", f"{len(row)} values", "do not fit this model", allowed, at))
                continue
            out: list[Any] = []
            warnings: list[str] = []
            for field, read, value in zip(self.fields, self._readers, row, strict=True):
                try:
                    out += read(value, warnings)
                except Refusal as refusal:
                    said = HIDDEN if field.name in self._masked else shown(value)
                    wrong.append(Wrong(field.name, said, refusal.reason, refusal.allowed, at))
            encoded.append(out)
            warned.append(warnings)
            if len(wrong) >= MOST_TOLD:
                break
        if wrong:
            raise Rejected(wrong)
        return self._tensors(encoded), warned if any(warned) else None

    def _tensors(self, encoded: list[list[Any]]) -> Any:
        if self._layout == "columns":
            return None
        return np.array(encoded, dtype=np.float64).reshape(len(encoded), -1)


Reader = Callable[[Any, list[str]], Sequence[Any]]


def _bounds(field: Field) -> tuple[float, float]:
    rule = field.rule
    low = -LARGEST if rule is None or rule.minimum is None else max(rule.minimum, -LARGEST)
    high = LARGEST if rule is None or rule.maximum is None else min(rule.maximum, LARGEST)
    return low, high


def _reader(field: Field, policy: InputPolicy, masked: bool) -> Reader:
    """Reads one value: gives its encoding, tells warnings, raises Refusal."""
    if field.kind == "category":
        present = _category(field, policy, masked)
    elif field.kind == "boolean":
        present = _boolean
    elif field.kind == "any":
        present = _anything
    elif field.kind.startswith("time"):
        present = _time(field)
    else:
        present = _number(field, policy, masked)
    usual: Reaction = "allow" if field.nullable or field.kind == "any" else "refuse"
    never = field.rule is not None and field.rule.max_missing == 0.0  # the model itself cannot
    reaction: Reaction = "refuse" if never else policy.missing or usual
    absent = _absent(field)
    wanted = _wanted(field, masked)

    def read(value: Any, warnings: list[str]) -> Sequence[Any]:
        if value is not None:
            return present(value, warnings)
        if reaction == "refuse":
            raise Refusal("is missing", wanted)
        if reaction == "warn":
            warnings.append(f"{field.name}: missing; wanted: {wanted}.")
        return absent

    return read


def _absent(field: Field) -> Sequence[Any]:
    if field.kind == "category":
        levels = field.levels or ()
        return (float(levels.index(_MISSING) + 1 if _MISSING in levels else 0),)
    return (math.nan,) * (4 if field.kind.startswith("time") else 1)


def _wanted(field: Field, masked: bool = False) -> str:
    if field.kind == "category":
        allowed = field.rule.allowed if field.rule and not masked else None
        return f"one of {', '.join(allowed[:20])}" if allowed else "a text"
    if field.kind == "any":
        return "a number, a text, true or false"
    if field.kind == "boolean":
        return "true or false"
    if field.kind.startswith("time"):
        return "an ISO 8601 time, such as 2026-03-01T12:00:00Z"
    low, high = _bounds(field)
    if low > -LARGEST and high < LARGEST:
        return f"a number from {low:g} to {high:g}"
    if low > -LARGEST:
        return f"a number from {low:g}"
    return f"a number up to {high:g}" if high < LARGEST else "a number"


def _severity(rule: ColumnRule | None) -> Reaction:
    return "refuse" if rule is not None and rule.severity == "error" else "warn"


def _number(field: Field, policy: InputPolicy, masked: bool) -> Reader:
    low, high = _bounds(field)
    reaction = policy.range or _severity(field.rule)
    wanted = _wanted(field)

    def read(value: Any, warnings: list[str]) -> Sequence[Any]:
        if type(value) is not float and type(value) is not int:
            raise Refusal("is no number", wanted)
        if not -LARGEST <= value <= LARGEST:  # NaN, infinite, or what float32 cannot hold
            raise Refusal("is no number a model can take", wanted)
        if not low <= value <= high and reaction != "allow":
            if reaction == "refuse":
                raise Refusal("is out of range", wanted)
            said = HIDDEN if masked else shown(value)
            warnings.append(f"{field.name}: {said} is outside of {low:g} to {high:g}.")
        return (float(value),)

    return read


def _boolean(value: Any, warnings: list[str]) -> Sequence[Any]:
    if value is True or value is False:
        return (float(value),)
    raise Refusal("is neither true nor false", "true or false")


def _anything(value: Any, warnings: list[str]) -> Sequence[Any]:
    if isinstance(value, str | bool) or (isinstance(value, int | float) and -LARGEST <= value <= LARGEST):
        return (math.nan,)  # the original takes the value itself
    raise Refusal("is no plain value", "a number, a text, true or false")


def _plain_codes(field: Field, policy: InputPolicy) -> Mapping[str, float] | None:
    """The codes of a field's categories that break no rule; None of a number."""
    if field.kind != "category":
        return None
    rule = field.rule
    allowed = rule.allowed if rule and (policy.category or _severity(rule)) != "allow" else None
    return {
        level: float(code)
        for code, level in enumerate(field.levels or (), 1)
        if (allowed is None or level in allowed) and "\0" not in level and len(level) <= LONGEST
    }


def _category(field: Field, policy: InputPolicy, masked: bool) -> Reader:
    codes = {level: (float(code),) for code, level in enumerate(field.levels or (), 1)}
    unseen = (0.0,)
    rule = field.rule
    allowed = frozenset(rule.allowed) if rule and rule.allowed is not None else None
    reaction = policy.category or _severity(rule)
    wanted = _wanted(field, masked)
    raw = field.levels is None

    def read(value: Any, warnings: list[str]) -> Sequence[Any]:
        if type(value) is not str:
            text = _text(value)
            if text is None or (text not in codes and (allowed is None or text not in allowed)):
                raise Refusal("is no text", wanted)
            value = text
        if "\0" in value or len(value) > LONGEST:
            raise Refusal("holds a NUL character or is too long", wanted)
        if allowed is not None and value not in allowed and reaction != "allow":
            if reaction == "refuse":
                raise Refusal("is not among the known values", wanted)
            said = HIDDEN if masked else shown(value)
            warnings.append(f"{field.name}: {said} was not seen in training.")
        return (value,) if raw else codes.get(value, unseen)

    return read


def _text(value: Any) -> str | None:
    """A number as ``training.preparation`` writes it; None for what is no plain value."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) and not _huge(value) else None


def _time(field: Field) -> Reader:
    zone = field.zone
    wanted = _wanted(field)

    def read(value: Any, warnings: list[str]) -> Sequence[Any]:
        if type(value) is not str:
            raise Refusal("is no time", wanted)
        try:
            when = time_of(value, zone)
        except (ValueError, OverflowError):
            raise Refusal("is no time", wanted) from None
        return (float(when.hour), float(when.weekday()), float(when.month), float(when.timetuple().tm_yday))

    return read


def shown(value: Any) -> str:
    """A value for an error: short, on one line, and as JSON writes it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = repr(value) if isinstance(value, str | float | int) and not _huge(value) else _kind(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _huge(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > 200


def _kind(value: Any) -> str:
    if isinstance(value, int):
        return "a huge whole number"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a value"
