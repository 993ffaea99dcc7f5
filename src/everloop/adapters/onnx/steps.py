"""Fitted scikit-learn transformers, as what they do to columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from .columns import ABSENT, MISSING, Column, Made, Number, Table, Text, made, stepped, tensor
from .foreign import attach
from .graph import Graph, NotCompilable

UNSEEN = "\uffff unseen"


class Preparing:
    """Follows the steps of a pipeline from the inputs on. ``texts`` are, per input of texts, those that have
    a code of their own (1, 2 … in this order, missing first; the others 0): encoders add theirs on the way.
    """

    def __init__(self, graph: Graph, inputs: str, names: Sequence[str]) -> None:
        self.graph = graph
        self.inputs = inputs
        self.names = list(names)
        self.texts: dict[int, list[str]] = {}

    def tensor(self, columns: Sequence[Column]) -> str:
        return tensor(self.graph, self.inputs, len(self.names), columns)

    def after(self, step: Any, columns: list[Column]) -> list[Column]:
        """The columns behind a fitted transformer."""
        if step is None or isinstance(step, str):
            if step in (None, "passthrough"):
                return columns
            if step == "drop":
                return []
        kind = type(step)
        if kind.__module__.split(".")[0] == "sklearn" and kind.__name__ in _KNOWN:
            return _KNOWN[kind.__name__](self, step, columns)
        return self._foreign(step, columns)

    def _foreign(self, step: Any, columns: list[Column]) -> list[Column]:
        kind = type(step)
        if kind.__module__.split(".")[0] != "sklearn" or kind.__name__ not in _CONVERTED:
            raise NotCompilable(f"{kind.__name__} ({kind.__module__}), which no converter knows")
        value, width = attach(self.graph, step, self.tensor(columns), len(columns))
        return made(value, width)

    # -- compositions ------------------------------------------------------------------------------------

    def _pipeline(self, step: Any, columns: list[Column]) -> list[Column]:
        for _, inner in step.steps:
            columns = self.after(inner, columns)
        return columns

    def _column_transformer(self, step: Any, columns: list[Column]) -> list[Column]:
        names = [str(each) for each in getattr(step, "feature_names_in_", range(len(columns)))]
        if len(names) != len(columns):
            raise NotCompilable("a ColumnTransformer behind steps that change the columns' names")
        result: list[Column] = []
        for _, inner, chosen in step.transformers_:
            if isinstance(inner, str) and inner == "drop":
                continue
            result += self.after(inner, [columns[at] for at in _positions(chosen, names)])
        return result

    def _union(self, step: Any, columns: list[Column]) -> list[Column]:
        result: list[Column] = []
        for name, inner in step.transformer_list:
            if (step.transformer_weights or {}).get(name, 1) != 1:
                raise NotCompilable("a FeatureUnion with weights")
            result += self.after(inner, columns)
        return result

    def _function(self, step: Any, columns: list[Column]) -> list[Column]:
        function = getattr(step.func, "func", step.func)
        if function is None or getattr(function, "__name__", "") == "check_array":
            return columns
        raise NotCompilable(f"a FunctionTransformer ({getattr(step.func, '__name__', step.func)})")

    # -- numbers -----------------------------------------------------------------------------------------

    def _standard(self, step: Any, columns: list[Column]) -> list[Column]:
        columns = stepped(columns, "sub", step.mean_) if step.with_mean else columns
        return stepped(columns, "div", step.scale_) if step.with_std else columns

    def _robust(self, step: Any, columns: list[Column]) -> list[Column]:
        columns = stepped(columns, "sub", step.center_) if step.with_centering else columns
        return stepped(columns, "div", step.scale_) if step.with_scaling else columns

    def _min_max(self, step: Any, columns: list[Column]) -> list[Column]:
        columns = stepped(stepped(columns, "mul", step.scale_), "add", step.min_)
        return stepped(columns, "clip", [step.feature_range] * len(columns)) if step.clip else columns

    def _max_abs(self, step: Any, columns: list[Column]) -> list[Column]:
        columns = stepped(columns, "div", step.scale_)
        return (
            stepped(columns, "clip", [(-1.0, 1.0)] * len(columns))
            if getattr(step, "clip", False)
            else columns
        )

    def _chosen(self, step: Any, columns: list[Column]) -> list[Column]:
        return [column for column, kept in zip(columns, step.get_support(), strict=True) if kept]

    # -- missing values ----------------------------------------------------------------------------------

    def _imputer(self, step: Any, columns: list[Column]) -> list[Column]:
        if not _is_nan(step.missing_values):
            raise NotCompilable("a SimpleImputer of other values than missing ones")
        result = []
        for column, fill in zip(columns, step.statistics_, strict=True):
            if _is_nan(fill) and not step.keep_empty_features:
                continue
            result.append(self._filled(column, 0.0 if _is_nan(fill) else fill))
        return result + self._flags(step.indicator_, columns)

    def _filled(self, column: Column, fill: Any) -> Column:
        if isinstance(column, Text):
            return Text(column.source, fill=str(fill)) if column.fill is None else column
        return stepped([column], "fill", [float(fill)])[0]

    def _indicator(self, step: Any, columns: list[Column]) -> list[Column]:
        return self._flags(step, columns)

    def _flags(self, indicator: Any, columns: list[Column]) -> list[Column]:
        flagged = [] if indicator is None else [columns[at] for at in indicator.features_]
        return [self._flag(column) for column in flagged]

    def _flag(self, column: Column) -> Column:
        if isinstance(column, Made):
            raise NotCompilable("a missing-value indicator of computed columns")
        if isinstance(column, Text):
            return Table(column.source, (ABSENT,), (float(column.fill is None),), of="text")
        if isinstance(column, Number):
            return Table(column.source, (), (), missing=float(np.isnan(column.at(np.array([np.nan]))[0])))
        values = tuple(float(np.isnan(each)) for each in column.values)
        other, missing = float(np.isnan(column.other)), float(np.isnan(column.missing))
        return Table(column.source, column.codes, values, other, missing, column.of)

    # -- categories --------------------------------------------------------------------------------------

    def _encoder(self, step: Any, columns: list[Column]) -> list[Column]:
        """Each category's row of the encoder's own answers, looked up."""
        result: list[Column] = []
        width = [_width(step, at) for at in range(len(columns))]
        for at, column in enumerate(columns):
            start = sum(width[:at])
            answers = self._answers(step, at, columns)
            rows = [None if row is None else row[start : start + width[at]] for row in answers]
            result += self._looked_up(column, list(step.categories_[at]), rows, width[at])
        return result

    def _answers(self, step: Any, at: int, columns: list[Column]) -> list[np.ndarray | None]:
        """The encoder's row for each category of one column, an unseen one and a missing one; None where it
        raises an error."""
        seen = list(step.categories_[at])
        text = isinstance(columns[at], Text) or any(isinstance(each, str) for each in seen)
        unseen: Any = UNSEEN if text else max([0.0, *(float(x) for x in seen if not _is_missing(x))]) + 1.0
        return [self._answer(step, at, value) for value in (*seen, unseen, None if text else np.nan)]

    def _answer(self, step: Any, at: int, value: Any) -> np.ndarray | None:
        first = [next((x for x in each if not _is_missing(x)), 0.0) for each in step.categories_]
        row = list(first)
        row[at] = value
        names = getattr(step, "feature_names_in_", None)
        two = zip(row, first, strict=True)  # missing beside known ones, as pandas holds it in a column
        frame = pd.DataFrame({name: pd.Series(list(both)) for name, both in enumerate(two)})
        if names is not None:
            frame.columns = names
        try:
            given = step.transform(frame if names is not None else _array(frame))
        except (ValueError, TypeError):
            return None
        given = given.toarray() if hasattr(given, "toarray") else given
        found: np.ndarray = np.asarray(given, dtype=np.float64)[0]
        return found

    def _looked_up(
        self, column: Column, seen: list[Any], rows: list[np.ndarray | None], width: int
    ) -> list[Column]:
        if isinstance(column, Made):
            raise NotCompilable("an encoder of computed columns")
        *known, other, missing = rows
        place = {_key(value): row for value, row in zip(seen, known, strict=True)}
        if isinstance(column, Table):
            at = [place.get(_key(value), other) for value in (*column.values, column.other)]
            none = missing if np.isnan(column.missing) else place.get(_key(column.missing), other)
            codes = column.codes
            *found, other = at
        else:
            codes = tuple(self._code(column, value) for value in seen if not _is_missing(value))
            found = [row for value, row in zip(seen, known, strict=True) if not _is_missing(value)]
            fill: Any
            if isinstance(column, Text):
                fill = column.fill
            else:
                fill = float(column.at(np.array([np.nan]))[0])
                fill = None if np.isnan(fill) else fill
            none = missing if fill is None else place.get(_key(fill), other)
        nothing = np.zeros(width)  # where the original raises an error, anything is as good
        if isinstance(column, Text):
            codes, found = (*codes, ABSENT), [*found, none]
        of = _values_of(column)
        every = np.array([nothing if row is None else row for row in (*found, other, none)])
        return [
            Table(column.source, codes, tuple(map(float, each[:-2])), float(each[-2]), float(each[-1]), of)
            for each in every.reshape(-1, width).T
        ]

    def _code(self, column: Number | Text, value: Any) -> float:
        if isinstance(column, Text):
            texts = self.texts.setdefault(column.source, [MISSING])
            if str(value) not in texts:
                texts.append(str(value))
            return texts.index(str(value)) + 1.0
        if any(step != "fill" for step, _ in column.steps):
            raise NotCompilable("an encoder behind a scaler")
        return float(value)


_KNOWN: dict[str, Callable[[Preparing, Any, list[Column]], list[Column]]] = {
    "Pipeline": Preparing._pipeline,
    "ColumnTransformer": Preparing._column_transformer,
    "FeatureUnion": Preparing._union,
    "FunctionTransformer": Preparing._function,
    "StandardScaler": Preparing._standard,
    "RobustScaler": Preparing._robust,
    "MinMaxScaler": Preparing._min_max,
    "MaxAbsScaler": Preparing._max_abs,
    "SimpleImputer": Preparing._imputer,
    "MissingIndicator": Preparing._indicator,
    "OneHotEncoder": Preparing._encoder,
    "OrdinalEncoder": Preparing._encoder,
    "TargetEncoder": Preparing._encoder,
    "VarianceThreshold": Preparing._chosen,
    "SelectKBest": Preparing._chosen,
    "SelectPercentile": Preparing._chosen,
    "SelectFromModel": Preparing._chosen,
    "RFE": Preparing._chosen,
    "RFECV": Preparing._chosen,
}


_CONVERTED = (  # by skl2onnx; with others it fails, or takes minutes (QuantileTransformer)
    "PCA", "IncrementalPCA", "TruncatedSVD", "PolynomialFeatures", "Normalizer", "Binarizer",
    "KBinsDiscretizer", "PowerTransformer",
)  # fmt: skip


def _values_of(column: Number | Table | Text) -> Literal["text", "code", "boolean", "number"]:
    return "text" if isinstance(column, Text) else column.of


def _width(step: Any, at: int) -> int:
    """How many columns an encoder makes of one."""
    kind = type(step).__name__
    if kind == "OrdinalEncoder":
        return 1
    if kind == "TargetEncoder":
        return max(1, len(step.classes_)) if getattr(step, "target_type_", "") == "multiclass" else 1
    rare = getattr(step, "infrequent_categories_", [None] * (at + 1))[at]
    width = len(step.categories_[at]) - (0 if rare is None else len(rare) - 1)
    dropped = step.drop_idx_ is not None and step.drop_idx_[at] is not None
    return width - dropped


def _positions(chosen: Any, names: Sequence[str]) -> list[int]:
    if isinstance(chosen, slice):
        chosen = list(range(len(names)))[chosen] if not isinstance(chosen.start, str) else None
        if chosen is None:
            raise NotCompilable("a ColumnTransformer that chooses a range of names")
    if isinstance(chosen, (str, int, np.integer)):
        chosen = [chosen]
    found = list(chosen)
    if found and isinstance(found[0], (bool, np.bool_)):
        return [int(at) for at in np.flatnonzero(found)]
    return [names.index(each) if isinstance(each, str) else int(each) for each in found]


def _array(frame: pd.DataFrame) -> np.ndarray:
    numbers = all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)
    return frame.to_numpy(dtype=np.float64 if numbers else object)


def _key(value: Any) -> Any:
    if _is_missing(value):
        return None
    return value if isinstance(value, str) else float(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))
