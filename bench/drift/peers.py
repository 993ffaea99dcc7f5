"""The peers, each run by its own Python (see ``environments``).

    python -m bench.drift.peers TOOL TASK JSON

The last line it prints is its answer. Each tool is used as its documentation shows, at its defaults. An alarm
is what the tool itself calls drift of a column; ``columns`` are those of an answer.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import worlds
from .peak import Peak
from .worlds import LEVELS, Columns, World

REFERENCE = 100_000
NUMBERS = [f"x{place:02}" for place in range(worlds.NUMBERS)]
NAMES = [f"k{place:02}" for place in range(worlds.CATEGORIES)]


def frame(columns: Columns) -> pd.DataFrame:
    """As users have it: numbers, and categories as text."""
    made: dict[str, Any] = {}
    for name, values in columns.items():
        if name.startswith("k"):
            words = [f"level {code}" for code in range(LEVELS[int(name[1:])])] + ["new", None]
            made[name] = np.array(words, dtype=object)[values]  # -1 is missing, -2 is new
        else:
            made[name] = values
    return pd.DataFrame(made)


# -- each tool: what it keeps of a reference, and which columns it says have drifted -------------------------


class Evidently:
    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        from evidently import DataDefinition, Dataset

        definition = DataDefinition(numerical_columns=NUMBERS, categorical_columns=NAMES)
        self._set = lambda frame: Dataset.from_pandas(frame, data_definition=definition)
        self.kept = self._set(usual)

    def columns(self, now: pd.DataFrame) -> list[str]:
        from evidently import Report
        from evidently.presets import DataDriftPreset

        found = Report([DataDriftPreset()]).run(self._set(now), self.kept).dict()
        drifted = []
        for metric in found["metrics"]:
            told = metric["config"]
            if not told["type"].endswith("ValueDrift"):
                continue
            value, limit = float(metric["value"]), told["threshold"]
            is_p = "p_value" in told["method"]
            if (value < limit) if is_p else (value >= limit):
                drifted.append(told["column"])
        return drifted

    def size(self, usual: pd.DataFrame) -> int:
        return int(usual.memory_usage(deep=False).sum())


class NannyML:
    """Univariate drift, with the columns' default methods, in chunks of the window's size."""

    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        import nannyml as nml

        whole = len(usual) // rows * rows
        self.kept = nml.UnivariateDriftCalculator(
            column_names=NUMBERS + NAMES, treat_as_categorical=NAMES, chunk_size=rows
        )
        self.kept.fit(usual.iloc[:whole])

    def columns(self, now: pd.DataFrame) -> list[str]:
        table = self.kept.calculate(now).filter(period="analysis").to_df()
        return [name for name in NUMBERS + NAMES if table[name].xs("alert", axis=1, level=1).to_numpy().any()]

    def size(self, usual: pd.DataFrame) -> int:
        return len(pickle.dumps(self.kept))


class NannyMLPCA:
    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        import nannyml as nml

        whole = len(usual) // rows * rows
        self.kept = nml.DataReconstructionDriftCalculator(column_names=NUMBERS + NAMES, chunk_size=rows)
        self.kept.fit(usual.iloc[:whole])

    def columns(self, now: pd.DataFrame) -> list[str]:
        table = self.kept.calculate(now).filter(period="analysis").to_df()
        return NUMBERS + NAMES if table[("reconstruction_error", "alert")].to_numpy().any() else []

    def size(self, usual: pd.DataFrame) -> int:
        return len(pickle.dumps(self.kept))


class Alibi:
    """TabularDrift takes numbers: categories as codes, as its examples do."""

    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        from alibi_detect.cd import TabularDrift

        self._codes = {
            name: {level: code for code, level in enumerate(usual[name].unique())} for name in NAMES
        }
        self.kept = TabularDrift(
            self._matrix(usual),
            p_val=0.05,
            categories_per_feature={len(NUMBERS) + i: None for i in range(len(NAMES))},
        )

    def _matrix(self, frame: pd.DataFrame) -> Any:
        coded = [frame[name].map(self._codes[name]).fillna(999).to_numpy() for name in NAMES]
        return np.column_stack([frame[NUMBERS].to_numpy(), *coded]).astype(np.float32)

    def columns(self, now: pd.DataFrame) -> list[str]:
        found = self.kept.predict(self._matrix(now), drift_type="batch")["data"]
        return [
            name for name, p in zip(NUMBERS + NAMES, found["p_val"], strict=True) if p < found["threshold"]
        ]

    def size(self, usual: pd.DataFrame) -> int:
        return int(self.kept.x_ref.nbytes)


class Whylogs:
    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        import whylogs as why

        self.kept = why.log(pandas=usual).view()

    def columns(self, now: pd.DataFrame) -> list[str]:
        import whylogs as why
        from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

        scores = calculate_drift_scores(
            target_view=why.log(pandas=now).view(), reference_view=self.kept, with_thresholds=True
        )
        return [name for name, told in scores.items() if told and told["drift_category"] == "DRIFT"]

    def size(self, usual: pd.DataFrame) -> int:
        return len(self.kept.serialize())


class Scipy:
    """The loop that people write: two-sample Kolmogorov-Smirnov and chi-square, missing values left out.
    ``over``: by how many tests .05 is divided."""

    over = 1

    def __init__(self, usual: pd.DataFrame, rows: int) -> None:
        self.kept = usual

    def columns(self, now: pd.DataFrame) -> list[str]:
        from scipy.stats import chi2_contingency, ks_2samp

        drifted = []
        for name in NUMBERS:
            p = ks_2samp(self.kept[name].dropna(), now[name].dropna(), method="asymp").pvalue
            drifted += [name] if p < 0.05 / self.over else []
        for name in NAMES:
            counts = pd.DataFrame(
                {"usual": self.kept[name].value_counts(), "now": now[name].value_counts()}
            ).fillna(0)
            p = chi2_contingency(counts.to_numpy().T)[1]
            drifted += [name] if p < 0.05 / self.over else []
        return drifted

    def size(self, usual: pd.DataFrame) -> int:
        return int(usual.memory_usage(deep=False).sum())


class Bonferroni(Scipy):
    over = 50


TOOLS: dict[str, tuple[str, Callable[[pd.DataFrame, int], Any]]] = {
    "Evidently": ("evidently", Evidently),
    "NannyML": ("nannyml", NannyML),
    "NannyML PCA": ("nannyml", NannyMLPCA),
    "alibi-detect": ("alibi-detect", Alibi),
    "whylogs": ("whylogs", Whylogs),
    "scipy": ("scipy", Scipy),
    "scipy, Bonferroni": ("scipy", Bonferroni),
}
"""Each with the environment it runs in."""


# -- tasks ---------------------------------------------------------------------------------------------------


def speed(tool: str, usual: int, rows: int) -> dict[str, Any]:
    world = World(900)
    before, now = frame(world.rows(usual, part=0)), frame(world.rows(rows, part=1))
    TOOLS[tool][1](before.iloc[:5_000], 1_000).columns(now.iloc[:1_000])  # imported, compiled
    gc.collect()
    began = time.process_time()
    with Peak() as building:
        kept = TOOLS[tool][1](before, rows)
    build = time.process_time() - began
    began = time.process_time()
    with Peak() as checking:
        kept.columns(now)
    check = time.process_time() - began
    return {
        "build": build, "check": check, "stored": kept.size(before), "build_memory": building.megabytes,
        "check_memory": checking.megabytes, "usual": usual, "rows": rows,
    }  # fmt: skip


def quiet(tool: str, options: dict[str, Any], rows: int, seeds: Sequence[int], each: int) -> dict[str, Any]:
    alarms, columns = 0, 0
    for seed in seeds:
        world = World(seed, **options)
        kept = TOOLS[tool][1](frame(world.rows(REFERENCE, part=0, window=rows)), rows)
        stream = world.rows(rows * each, part=1, window=rows)
        for number in range(each):
            found = kept.columns(frame(worlds.cut(stream, number * rows, (number + 1) * rows)))
            alarms, columns = alarms + bool(found), columns + len(found)
    return {"alarms": alarms, "windows": len(seeds) * each, "columns": columns}


def power(tool: str, rows: int, seeds: Sequence[int], each: int) -> dict[str, Any]:
    found = dict.fromkeys(worlds.CHANGES, 0)
    for seed in seeds:
        world = World(seed)
        usual = world.rows(REFERENCE, part=0)
        kept = TOOLS[tool][1](frame(usual), rows)
        for draw in range(each):
            for change in worlds.CHANGES:
                columns, names = worlds.change_at(world, usual, change, rows, draw, 0)
                found[change] += bool(set(kept.columns(frame(columns))) & set(names))
    return {"draws": len(seeds) * each, "found": found}


def harmless(tool: str, rows: int, seeds: Sequence[int], each: int) -> dict[str, Any]:
    alarms = 0
    for seed in seeds:
        world = World(seed)
        usual = world.rows(REFERENCE, part=0)
        kept = TOOLS[tool][1](frame(usual), rows)
        for place in range(each):
            columns, names = worlds.changed(
                world, world.rows(rows, part=place + 1), "mean +.02 sd", usual, 0, dict
            )
            alarms += bool(set(kept.columns(frame(columns))) & set(names))
    return {"alarms": alarms, "windows": len(seeds) * each}


def weekly(tool: str, folder: str) -> dict[str, Any]:
    """Weeks of flights in which the tool says that a column has drifted."""
    usual = pd.read_parquet(Path(folder) / "reference.parquet")
    weeks = pd.read_parquet(Path(folder) / "weeks.parquet")
    number = weeks.pop("week").to_numpy()
    NUMBERS[:] = [name for name in usual.columns if usual[name].dtype.kind in "iuf"]
    NAMES[:] = [name for name in usual.columns if name not in NUMBERS]
    for table in (usual, weeks):
        for name in NAMES:
            table[name] = table[name].astype(object)
    kept = TOOLS[tool][1](usual, int(np.bincount(number).mean()))
    weekly = [weeks[number == each].reset_index(drop=True) for each in np.unique(number)]
    return {"alarms": [bool(kept.columns(each)) for each in weekly]}


def estimated(tool: str, folder: str) -> dict[str, Any]:
    """Weeks in which NannyML's estimate of ROC AUC without labels leaves its limits."""
    import nannyml as nml

    usual, weeks = _scores(folder)
    kept = nml.CBPE(**_columns(), metrics=["roc_auc"], chunk_size=int(weeks.groupby("week").size().mean()))
    return _by_week(kept.fit(usual).estimate, weeks)


def realized(tool: str, folder: str) -> dict[str, Any]:
    """Weeks in which ROC AUC from labels leaves NannyML's limits."""
    import nannyml as nml

    usual, weeks = _scores(folder)
    kept = nml.PerformanceCalculator(
        **_columns(), metrics=["roc_auc"], chunk_size=int(weeks.groupby("week").size().mean())
    )
    return _by_week(kept.fit(usual).calculate, weeks)


def _columns() -> dict[str, Any]:
    return {
        "y_pred_proba": "p", "y_pred": "said", "y_true": "y", "problem_type": "classification_binary",
    }  # fmt: skip


def _scores(folder: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    kept = np.load(Path(folder) / "flights.npz")
    parts = [
        pd.DataFrame({"y": kept[f"{part}_y"], "p": kept[f"{part}_p"]}) for part in ("reference", "window")
    ]
    for part in parts:
        part["said"] = (part["p"] >= 0.5).astype(int)
    return parts[0], parts[1].assign(week=kept["window"])


def _by_week(judge: Callable[[pd.DataFrame], Any], weeks: pd.DataFrame) -> dict[str, Any]:
    """A week may come as two chunks: it alarms where its larger one does and ROC AUC is lower."""
    alarms = []
    for _, week in weeks.groupby("week"):
        table = judge(week.drop(columns="week").reset_index(drop=True)).filter(period="analysis").to_df()
        size = (table[("chunk", "end_index")] - table[("chunk", "start_index")]).to_numpy()
        row = table.iloc[int(np.argmax(size))]
        limit = row[("roc_auc", "lower_threshold")]
        alarms.append(bool(row[("roc_auc", "alert")] and row[("roc_auc", "value")] < limit))
    return {"alarms": alarms}


TASKS = {
    "estimated": estimated,
    "realized": realized,
    "speed": speed,
    "quiet": quiet,
    "power": power,
    "harmless": harmless,
    "weekly": weekly,
}


def main() -> None:
    tool, task, options = sys.argv[1:]
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = TASKS[task](tool, **json.loads(options))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
