"""Answers that decide over their own labels are marked, and a random few rows are held out from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from everloop.serving.feedback import UNMARKED, Feedback, Mark

from .test_answers import VALUES, ask, served, told

IDS = [f"pred_{number:x}" for number in range(20_000)]
SURE_YES, SURE_NO = {"features": [0.9, 0.0]}, {"features": [0.1, 0.0]}


def test_nobody_is_marked_where_nothing_is_said_of_it() -> None:
    (answered,), (line,) = ask(SURE_YES)
    assert "hold_out" not in told(answered)
    assert "selection" not in line


def test_without_a_hold_out_only_the_answers_that_decide_are_marked() -> None:
    feedback = Feedback(["yes"], 0.0)
    assert feedback.mark("pred_1", "yes") == Mark("decided", 0.0)
    assert feedback.mark("pred_1", "no") == UNMARKED


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_so_many_are_held_out_whatever_is_answered(share: float) -> None:
    feedback = Feedback(["yes"], share)
    held = np.array([feedback.held_out(each) for each in IDS])
    assert abs(held.mean() - share) < 3.3 * np.sqrt(share * (1 - share) / len(IDS))
    runs = np.corrcoef(held[:-1], held[1:])[0, 1]  # ids that follow each other are chosen independently
    assert abs(runs) < 3.3 / np.sqrt(len(IDS))
    for label, inclusion in (("yes", share), ("no", 1.0)):
        marks = {feedback.mark(each, label) for each in np.array(IDS)[held]}
        assert marks == {Mark("hold_out", inclusion)}


def test_weights_make_what_is_seen_like_all_that_was_asked() -> None:
    """Horvitz and Thompson: the weighted mean over rows that teach is that over all rows."""
    draw = np.random.default_rng(3)
    said = draw.random(len(IDS)) < 0.4
    value = np.where(said, 10.0, 1.0) + draw.normal(size=len(IDS))
    feedback = Feedback(["yes"], 0.1)
    marks = [feedback.mark(each, "yes" if yes else "no") for each, yes in zip(IDS, said, strict=True)]
    weights = np.array([1 / mark.inclusion if mark.inclusion else 0.0 for mark in marks])
    assert np.average(value, weights=weights) == pytest.approx(value.mean(), abs=0.2)
    seen = np.array([mark.selection == "seen" for mark in marks])
    assert value[seen].mean() < 1.1  # what answers let be seen alone tells another story


def test_where_each_answer_decides_only_held_out_rows_tell_anything() -> None:
    feedback = Feedback(None, 0.25)
    assert {feedback.mark(each, 3.5) for each in IDS[:500]} == {Mark("decided", 0.0), Mark("hold_out", 0.25)}


@pytest.mark.parametrize("protocol", ["plain", "v2"])
def test_who_asks_is_told_and_the_log_says_it(protocol: str) -> None:
    bodies: list[Any] = [SURE_YES] * 40
    if protocol == "v2":
        rows = {"name": "X", "shape": [2, 2], "datatype": "FP64", "data": [0.9, 0.0, 0.1, 0.0]}
        bodies = [{"inputs": [rows]}] * 40
    model = served(feedback=Feedback(["yes"], 0.5))
    asks, lines = ask(*bodies, model=model, protocol=protocol)
    marked = {line["prediction_id"]: line.get("selection") for line in lines}
    assert {*marked.values()} == {"hold_out", "decided"} | ({"seen"} if protocol == "v2" else set())
    for one in asks:
        answer = told(one)
        if protocol == "plain":
            assert answer.get("hold_out", False) == (marked[answer["prediction_id"]] == "hold_out")
            continue
        base, held = answer["parameters"]["prediction_id"], answer["parameters"].get("hold_out", "")
        places = [place for place in range(2) if marked[f"{base}.{place}"] == "hold_out"]
        assert held == ",".join(map(str, places))


def test_each_row_of_a_batch_has_its_own_mark() -> None:
    model = served(feedback=Feedback(["yes"], 0.5))
    (batch,), lines = ask({"instances": [[0.9, 0.0], [0.1, 0.0]] * 2}, model=model)
    assert [row.get("hold_out", False) for row in told(batch)["predictions"]] == [
        line["selection"] == "hold_out" for line in lines
    ]
    assert {line["selection"] for line in lines} <= {"hold_out", "decided", "seen"}


def test_numbers_are_marked_too() -> None:
    model = served(VALUES, lambda matrix: matrix[:, 0], feedback=Feedback(None, 0.0))
    _, (line,) = ask(SURE_YES, model=model)
    assert (line["selection"], line["inclusion"]) == ("decided", 0.0)
