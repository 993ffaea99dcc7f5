"""Whatever bytes come, a body is rows or a refusal: no other failure, and no value that was not sent."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from everloop.api import problems
from everloop.core.errors import MLOpsError
from everloop.core.serving import Field, Form
from everloop.serving import desk
from everloop.serving.desk import Ask, Served, Target
from everloop.serving.inputs import InputPolicy

FIELDS = (
    Field("age", nullable=True), Field("city", "category", ("Oslo", "Rome")), Field("member", "boolean"),
    Field("at", "time"),
)  # fmt: skip
NAMES = [field.name for field in FIELDS]
FORM = Form("onnx", "", "classification", ("no", "yes"), FIELDS)
RAW = Form("onnx", "", "classification", ("no", "yes"), (Field("age"), Field("city", "category")), "columns")
NUMBERS = Form("onnx", "", "classification", ("no", "yes"), (Field("a"), Field("b")))
ALLOW = InputPolicy("allow", "allow", "allow", "allow")


def _scores(tensors: Any) -> Any:
    rows = len(tensors) if not isinstance(tensors, dict) else len(next(iter(tensors.values())))
    return np.tile([0.25, 0.75], (rows, 1))


def _served(form: Form, policy: InputPolicy) -> Served:
    return Served("m", "1", "champion", form, _scores, policy, {"city": "hash", "age": "hide"}, b"salt")


TARGETS = [
    Target(_served(form, policy), protocol)
    for form in (FORM, RAW, NUMBERS)
    for policy in (InputPolicy(), ALLOW)
    for protocol in ("plain", "v2")
]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["2026-01-01T00:00:00Z", "Oslo", "NaN", 10**400, -(10**30), 1e39, 0, 1])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
rows = st.lists(values, max_size=6) | st.dictionaries(st.sampled_from([*NAMES, "town", "a", "b"]), values)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["X", *NAMES, "a", "b", ""]),
        "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=3),
        "datatype": st.sampled_from(["FP64", "INT8", "UINT64", "BOOL", "BYTES", "FP16", "other"]),
        "data": st.lists(values, max_size=6) | st.none(),
        "parameters": st.none()
        | st.dictionaries(st.sampled_from(["binary_data_size", "x"]), scalars, max_size=2),
    }
)
bodies = st.one_of(
    st.fixed_dictionaries({"features": rows | values}),
    st.fixed_dictionaries({"instances": st.lists(rows, max_size=4) | values}),
    st.fixed_dictionaries(
        {
            "inputs": st.lists(tensors, max_size=4),
            "id": scalars,
            "outputs": st.none() | st.lists(values, max_size=2),
        }
    ),
    values,
)


def _answered(target: Target, body: bytes, header: int | None = None) -> Ask:
    """What the desk makes of a body; a refusal can be told, and what is answered can be read."""
    ask = Ask(body, "request", header=header)
    batch = desk.prepare(target, [ask], 100)
    if batch.asks:
        lines = desk.finish(batch, desk.run(batch), lambda: "pred_1", "2026-01-01T00:00:00Z", 0.0)
        assert len(lines) == len(batch.rows)
        for line in lines:
            assert line.endswith(b"\n")
            logged = json.loads(line)
            assert logged["inputs"].get("age") in ("***", None)
    assert ask.reply is not None
    if ask.reply.error is None:
        json.loads(ask.reply.body[: ask.reply.header])
        return ask
    assert isinstance(ask.reply.error, MLOpsError)
    assert problems.status_of(ask.reply.error) in (400, 422)
    told = problems.body(ask.reply.error, "request")
    assert len(told) < 20_000
    json.loads(told)
    return ask


@given(st.sampled_from(TARGETS), bodies)
def test_any_json(target: Target, body: Any) -> None:
    _answered(target, json.dumps(body).encode())


@given(st.sampled_from(TARGETS), st.binary(max_size=200), st.none() | st.integers(0, 250))
def test_any_bytes(target: Target, body: bytes, header: int | None) -> None:
    _answered(target, body, header if target.protocol == "v2" else None)


@given(st.sampled_from(TARGETS), bodies, st.data())
def test_a_json_text_that_was_cut_or_changed(target: Target, body: Any, data: st.DataObject) -> None:
    text = bytearray(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        if text:
            text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    _answered(target, bytes(text[: data.draw(st.integers(0, len(text)))]))


@given(
    st.lists(tensors, min_size=1, max_size=3),
    st.binary(max_size=64),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_binary_tensors(given_: list[dict[str, Any]], data: bytes, sizes: list[int]) -> None:
    for tensor, size in zip(given_, sizes, strict=False):
        tensor.pop("data")
        tensor["parameters"] = {"binary_data_size": size}
    text = json.dumps({"inputs": given_}).encode()
    _answered(TARGETS[3], text + data, len(text))


number = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(10**6), 10**6)


@given(st.lists(st.tuples(number, number), min_size=1, max_size=20))
def test_numbers_arrive_as_they_were_sent(pairs: list[tuple[float, float]]) -> None:
    target = TARGETS[8]
    assert target.model.form is NUMBERS
    ways: list[tuple[bytes, int | None, str]] = [
        (json.dumps({"instances": pairs}).encode(), None, "plain"),
        (json.dumps({"instances": [{"b": b, "a": a} for a, b in pairs]}).encode(), None, "plain"),
    ]
    flat = [value for pair in pairs for value in pair]
    head = {"name": "X", "shape": [len(pairs), 2], "datatype": "FP64"}
    ways.append((json.dumps({"inputs": [{**head, "data": flat}]}).encode(), None, "v2"))
    packed = struct.pack(f"<{len(flat)}d", *flat)
    text = json.dumps({"inputs": [{**head, "parameters": {"binary_data_size": len(packed)}}]}).encode()
    ways.append((text + packed, len(text), "v2"))
    for body, header, protocol in ways:
        batch = desk.prepare(
            Target(target.model, "v2" if protocol == "v2" else "plain"), [Ask(body, "", header=header)], 100
        )
        assert batch.tensors.tolist() == [[float(a), float(b)] for a, b in pairs]
        assert all(math.isfinite(value) for value in batch.tensors.ravel())
