"""The decision to retrain: its order, its evidence and its words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.decisions import Drift, RetrainPolicy
from everloop.core.documents import dump, load
from everloop.core.errors import Invalid, InvalidSettings
from everloop.core.loop import Order
from everloop.retraining.policy import HIGHER_IS_BETTER, LOWER_IS_BETTER, decide

POLICY = RetrainPolicy(metric="accuracy", performance_min=0.75, drift_threshold=0.2, min_samples=50)
QUIET = {
    "champion": "1.0.0",
    "rows": 1000,
    "fresh_rows": 100,
    "performance": 0.9,
    "performance_rows": 100,
    "drift": Drift(score=0.05, feature="age", rows=100),
}
LOUD = Drift(score=0.31, feature="age", rows=100)


def decision(policy=POLICY, **changes):
    return decide(policy, **(QUIET | changes))


def evidence(check, policy=POLICY, **changes):
    [found] = [e for e in decision(policy, **changes).evidence if e.check == check]
    return found


def test_when_nothing_speaks_for_it_the_champion_is_kept_and_every_check_is_told():
    kept = decision()
    assert (kept.action, kept.reason) == ("keep", "Nothing that was checked speaks for retraining.")
    assert [e.check for e in kept.evidence] == [
        "forced",
        "samples",
        "no_model",
        "changed",
        "performance",
        "drift",
        "fresh_rows",
    ]
    assert not any(e.fired for e in kept.evidence)
    assert all(e.message.endswith(".") for e in kept.evidence)


@pytest.mark.parametrize(
    ("changes", "action", "reason"),
    [
        ({"forced": True}, "retrain", "Retraining was asked for."),
        ({"rows": 49}, "refuse", "Too few rows to train on: 49; at least 50 are needed."),
        ({"champion": None}, "retrain", "There is no model yet."),
        ({"changed": "the recipe has changed"}, "retrain", "The recipe has changed."),
        (
            {"performance": 0.7},
            "retrain",
            "accuracy on 100 labelled rows is 0.7, under the smallest accepted value 0.75.",
        ),
        ({"drift": LOUD}, "retrain", "Drift is 0.31 (largest in 'age'), over the limit of 0.2."),
        ({"fresh_rows": 0}, "keep", "There are no rows to train on that the model has not seen."),
    ],
)
def test_each_reason_alone(changes, action, reason):
    found = decision(**changes)
    assert (found.action, found.reason) == (action, reason)


def test_the_first_reason_decides():
    everything = {
        "forced": True, "rows": 3, "champion": None, "changed": "the recipe has changed",
        "performance": 0.1, "drift": LOUD, "fresh_rows": 0,
    }  # fmt: skip
    for gone, action, reason in [
        ({}, "retrain", "asked for"),
        ({"forced": False}, "refuse", "Too few rows"),
        ({"rows": 500}, "retrain", "no model"),
        ({"champion": "1.0.0"}, "retrain", "recipe"),
        ({"changed": None}, "keep", "no rows"),
        ({"fresh_rows": 9}, "retrain", "accuracy"),
        ({"performance": 0.9}, "retrain", "Drift"),
        ({"drift": None}, "keep", "Nothing"),
    ]:
        everything |= gone
        found = decision(**everything)
        assert found.action == action
        assert reason in found.reason


def test_too_few_rows_are_refused_even_without_a_model_and_exactly_enough_pass():
    assert decision(champion=None, rows=49).action == "refuse"
    assert decision(champion=None, rows=50).action == "retrain"


@pytest.mark.parametrize("metric", sorted(HIGHER_IS_BETTER))
def test_scores_are_worse_when_lower(metric):
    policy = RetrainPolicy(metric=metric, performance_min=0.5)
    assert [decision(policy, performance=p).retrain for p in (0.49, 0.5, 0.51)] == [True, False, False]


@pytest.mark.parametrize("metric", sorted(LOWER_IS_BETTER))
def test_losses_and_errors_are_worse_when_higher(metric):
    policy = RetrainPolicy(metric=metric, performance_min=0.5)
    assert [decision(policy, performance=p).retrain for p in (0.49, 0.5, 0.51)] == [False, False, True]
    assert "over the largest accepted value 0.5" in decision(policy, performance=0.51).reason


def test_a_metric_of_unknown_direction_is_refused_with_the_nearest():
    with pytest.raises(InvalidSettings, match=r"'acuracy'.*'accuracy'"):
        decision(RetrainPolicy(metric="acuracy", performance_min=0.5))
    with pytest.raises(InvalidSettings, match=r"'auc'.*'roc_auc'"):
        decision(RetrainPolicy(metric="auc", performance_min=0.5), performance=None)
    assert decision(RetrainPolicy(metric="acuracy")).action == "keep"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"performance": None}, "Not measured because there are no labelled rows to measure accuracy on."),
        (
            {"performance": 0.1, "performance_rows": 49},
            "Not judged because accuracy was measured on 49 labelled rows only; 50 are needed.",
        ),
        ({"policy": RetrainPolicy()}, "Not judged because performance_min is not set."),
    ],
)
def test_performance_that_cannot_be_judged_says_why(changes, says):
    found = evidence("performance", **changes)
    assert (found.fired, found.message) == (False, says)


def test_performance_on_exactly_enough_rows_is_judged():
    assert decision(performance=0.1, performance_rows=50).retrain


@pytest.mark.parametrize("performance", [float("nan"), float("inf")])
def test_performance_that_is_no_number_is_refused(performance):
    with pytest.raises(Invalid, match="measured accuracy is"):
        decision(performance=performance)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"drift": None}, "Not measured because there is nothing to compare with."),
        (
            {"drift": Drift(score=9.0, feature="age", rows=12, enough=False)},
            "Not judged because drift was measured on 12 rows only, too few to claim any.",
        ),
        (
            {"policy": RetrainPolicy(), "drift": LOUD},
            "Drift is 0.31 (largest in 'age'); not judged because drift_threshold is not set.",
        ),
        ({"drift": Drift(score=0.2, feature=None)}, "Drift is 0.2, within the limit of 0.2."),
    ],
)
def test_drift_that_does_not_fire_says_why(changes, says):
    found = evidence("drift", **changes)
    assert (found.fired, found.message) == (False, says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"champion": None}, "Not asked, as there is no model to ask."),
        ({"forced": True}, "Not asked, as it was forced."),
        ({"changed": "a column is gone"}, "Not asked, as the model cannot answer these rows."),
    ],
)
def test_why_the_model_was_not_asked_for_a_benefit(changes, says):
    assert evidence("benefit", order=Order("labels came", False, ""), **changes).message == says


def test_what_people_have_approved_is_trained_though_no_row_is_new():
    found = decision(fresh_rows=0, order=Order("labels came", approved=True))
    assert (found.action, found.reason) == ("retrain", "Its training was approved: labels came")
    assert decision(fresh_rows=0, order=Order("labels came", proven=True)).action == "keep"
    few = decision(rows=9, fresh_rows=0, order=Order("labels came", approved=True))
    assert few.action == "refuse"


def test_rows_that_a_refused_candidate_had_are_new_and_no_reason_by_themselves():
    found = decision(fresh_rows=60, untried_rows=0, order=Order("labels came", proven=True))
    assert found.action == "keep"
    assert found.reason == (
        "Rows that the model has not seen: 60. The gate has refused a candidate that had all of them."
    )
    assert evidence("fresh_rows", fresh_rows=60, untried_rows=3).message.endswith("has not seen: 60.")


def test_unknown_counts_are_taken_as_met():
    found = decision(rows=None, fresh_rows=None, performance=0.7, performance_rows=None)
    assert found.reason == "accuracy is 0.7, under the smallest accepted value 0.75."
    assert evidence("samples", rows=None).message == "Not measured because the number of rows is unknown."
    assert "unknown" in evidence("fresh_rows", fresh_rows=None).message
    assert decision(rows=None, fresh_rows=None).action == "keep"


def test_values_and_thresholds_are_kept_with_the_evidence():
    found = {e.check: (e.value, e.threshold) for e in decision().evidence}
    assert found == {
        "forced": (None, None),
        "samples": (1000.0, 50.0),
        "no_model": (None, None),
        "changed": (None, None),
        "performance": (0.9, 0.75),
        "drift": (0.05, 0.2),
        "fresh_rows": (100.0, None),
    }


_counts = st.one_of(st.none(), st.integers(0, 200))
_scores = st.one_of(st.none(), st.floats(0, 1))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_action_follows_from_the_evidence_and_the_decision_is_a_document(data):
    score = data.draw(_scores)
    drift = None if score is None else Drift(score=score, feature=None, enough=data.draw(st.booleans()))
    found = decide(
        POLICY,
        champion=data.draw(st.sampled_from([None, "1.0.0"])),
        rows=data.draw(_counts),
        fresh_rows=data.draw(_counts),
        performance=data.draw(_scores),
        performance_rows=data.draw(_counts),
        drift=drift,
        changed=data.draw(st.sampled_from([None, "", "the target is another"])),
        forced=data.draw(st.booleans()),
    )
    nothing_new = next(e for e in found.evidence if e.check == "fresh_rows").value == 0
    idle = ("performance", "drift", "fresh_rows") if nothing_new else ("fresh_rows",)
    fired = [e for e in found.evidence if e.fired and e.check not in idle]
    if fired:
        assert found.action == ("refuse" if fired[0].check == "samples" else "retrain")
        assert found.reason == fired[0].message
    else:
        assert found.action == "keep"
    assert load(type(found), dump(found)) == found
