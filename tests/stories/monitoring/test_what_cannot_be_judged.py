"""What monitors cannot look at, or not as it is: they say so, and look at all the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update
from tests.stories.monitoring.shop import MODEL, Shop

from everloop import DriftDetector
from everloop.core.errors import Corrupt
from everloop.data.examples.customers import customers
from everloop.flows.monitoring import production, referring, showing
from everloop.flows.serving import labels
from everloop.store import alerts
from everloop.store.tables import monitor_references, predictions


def labels_judged(shop: Shop) -> list[Any]:
    return [one for one in shop.look() if one.kind == "labels"]


def test_labels_that_stop_coming_are_told(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(label_wait="3d")
    shop.serve(4)
    shop.look()
    shop.serve(8, label=False)
    silent = [one for one in labels_judged(shop) if not one.rows]

    assert len(silent) >= 2
    for one in silent:
        (finding,) = one.findings
        assert (finding.level, finding.unable) == ("warning", True)
        assert "earlier windows had labels" in finding.message
    with shop.project.store.reading() as tx:
        (alert,) = alerts.list_alerts(tx, MODEL)
    assert alert.level == "warning"


def test_of_a_model_that_never_gets_labels_nothing_is_said(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(label_wait="2d")
    shop.serve(5, label=False)
    judged = labels_judged(shop)
    assert len(judged) >= 2
    assert not any(one.findings for one in judged)


def test_a_window_whose_every_row_has_a_label_is_judged_however_late_they_came(
    open_shop: Callable[..., Shop],
) -> None:
    """All in one file, days later: how labels usually come is not known then, nor does it matter."""
    shop = open_shop(label_wait="3d")
    shop.serve(3, label=False)
    due = list(shop._due)
    shop.clock.at += timedelta(days=4)
    labels.add(shop.project, due)  # of the third day, all of them
    last = labels_judged(shop)[-1]
    assert last.rows == 1_000
    assert {"performance", "concept"} <= {each.family for each in last.results}


class MaskedShop(Shop):
    @classmethod
    def tree(cls, **given: Any) -> dict[str, Any]:
        tree = super().tree(**given)
        tree["models"][MODEL]["serving"] = {"mask": {"monthly_fee": "hide", "country": "hash"}}
        return tree

    def logged(self, line: dict[str, Any]) -> dict[str, Any]:
        hidden = {"monthly_fee": "***", "country": f"hash:{line['inputs']['country']}"}
        return {**line, "inputs": {**line["inputs"], **hidden}}


def test_masked_features_are_not_watched_and_raise_no_alarm(tmp_path: Any) -> None:
    shop = MaskedShop(tmp_path)
    try:
        shop.serve(4)
        answers = [one for one in shop.look() if one.kind == "answers"]
        assert [one.rows for one in answers] == [1_000] * 4
        assert not any(each.fired for one in answers for each in one.results)
        said = {each.subject: each for each in answers[-1].results if each.statistic == "masked"}
        assert set(said) == {"monthly_fee", "country"}
        assert "not watched" in said["country"].message
        plan = showing.plan(shop.project, MODEL, shop.version)
        assert "Not watched: 'country', which is masked" in plan.words
        assert {"age", "weekly_hours"} <= {each.subject for each in answers[-1].results}

        shop.serve(2, lambda table: customers(table.num_rows, 99, drift=0.8))
        fired = {each.subject for one in shop.look() for each in one.results if each.fired}
        assert "weekly_hours" in fired
        assert not fired & {"monthly_fee", "country"}
    finally:
        shop.close()


def test_rows_without_any_input_are_as_many_as_they_are() -> None:
    table = production.inputs([{"inputs": "{}"}] * 300, {"age": "number", "country": "category"})
    assert (table.num_rows, table.column_names) == (300, ["age", "country"])
    table = production.inputs([{"inputs": '{"age": "***"}'}] * 300, {"age": "number"}, {"age"})
    assert (table.num_rows, table.column("age").null_count) == (300, 300)


def test_predictions_of_the_future_are_told(shop: Shop) -> None:
    shop.serve(1)
    shop.clock.at += timedelta(days=400)
    shop.begin, begin = shop.begin + timedelta(days=400), shop.begin
    shop.serve(1)
    shop.begin = begin
    shop.day = 1
    shop.serve(1)
    (first, *_) = [one for one in shop.look() if one.kind == "answers"]
    (told,) = [each for each in first.findings if each.statistic == "future"]
    assert (told.level, told.value) == ("warning", 1_000)
    assert "clock" in told.message


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "is damaged"),
        ({"format": 99}, "has format 99; this release reads 1"),
        ({"inputs": 1, "answers": None}, "is damaged"),
    ],
)
def test_a_reference_that_is_none_is_a_warning_and_no_crash(
    shop: Shop, document: dict[str, Any], words: str
) -> None:
    shop.serve(2)
    referring.of_version(shop.project, MODEL, shop.version)
    with shop.project.store.writing() as tx:
        tx._connection.execute(update(monitor_references).values(document=document))
    (checked, *_) = shop.look()
    (told,) = checked.findings
    assert (told.level, told.unable) == ("warning", True)
    assert words in told.message
    with pytest.raises(Corrupt, match=words):
        referring.of_version(shop.project, MODEL, shop.version)


def test_records_are_a_table() -> None:
    usual, now = customers(2_000, 1).to_pylist(), customers(2_000, 2).to_pylist()
    detector = DriftDetector()
    assert not detector.detect_data_drift(usual, now)["drift_detected"]
    moved = [{**row, "monthly_fee": (row["monthly_fee"] or 0) * 1.5} for row in now]
    assert "monthly_fee" in detector.detect_data_drift(usual, moved)["features"]


def test_a_column_without_a_finite_value_is_told() -> None:
    usual = customers(500, 1).to_pandas().assign(odd=np.inf)
    (told,) = [each for each in DriftDetector().detect_data_drift(usual, usual)["results"] if each.unable]
    assert told.message.startswith("'odd' could not be compared: it has no finite value")


@pytest.mark.parametrize("damage", [{"inputs": "not { json"}, {"probabilities": "not { json"}])
def test_a_prediction_that_cannot_be_read_is_named_and_left_out(
    open_shop: Callable[..., Shop], damage: dict[str, str]
) -> None:
    shop = open_shop(label_wait="1d")
    shop.serve(4)
    with shop.project.store.writing() as tx:
        named = tx.rows(predictions, only=("prediction_id",), limit=1)[0]["prediction_id"]
        tx.change(predictions, predictions.c.prediction_id == named, **damage)
    made = shop.look()
    for kind in ("answers", "labels") if "probabilities" in damage else ("answers",):
        first = next(one for one in made if one.kind == kind)
        told = next(each for each in first.results if each.statistic == "damaged")
        assert (
            f"left out: 1 whose inputs or probabilities are no JSON in the database ({named})" in told.message
        )
        assert {"data", "prediction"} <= {each.family for each in first.results} or kind == "labels"
        assert {"performance"} <= {each.family for each in first.results} or kind == "answers"
