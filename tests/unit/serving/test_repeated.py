"""Requests of a kind that was learnt are read as the whole reader reads them, or by it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import MLOpsError
from everloop.core.serving import Field, Form
from everloop.serving import openinference, repeated
from everloop.serving.inputs import Inputs
from everloop.serving.repeated import Reader

FIELDS = (Field("age"), Field("city", "category", levels=("Oslo", "Rome")), Field("member", "boolean"))
FORM = Form("onnx", "", "classification", ("no", "yes"), FIELDS)
NUMBERS = Form("onnx", "", "classification", ("no", "yes"), (*map(Field, "abc"), Field("d", "boolean")))
TYPES = {"age": "FP64", "city": "BYTES", "member": "FP32"}
VALUES = {"age": 1, "city": "Oslo", "member": 0}


def body(values: dict[str, Any] = VALUES, shape: tuple[int, ...] = (1, 1), **more: Any) -> bytes:
    inputs = [
        {"name": name, "shape": list(shape), "datatype": TYPES[name], "data": [value]}
        for name, value in values.items()
    ]
    return json.dumps({"inputs": inputs, **more}, ensure_ascii=False).encode()


def row(
    data: str = "[1, 2.5, null, 1]", shape: str = "[1, 4]", datatype: str = "FP64", more: str = ""
) -> bytes:
    """One tensor with a value for each field of ``NUMBERS``."""
    tensor = f'{{"name": "X", "shape": {shape}, "datatype": "{datatype}", "data": {data}}}'
    return f'{{"inputs": [{tensor}]{more}}}'.encode()


def said(asked: Any, question: Any) -> Any:
    rows = [list(row) for row in question.rows]
    kinds = [[type(value) for value in row] for row in rows]
    return rows, kinds, question.single, question.id, asked.id or "", asked.parameters, asked.outputs


def whole(text: bytes, form: Form = FORM) -> Any:
    try:
        return said(*openinference.read(text, None, Inputs(form), 10))
    except MLOpsError as error:
        return str(error)


def read(reader: Reader, text: bytes | bytearray) -> Any:
    try:
        return said(*reader.read(text, None, 10))
    except MLOpsError as error:
        return str(error)


def knows(*bodies: bytes, form: Form = FORM) -> Reader:
    """A reader that has learnt the kinds of these."""
    reader = Reader(Inputs(form))
    for text in bodies:
        before = len(reader._kinds)
        for _ in range(100):
            read(reader, text)
            if len(reader._kinds) > before:
                break
    assert len(reader._kinds) == len(bodies)
    return reader


@pytest.fixture
def no_whole_reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it once all is learnt: from then on only what is of a known kind can be read."""

    def fail(*_: Any) -> Any:
        raise AssertionError("the whole reader was asked")

    return lambda: monkeypatch.setattr(openinference, "read", fail)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": "a-7"},
        {"parameters": {"entity_id": "x", "id": "no id"}},
        {"id": "7", "outputs": [{"name": "predict", "parameters": {"binary_data": True}}]},
    ],
)
def test_the_next_of_a_kind_is_read_without_the_whole_reader(no_whole_reader: Any, more: Any) -> None:
    reader = knows(body(**more))
    other = body(
        {"age": -2.5e3, "city": "Århus", "member": 1}, **(more | ({"id": "b"} if "id" in more else {}))
    )
    expected = whole(other)
    assert expected[0] == [[-2500.0, "Århus", True]]
    no_whole_reader()
    assert read(reader, bytearray(other)) == expected


def test_the_order_of_tensors_and_spaces_are_its_own(no_whole_reader: Any) -> None:
    turned = (
        body({"member": 1, "age": None, "city": "Oslo"}).replace(b": ", b" :\n ").replace(b"[1]", b"[ 1 ]")
    )
    reader = knows(turned)
    expected = whole(turned)
    no_whole_reader()
    assert read(reader, turned) == expected
    assert expected[0] == [[None, "Oslo", True]]


@pytest.mark.parametrize("more", ["", ', "id": "7"', ', "outputs": [{"name": "predict"}]'])
@pytest.mark.parametrize(
    "data", ["[1,2,3,0]", "[ -1e-5,\t2E3 , null,1\n]", "[1e2, 12345678901234567890, 0, null]"]
)
def test_a_row_of_numbers_is_read_without_the_whole_reader(
    no_whole_reader: Any, more: str, data: str
) -> None:
    reader, other = knows(row(more=more), form=NUMBERS), row(data, more=more.replace("7", "8"))
    expected = whole(other, NUMBERS)
    assert len(expected[0][0]) == 4
    no_whole_reader()
    assert read(reader, bytearray(other)) == expected


def test_an_id_may_stand_before_a_row(no_whole_reader: Any) -> None:
    reader = knows(b'{"id": "7", ' + row()[1:], form=NUMBERS)
    other = b'{"id": "8", ' + row("[4, 3, 2, 1]")[1:]
    expected = whole(other, NUMBERS)
    no_whole_reader()
    assert read(reader, other) == expected


NO_ROWS = [
    *("[1, 2, 3]", "[1, 2, 3, 4, 5]", "[]", "[1,, 2, 3]", "[1, 2, 3, 4,]", "[01, 2, 3, 4]", "[1, 2], [3, 4]"),
    *("[1, 2, 3, 1e999]", "[1, 2, 3, -]", "[1, 2, 3, nul]", "[n, u, l, e]", "[[1, 2, 3, 4]]", "[1, 2, 3, 4"),
    *("[true, 2, 3, 4]", '["1", 2, 3, 4]', "[NaN, 2, 3, 4]"),
]


@pytest.mark.parametrize(
    "text",
    [
        *map(row, NO_ROWS),
        row("[1, 2, 3, 4, 5, 6, 7, 8]", "[2, 4]"),
        row(shape="[4]"),
        row(shape="[4, 1]"),
        row(datatype="INT32"),
        row("[1, 2, 3]", more=', "id": "7"'),
        row(more=', "id": "a", "id": "b"'),
    ],
)
def test_a_row_that_is_none_is_read_whole(text: bytes) -> None:
    known = row(), row(more=', "id": "7"'), row(datatype="FP32")
    for reader in (knows(*known, form=NUMBERS), Reader(Inputs(NUMBERS))):
        for _ in range(9):
            assert read(reader, text) == whole(text, NUMBERS)
        assert read(reader, row()) == whole(row(), NUMBERS)


@pytest.mark.parametrize(
    "text",
    [
        body({"age": 'a"b', "city": "Oslo", "member": 0}),
        body({"age": 1, "city": 'a"b\\', "member": 0}),
        body({"age": 1, "city": '"data":[7]', "member": 0}),
        body({"age": True, "city": "Oslo", "member": [1]}),
        body({"age": 1, "city": 5, "member": 0}),
        body({"age": 10**30, "city": "Oslo", "member": 0}),
        body({"age": 1e999, "city": "Oslo", "member": 0}),
        body({"age": 1, "city": "Oslo"}),
        body().replace(b"Oslo", b"\xff\xfe"),
        body().replace(b"Oslo", b"Os\nlo"),
        body().replace(b"[1]", b"[1, 2]"),
        body().replace(b"[1]", b"[01]"),
        body().replace(b"[1]", b"[1.]"),
        body().replace(b'"data": [1]', b'"data": [1], "data": [2]'),
        body()[:-1],
        body() + b"}",
        body(shape=(2, 1)),
    ],
)
def test_what_is_of_no_known_kind_is_read_whole(text: bytes) -> None:
    for reader in (knows(body(), body(id="7")), Reader(Inputs(FORM))):
        for _ in range(9):  # while it learns, too
            assert read(reader, text) == whole(text)
        assert read(reader, body()) == whole(body())


plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(['"', "data", "\\", "1"])
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.permutations(sorted(VALUES)), plain, plain, plain, st.sampled_from([None, "7", '"id":"8"', ""])
        ),
        min_size=4,
        max_size=8,
    )
)
def test_whatever_comes_is_read_as_by_the_whole_reader(requests: Any) -> None:
    reader = Reader(Inputs(FORM))
    for _ in range(3):  # the second and third time of kinds that may be known
        for order, *values, identity in requests:
            text = body(
                dict(zip(order, values, strict=True)), **({} if identity is None else {"id": identity})
            )
            assert read(reader, text) == whole(text)


def test_what_only_looks_like_a_value_is_none() -> None:
    reader = Reader(Inputs(FORM))
    for number in range(9):
        text = body(parameters={"id": f"another {number}"}, id="its own")
        assert read(reader, text) == whole(text)


def test_it_learns_ever_more_rarely_and_keeps_few() -> None:
    reader, learnt = Reader(Inputs(FORM)), 0
    for number in range(2_000):
        before = reader._kinds
        read(reader, body(parameters={"entity_id": f"client {number}"}))
        learnt += reader._kinds is not before
    assert 5 <= learnt <= 12
    assert len(reader._kinds) == repeated.KEPT
