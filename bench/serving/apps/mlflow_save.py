"""``mlflow_save.py MODEL_FOLDER``: the model in MLflow's own form, as its folder ``mlflow``."""

import json
import sys
from pathlib import Path

import joblib
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

folder = Path(sys.argv[1])
about = json.loads((folder / "model.json").read_text())
table = pd.read_csv(folder / "data.csv")[about["columns"]]
inputs = table.to_numpy(dtype=np.float64) if about["matrix"] else table
model = joblib.load(folder / "model.joblib")
mlflow.sklearn.save_model(
    model,
    folder / "mlflow",
    serialization_format="cloudpickle",  # its default, skops, takes no HistGradientBoosting
    signature=infer_signature(inputs, model.predict_proba(inputs)),
    pyfunc_predict_fn="predict_proba",
)
