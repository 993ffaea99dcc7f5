"""Run by NannyML's own Python (see ``estimated``): its estimates of performance without labels, window by
window, and the data it ships, as JSON and .npz files that ours is run on.

``estimated_peer.py FOLDER``: reads FOLDER/flights.npz if it is there, writes the other sets and
FOLDER/nannyml.json."""

import json
import sys
import time
import warnings
from pathlib import Path

import nannyml as nml
import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
DATA = Path(nml.__file__).parent / "datasets" / "data"
CHUNK = 6_000
BINARY = {
    "employment_MA": ("employed", "predicted_probability", "prediction", 5_000),
    "car_loan": ("repaid", "y_pred_proba", "y_pred", 2_500),
    "california": ("clf_target", "y_pred_proba", "y_pred", 588),
}


def tables(name):
    if name == "employment_MA":
        parts = [
            pd.read_parquet(DATA / f"{name}_{part}.pq")
            for part in ("reference", "analysis", "analysis_target")
        ]
    else:
        stem = {"car_loan": "synthetic_car_loan", "california": "california_housing"}[name]
        last = "analysis_target" if name == "car_loan" else "analysis_gt"
        parts = [pd.read_csv(DATA / f"{stem}_{part}.csv") for part in ("reference", "analysis", last)]
    reference, analysis, target = parts
    return reference, analysis.merge(target, on="id", how="left")


def binary(folder, name):
    if name == "flights":
        kept = dict(np.load(folder / "flights.npz"))
        truth, score, said = "y", "p", "d"
        reference, analysis = (
            pd.DataFrame({"y": kept[f"{k}_y"], "p": kept[f"{k}_p"], "d": (kept[f"{k}_p"] >= 0.5).astype(int)})
            for k in ("reference", "window")
        )
        sizes = np.bincount(kept["window"])
    else:
        truth, score, said, size = BINARY[name]
        reference, analysis = tables(name)
        analysis = analysis[analysis[truth].notna()]
        reference = reference[reference[truth].notna()]
        whole = len(analysis) // size
        sizes = np.full(whole, size)
        analysis = analysis.iloc[: whole * size]
        np.savez(
            folder / f"{name}.npz", reference_y=reference[truth].astype(int), reference_p=reference[score],
            window_y=analysis[truth].astype(int), window_p=analysis[score],
            reference_d=reference[said].astype(int), window_d=analysis[said].astype(int),
            window=np.repeat(np.arange(whole), size),
        )  # fmt: skip
    started = time.process_time()
    size = int(np.median(sizes))
    cbpe = nml.CBPE(
        y_pred_proba=score, y_pred=said, y_true=truth, problem_type="classification_binary",
        metrics=["roc_auc", "accuracy", "f1"], chunk_size=size,
    )  # fmt: skip
    cbpe.fit(reference)
    fitted = time.process_time() - started
    found = []
    started = time.process_time()
    for first, rows in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        result = cbpe.estimate(analysis.iloc[first : first + rows].reset_index(drop=True))
        table = result.filter(period="analysis").to_df()
        weights = np.asarray(table[("chunk", "end_index")] - table[("chunk", "start_index")] + 1)
        entry = {}
        for metric in ("roc_auc", "accuracy", "f1"):
            values = table[(metric, "value")].to_numpy()
            error = table[(metric, "sampling_error")].to_numpy()
            entry[metric] = [
                float(np.average(values, weights=weights)),
                float(np.average(error, weights=weights)),
            ]
        found.append(entry)
    return {"fit": fitted, "estimate": time.process_time() - started, "windows": found}


def table_of(result, metrics):
    """One dict per window: metric to value and sampling error."""
    table = result.filter(period="analysis").to_df()
    return [
        {m: [float(table[(m, part)].iloc[i]) for part in ("value", "sampling_error")] for m in metrics}
        for i in range(len(table))
    ]


def classes(folder):
    reference, analysis = (pd.read_csv(DATA / f"mc_{part}.csv") for part in ("reference", "analysis"))
    analysis = analysis.assign(y_true=pd.read_csv(DATA / "mc_analysis_gt.csv")["y_true"].to_numpy())
    names = ["highstreet_card", "prepaid_card", "upmarket_card"]
    columns = {name: f"y_pred_proba_{name}" for name in names}
    metrics = ["roc_auc", "accuracy", "f1"]
    cbpe = nml.CBPE(
        y_pred_proba=columns, y_pred="y_pred", y_true="y_true", problem_type="classification_multiclass",
        metrics=metrics, chunk_size=CHUNK,
    )  # fmt: skip
    cbpe.fit(reference)
    kept = {"names": np.array(names), "window": np.arange(len(analysis)) // CHUNK}
    for part, table in (("reference", reference), ("window", analysis)):
        kept[f"{part}_y"] = table["y_true"].to_numpy().astype(str)
        kept[f"{part}_p"] = table[list(columns.values())].to_numpy()
    np.savez(folder / "mc.npz", **kept)
    return {"windows": table_of(cbpe.estimate(analysis), metrics)}


def regression(folder):
    stem = "regression_synthetic"
    reference, analysis = (pd.read_csv(DATA / f"{stem}_{part}.csv") for part in ("reference", "analysis"))
    targets = pd.read_csv(DATA / f"{stem}_analysis_targets.csv")
    features = ["car_age", "km_driven", "price_new", "accident_count", "door_count", "fuel", "transmission"]
    metrics = ["mae", "rmse"]
    dle = nml.DLE(
        feature_column_names=features, y_pred="y_pred", y_true="y_true", metrics=metrics, chunk_size=CHUNK
    )
    started = time.process_time()
    dle.fit(reference)
    fitted = time.process_time() - started
    windows = table_of(dle.estimate(analysis), metrics)
    analysis = analysis.assign(y_true=targets["y_true"].to_numpy())
    kept = {"window": np.arange(len(analysis)) // CHUNK}
    for part, table in (("reference", reference), ("window", analysis)):
        for name in [*features, "y_pred", "y_true"]:
            values = table[name].to_numpy()
            kept[f"{part}_{name}"] = values.astype(str if values.dtype == object else float)
    np.savez(folder / "regression.npz", **kept)
    return {"fit": fitted, "windows": windows}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = [*BINARY, *(["flights"] if (folder / "flights.npz").exists() else [])]
    found = {name: binary(folder, name) for name in names}
    found["mc"] = classes(folder)
    found["regression"] = regression(folder)
    (folder / "nannyml.json").write_text(json.dumps(found))
