"""What happens to the features before the estimator: fitted on training rows, shipped inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everloop.core.errors import AllMissing, InvalidSettings, UnknownColumn, WrongType, nearest
from everloop.core.runs import Recipe

from .estimators import is_linear, is_tree, takes_missing

MISSING = "(missing)"
MOMENTS = ("hour", "weekday", "month", "day_of_year")
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}
_TIMES = {"date", "datetime", "datetime64"}
_OFFSET = r"[T ].*(?:Z|[+-]\d\d(?::?\d\d)?)$"  # the end of an ISO 8601 time with zone
_LARGEST = float(np.finfo(np.float32).max)


def prepare(frame: pd.DataFrame, features: Sequence[str], recipe: Recipe, estimator: Any = None) -> Pipeline:
    """An unfitted pipeline of two steps: ``types`` (numbers out of every column, see ColumnTypes) and
    ``columns`` (scikit-learn's own parts only).

    Linear and other estimators get imputed (with a column that says where, if training rows miss values) and
    scaled numbers and one-hot categories. Trees get unscaled numbers and the categories' codes, since scaling
    changes nothing for them; the ones that take missing values get them. Missing categories are a level.
    Raises AllMissing for a feature without values and WrongType for nested and binary ones.
    """
    kinds = {name: kind_of(frame[name]) for name in features}
    tree = is_tree(estimator)
    keep = takes_missing(estimator)
    wanted = recipe.preparation.numeric_missing
    if wanted == "keep" and not keep:
        raise InvalidSettings(
            f"preparation.numeric_missing is 'keep', but '{recipe.estimator}' takes no missing values.",
            remedy="Use 'median', 'mean' or 'zero', or an estimator such as hist_gradient_boosting.",
        )
    numbers = [n for n in features if kinds[n] == "number"]
    numbers += [part for n in features if kinds[n].startswith("time") for part in _moment_names(n)]
    booleans = [n for n in features if kinds[n] == "boolean"]
    categories = [n for n in features if kinds[n] == "category"]
    strategy = {"median": "median", "mean": "mean", "zero": "constant"}.get(wanted, "median")
    impute = SimpleImputer(strategy=strategy, fill_value=0.0, add_indicator=True, keep_empty_features=True)
    flags = SimpleImputer(strategy="most_frequent", add_indicator=True, keep_empty_features=True)
    scaled = recipe.preparation.scale and not tree
    number_step: Any = make_pipeline(impute, StandardScaler()) if scaled else impute
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=is_linear(estimator))
    steps = [
        ("numbers", "passthrough" if keep else number_step, numbers),
        ("booleans", "passthrough" if keep else flags, booleans),
        ("categories", "passthrough" if tree else one_hot, categories),
    ]
    types = ColumnTypes(kinds, recipe.preparation.max_categories, recipe.preparation.min_frequency)
    columns = ColumnTransformer([step for step in steps if step[2]], verbose_feature_names_out=False)
    return Pipeline([("types", types), ("columns", columns)])


def sources(preparation: Pipeline) -> list[str]:
    """The feature that each output column of a fitted ``prepare`` comes from."""
    kinds = preparation["types"].kinds
    parts = {part: name for name in kinds if kinds[name].startswith("time") for part in _moment_names(name)}
    owners: list[str] = []
    for _, step, names in preparation["columns"].transformers_:
        inner = step[0] if isinstance(step, Pipeline) else step
        if isinstance(inner, OneHotEncoder):
            owners += [name for name, seen in zip(names, inner.categories_, strict=True) for _ in seen]
            continue
        owners += names
        if isinstance(inner, SimpleImputer) and inner.indicator_ is not None:
            owners += [names[i] for i in inner.indicator_.features_]
    return [parts.get(name, name) for name in owners]


def kind_of(column: pd.Series) -> str:
    """What a feature is: ``number``, ``boolean``, ``category``, ``time`` or ``time[ZONE]``."""
    dtype = column.dtype
    if column.isna().all():
        raise AllMissing(
            f"Feature '{column.name}' has no values.", remedy=f"Leave it out: exclude: [{column.name}]."
        )
    if pd.api.types.is_bool_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype):
        return "boolean"
    if isinstance(dtype, pd.DatetimeTZDtype):
        return f"time[{dtype.tz}]"
    if pd.api.types.is_datetime64_dtype(dtype):
        return "time"
    if pd.api.types.is_timedelta64_dtype(dtype) or (
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    ):
        return "number"
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return "category"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in _NUMBERS:
        return "number"
    if inferred in _TIMES:
        return "time"
    if inferred in ("boolean", "string"):
        return "boolean" if inferred == "boolean" else "category"
    raise WrongType(
        f"Feature '{column.name}' holds {inferred} values ({dtype}), which a model cannot take.",
        remedy=f"Turn it into numbers, strings, booleans or times, or leave it out (exclude: {column.name}).",
    )


class ColumnTypes(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns every feature into float64 columns, the same way however it arrives.

    ``kinds`` maps feature to kind (see ``kind_of``). Numbers and booleans stay what they are (missing: NaN,
    also for infinite ones and those beyond float32, which trees compute with); durations become seconds, and
    a time its hour, weekday (Monday 0), month and day of the year, in the time zone of the training data
    (times without a zone are taken to be in it). A category becomes its code: 1, 2 … for the levels in
    ``levels_``, the most frequent in training in the order of their names (missing is one), and 0 for rare
    and unseen ones.
    Raises UnknownColumn for a missing feature and WrongType for values that cannot be converted.
    """

    def __init__(self, kinds: dict[str, str], max_categories: int = 40, min_frequency: int = 10) -> None:
        self.kinds = kinds
        self.max_categories = max_categories
        self.min_frequency = min_frequency

    def fit(self, X: pd.DataFrame, y: Any = None) -> ColumnTypes:
        self.levels_ = {
            name: _frequent(X[name], self.max_categories, self.min_frequency)
            for name, kind in self.kinds.items()
            if kind == "category"
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        columns: dict[str, np.ndarray] = {}
        for name, kind in self.kinds.items():
            if name not in X.columns:
                raise UnknownColumn(
                    f"Feature '{name}' is missing.", remedy=nearest(name, map(str, X.columns))
                )
            if kind == "category":
                columns[name] = _codes(X[name], self.levels_[name])
            elif kind.startswith("time"):
                columns |= _moments(X[name], kind[5:-1])
            else:
                columns[name] = _numbers(X[name])
        return pd.DataFrame(columns, index=X.index)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        names: list[str] = []
        for name, kind in self.kinds.items():
            names += _moment_names(name) if kind.startswith("time") else [name]
        return np.array(names, dtype=object)


def _numbers(column: pd.Series) -> np.ndarray:
    try:
        if pd.api.types.is_timedelta64_dtype(column.dtype):
            values = column.dt.total_seconds().to_numpy(dtype=np.float64)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            known = column.notna().to_numpy()
            values = np.full(len(column), np.nan)
            values[known] = column[known].astype(object).to_numpy().astype(np.float64)
    except (ValueError, TypeError) as error:
        raise WrongType(
            f"Feature '{column.name}' was a number in training and is not one here: {error}.",
            remedy="Convert the column, or train again with it as it is now.",
        ) from error
    beyond = ~(np.abs(values) <= _LARGEST)
    return np.where(beyond, np.nan, values)


def _texts(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Each row's position in the distinct texts, and these; the last one stands for missing."""
    positions, values = pd.factorize(column)
    return positions % (len(values) + 1), np.array([*(_text(value) for value in values), MISSING])


def _frequent(column: pd.Series, most: int, least: int) -> np.ndarray:
    positions, texts = _texts(column)
    rows = np.bincount(positions, minlength=len(texts))
    order = np.lexsort((texts, -rows))[:most]
    return np.sort(texts[order[rows[order] >= max(least, 1)]])


def _codes(column: pd.Series, levels: np.ndarray) -> np.ndarray:
    positions, texts = _texts(column)
    if len(levels) == 0:
        return np.zeros(len(column))
    at = np.searchsorted(levels, texts).clip(max=len(levels) - 1)
    codes = np.where(levels[at] == texts, at + 1.0, 0.0)
    return np.asarray(codes[positions])


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _moment_names(name: str) -> list[str]:
    return [f"{name}.{part}" for part in MOMENTS]


def _moments(column: pd.Series, zone: str) -> dict[str, np.ndarray]:
    try:
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            when = column
        else:
            zoned = column.astype(str).str.contains(_OFFSET).any()
            when = pd.to_datetime(column, format="ISO8601", utc=bool(zoned))
    except (ValueError, TypeError) as error:
        said, _, _ = str(error).partition(". You might want to try")  # pandas' advice is for its own callers
        raise WrongType(
            f"Feature '{column.name}' was a time in training and is not one here: {said.rstrip('.')}.",
            remedy="Give a timestamp, a date or an ISO 8601 string.",
        ) from error
    if when.dt.tz is not None:
        when = when.dt.tz_convert(zone or "UTC")
    parts = (when.dt.hour, when.dt.day_of_week, when.dt.month, when.dt.day_of_year)
    values = [part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts]
    return dict(zip(_moment_names(str(column.name)), values, strict=True))
