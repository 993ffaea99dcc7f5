"""Fitted pipelines as users bring them, and a table with every trouble: missing, rare, skewed, huge."""

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

NUMBERS = ["age", "income", "visits", "seen_at"]
WHOLE = ["income", "visits", "seen_at"]
TEXTS = ["plan", "city"]
ALL = [*NUMBERS, *TEXTS]


def shop(rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    """``two`` and ``four`` are classes, ``value`` and ``count`` numbers. ``seen_at`` is beyond float32."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, rows).astype(float)
    age[rng.random(rows) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "age": age,
            "income": rng.lognormal(10, 1, rows).round(2),
            "visits": rng.poisson(4, rows),
            "seen_at": 1.7e9 + rng.random(rows) * 1e6,
            "plan": pd.Series(
                rng.choice(np.array(["basic", "family", "pro", None], dtype=object), rows).tolist()
            ),
            "city": rng.choice(np.array([f"c{at}" for at in range(30)]), rows),
            "member": rng.random(rows) < 0.5,
        }
    )
    late = frame["seen_at"] > 1.7005e9
    score = frame["visits"] - 4 - 1.5 * (frame["plan"] == "pro") + late + frame["age"].isna()
    score += 0.7 * (frame["income"] > 30000) + frame["city"].isin(["c3", "c7", "c20"])
    noisy = score + rng.normal(0, 1, rows)
    frame["two"] = np.where(noisy > 0, "yes", "no")
    frame["four"] = np.array(list("abcd"))[np.digitize(noisy, [-1.0, 1.0, 2.0])]
    frame["value"] = 1000 + 100 * noisy
    frame["count"] = rng.poisson(np.exp(score.clip(-3, 3)))
    return frame


def texts_and_numbers(encoder: Any = None, *, dense: bool = False) -> Any:
    """The preparation that most users write."""
    coded = encoder or OneHotEncoder(handle_unknown="ignore", sparse_output=not dense)
    return make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), coded), TEXTS),
    )


def ordinal(model: Any, **options: Any) -> Any:
    given = {"handle_unknown": "use_encoded_value", "unknown_value": -1} | options
    return make_pipeline(
        make_column_transformer((OrdinalEncoder(**given), TEXTS), ("passthrough", NUMBERS)), model
    )


def dense(model: Any) -> Any:
    return make_pipeline(texts_and_numbers(dense=True), model)


def logistic(**options: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=500, **options)


def hist(**options: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=15, **options)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(12, random_state=0)


def coded(names: list[str], *more: Any) -> Any:
    return make_column_transformer((OneHotEncoder(handle_unknown="ignore"), names), *more)


def lgbm(kind: str = "Regressor", **options: Any) -> Any:
    return getattr(lightgbm, f"LGBM{kind}")(n_estimators=15, verbosity=-1, n_jobs=1, **options)


def xgb(**options: Any) -> xgboost.XGBRegressor:
    return xgboost.XGBRegressor(n_estimators=15, n_jobs=1, **options)


CASES: dict[str, tuple[Callable[[], Any], list[str], str]] = {
    "logistic, one-hot": (lambda: make_pipeline(texts_and_numbers(), logistic()), ALL, "two"),
    "logistic, four classes": (lambda: make_pipeline(texts_and_numbers(), logistic()), ALL, "four"),
    "logistic, first category dropped": (
        lambda: make_pipeline(
            texts_and_numbers(
                OneHotEncoder(drop="first", handle_unknown="infrequent_if_exist", min_frequency=70)
            ),
            logistic(),
        ),
        ALL,
        "two",
    ),
    "logistic, a category of missing ones": (
        lambda: make_pipeline(coded(TEXTS, (StandardScaler(), WHOLE)), logistic()),
        [*TEXTS, *WHOLE],
        "two",
    ),
    "logistic, unscaled, liblinear": (
        lambda: make_pipeline(StandardScaler(), logistic(solver="liblinear")), WHOLE, "two",
    ),
    "logistic, integers one-hot": (lambda: make_pipeline(coded(["visits"]), logistic()), ["visits"], "four"),
    "logistic, booleans one-hot": (
        lambda: make_pipeline(coded(["member", "plan"], (StandardScaler(), WHOLE)), logistic()),
        ["member", "plan", *WHOLE],
        "two",
    ),
    "forest, integers one-hot": (
        lambda: make_pipeline(coded(["visits"], ("passthrough", ["income"])), forest()),
        ["visits", "income"],
        "two",
    ),
    "forest, one-hot and scaled": (lambda: make_pipeline(texts_and_numbers(), forest()), ALL, "two"),
    "forest, four classes, scaled": (lambda: dense(forest()), ALL, "four"),
    "forest, ordinal": (lambda: ordinal(forest()), ALL, "two"),
    "forest, ordinal, four classes": (lambda: ordinal(forest()), ALL, "four"),
    "tree with missing values": (lambda: DecisionTreeClassifier(), NUMBERS, "four"),
    "extra trees, robust": (
        lambda: make_pipeline(RobustScaler(), ExtraTreesRegressor(12, random_state=0)), WHOLE, "value",
    ),
    "forest, min and max": (lambda: make_pipeline(MinMaxScaler(clip=True), forest()), WHOLE, "four"),
    "boosting, largest": (
        lambda: make_pipeline(MaxAbsScaler(), GradientBoostingClassifier(n_estimators=12)), WHOLE, "two",
    ),
    "boosting, exponential": (
        lambda: GradientBoostingClassifier(n_estimators=12, loss="exponential"), WHOLE, "two",
    ),
    "boosting, targets": (
        lambda: make_pipeline(
            make_column_transformer((TargetEncoder(), TEXTS), (SimpleImputer(), NUMBERS)),
            GradientBoostingClassifier(n_estimators=12),
        ),
        ALL,
        "four",
    ),
    "histograms, scaled": (lambda: make_pipeline(StandardScaler(), hist()), NUMBERS, "two"),
    "histograms, four classes": (lambda: dense(hist()), ALL, "four"),
    "histograms, categories": (
        lambda: ordinal(hist(categorical_features=[0, 1]), unknown_value=np.nan), ALL, "two",
    ),
    "histograms, booleans": (
        lambda: make_pipeline(make_column_transformer(("passthrough", ["member", *NUMBERS])), hist()),
        ["member", *NUMBERS],
        "two",
    ),
    "histograms, counts": (
        lambda: HistGradientBoostingRegressor(max_iter=15, loss="poisson"), NUMBERS, "count",
    ),
    "xgboost": (lambda: dense(xgb()), ALL, "value"),
    "xgboost, counts": (lambda: xgb(objective="count:poisson"), NUMBERS, "count"),
    "xgboost, dropped trees": (lambda: xgb(booster="dart", rate_drop=0.5), NUMBERS, "value"),
    "lightgbm": (lambda: dense(lgbm("Classifier")), ALL, "two"),
    "lightgbm, four classes": (lambda: lgbm("Classifier"), NUMBERS, "four"),
    "lightgbm, forest": (
        lambda: lgbm(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7), NUMBERS, "value",
    ),
    "lightgbm, counts": (lambda: lgbm(objective="poisson"), NUMBERS, "count"),
    "ridge, polynomials": (
        lambda: make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures(2), Ridge()),
        NUMBERS,
        "value",
    ),
    "elastic net": (lambda: make_pipeline(texts_and_numbers(), ElasticNet()), ALL, "value"),
    "counts, linear": (lambda: make_pipeline(StandardScaler(), PoissonRegressor()), ["visits"], "count"),
    "components": (
        lambda: make_pipeline(texts_and_numbers(dense=True), PCA(5), logistic()), ALL, "two",
    ),
    "discriminant": (lambda: LinearDiscriminantAnalysis(), WHOLE, "two"),
    "network": (lambda: dense(MLPClassifier((10,), max_iter=600, tol=0.1)), ALL, "four"),
    "network of numbers": (lambda: dense(MLPRegressor(max_iter=600, tol=1e9)), ALL, "value"),
    "support vectors": (lambda: dense(CalibratedClassifierCV(SVC(), cv=2, ensemble=False)), ALL, "two"),
    "support vectors of numbers": (lambda: dense(SVR()), ALL, "value"),
    "calibrated, linear": (
        lambda: CalibratedClassifierCV(make_pipeline(texts_and_numbers(), LinearSVC()), cv=2), ALL, "four",
    ),
    "calibrated, isotonic": (
        lambda: CalibratedClassifierCV(forest(), cv=2, method="isotonic"), NUMBERS, "four",
    ),
    "calibrated histograms": (
        lambda: CalibratedClassifierCV(hist(), cv=2, method="isotonic"), NUMBERS, "two",
    ),
    "vote": (
        lambda: dense(VotingClassifier([("a", logistic()), ("b", forest()), ("c", hist())], voting="soft")),
        ALL,
        "four",
    ),
    "stack": (
        lambda: dense(StackingClassifier([("a", logistic()), ("b", forest())], cv=2, passthrough=True)),
        ALL,
        "two",
    ),
    "bag": (lambda: dense(BaggingClassifier(n_estimators=4, max_features=0.5)), ALL, "two"),
    "adaptive boosting": (lambda: dense(AdaBoostClassifier(n_estimators=8)), ALL, "four"),
    "search": (
        lambda: GridSearchCV(logistic(), {"C": [0.1, 1.0]}, cv=2),
        ["visits"],
        "two",
    ),
}  # fmt: skip
