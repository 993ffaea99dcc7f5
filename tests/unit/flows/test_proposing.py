"""What an alert says of the damage, and what it proposes: never more than is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from everloop.core.monitoring import Checked, Result
from everloop.flows.monitoring.proposing import damage, proposal

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MOVED = "What drift does to the answers, on average over 1,000 rows: 'fee' 0.1 (0.08 to 0.12, 100%)."
DRIFT = Result("data", "fee", "ks", True, "fee moved.", value=0.2, floor=0.05)
EFFECT = Result("prediction", "damage", "damage", False, MOVED, value=0.1)
FAULT = Result("quality", "fee", "fault", True, "'fee' comes in cents.", "critical")
USUAL = Result("estimated", "model", "log_loss", False, "as usual", value=0.41)
EXPECTED = Result("estimated", "model", "log_loss", True, "log loss 0.41 → 0.6 is expected.", "warning")
MEASURED = Result("performance", "model", "log_loss", True, "log loss 0.41 → 0.7.", "critical")


def checked(*results: Result, kind: Any = "answers") -> Checked:
    return Checked("churn", "1.0.0", kind, NOON - timedelta(days=1), NOON, NOON, 1_000, results)


def test_what_drift_does_is_told_beside_the_estimate() -> None:
    told = damage(checked(DRIFT, EFFECT, USUAL))
    assert told == f"Performance is expected to be as usual: log_loss 0.41. {MOVED}"
    assert damage(checked(DRIFT, EFFECT, EXPECTED)) == f"{EXPECTED.message} {MOVED}"
    assert damage(checked(DRIFT, EFFECT)) == MOVED


def test_estimates_that_moved_without_proof_are_not_as_usual() -> None:
    far = replace(USUAL, value=0.97, usual=0.27)
    told = damage(checked(DRIFT, far))
    assert told == (
        "How good the answers are only labels will tell: estimates moved, but prove nothing "
        "(log_loss 0.97, usually 0.27)."
    )
    assert "as usual" not in told
    near = replace(USUAL, value=0.28, usual=0.27)
    assert damage(checked(DRIFT, near)) == "Performance is expected to be as usual: log_loss 0.28."
    assert "as usual" not in damage(checked(DRIFT, replace(near, floor=0.001)))
    noisy = replace(near, floor=0.005, low=0.25, high=0.31)
    assert "as usual" in damage(checked(DRIFT, noisy))
    wide = replace(far, floor=0.01, low=-0.5, high=2.5)
    assert "as usual" not in damage(checked(DRIFT, wide))


def test_nothing_is_as_usual_where_the_feed_is_broken() -> None:
    for estimate in (USUAL, EXPECTED):
        told = damage(checked(DRIFT, FAULT, EFFECT, estimate))
        assert told.startswith(MOVED)
        assert "only labels will tell: estimates rest on what feeds 'fee'" in told
        assert "as usual" not in told
        assert "is expected" not in told


def test_nor_where_it_broke_in_a_window_before() -> None:
    told = damage(checked(DRIFT, USUAL), [FAULT])
    assert "as usual" not in told
    assert "only labels will tell" in told
    assert proposal(checked(DRIFT), [FAULT]).startswith("Repair what feeds 'fee' first.")
    assert proposal(checked(MEASURED, kind="labels"), [FAULT]).startswith("Repair what feeds 'fee' first.")


def test_labels_say_more_than_anything_else() -> None:
    assert damage(checked(MEASURED, kind="labels"), [FAULT]) == MEASURED.message
    assert damage(checked(DRIFT, FAULT, EFFECT, USUAL), [MEASURED]) == MEASURED.message


def test_a_model_that_could_not_be_asked_is_no_damage() -> None:
    failed = Result("prediction", "damage", "damage", False, "The model could not be asked.", unable=True)
    assert "could not" not in damage(checked(DRIFT, failed, USUAL))


def test_a_quiet_window_says_nothing() -> None:
    assert damage(checked(USUAL)) == ""
    assert damage(checked(USUAL), []) == ""
    assert proposal(checked(USUAL), [FAULT]) == ""


def test_fewer_missing_values_are_no_broken_feed() -> None:
    better = Result("quality", "fee", "missing", True, "fewer are missing", "info")
    assert damage(checked(better, USUAL)).startswith("Performance is expected to be as usual")


def test_what_breaks_the_feed_is_named_first_and_what_is_no_fault_not_at_all() -> None:
    better = [Result("quality", name, "missing", True, "fewer are missing") for name in "abcdefgh"]
    new = Result("quality", "plan", "new_level", True, "'gold' is new", "warning", value=0.01)
    first = "Repair what feeds 'fee' first. Do not train on these rows."
    assert proposal(checked(*better, FAULT)) == first
    assert proposal(checked(*better), [FAULT]) == first
    assert proposal(checked(new, *better, FAULT)) == first.replace("'fee'", "'fee', 'plan'")
    assert proposal(checked(new), [FAULT]) == first.replace("'fee'", "'fee', 'plan'")
    assert proposal(checked(*better, MEASURED, kind="labels")).startswith("Train on newer labelled rows")


def test_a_table_is_no_column() -> None:
    few = Result("check", "table", "row_count", True, "too few", "warning", details={"columns": []})
    pair = replace(few, subject="fee, plan", details={"columns": ["fee", "plan"]})
    assert proposal(checked(few)) == "Repair the feed first. Do not train on these rows."
    assert proposal(checked(few, pair)).startswith("Repair what feeds 'fee', 'plan' first.")
    named_so = Result("quality", "table", "fault", True, "'table' is empty", "critical")
    assert proposal(checked(few, named_so)).startswith("Repair what feeds 'table' first.")
