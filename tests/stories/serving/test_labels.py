"""True outcomes come late, corrected, in bulk and out of order; how complete they are is known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.stories.serving.log import NOW, line, lines, write

from everloop.core.errors import Invalid
from everloop.flows.project import Project
from everloop.flows.serving import history, labels, recording
from everloop.flows.serving.labels import LabelItem
from everloop.store import predictions

DAY = timedelta(days=1)


def told(project: Project, *items: Any) -> list[str]:
    """The statuses of labels that are told together, each (number of the prediction, label)."""
    given = [LabelItem(f"pred_{number:06}", label) for number, label in items]
    return [result.status for result in labels.add(project, given).results]


def standing(project: Project) -> dict[str, str | None]:
    return {each.prediction_id[-1]: each.label for each in history.page(project)[0]}


def test_labels_come_new_corrected_again_and_before_their_prediction(trained: Project) -> None:
    write(trained, lines(range(3)))
    recording.record(trained)
    assert told(trained, (0, "setosa"), (1, "setosa"), (5, "virginica")) == ["new", "new", "unmatched"]
    assert told(trained, (0, "setosa"), (1, "versicolor"), (5, "virginica")) == [
        "unchanged",
        "corrected",
        "unmatched",
    ]
    assert standing(trained) == {"0": "setosa", "1": "versicolor", "2": None}
    assert [each.label for each in history.labels_of(trained, "pred_000001")] == ["setosa", "versicolor"]
    assert len(history.labels_of(trained, "pred_000000")) == 1
    assert len(history.labels_of(trained, "pred_000005")) == 1
    write(trained, line(5))
    recording.record(trained)
    assert standing(trained)["5"] == "virginica"


def test_the_last_of_several_in_one_call_stands(trained: Project) -> None:
    write(trained, lines(range(2)))
    recording.record(trained)
    assert told(trained, (0, "setosa"), (0, "virginica"), (0, "virginica"), (0, "setosa")) == [
        "new",
        "corrected",
        "unchanged",
        "corrected",
    ]
    assert standing(trained)["0"] == "setosa"
    assert len(history.labels_of(trained, "pred_000000")) == 3


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (LabelItem("pred_000001", "setsoa"), r"'setsoa' of prediction pred_000001 is no class.*'setosa'"),
        (LabelItem("pred_000001", ""), "'' of prediction pred_000001"),
        (LabelItem("pred_000001", "x" * 2000), "pred_000001"),
        (LabelItem("pred_000001", "a\0b"), "pred_000001"),
        (LabelItem("pred_000001", "\ud800"), "pred_000001"),
        (LabelItem("pred_000001", float("nan")), "nan.*pred_000001"),
        (LabelItem("pred_000001", 10**5000), "pred_000001"),
        (LabelItem("pred_000001", None), "None.*pred_000001"),
        (LabelItem("pred_000001", ["setosa"]), "pred_000001"),
        (LabelItem("pred_000001", "setosa", NOW.replace(tzinfo=None)), "pred_000001 has no time zone"),
        (LabelItem("", "setosa"), "'' is no prediction id"),
        (LabelItem("p\0", "setosa"), "no prediction id"),
        (LabelItem("p" * 1000, "setosa"), "no prediction id"),
        (LabelItem(3, "setosa"), "'3' is no prediction id"),
        (LabelItem("pred_000001", "setosa", NOW + DAY), r"pred_000001 is in the future: 2026"),
        (
            LabelItem("pred_000001", "setosa", NOW - 30 * DAY),
            r"pred_000001 is before the prediction: .*made at",
        ),
    ],
    ids=range(16),
)
def test_an_invalid_label_is_told_and_the_valid_ones_are_kept(
    trained: Project, item: LabelItem, said: str
) -> None:
    write(trained, lines(range(3)))
    recording.record(trained)
    given = [LabelItem("pred_000000", "setosa"), item, LabelItem("pred_000002", "virginica")]
    done = labels.add(trained, given)
    assert [result.status for result in done.results] == ["new", "invalid", "new"]
    assert done.counts == {"new": 2, "invalid": 1}
    with pytest.raises(Invalid, match=said):
        raise done.results[1].error or AssertionError
    assert standing(trained) == {"0": "setosa", "1": None, "2": "virginica"}


def test_clocks_may_differ_by_a_few_minutes(trained: Project) -> None:
    write(trained, lines(range(2)))
    recording.record(trained)
    made = history.page(trained)[0][0].at
    given = [
        LabelItem("pred_000000", "setosa", NOW + timedelta(minutes=4)),
        LabelItem("pred_000001", "setosa", made - timedelta(minutes=4)),
        LabelItem("pred_not_here_yet", "setosa", NOW - 30 * DAY),
    ]
    assert [one.status for one in labels.add(trained, given).results] == ["new", "new", "unmatched"]


def test_labels_are_spelled_as_classes_are_and_numbers_are_numbers(project: Project) -> None:
    write(project, lines(range(4), version="unknown"))
    recording.record(project)
    assert told(project, (0, True), (1, 3.0), (2, 3), (3, 2.5)) == ["new"] * 4
    assert standing(project) == {"0": "true", "1": "3", "2": "3", "3": "2.5"}


def test_thousands_of_labels_at_once(trained: Project) -> None:
    write(trained, lines(range(3000)))
    recording.record(trained)
    done = labels.add(trained, [LabelItem(f"pred_{n:06}", "setosa") for n in range(3500)])
    assert done.counts == {"new": 3000, "unmatched": 500}
    with trained.store.reading() as tx:
        assert predictions.count(tx, predictions.Wanted(label="known")) == 3000


# -- maturity ----------------------------------------------------------------------------------------------


def of_day(number: int, day: int, **changed: Any) -> bytes:
    at = (NOW - (10 - day) * DAY).replace(hour=6).isoformat(timespec="microseconds")
    return line(number, at=at, **changed)


def labelled_after(project: Project, clock: Any, delays: dict[str, float]) -> None:
    """Label predictions so many seconds after they were made, in the order of time."""
    found, _ = history.page(project, limit=1000)
    due = sorted(
        (each.at + timedelta(seconds=delays[each.prediction_id]), each.prediction_id)
        for each in found
        if each.prediction_id in delays
    )
    now = clock.at
    for at, name in due:
        clock.at = at
        labels.add(project, [LabelItem(name, "setosa" if int(name[-6:]) % 4 else "virginica")])
    clock.at = now


def test_maturity_says_which_days_are_complete_and_what_is_to_come(project: Project, clock: Any) -> None:
    """Of 20 predictions a day 16 get a label, after half a day to three days."""
    write(project, b"".join(of_day(day * 100 + n, day) for day in range(10) for n in range(20)))
    recording.record(project)
    delays = {}
    for day in range(10):
        for n in range(16):
            seconds = 43_200 + n / 15 * 216_000
            if NOW.replace(hour=6) - (10 - day) * DAY + timedelta(seconds=seconds) < NOW:
                delays[f"pred_{day * 100 + n:06}"] = seconds
    labelled_after(project, clock, delays)
    periods = labels.maturity(project, "iris", NOW - 10 * DAY, NOW)
    assert [period.predictions for period in periods] == [20] * 10
    assert periods[0].labelled == 16
    assert periods[0].share == 0.8
    assert periods[0].median_delay == pytest.approx(43_200 + 7.5 / 15 * 216_000, abs=1)
    assert periods[0].late_delay == pytest.approx(43_200 + 14.25 / 15 * 216_000, abs=1)
    assert periods[-1].share < 0.5
    for period in periods:
        assert period.expected_share == pytest.approx(0.8, abs=0.08)
        assert period.score == pytest.approx(0.75, abs=0.1)
        assert period.metric == "accuracy"
    assert [period.mature for period in periods] == [True] * 4 + [False] * 6
    hours = labels.maturity(project, "iris", NOW - 11 * DAY, NOW, by="hour")
    assert [(hour.start.hour, hour.predictions) for hour in hours] == [(6, 20)] * 10


def test_with_few_labels_nothing_is_said_about_those_to_come(project: Project, clock: Any) -> None:
    write(project, b"".join(of_day(n, 1) for n in range(10)))
    recording.record(project)
    assert [each.expected_share for each in labels.maturity(project, "iris", NOW - 10 * DAY, NOW)] == [None]
    labelled_after(project, clock, {f"pred_{n:06}": 10.0 for n in range(10)})
    (only,) = labels.maturity(project, "iris", NOW - 10 * DAY, NOW)
    assert (only.share, only.expected_share, only.mature) == (1.0, None, False)
    assert labels.maturity(project, "nobody", NOW - 10 * DAY, NOW) == []


def test_a_correction_changes_the_score_and_not_the_delay(project: Project, clock: Any) -> None:
    write(project, b"".join(of_day(n, 1) for n in range(2)))
    recording.record(project)
    labelled_after(project, clock, {"pred_000000": 60.0, "pred_000001": 60.0})
    (before,) = labels.maturity(project, "iris", NOW - 10 * DAY, NOW)
    assert (before.score, before.median_delay) == (0.5, pytest.approx(60, abs=1))
    told(project, (0, "setosa"))
    (after,) = labels.maturity(project, "iris", NOW - 10 * DAY, NOW)
    assert (after.score, after.median_delay) == (1.0, pytest.approx(60, abs=1))


def test_a_regression_is_scored_by_its_error(project: Project, clock: Any) -> None:
    write(project, b"".join(of_day(n, 1, prediction=10.0 + n, probabilities=None) for n in range(3)))
    recording.record(project)
    told(project, (0, 11), (1, "10.5"), (2, "many"))
    (only,) = labels.maturity(project, "iris", NOW - 10 * DAY, NOW)
    assert (only.metric, only.score, only.labelled) == ("mean_absolute_error", 0.75, 3)


def test_what_cannot_be_asked_is_told(project: Project) -> None:
    with pytest.raises(Invalid, match="by is 'week'"):
        labels.maturity(project, "iris", NOW, NOW, by="week")
    with pytest.raises(Invalid, match="zone"):
        labels.maturity(project, "iris", NOW.replace(tzinfo=None), NOW)
