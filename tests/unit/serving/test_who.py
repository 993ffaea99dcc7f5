"""What a request says of who asks, read of bodies of both protocols; what cannot be read says nothing."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from everloop.core.errors import Invalid
from everloop.core.serving import Field, Form
from everloop.serving import plain, who
from everloop.serving.inputs import Inputs
from everloop.serving.routing import NOTHING, Said, entity_of

INPUTS = Inputs(Form("onnx", "", "classification", ("no", "yes"), (Field("a"), Field("b"))))


def body(**said: Any) -> bytes:
    return json.dumps(said).encode()


@pytest.mark.parametrize(
    ("given", "features", "said"),
    [
        (body(features=[1, 2]), True, NOTHING),
        (body(features={"a": 1}, entity_id="Zoë"), False, Said("Zoë".encode())),
        (body(features={"a": 1}, entity_id=7), True, Said(b"7", {}, {"a": 1})),
        (body(instances=[{"a": 1}], context={"x": True}), True, Said(b"", {"x": True})),
        (body(features={"a": 1}, context=3, entity_id=[1]), True, Said(b"", {}, {"a": 1})),
        (b'{"features": {"a": 1}, "entity_id": "x"', True, NOTHING),
        (b'"text"', True, NOTHING),
        (b"", True, NOTHING),
        (b"[" * 100_000, True, NOTHING),
        (b'{"context": ' + b"[" * 100_000, True, NOTHING),
    ],
)
def test_plain_bodies(given: bytes, features: bool, said: Said) -> None:
    assert who.plain(given, features) == said


def test_bodies_of_the_inference_protocol() -> None:
    data = struct.pack("<d", 2.5)
    a = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.5]}
    many = {"name": "b", "shape": [2], "datatype": "FP64", "data": [1, 2]}
    packed = {"name": "b", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    asker = {"entity_id": "x", "country": "NO"}
    assert who.v2(body(inputs=[a, many], parameters=asker), None, True) == Said(b"x", asker, {"a": 1.5})
    assert who.v2(body(inputs=[a], parameters=asker), None, False) == Said(b"x", asker)
    text = body(inputs=[a, packed], parameters=asker)
    assert who.v2(text + data, len(text), True) == Said(b"x", asker, {"a": 1.5, "b": 2.5})
    assert who.v2(text + data, len(text), False) == Said(b"x", asker)
    for wrong in (b"", b"[]", body(parameters=asker), body(inputs=[a], parameters=[1])):
        assert who.v2(wrong, None, True) == NOTHING
    assert who.v2(body(inputs=[a], parameters=[1]), None, False) == NOTHING


@pytest.mark.parametrize(
    ("given", "entity"), [("", b""), (True, b""), (None, b""), (1.0, b""), (10**300, b""), (-3, b"-3")]
)
def test_what_is_no_entity(given: Any, entity: bytes) -> None:
    assert entity_of(given) == entity


def test_who_asks_is_no_feature_and_has_to_be_what_it_is() -> None:
    asked = plain.question(
        body(features={"a": 1, "b": 2}, entity_id="x", context={"a": None, "c": 1.5}), INPUTS, 5
    )
    assert [list(row) for row in asked.rows] == [[1, 2]]
    assert len(plain.question(body(instances=[[1, 2]] * 2, entity_id=3), INPUTS, 5).rows) == 2
    wrongs: list[dict[str, Any]] = [
        {"entity_id": 1.5}, {"entity_id": True}, {"context": []}, {"context": {"a": {}}}, {"who": 1},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(Invalid):
            plain.question(body(features=[1, 2], **wrong), INPUTS, 5)


@pytest.mark.parametrize("twice", ['"entity_id": "a", "entity_id": "b"', '"context": {"a": 1, "a": 2}'])
def test_neither_may_be_given_twice(twice: str) -> None:
    with pytest.raises(Invalid, match="is given twice"):
        plain.question(f'{{"features": [1, 2], {twice}}}'.encode(), INPUTS, 5)
