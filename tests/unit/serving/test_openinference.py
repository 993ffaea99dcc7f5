"""Tensors become rows, and outcomes tensors."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from everloop.core.errors import Invalid
from everloop.core.serving import Field, Form
from everloop.serving import openinference
from everloop.serving.answers import By, Outcome
from everloop.serving.inputs import Inputs, Rejected

FIELDS = (Field("age"), Field("city", "category"), Field("member", "boolean"))
FORM = Form("onnx", "", "classification", ("no", "yes"), FIELDS)
NUMBERS = Form("onnx", "", "classification", ("no", "yes"), (Field("a"), Field("b")))


def read(form: Form, *tensors: dict[str, Any], data: bytes | None = None, **more: Any) -> Any:
    text = json.dumps({"inputs": list(tensors), **more}).encode()
    header = None if data is None else len(text)
    return openinference.read(text + (data or b""), header, Inputs(form), 100)[1]


def tensor(
    name: str, shape: list[int], datatype: str, data: Any = None, size: int | None = None
) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        told["data"] = data
    return told if size is None else {**told, "parameters": {"binary_data_size": size}}


def test_one_tensor_of_rows() -> None:
    asked = read(NUMBERS, tensor("X", [2, 2], "FP64", [1, 2, 3, 4.5]), id="7")
    assert [list(row) for row in asked.rows] == [[1, 2], [3, 4.5]]
    assert (asked.single, asked.id) == (False, "7")
    nested = read(NUMBERS, tensor("anything", [2, 2], "FP32", [[1, 2], [3, None]]))
    assert [list(row) for row in nested.rows] == [[1, 2], [3, None]]
    assert read(NUMBERS, tensor("X", [1, 2], "INT8", [-128, 127])).single


def test_one_tensor_per_field_by_name() -> None:
    asked = read(
        FORM, tensor("member", [2], "BOOL", [True, None]), tensor("city", [2, 1], "BYTES", ["Oslo", "Rome"]),
        tensor("age", [2, 1], "INT64", [[1], [2]]),
    )  # fmt: skip
    assert [list(row) for row in asked.rows] == [[1, "Oslo", True], [2, "Rome", None]]
    missing = read(FORM, tensor("age", [1], "FP64", [1]))
    assert [list(row) for row in missing.rows] == [[1, None, None]]


def test_a_matrix_says_booleans_as_0_and_1() -> None:
    form = Form("onnx", "", "classification", ("no", "yes"), (Field("age"), Field("member", "boolean")))
    asked = read(form, tensor("X", [3, 2], "FP64", [1, 0, 1, 1.0, 1, 2]))
    assert [row[1] for row in asked.rows] == [False, True, 2]
    assert type(asked.rows[1][1]) is bool


@pytest.mark.parametrize(
    ("kind", "numpy"),
    [("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8"), ("INT8", "i1"), ("INT64", "<i8"), ("UINT16", "<u2")],
)
def test_binary_numbers(kind: str, numpy: str) -> None:
    values = np.array([1, 2, 3, 4], dtype=numpy).tobytes()
    asked = read(NUMBERS, tensor("X", [2, 2], kind, size=len(values)), data=values)
    assert [list(row) for row in asked.rows] == [[1, 2], [3, 4]]


def test_binary_texts_booleans_and_missing_numbers() -> None:
    texts = b"".join(struct.pack("<I", len(one)) + one for one in (b"Oslo", "Köln".encode()))
    numbers = np.array([np.nan, 5.0]).tobytes()
    asked = read(
        FORM, tensor("city", [2], "BYTES", size=len(texts)), tensor("age", [2], "FP64", size=len(numbers)),
        tensor("member", [2], "BOOL", size=2), data=texts + numbers + b"\x01\x00",
    )  # fmt: skip
    assert [list(row) for row in asked.rows] == [[None, "Oslo", True], [5.0, "Köln", False]]


@pytest.mark.parametrize(
    ("size", "data"), [(31, b"0" * 31), (32, b"0" * 31), (16, b"0" * 32), (-1, b"0" * 32), (0, b"")]
)
def test_binary_data_of_another_length(size: int, data: bytes) -> None:
    with pytest.raises(Invalid):
        read(NUMBERS, tensor("X", [2, 2], "FP64", size=size), data=data)


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x05\x00\x00\x00abc", b"\x01\x00\x00\x00\xff", b"\x01"]
)
def test_binary_texts_that_are_broken(data: bytes) -> None:
    with pytest.raises(Invalid):
        read(FORM, tensor("city", [1], "BYTES", size=len(data)), data=data)


@pytest.mark.parametrize("header", [-1, 10_000])
def test_a_header_beyond_the_body(header: int) -> None:
    with pytest.raises(Invalid, match="Inference-Header-Content-Length"):
        openinference.read(b"{}", header, Inputs(FORM), 100)


def test_a_header_in_the_middle_of_the_json() -> None:
    with pytest.raises(Invalid, match="no JSON"):
        openinference.read(json.dumps({"inputs": []}).encode(), 5, Inputs(FORM), 100)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_named(text: str) -> None:
    body = json.dumps({"inputs": [tensor("X", [1, 2], "FP64", [1, 2])]}).replace("[1, 2]}", f"[1, {text}]}}")
    with pytest.raises(Rejected, match=r"^b: "):
        openinference.read(body.encode(), None, Inputs(NUMBERS), 100)


def test_more_rows_than_allowed() -> None:
    with pytest.raises(Invalid, match="101 rows are more than the 100"):
        read(NUMBERS, tensor("X", [101, 2], "FP64", [0] * 202))


@pytest.mark.parametrize(
    "outputs", [[{"name": "other"}], [{"name": "predict"}, {"name": "predict"}],
                [{"name": "predict", "parameters": {"classification": 1}}]]
)  # fmt: skip
def test_outputs_that_cannot_be_answered_are_refused_before_the_model_runs(outputs: Any) -> None:
    with pytest.raises(Invalid):
        read(NUMBERS, tensor("X", [1, 2], "FP64", [1, 2]), outputs=outputs)


OUTCOMES = [
    Outcome(0, "no", 0.75, {"no": 0.75, "yes": 0.25}),
    Outcome(1, "yes", 0.9, {"no": 0.1, "yes": 0.9}),
]


def answer(**asked: Any) -> tuple[dict[str, Any], bytes]:
    text = json.dumps({"inputs": [tensor("X", [2, 2], "FP64", [1, 2, 3, 4])], **asked}).encode()
    request, _ = openinference.read(text, None, Inputs(NUMBERS), 100)
    body, header = openinference.response(request, OUTCOMES, By("m", "1.0.0", "champion"), "pred_1", None)
    return json.loads(body[:header]), body[len(body) if header is None else header :]


def test_an_answer_in_json() -> None:
    told, rest = answer(id="x")
    assert rest == b""
    assert (told["id"], told["model_name"], told["model_version"]) == ("x", "m", "1.0.0")
    assert told["outputs"] == [
        {"name": "predict", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]},
        {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.75, 0.25, 0.1, 0.9]},
    ]
    assert told["parameters"]["prediction_id"] == "pred_1"


def test_an_answer_in_binary_where_it_is_asked_for() -> None:
    told, rest = answer(parameters={"binary_data_output": True})
    sizes = [output["parameters"]["binary_data_size"] for output in told["outputs"]]
    assert sizes == [13, 32]
    assert rest[:13] == b"\x02\x00\x00\x00no\x03\x00\x00\x00yes"
    assert np.frombuffer(rest[13:]).tolist() == [0.75, 0.25, 0.1, 0.9]
    told, rest = answer(
        outputs=[{"name": "predict_proba", "parameters": {"binary_data": True}}, {"name": "predict"}]
    )
    assert [output["name"] for output in told["outputs"]] == ["predict_proba", "predict"]
    assert told["outputs"][1]["data"] == ["no", "yes"]
    assert len(rest) == 32


def test_data_in_the_json_and_behind_it_is_refused() -> None:
    with pytest.raises(Invalid, match="'X' has data in the JSON and behind it"):
        read(NUMBERS, tensor("X", [1, 2], "FP64", [1, 2], size=16), data=bytes(16))
