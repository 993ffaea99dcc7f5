"""Compile a model version for serving, and serve it compiled only if it answers as the original does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from everloop.core.contracts import ColumnRule
from everloop.core.errors import Invalid, MLOpsError
from everloop.core.runs import Run
from everloop.core.serving import Agreement, Field, Form, Layout
from everloop.training import learning
from everloop.training.preparation import MISSING, kind_of
from everloop.training.prepared import to_frame

from . import artifacts, data, runs
from .project import Project

TOLERANCE = 1e-5
TIE = 1e-7
"""Two best probabilities that are closer than float32 tells are a tie, which rounding decides."""
MOST_ROWS = 20_000
_ALTERED_ROWS, _FEWEST_ROWS = 200, 20  # of each feature: fewer where there are many
_BATCH_ROWS, _PROBED_ROWS = 4_000, 5
_UNSEEN = "\uffff unseen"


class Session(Protocol):
    """A compiled model that answers (see ``adapters.onnx.session``)."""

    def run_matrix(self, X: np.ndarray) -> np.ndarray: ...

    @property
    def levels(self) -> Mapping[str, Sequence[str]]: ...


class Impossible(Exception):
    """The version is served by the original; the text says why."""


@dataclass(frozen=True, eq=False)
class Alteration:
    """Other ``values`` of a feature in as many of the first rows; ``rule`` says that they are refused."""

    name: str
    values: pd.Series
    rule: Mapping[str, Any] = field(default_factory=dict)


def compile_version(
    project: Project,
    pipeline: Any,
    run: Run,
    rows: pa.Table | None,
) -> Form:
    """How to serve the fitted ``pipeline`` of ``run``: compiled and stored, or by the original, and why.
    ``rows`` of its data are what both are asked; the tolerance is 1e-5, and labels are equal but for ties.
    A model that does not compile raises nothing.

    Fields that the original refuses to miss, or of which it refuses unseen categories, say so in ``rule``.
    """
    form = _compile(project, Subject(pipeline, run, rows), run)
    if form.route == "native":
        with suppress(OSError):  # a server only starts later
            project.settings.original_hint.touch()
    return form


def _compile(project: Project, subject: Subject, run: Run) -> Form:
    try:
        compiler, session = project.open_compiler()
        data = _compiled(subject, compiler)
        compiled = session(data)
        agreement = _agreement(subject, compiled)
    except Impossible as impossible:
        return subject.form("native", f"Served by the original: {impossible}")
    except Exception as error:  # noqa: BLE001  whatever a compiled model fails with, the original serves
        text = " ".join(str(error).split())[:300]
        return subject.form(
            "native", f"Served by the original: compiling failed ({type(error).__name__}: {text})."
        )
    if agreement.labels or not agreement.largest <= agreement.tolerance:
        return subject.form("native", f"Served by the original: {_difference(subject, agreement)}", agreement)
    address = artifacts.keep(project, data, "onnx")
    subject.levels = {**compiled.levels, **subject.levels}
    kind = "probability" if run.task == "classification" else "value (relative)"
    reason = (
        f"Compiled: equal to the original on {agreement.rows} rows; "
        f"largest difference of a {kind}: {agreement.largest:.1e}."
    )
    return subject.form("onnx", reason, agreement, address)


def compile_stored(project: Project, run: Run) -> Form:
    """How to serve a run's model that is in the registry already, compared on the data it was trained on."""
    rows = None
    if run.dataset:
        rows = data.load(project, data.find(project, run.data_version, run.dataset))
    return compile_version(project, runs.load_model(project, run), run, rows)


def check_answers(model: Any, run: Run, rows: pa.Table | None) -> None:
    """That a fitted ``model`` from outside can be served: that it answers one of the ``rows`` of its data at
    least, with one value, or a probability of each class. Without rows that have its features it is asked
    rows of zeros, which it may refuse.

    Raises Invalid, with the model's own error.
    """
    kind = run.recipe.estimator.rpartition(".")[2]
    subject = Subject(model, run, rows)
    failed = None
    for frame in _tries(subject):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said = np.asarray(model.predict(frame))
                targets = said.shape[1] if said.ndim == 2 else 1
                shape = learning.answers(model, frame, run.task).shape if targets == 1 else ()
        except Exception as error:  # noqa: BLE001  whatever a model fails with is what is told
            failed = failed or error
            continue
        if targets != 1:
            raise Invalid(
                f"This {kind} answers {targets} targets.", remedy="Register a model for each of them."
            )
        if run.task == "classification" and shape != (len(frame), len(run.classes)):
            raise Invalid(
                f"This {kind} answers {len(frame)} rows with probabilities of the shape {shape}, "
                f"where it has {len(run.classes)} classes.",
                remedy="Let predict_proba give a column for each of classes_.",
            )
        return
    if failed is not None and subject.sample is not None:
        text = " ".join(str(failed).split())[:300]
        raise Invalid(
            f"This {kind} fails on each row of its own data that it was asked "
            f"({type(failed).__name__}: {text}).",
            remedy="Give the data version and the features that it was trained on, or mend the model.",
        ) from failed


def _tries(subject: Subject) -> Iterator[pd.DataFrame]:
    """Some rows together, then each by itself: complete ones first."""
    frame = subject.sample
    if frame is None:
        yield pd.DataFrame(0.0, index=range(2), columns=list(subject.names))
        return
    yield frame.iloc[:: -(-len(frame) // _ALTERED_ROWS)]
    for at in frame.isna().any(axis=1).to_numpy().argsort(kind="stable")[:_ALTERED_ROWS]:
        yield frame.iloc[[at]]


def matrix(session: Session, pipeline: Any, run: Run, rows: pa.Table) -> np.ndarray:
    """Rows of a table as the compiled ``pipeline`` of ``run`` takes them, float64 (rows, columns)."""
    subject = Subject(pipeline, run, rows)
    return subject.matrix(session, to_frame(rows, subject.names))


def _difference(subject: Subject, agreement: Agreement) -> str:
    if subject.run.task == "classification":
        return (
            f"the compiled model differs by up to {agreement.largest:.1e} "
            f"(allowed: {agreement.tolerance:.0e}) "
            f"and in {agreement.labels} labels of {agreement.rows} rows."
        )
    return (
        f"the compiled model's values differ by up to {agreement.largest:.1e} of their size "
        f"(allowed: {agreement.tolerance:.0e}) on {agreement.rows} rows."
    )


class Subject:
    """A version's original: its fields, its answers, and what of its inputs a compiled model is given."""

    def __init__(self, pipeline: Any, run: Run, rows: pa.Table | None) -> None:
        self.pipeline = pipeline
        self.run = run
        steps = dict(getattr(pipeline, "steps", ()))
        preparation = dict(getattr(steps.get("preparation"), "steps", ()))
        self.types = preparation.get("types") if hasattr(preparation.get("types"), "kinds") else None
        names = tuple(self.types.kinds) if self.types is not None else run.features
        self.names = tuple(names) or tuple(f"x{at}" for at in range(getattr(pipeline, "n_features_in_", 0)))
        self.sample = _sample(rows, self.names)
        self.kinds = self._kinds()
        self.levels: Mapping[str, Sequence[str]] = getattr(self.types, "levels_", {})
        self.refused: dict[str, dict[str, Any]] = {}

    def _kinds(self) -> dict[str, str]:
        if self.types is not None:
            return dict(self.types.kinds)
        if self.sample is None and _takes_more_than_numbers(self.pipeline):
            return dict.fromkeys(self.names, "any")
        return {name: _kind(self.sample, name) for name in self.names}

    def fields(self) -> tuple[Field, ...]:
        levels = self.levels
        return tuple(
            Field(
                name,
                self.kinds[name],
                tuple(map(str, levels[name])) if name in levels else None,
                rule=ColumnRule(name, **self.refused[name]) if name in self.refused else None,
            )
            for name in self.names
        )

    def form(self, route: Any, reason: str, agreement: Agreement | None = None, artifact: str = "") -> Form:
        run = self.run
        raw = any(
            kind == "any" or (kind == "category" and name not in self.levels)
            for name, kind in self.kinds.items()
        )
        layout: Layout = "columns" if raw else "matrix"
        return Form(route, reason, run.task, run.classes, self.fields(), layout, artifact, agreement)

    def answers(self, frame: pd.DataFrame) -> np.ndarray:
        """What the original says, (rows, classes) or (rows,)."""
        X = (
            frame
            if self.types is not None or hasattr(self.pipeline, "feature_names_in_")
            else frame.to_numpy()
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return learning.answers(self.pipeline, X, self.run.task)

    def compiled_answers(self, session: Session, frame: pd.DataFrame) -> np.ndarray:
        return session.run_matrix(self.matrix(session, frame))

    def matrix(self, session: Session, frame: pd.DataFrame) -> np.ndarray:
        """Rows as the compiled model takes them, float64 (rows, columns)."""
        if self.types is not None:
            return np.asarray(self.types.transform(frame).to_numpy(dtype=np.float64))
        columns = [_coded(frame[name], session.levels.get(name)) for name in self.names]
        return np.column_stack(columns)


def _sample(rows: pa.Table | None, names: tuple[str, ...]) -> pd.DataFrame | None:
    """Rows at even distances, at most so many."""
    if rows is None or rows.num_rows == 0 or not set(names) <= set(rows.column_names):
        return None
    at = np.unique(np.linspace(0, rows.num_rows - 1, MOST_ROWS).astype(np.int64))
    return to_frame(rows.take(pa.array(at)), names)


def _kind(sample: pd.DataFrame | None, name: str) -> str:
    if sample is None:
        return "number"
    try:
        return kind_of(sample[name])
    except MLOpsError:  # no values, or nested ones
        return "number"


def _takes_more_than_numbers(pipeline: Any) -> bool:
    """Whether a model may take texts: one that chooses columns, encodes, or is not scikit-learn's own."""
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    kinds = [type(step) for step in steps]
    return any(
        kind.__name__.endswith(("ColumnTransformer", "Encoder", "FeatureUnion", "Vectorizer"))
        or not kind.__module__.startswith(("sklearn.", "xgboost.", "lightgbm."))
        for kind in kinds
    )


def _coded(column: pd.Series, levels: Sequence[str] | None) -> np.ndarray:
    """Numbers as they are, texts by their codes, as the requests of serving are encoded."""
    if levels is None:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes = {text: float(code) for code, text in enumerate(levels, 1)}
    known = column.astype(object).where(column.notna(), MISSING)
    return np.array([codes.get(str(text), 0.0) for text in known])


def _compiled(subject: Subject, compiler: Callable[..., bytes]) -> bytes:
    if subject.sample is None:
        raise Impossible("there are no rows to check a compiled model against.")
    run = subject.run
    try:
        return compiler(
            subject.pipeline,
            task=run.task,
            classes=run.classes,
            features=subject.names,
            sample=subject.sample.head(1000),
        )
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise Impossible(f"there is no compiled form of {text}.") from error


def _agreement(subject: Subject, session: Session) -> Agreement:
    frame = subject.sample
    assert frame is not None  # noqa: S101  _compiled has looked
    pairs = [_asked(subject, session, frame)]
    if pairs[0] is None:
        raise Impossible("the original raises an error on rows of its own data.")
    some = frame.head(max(_FEWEST_ROWS, min(_ALTERED_ROWS, MOST_ROWS // len(subject.names))))
    for alterations in _alterations(subject, frame, some):
        for batch in _batches(alterations):
            pairs += _asked_altered(subject, session, some, batch)
    known = [pair for pair in pairs if pair is not None]
    original, compiled = (np.concatenate(each) for each in zip(*known, strict=True))
    if original.shape != compiled.shape:
        raise Impossible(f"the compiled model answers with {compiled.shape}, not {original.shape}.")
    if subject.run.task == "classification":
        two = np.sort(original, axis=1)[:, -2:]
        decided = two[:, -1] - two[:, 0] > TIE if original.shape[1] > 1 else np.zeros(len(original), bool)
        labels = int(np.sum((original.argmax(axis=1) != compiled.argmax(axis=1)) & decided))
        apart = np.abs(original - compiled)
    else:
        labels = 0
        usual = float(np.median(np.abs(original)))
        apart = np.abs(original - compiled) / np.maximum(np.abs(original), max(usual, 1e-12))
    return Agreement(len(original), float(np.max(apart)), labels, TOLERANCE)


def _asked(subject: Subject, session: Session, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """Both answers; None where the original refuses the rows."""
    try:
        original = subject.answers(frame)
    except (ValueError, TypeError, MLOpsError):
        return None
    return original, subject.compiled_answers(session, frame)


def _asked_altered(
    subject: Subject, session: Session, some: pd.DataFrame, batch: Sequence[Alteration]
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Both answers to alterations, asked together: one by one costs the square of the features. What the
    original refuses of them is told in ``subject.refused``."""
    together = _asked(subject, session, _altered(some, batch))
    if together is not None:
        return [together]
    taken = []
    for each in batch:
        if not _refuses(subject, some.head(_PROBED_ROWS), each):
            taken.append(each)
        elif each.rule:
            subject.refused.setdefault(each.name, {}).update(each.rule)
    together = _asked(subject, session, _altered(some, taken)) if taken else None
    if together is not None:
        return [together]
    return [_asked(subject, session, _altered(some, [each])) for each in taken]


def _alterations(subject: Subject, frame: pd.DataFrame, some: pd.DataFrame) -> list[list[Alteration]]:
    """Each feature missing in turn; unseen categories; values at and next to extremes."""
    missing, unseen, extreme = [], [], []
    for name in subject.names:
        column, kind = frame[name], subject.kinds[name]
        missing.append(Alteration(name, _of(column, [None] * len(some)), {"max_missing": 0.0}))
        if kind == "category":
            allowed = tuple(sorted({str(each) for each in column.dropna().unique()}))
            unseen.append(Alteration(name, _of(column, [_UNSEEN] * len(some)), {"allowed": allowed}))
        elif kind == "number":
            values = _extremes(column)[: len(some)]
            extreme += [Alteration(name, pd.Series(values))] if values else []
    return [missing, unseen, extreme]


def _batches(alterations: Sequence[Alteration]) -> Iterator[list[Alteration]]:
    """Of about ``_BATCH_ROWS`` rows each."""
    batch: list[Alteration] = []
    rows = 0
    for each in alterations:
        batch.append(each)
        rows += len(each.values)
        if rows >= _BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _altered(some: pd.DataFrame, alterations: Sequence[Alteration]) -> pd.DataFrame:
    """The first rows again for each alteration, one after the other."""
    at = np.concatenate([np.arange(len(each.values)) for each in alterations])
    frame = some.take(at).reset_index(drop=True)
    columns: dict[str, pd.Series] = {}
    begin = 0
    for each in alterations:
        end = begin + len(each.values)
        column = columns.get(each.name, frame[each.name])
        parts = [part for part in (column.iloc[:begin], each.values, column.iloc[end:]) if len(part)]
        columns[each.name] = pd.concat(parts, ignore_index=True)
        begin = end
    return frame.assign(**columns)


def _of(column: pd.Series, values: list[Any]) -> pd.Series:
    """A column of these values, of the type that the data room gives them beside known ones."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(values, dtype=object)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(np.full(len(values), np.nan))
    return pd.Series(values, dtype=column.dtype)


def _extremes(column: pd.Series) -> list[float]:
    known = column.dropna().to_numpy(dtype=np.float64)
    if not len(known):
        return []
    low, high = float(known.min()), float(known.max())
    return [
        low, np.nextafter(low, -np.inf), np.nextafter(low, np.inf), low - (high - low) - 1.0,
        high, np.nextafter(high, np.inf), np.nextafter(high, -np.inf), high + (high - low) + 1.0,
    ]  # fmt: skip


def _refuses(subject: Subject, few: pd.DataFrame, altered: Alteration) -> bool:
    values = altered.values.head(len(few))
    try:
        subject.answers(
            few.head(len(values)).assign(**{altered.name: values.set_axis(few.index[: len(values)])})
        )
    except (ValueError, TypeError, MLOpsError):
        return True
    return False
