"""Who is promoted, who is not, and what the sentence says."""

import dataclasses
import json
import time

import numpy as np
import pytest

from everloop.core.decisions import GatePolicy, GateVerdict
from everloop.core.documents import dump, load
from everloop.core.errors import Invalid, InvalidSettings, UnknownColumn
from everloop.core.runs import Business
from everloop.deployment.gate import judge

CLASSES = ("late", "on time")


def probabilities(score):
    first = 1 / (1 + np.exp(-score))
    return np.column_stack([first, 1 - first])


def world(seed=0, rows=2000):
    """The true score, and labels that follow it."""
    rng = np.random.default_rng(seed)
    score = 2 * rng.normal(size=rows)
    return rng, score, np.where(rng.random(rows) < 1 / (1 + np.exp(-score)), "late", "on time")


def ask(truth, champion, challenger, policy=None, slices=None, **more):
    given = {
        "task": "classification",
        "classes": CLASSES,
        "positive": "late",
        "truth": truth,
        "champion": champion,
        "challenger": challenger,
        "baseline": None,
        "slices": slices or {},
    }
    return judge(policy or GatePolicy(), **{**given, **more})


def better_pair(seed=0, rows=2000, noise=1.5):
    rng, score, truth = world(seed, rows)
    return truth, probabilities(score + noise * rng.normal(size=rows)), probabilities(score)


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy", "roc_auc", "f1", "balanced_accuracy"])
def test_a_clearly_better_challenger_is_promoted_and_not_the_reverse(metric):
    truth, champion, challenger = better_pair()
    policy = GatePolicy(metric=metric)
    assert ask(truth, champion, challenger, policy).promote
    back = ask(truth, challenger, champion, policy)
    assert not back.promote
    assert "which is a loss" in back.reason


def test_the_reason_has_the_numbers_in_one_sentence():
    truth, champion, challenger = better_pair(rows=4120, noise=0.8)
    verdict = ask(truth, champion, challenger, champion_name="1.2.0")
    c = verdict.comparison
    assert verdict.reason == (
        f"log loss {c.challenger:.3f} against {c.champion:.3f} of champion 1.2.0: "
        f"better by {c.improvement:.3f} (95% interval {c.low:.3f} to {c.high:.3f}) on 4,120 unseen rows"
    )
    assert verdict.against == "1.2.0"


def test_the_gain_must_exceed_the_margin():
    truth, champion, challenger = better_pair()
    low = ask(truth, champion, challenger).comparison.low
    assert ask(truth, champion, challenger, GatePolicy(margin=low - 1e-6)).promote
    refused = ask(truth, champion, challenger, GatePolicy(margin=low))
    assert not refused.promote
    assert refused.reason.endswith(f", a gain not surely above {low:g}")


def test_more_confidence_asks_for_more():
    truth, champion, challenger = better_pair(seed=3, rows=150)
    assert ask(truth, champion, challenger, GatePolicy(confidence=0.8)).promote
    assert not ask(truth, champion, challenger, GatePolicy(confidence=0.9999)).promote


def test_no_difference_is_promoted_in_half_of_one_minus_confidence_at_most():
    promoted, trials = 0, 600
    for seed in range(trials):
        rng, score, truth = world(seed, 120)
        champion, challenger = (probabilities(score + rng.normal(size=120)) for _ in range(2))
        promoted += ask(truth, champion, challenger, GatePolicy(confidence=0.9)).promote
    assert promoted / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert promoted / trials >= 0.02


def test_same_answers_are_not_promoted():
    truth, champion, _ = better_pair()
    verdict = ask(truth, champion, champion * (1 + 1e-13))
    assert not verdict.promote
    assert "same answers as the champion on all 2,000 unseen rows" in verdict.reason
    assert verdict.comparison.improvement == pytest.approx(0, abs=1e-12)


def test_same_decisions_are_not_promoted_either():
    truth, champion, _ = better_pair()
    squeezed = 0.5 + (champion - 0.5) / 2
    verdict = ask(truth, champion, squeezed, GatePolicy(metric="accuracy"))
    assert (verdict.promote, verdict.comparison.improvement) == (False, 0.0)
    assert ": equal (95% interval 0.000 to 0.000)" in verdict.reason


def test_labels_of_one_class_alone_promote_nobody():
    """Of a rare class no row may have come yet: by the others a model that never says it is better."""
    truth, champion, _ = better_pair()
    late = truth == "late"
    verdict = ask(truth[late], champion[late], probabilities(np.full(late.sum(), 9.0)))
    assert (verdict.promote, verdict.comparison, verdict.against) == (False, None, "champion")
    assert f"all {late.sum():,} unseen rows are of the class 'late'" in verdict.reason
    both = truth[-50:]
    assert ask(both, champion[-50:], probabilities(np.zeros(50))).comparison is not None


def test_too_few_rows_promote_nobody():
    truth, champion, challenger = better_pair(rows=29)
    verdict = ask(truth, champion, challenger)
    assert verdict == GateVerdict(False, "29 unseen rows are too few to judge: the gate asks for 30")


def test_the_first_model_need_only_beat_a_constant_answer():
    truth, _, challenger = better_pair(rows=60)
    share = (truth == "late").mean()
    constant = np.tile([share, 1 - share], (60, 1))
    verdict = ask(truth, None, challenger, baseline=constant)
    assert verdict.promote
    assert verdict.against == "baseline"
    assert verdict.reason.startswith("the first model: log loss ")
    assert "of a constant answer: better by" in verdict.reason
    worse = ask(truth, None, challenger[::-1], baseline=constant)
    assert not worse.promote
    assert worse.reason.endswith("no better than a constant answer")


def test_a_first_model_whose_gain_may_be_chance_says_so():
    rng, score, truth = world(seed=5, rows=40)
    share = (truth == "late").mean()
    verdict = ask(truth, None, probabilities(0.1 * score), baseline=np.tile([share, 1 - share], (40, 1)))
    slight = ask(
        truth, None, probabilities(score + 2.2 * rng.normal(size=40)), baseline=np.full((40, 2), 0.5)
    )
    assert verdict.promote
    assert slight.comparison.low < 0 < slight.comparison.improvement
    assert slight.promote
    assert slight.reason.endswith("a gain that may be chance")


def test_a_first_model_with_nothing_to_compare_it_with_is_promoted():
    truth, _, challenger = better_pair()
    assert ask(truth, None, challenger).promote


def test_harm_on_one_slice_stops_a_challenger_that_is_better_overall():
    rng, score, truth = world(rows=6000)
    airport = rng.choice(["EWR", "JFK", "LGA"], size=6000, p=[0.45, 0.45, 0.1]).astype(object)
    champion = probabilities(score + 1.5 * rng.normal(size=6000))
    broken = probabilities(np.where(airport == "LGA", -score, score))
    verdict = ask(truth, champion, broken, slices={"origin": airport})
    assert verdict.comparison.low > 0
    assert not verdict.promote
    assert verdict.worse_slices == ("origin=LGA",)
    assert "but worse on origin=LGA (" in verdict.reason
    assert {c.name for c in verdict.slices} == {"origin=EWR", "origin=JFK", "origin=LGA"}
    assert ask(truth, champion, broken, GatePolicy(slice_margin=2.0), {"origin": airport}).promote


def test_a_better_challenger_is_told_how_many_slices_agree():
    truth, champion, challenger = better_pair()
    half = np.where(np.arange(2000) % 2 == 0, "a", None)
    verdict = ask(truth, champion, challenger, slices={"half": half})
    assert verdict.reason.endswith("and worse on none of 2 guarded slices")
    assert [c.name for c in verdict.slices] == ["half=(missing)", "half=a"]
    assert [c.rows for c in verdict.slices] == [1000, 1000]


def test_small_slices_are_not_judged():
    truth, champion, challenger = better_pair(rows=300)
    where = np.array(["a"] * 199 + ["b"] * 101, dtype=object)
    exactly = ask(truth, champion, challenger, GatePolicy(min_slice_rows=101), {"w": where})
    fewer = ask(truth, champion, challenger, GatePolicy(min_slice_rows=102), {"w": where})
    assert [c.name for c in exactly.slices] == ["w=a", "w=b"]
    assert [c.name for c in fewer.slices] == ["w=a"]


def test_a_slice_on_which_the_metric_has_no_value_is_not_judged():
    truth, champion, challenger = better_pair()
    verdict = ask(truth, champion, challenger, GatePolicy(metric="roc_auc"), {"label": truth.astype(object)})
    assert verdict.promote
    assert verdict.slices == ()


def test_slices_without_harm_rarely_stop_a_challenger():
    """Thirty slices in two columns that share rows: stopped by chance in 5% of cases at most."""
    stopped, unadjusted, trials = 0, 0, 250
    policy = GatePolicy(min_slice_rows=50, metric="brier")
    for seed in range(trials):
        rng, score, truth = world(seed, 1500)
        champion, challenger = (probabilities(score + rng.normal(size=1500)) for _ in range(2))
        slices = {"a": rng.integers(0, 20, 1500), "b": rng.integers(0, 10, 1500)}
        verdict = ask(truth, champion, challenger, policy, slices)
        stopped += bool(verdict.worse_slices)
        unadjusted += any(c.high < 0 for c in verdict.slices)
    assert stopped / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert unadjusted / trials > 0.3


def test_harm_spread_over_several_slices_is_seen():
    """Ten slices of twenty are a little worse, the others better: those harmed are named, and no other."""
    rng, score, truth = world(seed=2, rows=8000)
    where = rng.integers(0, 20, 8000)
    noise = rng.normal(size=8000)
    champion = probabilities(score + 0.8 * noise)
    challenger = probabilities(score + np.where(where < 10, 0.0, 1.15) * noise)
    verdict = ask(truth, champion, challenger, slices={"where": where})
    assert len(verdict.worse_slices) >= 5
    assert all(int(name.removeprefix("where=")) >= 10 for name in verdict.worse_slices)
    assert verdict.reason.endswith(f" and {len(verdict.worse_slices) - 3} more")


def test_one_class_only_cannot_be_measured_by_auc():
    _, champion, challenger = better_pair()
    verdict = ask(np.full(2000, "late"), champion, challenger, GatePolicy(metric="roc_auc"))
    assert not verdict.promote
    assert verdict.reason.startswith("ROC AUC cannot be measured: ")


def test_net_value_is_money_per_row():
    truth, champion, challenger = better_pair()
    verdict = ask(
        truth, champion, challenger, GatePolicy(metric="net_value"), business=Business(100, -20, 0, -50)
    )
    assert verdict.promote
    assert verdict.reason.startswith("net value per row ")
    assert verdict.comparison.challenger > verdict.comparison.champion


def test_regression():
    rng = np.random.default_rng(0)
    truth = 100 + 10 * rng.normal(size=500)
    champion, challenger = truth + 5 * rng.normal(size=500), truth + 2 * rng.normal(size=500)
    verdict = ask(truth, champion, challenger, task="regression", classes=(), positive=None)
    assert verdict.promote
    assert verdict.reason.startswith("RMSE 2.")
    assert verdict.comparison.metric == "rmse"


def test_the_last_of_two_classes_is_positive_where_none_is_named():
    truth, champion, challenger = better_pair()
    policy = GatePolicy(metric="recall")
    named = ask(truth, champion, challenger, policy, positive="on time")
    assert ask(truth, champion, challenger, policy, positive=None) == named
    assert ask(truth, champion, challenger, policy).comparison != named.comparison


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": GatePolicy(metric="acuracy")}, "Did you mean 'accuracy'?"),
        ({"policy": GatePolicy(metric="net_value")}, "'business'"),
        ({"policy": GatePolicy(confidence=1.0)}, "from 0.5 to below 1"),
        ({"policy": GatePolicy(slice_margin=-0.1)}, "0 or more"),
        ({"positive": "lat"}, "Did you mean 'late'?"),
    ],
)
def test_a_policy_that_cannot_be_followed_says_why(change, words):
    truth, champion, challenger = better_pair()
    with pytest.raises(InvalidSettings) as caught:
        ask(truth, champion, challenger, **change)
    assert words in caught.value.remedy


def test_a_slice_that_is_no_column_names_the_nearest():
    truth, champion, challenger = better_pair()
    with pytest.raises(UnknownColumn) as caught:
        ask(truth, champion, challenger, GatePolicy(slices=("orign",)), {"origin": truth})
    assert caught.value.remedy == "Did you mean 'origin'?"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"truth": np.full(2000, "never")}, "label 'never'"),
        ({"challenger": np.full((2000, 3), 0.3)}, r"\(2000, 3\); it must be \(2000, 2\)"),
        ({"challenger": np.full((2000, 2), np.nan)}, "4,000 of 4,000 numbers in the challenger's"),
        ({"champion": np.full((1999, 2), 0.5)}, "predictions of the champion"),
        ({"slices": {"a": np.array(["x"])}}, "slice 'a' has shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, words):
    truth, champion, challenger = better_pair()
    given = {"truth": truth, "champion": champion, "challenger": challenger, **change}
    with pytest.raises(Invalid, match=words):
        ask(**given)


def test_the_verdict_is_a_document():
    truth, champion, challenger = better_pair()
    verdict = ask(truth, champion, challenger, slices={"half": np.where(np.arange(2000) % 2, "a", "b")})
    document = json.loads(json.dumps(dump(verdict), allow_nan=False))
    assert load(GateVerdict, document) == verdict
    assert type(dataclasses.astuple(verdict.comparison)[1]) is float


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "f1"])
def test_seventy_thousand_rows_take_under_half_a_second_of_cpu(metric):
    truth, champion, challenger = better_pair(rows=70_000)
    where = np.random.default_rng(0).integers(0, 50, 70_000).astype(str).astype(object)
    start = time.process_time()
    ask(truth, champion, challenger, GatePolicy(metric=metric), {"where": where})
    assert time.process_time() - start < 0.5
