"""How each kind of server is asked for the predictions of rows, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .models import Model

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Call:
    """``path`` may name ``{model}``; ``body`` is the JSON document for some rows; ``read`` gives the labels
    in an answer, and raises KeyError, IndexError, TypeError or ValueError for one it does not know."""

    path: str
    body: Callable[[Model, Rows], dict[str, Any]]
    read: Callable[[Model, Any], list[str]]

    def path_for(self, model: Model) -> str:
        return self.path.format(model=model.name)


def _likeliest(model: Model, probabilities: Rows) -> list[str]:
    return [model.classes[max(range(len(each)), key=each.__getitem__)] for each in probabilities]


def _rows_body(model: Model, rows: Rows) -> dict[str, Any]:
    return {"rows": rows}


def _rows_read(model: Model, answer: Any) -> list[str]:
    return [str(each) for each in answer["predictions"]]


def _probabilities_read(model: Model, answer: Any) -> list[str]:
    return _likeliest(model, answer["predictions"] if isinstance(answer, dict) else answer)


def _mlflow_body(model: Model, rows: Rows) -> dict[str, Any]:
    if model.matrix:
        return {"inputs": rows}
    return {"dataframe_split": {"columns": model.columns, "data": rows}}


def _tensors(model: Model, rows: Rows) -> list[dict[str, Any]]:
    """One tensor for plain numbers, else one for each column."""
    if model.matrix:
        flat = [value for row in rows for value in row]
        return [{"name": "X", "shape": [len(rows), len(model.columns)], "datatype": "FP64", "data": flat}]
    columns = zip(model.columns, zip(*rows, strict=True), strict=True)
    return [
        {
            "name": name,
            "shape": [len(values), 1],
            "datatype": "BYTES" if isinstance(values[0], str) else "FP64",
            "data": list(values),
        }
        for name, values in columns
    ]


def _v2_body(model: Model, rows: Rows) -> dict[str, Any]:
    return {"inputs": _tensors(model, rows)}


def _mlserver_body(model: Model, rows: Rows) -> dict[str, Any]:
    document = {"inputs": _tensors(model, rows), "outputs": [{"name": "predict_proba"}]}
    return document if model.matrix else {**document, "parameters": {"content_type": "pd"}}


def _v2_read(model: Model, answer: Any) -> list[str]:
    """From the first tensor of texts, which are labels; else from one with a probability for each class."""
    for each in answer["outputs"]:
        if each["datatype"] == "BYTES" and set(each["data"]) <= set(model.classes):
            return [str(label) for label in each["data"]]
    wide = len(model.classes)
    for each in answer["outputs"]:
        if each["datatype"].startswith("FP") and list(each["shape"])[-1] == wide:
            data = each["data"]
            return _likeliest(model, [data[at : at + wide] for at in range(0, len(data), wide)])
    raise KeyError("no labels and no probabilities among the outputs")


def _predict_body(model: Model, rows: Rows) -> dict[str, Any]:
    asked = [row if model.matrix else dict(zip(model.columns, row, strict=True)) for row in rows]
    return {"features": asked[0]} if len(asked) == 1 else {"instances": asked}


def _predict_read(model: Model, answer: Any) -> list[str]:
    each = answer.get("predictions", [answer])
    return [str(one["prediction_name"]) for one in each]


ROWS = Call("/predict", _rows_body, _rows_read)
PROBABILITIES = Call("/predict", _rows_body, _probabilities_read)
MLFLOW = Call("/invocations", _mlflow_body, _probabilities_read)
MLSERVER = Call("/v2/models/{model}/infer", _mlserver_body, _v2_read)
V2 = Call("/v2/models/{model}/infer", _v2_body, _v2_read)
PREDICT = Call("/predict", _predict_body, _predict_read)
