"""Rows with a known target, sent for training: checked when they come, and added to a model's data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from everloop.core.contracts import Contract
from everloop.core.data import DatasetVersion
from everloop.core.errors import UnknownVersion
from everloop.core.ids import new_id
from everloop.core.runs import Run
from everloop.core.serving import class_of
from everloop.data import files, identity, reading
from everloop.flows import contracts, data
from everloop.flows.project import Project
from everloop.serving.inputs import HIDDEN, MOST_TOLD, Refusal, Rejected, Wrong, shown
from everloop.settings import Model
from everloop.store import datasets, models, samples
from everloop.store.times import to_text
from everloop.validation import checking

from .texts import is_storable

_LONGEST = 100_000  # characters of a text
MOST_WARNED = 20
_NAMED = 40  # fields or classes, to who sent none of them
_ALLOWED = "a value, or null where it is not known"


@dataclass(frozen=True)
class Stored:
    """``count`` samples of the model are kept in all, ``waiting`` of them not used by a turn yet; with
    ``threshold`` waiting ones a retraining is due. ``ids`` are of those just added, ``warnings`` what is odd
    about them."""

    ids: tuple[str, ...]
    count: int
    waiting: int
    threshold: int
    warnings: tuple[str, ...] = ()

    @property
    def due(self) -> bool:
        return self.waiting >= self.threshold


@dataclass(frozen=True)
class _Form:
    """What a sample of a model looks like: the columns of its data by name and type, those that are needed,
    the classes of the target (empty: not known, or a regression)."""

    model: Model
    version: DatasetVersion
    types: dict[str, str]
    needed: tuple[str, ...]
    classes: tuple[str, ...]
    task: str | None
    contract: Contract | None


def add(
    project: Project,
    model: str,
    inputs: Mapping[str, Any] | Sequence[Any],
    target: str | float | bool,
    request_id: str = "",
) -> Stored:
    """Keep one row for the next retraining. See ``add_all``."""
    return add_all(project, model, [(inputs, target)], request_id)


def add_all(
    project: Project,
    model: str,
    rows: Sequence[tuple[Mapping[str, Any] | Sequence[Any], str | float | bool]],
    request_id: str = "",
) -> Stored:
    """Keep rows (inputs, target) for the next retraining: all of them, or none where one is refused.

    Inputs are by name, or values in the order of the model's features. Every feature has to be there (null
    where its value is not known), further columns of the data may be; the target is one of the champion's
    classes, or a number for regression. A row has to keep the model's contract, or it would stop the turn
    that trains on it. Raises UnknownModel; UnknownVersion when the model has no data yet; Rejected, which
    names each field that is wrong, its value and what is allowed, and the row where it is one of several.
    """
    form = _form(project, model)
    now = project.clock.now()
    kept: list[dict[str, Any]] = []
    warnings: list[str] = []
    for number, (inputs, target) in enumerate(rows):
        row = number if len(rows) > 1 else None
        values, label, odd = _checked(form, inputs, target, row)
        warnings += [each if row is None else f"Row {row}: {each}" for each in odd]
        kept.append(
            {
                "sample_id": new_id("sample", now),
                "model": model,
                "inputs": values,
                "target": label,
                "at": to_text(now),
                "request_id": request_id if is_storable(request_id) else "",
            }
        )
    with project.store.writing() as tx:
        samples.begin(tx, model)
        samples.add(tx, kept)
        count, waiting = samples.count(tx, model), samples.count(tx, model, waiting=True)
    threshold = project.settings.serving.samples_to_retrain
    ids = tuple(str(row["sample_id"]) for row in kept)
    return Stored(ids, count, waiting, threshold, tuple(warnings[:MOST_WARNED]))


def merge(
    project: Project,
    model: str,
    until: str | None,
    production: Sequence[Mapping[str, Any]] = (),
    produced: str = "",
) -> pa.Table:
    """The model's data with all its samples up to ``until`` [none] as further rows, then the labelled
    ``production`` rows, each with ``inputs`` and ``target``; the data and what came of them are versioned.

    The data are the file that the settings name, as a turn takes it; where there is none, the newest version
    without the samples that were added to it. All samples are added each time: the same data and samples make
    the same table, and none is in it twice. The ``origin`` of the new version says to which one they were
    added (``base``), up to which (``samples``), and until when production was taken (``produced``).
    """
    settings = project.model(model)
    base = base_of(project, settings)
    base_id = identity.version_id(base, project.settings.data_versioning.hash_algorithm)
    with project.store.reading() as tx:
        known = datasets.known_version(tx, base_id, settings.dataset, statistics=False)
        sent = samples.list_samples(tx, model, until) if until else []
    rows = [*sent, *production]
    if known is None:
        data.register(project, base, settings.dataset, described_as=settings.data.path or "memory")
    if not rows:
        return base
    table = pa.concat_tables([base, like(base.schema, settings, rows)])
    origin = {"base": base_id, "samples": until or ""} | ({"production": produced} if produced else {})
    parts = [f"{len(sent)} sample{'' if len(sent) == 1 else 's'}"] if sent else []
    parts += [f"{len(production):,} labelled predictions"] if production else []
    said = f"{settings.dataset} with {' and '.join(parts)}"
    data.register(project, table, settings.dataset, described_as=said, origin=origin)
    return table


# -- what a sample looks like --------------------------------------------------------------------------------


def _form(project: Project, name: str) -> _Form:
    model = project.model(name)
    with project.store.reading() as tx:
        version = _head(tx, model.dataset)
        champion = models.champion(tx, name)
        run = models.find_run(tx, champion.run_id) if champion else None
    if version is None:
        raise UnknownVersion(
            f"There are no data of '{model.dataset}' yet to add a sample to.",
            remedy="'everloop run' registers them and trains a first model.",
        )
    types = {column.name: column.type for column in version.columns}
    needed = _features(model, types, run)
    classes, task = _classes(model, version, run)
    return _Form(model, version, types, needed, classes, task, _contract(project, name))


def _head(tx: Any, dataset: str) -> DatasetVersion | None:
    if dataset not in datasets.datasets(tx):
        return None
    return datasets.find_version(tx, f"{dataset}@latest")


def _features(model: Model, types: Mapping[str, str], run: Run | None) -> tuple[str, ...]:
    chosen = run.features if run is not None else model.features
    if chosen:
        return tuple(name for name in chosen if name in types)
    left_out = {model.target, model.time_column, model.group_column, *model.exclude}
    return tuple(name for name in types if name not in left_out)


def _classes(model: Model, version: DatasetVersion, run: Run | None) -> tuple[tuple[str, ...], str | None]:
    if run is not None and run.recipe.target == model.target:
        return run.classes, run.task
    known = version.statistics.get(model.target)
    complete = known is not None and known.levels and sum(known.levels.values()) == known.count
    return tuple(known.levels) if known is not None and complete else (), model.task


def _contract(project: Project, name: str) -> Contract | None:
    """What one row can be asked for: not how many rows there are, nor which values are unique."""
    asked = contracts.show(project, name).contract
    if asked is None:
        return None
    columns = [
        replace(rule, unique=False, max_missing=0.0 if rule.max_missing == 0.0 else None)
        for rule in asked.columns
    ]
    return replace(asked, columns=tuple(columns), min_rows=0)


# -- checking ------------------------------------------------------------------------------------------------


def _checked(form: _Form, inputs: Any, target: Any, row: int | None) -> tuple[dict[str, Any], str, list[str]]:
    """The values by column as they are kept, the target as text, and what is odd about them."""
    masked, wrong = form.model.serving.mask, []
    values: dict[str, Any] = {}
    label = ""
    for name, value in _given(form, inputs, row).items():
        try:
            values[name] = _value(form.types[name], value)
        except Refusal as refusal:
            said = HIDDEN if name in masked else shown(value)
            wrong.append(Wrong(name, said, refusal.reason, refusal.allowed, row))
    try:
        label = _target(form, target)
    except Refusal as refusal:
        wrong.append(Wrong("target", shown(target), refusal.reason, refusal.allowed, row))
    if wrong:
        raise Rejected(wrong[:MOST_TOLD])
    return values, label, _odd(form, values, label, row)


def _given(form: _Form, inputs: Any, row: int | None) -> dict[str, Any]:
    """The inputs by field. Raises Rejected for names that are none, and where one is missing."""
    name, needed = form.model.name, form.needed
    if isinstance(inputs, Mapping):
        given = dict(inputs)
    elif isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        if len(inputs) != len(needed):
            allowed = f"{len(needed)} values: {', '.join(needed)}"
            raise Rejected([Wrong("features", f"{len(inputs)} values", f"do not fit {name}", allowed, row)])
        given = dict(zip(needed, inputs, strict=True))
    else:
        allowed = 'an object {"field": value, …} or a list of values'
        raise Rejected([Wrong("features", shown(inputs), "is neither an object nor a list", allowed, row)])
    columns = [column for column in form.types if column != form.model.target]
    split = form.model.training.split
    key = {"time": form.model.time_column, "group": form.model.group_column}.get(split or "")
    none, allowed = f"was given, but is no field of {name}", ", ".join(columns[:_NAMED])
    wrong = [
        *(Wrong(str(each)[:80], "a value", none, allowed, row) for each in given if each not in columns),
        *(Wrong(each, "nothing", "was given", _ALLOWED, row) for each in needed if each not in given),
    ]
    if key and key in form.types and given.get(key) is None:
        said, why = "null" if key in given else "nothing", "was given, but rows are split by it for training"
        wrong.append(Wrong(key, said, why, "a value, with the fields sent by name", row))
    if wrong:
        raise Rejected(wrong[:MOST_TOLD])
    return given


def _value(kind: str, value: Any) -> Any:
    """A value as JSON keeps it. Raises Refusal."""
    if value is None:
        return None
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "string" and isinstance(value, str):
        if len(value) > _LONGEST or not is_storable(value):
            raise Refusal("cannot be kept", f"at most {_LONGEST} characters, no NUL")
        return value
    if _is_number(kind) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _numeric(kind, value)
    if (kind == "date" or kind.startswith("timestamp")) and isinstance(value, str):
        return _moment(kind, value)
    raise Refusal("is of another type than the column", f"a value of the type {kind}, or null")


def _numeric(kind: str, value: int | float) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal("is no finite number", "a finite number, or null")
    if kind.startswith("float"):
        try:
            return float(value)
        except OverflowError:
            raise Refusal("is larger than any number", "a finite number, or null") from None
    if isinstance(value, float) and not value.is_integer():
        raise Refusal("is no whole number", f"a whole number that {kind} holds, or null")
    try:
        pa.scalar(int(value), _arrow(kind))
    except (pa.ArrowInvalid, OverflowError):
        raise Refusal("is too large or too small", f"a whole number that {kind} holds, or null") from None
    return int(value)


def _moment(kind: str, value: str) -> str:
    try:
        if kind == "date":
            return date.fromisoformat(value).isoformat()
        found = datetime.fromisoformat(value)
    except ValueError:
        wanted = "2026-11-21" if kind == "date" else "2026-11-21T09:30:00Z"
        raise Refusal(f"is no {'date' if kind == 'date' else 'time'}", f"one such as {wanted}") from None
    if (found.tzinfo is not None) != ("[" in kind):
        wanted = "with a time zone" if "[" in kind else "without a time zone"
        raise Refusal("is another kind of time than the column's", f"a time {wanted}")
    return found.isoformat()


def _target(form: _Form, given: Any) -> str:
    """The target as text. Raises Refusal."""
    name, kind = form.model.target, form.types.get(form.model.target, "string")
    classes = f"a class of '{name}'" + (f": {', '.join(form.classes[:_NAMED])}" if form.classes else "")
    if form.task == "regression" or (not form.classes and _is_number(kind)):
        if isinstance(given, (str, bool)) or not isinstance(given, (int, float)):
            raise Refusal("is no number", f"a number, as '{name}' has")
        return repr(_numeric(kind, given) if _is_number(kind) else float(given))
    if not isinstance(given, (str, int, float, bool)):
        raise Refusal("is neither text nor number", classes)
    if isinstance(given, bool):
        text = "true" if given else "false"
    elif isinstance(given, float) and given.is_integer():
        text = str(int(given))
    else:
        text = str(given) if isinstance(given, (str, float)) or abs(given) < 10**300 else "a huge number"
    if form.classes and text not in form.classes:
        text = class_of(given, form.classes) or text
    if form.classes and text not in form.classes:
        raise Refusal(f"is no class of {form.model.name}", classes)
    if not text or len(text) > _LONGEST or not is_storable(text):
        raise Refusal("cannot be kept", classes)
    return text


def _odd(form: _Form, values: Mapping[str, Any], label: str, number: int | None) -> list[str]:
    """What the contract warns of. Raises Rejected for what it refuses."""
    if form.contract is None:
        return []
    masked = form.model.serving.mask
    row = {"inputs": values, "target": label}
    fields = [pa.field(name, _arrow(kind)) for name, kind in form.types.items() if _is_simple(kind)]
    columns = [_column([_stored(form.model, field.name, row)], field) for field in fields]
    known = {field.name for field in fields}
    asked = [
        rule for rule in form.contract.columns if rule.name in known and _is_asked(form, rule.name, values)
    ]
    usable = replace(form.contract, columns=tuple(asked), expressions=())
    verdict = checking.check(pa.table(columns, schema=pa.schema(fields)), usable)
    wrong = []
    for one in verdict.errors:
        is_target = one.column == form.model.target
        said = HIDDEN if one.column in masked else shown(label if is_target else values.get(one.column))
        why = "" if one.column in masked else f": {one.message.rstrip('.')}"
        field = "target" if is_target else one.column
        asks = f"what 'everloop contract show {form.model.name}' says"
        wrong.append(Wrong(field, said, f"breaks the contract{why}", asks, number))
    if wrong:
        raise Rejected(wrong[:MOST_TOLD])
    return [
        f"The field '{one.column}' is unusual." if one.column in masked else one.message
        for one in verdict.findings
    ]


def _is_asked(form: _Form, name: str, values: Mapping[str, Any]) -> bool:
    """A column that is no feature may be left out."""
    return name in values or name in form.needed or name == form.model.target


# -- merging -------------------------------------------------------------------------------------------------


def base_of(project: Project, model: Model) -> pa.Table:
    """The model's data without samples and production; nothing is registered. Raises UnknownVersion."""
    path = project.settings.root / model.data.path if model.data.path is not None else None
    if path is not None and files.is_there(path):
        return reading.read_file(path, encoding=model.data.encoding)
    with project.store.reading() as tx:
        head = _head(tx, model.dataset)
        base = (head.origin.get("base") or head.version_id) if head else ""
        version = datasets.known_version(tx, base, model.dataset)
    if version is None:
        raise UnknownVersion(
            f"There are no data of '{model.dataset}' to add samples to.",
            remedy="'everloop run' registers them and trains a first model.",
        )
    return data.load(project, version)


def like(schema: pa.Schema, model: Model, rows: Sequence[Any]) -> pa.Table:
    """Rows with ``inputs`` and ``target`` as a table of the schema."""
    columns = [_column([_stored(model, field.name, row) for row in rows], field) for field in schema]
    return pa.table(columns, schema=schema)


def _stored(model: Model, name: str, row: Any) -> Any:
    return row["target"] if name == model.target else row["inputs"].get(name)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    """Values as they are kept, in the type of a column."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind):
        values = [value == "true" if isinstance(value, str) else value for value in values]
    elif pa.types.is_integer(kind):
        values = [
            None if value is None else int(float(value)) if "." in str(value) else int(value)
            for value in values
        ]
    elif pa.types.is_floating(kind):
        values = [None if value is None else float(value) for value in values]
    elif pa.types.is_timestamp(kind):
        values = [None if value is None else datetime.fromisoformat(value) for value in values]
    elif pa.types.is_date(kind):
        values = [None if value is None else date.fromisoformat(value) for value in values]
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        values = [None] * len(values)
    column = pa.array(values, type=kind)
    return column.cast(field.type) if kind != field.type else column


def _is_number(kind: str) -> bool:
    return re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)", kind) is not None


def _is_simple(kind: str) -> bool:
    return kind in ("string", "bool", "date") or _is_number(kind) or kind.startswith("timestamp")


def _arrow(kind: str) -> pa.DataType:
    if kind.startswith("timestamp"):
        return pa.timestamp("us", kind[10:-1] or None)
    named = {"string": pa.string(), "bool": pa.bool_(), "date": pa.date32()}
    return named.get(kind) or pa.type_for_alias(kind)
