"""Scores become outcomes; requests of one moment are one batch, each with its own answer."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any

import numpy as np
import pytest

from everloop.core.errors import Invalid, Unavailable
from everloop.core.serving import Field, Form
from everloop.serving import desk, plain
from everloop.serving.answers import Outcome, Reading, label_of
from everloop.serving.counts import BATCH, Counts, Histogram
from everloop.serving.desk import Ask, Served, Target
from everloop.serving.inputs import InputPolicy, Inputs

FORM = Form("onnx", "", "classification", ("no", "yes"), (Field("a"), Field("b")))
VALUES = Form("onnx", "", "regression", (), (Field("a"), Field("b")))


def scores(matrix: Any) -> Any:
    return np.stack([1 - matrix[:, 0], matrix[:, 0]], axis=1)


def served(form: Form = FORM, run: Any = scores, **more: Any) -> Served:
    return Served("m", "1.0.0", "champion", form, run, **more)


def ask(
    *bodies: Any, model: Served | None = None, protocol: Any = "plain"
) -> tuple[list[Ask], list[dict[str, Any]]]:
    """The asks after they were answered as one batch, and what was logged."""
    asks = [Ask(json.dumps(body).encode(), f"request {at}", 1.0) for at, body in enumerate(bodies)]
    batch = desk.prepare(Target(model or served(), protocol), asks, 5)
    numbers = count(1)
    lines = (
        desk.finish(batch, desk.run(batch), lambda: f"pred_{next(numbers)}", "now", 1.5) if batch.asks else []
    )
    return asks, [json.loads(line) for line in lines]


def told(asked: Ask) -> Any:
    assert asked.reply is not None
    assert asked.reply.error is None
    return json.loads(asked.reply.body)


def test_the_best_class_its_share_and_all_shares() -> None:
    outcomes = Reading(FORM).outcomes(np.array([[0.25, 0.75], [0.6, 0.4]]))
    assert outcomes == [
        Outcome(1, "yes", 0.75, {"no": 0.25, "yes": 0.75}), Outcome(0, "no", 0.6, {"no": 0.6, "yes": 0.4}),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("a b", "f0"), ('a"b', "b"), ("a\\nb", "ü"), ("self", "")])
@pytest.mark.parametrize("masked", [{}, {"a b": "hide"}])
def test_inputs_are_logged_by_name_whatever_the_names_are(names: tuple[str, str], masked: Any) -> None:
    form = Form("onnx", "", "classification", ("no", "yes"), tuple(map(Field, names)))
    _, (line,) = ask({"features": [0.25, 2]}, model=served(form, masked=masked))
    hidden = "***" if masked.keys() & {*names} else 0.25
    assert line["inputs"] == {names[0]: hidden, names[1]: 2}


def test_classes_that_are_whole_numbers_are_told_as_such() -> None:
    form = Form("onnx", "", "classification", ("-1", "3"), ())
    assert [one.prediction for one in Reading(form).outcomes(np.array([[0.9, 0.1], [0.1, 0.9]]))] == [-1, 3]
    form = Form("onnx", "", "classification", ("01", "2"), ())
    assert Reading(form).outcomes(np.array([[0.1, 0.9]]))[0].prediction == 1


def test_values() -> None:
    (outcome,) = Reading(VALUES).outcomes(np.array([2.5], dtype=np.float32))
    assert outcome == Outcome(2.5)
    assert label_of(outcome) == 2.5


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_never_an_answer(wrong: float) -> None:
    with pytest.raises(Unavailable):
        Reading(FORM).outcomes(np.array([[wrong, 0.5]]))
    with pytest.raises(Unavailable):
        Reading(VALUES).outcomes(np.array([wrong]))


def test_requests_of_one_batch_get_their_own_answers() -> None:
    bodies = [
        {"features": [0.1, 9]}, {"features": ["x", 9]}, {"instances": [[0.8, 9], {"b": 9, "a": 0.3}]},
        {"features": [1]}, {"features": {"b": 9, "a": 0.9}}, [],
    ]  # fmt: skip
    asks, logged = ask(*bodies)
    assert told(asks[0])["prediction_name"] == "no"
    assert [one["prediction_name"] for one in told(asks[2])["predictions"]] == ["yes", "no"]
    assert told(asks[4])["confidence"] == 0.9
    for at in (1, 3, 5):
        reply = asks[at].reply
        assert reply is not None
        assert isinstance(reply.error, Invalid)
    assert [line["request_id"] for line in logged] == ["request 0", "request 2", "request 2", "request 4"]
    assert [line["prediction_id"] for line in logged] == ["pred_1", "pred_2.0", "pred_2.1", "pred_3"]
    assert [line["inputs"] for line in logged][2] == {"a": 0.3, "b": 9}
    assert {line["latency_ms"] for line in logged} == {500.0}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"features": [1, 2], "instances": [[1, 2]]}, "both 'features' and 'instances'"),
        ({}, "neither 'features' nor 'instances'"),
        ({"features": [[1, 2]]}, "1 values do not fit this model.*rows in a list are sent as 'instances'"),
    ],
)
def test_a_body_of_another_form_is_told_which_one_it_should_have(body: Any, said: str) -> None:
    (one,), _ = ask(body)
    assert one.reply is not None
    assert re.search(said, str(one.reply.error)), one.reply.error


def test_warnings_are_of_their_row() -> None:
    policy = InputPolicy(missing="warn", extra="warn")
    bodies = [
        {"features": [0.2, None]},
        {"instances": [[0.2, 1], {"a": 0.2, "b": 1, "c": 1}]},
        {"features": [0.2, 1]},
    ]
    fill = served(run=lambda matrix: scores(np.nan_to_num(matrix)), policy=policy)
    asks, logged = ask(*bodies, model=fill)
    assert [len(line["warnings"]) for line in logged] == [1, 0, 1, 0]
    assert told(asks[0])["warnings"] == logged[0]["warnings"]
    assert "warnings" not in told(asks[2])


def test_masks_are_of_the_log_only() -> None:
    model = served(masked={"a": "hash", "b": "hide"}, salt=b"1")
    asks, logged = ask({"features": [0.25, 7]}, {"features": [0.25, 8]}, {"features": [0.5, 8]}, model=model)
    assert [told(one)["confidence"] for one in asks] == [0.75, 0.75, 0.5]
    hashed = [line["inputs"]["a"] for line in logged]
    assert hashed[0] == hashed[1] != hashed[2]
    assert hashed[0].startswith("sha256:")
    assert {line["inputs"]["b"] for line in logged} == {"***"}
    other = ask({"features": [0.25, 7]}, model=served(masked={"a": "hash"}, salt=b"2"))[1]
    assert other[0]["inputs"]["a"] != hashed[0]


def test_a_batch_has_its_limit() -> None:
    inputs = Inputs(FORM)
    assert len(plain.question(json.dumps({"instances": [[1, 2]] * 5}).encode(), inputs, 5).rows) == 5
    with pytest.raises(Invalid, match="6 rows are more than the 5"):
        plain.question(json.dumps({"instances": [[1, 2]] * 6}).encode(), inputs, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"features": {"a": 1, "a": 2, "b": 1}}', "'a' is given twice"),
        ('{"features": {"a": 1, "\\u0061"\t: 2, "b": 1}}', "'a' is given twice"),
        ('{"features": [1, 2], "features" : [1, 2]}', "'features' is given twice"),
        ('{"instances": [{"a": 1, "b": 2}, {"a": 1, "b": 2, "b": 3}]}', "'b' is given twice"),
    ],
)
def test_keys_that_are_given_twice(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        plain.question(text.encode(), Inputs(FORM), 5)


@pytest.mark.parametrize("text", ["12:30:00", 'a":"b', " : ", "\u00e9: x"])
def test_colons_in_texts_are_no_keys(text: str) -> None:
    form = Form("onnx", "", "classification", ("no", "yes"), (Field("a", "category"),))
    for escaped in (True, False):
        body = json.dumps({"features": {"a": text}}, ensure_ascii=escaped).encode()
        assert [list(row) for row in plain.question(body, Inputs(form), 5).rows] == [[text]]


def test_histograms_count_what_is_at_most_their_bounds() -> None:
    one, two = Histogram(BATCH), Histogram(BATCH)
    for value in (1, 2, 3, 5000):
        one.observe(value)
    two.add(one.document())
    two.add(one.document())
    assert two.counts[:3] == [2, 2, 2]
    assert two.counts[-1] == 2
    assert two.total == 2 * 5006


def test_counts_of_workers_add_up() -> None:
    one, both = Counts(), Counts()
    one.requests["m", "1", "champion", "plain", "200"] += 3
    one.rows["m", "1", "champion"] += 4
    one.events["log_shed", "", ""] += 1
    one.latency["m"].observe(0.002)
    one.batch["m"].observe(4)
    document = json.loads(json.dumps(one.document()))
    both.add(document)
    both.add(document)
    assert both.requests["m", "1", "champion", "plain", "200"] == 6
    assert both.rows["m", "1", "champion"] == 8
    assert both.events["log_shed", "", ""] == 2
    assert sum(both.latency["m"].counts) == 2
