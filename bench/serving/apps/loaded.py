"""The model that a hand-written server serves. ``BENCH_MODEL`` is its folder."""

import json
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd


class Loaded:
    def __init__(self):
        folder = Path(os.environ["BENCH_MODEL"])
        about = json.loads((folder / "model.json").read_text())
        self.columns, self.classes, self.matrix = about["columns"], about["classes"], about["matrix"]
        self.model = joblib.load(folder / "model.joblib")

    def probabilities(self, rows):
        if self.matrix:
            return self.model.predict_proba(np.asarray(rows, dtype=np.float64))
        return self.model.predict_proba(pd.DataFrame(rows, columns=self.columns))

    def answer(self, probabilities):
        return {
            "predictions": [self.classes[best] for best in probabilities.argmax(axis=1)],
            "probabilities": probabilities.tolist(),
        }

    def predict(self, rows):
        return self.answer(self.probabilities(rows))
