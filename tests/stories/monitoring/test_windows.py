"""Days of production: each is checked once when it is over, its labels when they have come, and what is found
becomes one alert."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.linear_model import LogisticRegression
from tests.stories.monitoring.shop import BEGIN, MODEL, ROWS, Shop

from everloop.core.monitoring import Checked
from everloop.data.examples.customers import customers
from everloop.flows import outside
from everloop.flows.monitoring import answering, checking, referring, showing, spans, summing
from everloop.store import alerts, monitors

DAY = timedelta(days=1)


def scaled(name: str, factor: float) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pc.multiply(table.column(at), factor))

    return change


def found(checks: list[Checked]) -> set[tuple[str, str]]:
    return {(each.family, each.subject) for one in checks for each in one.results if each.fired}


def test_quiet_days_are_checked_once_each_and_nothing_fires(shop: Shop) -> None:
    shop.serve(5)

    checks = shop.look()

    answers = [one for one in checks if one.kind == "answers"]
    assert [one.since for one in answers] == [BEGIN + n * DAY for n in range(5)]
    assert [one.rows for one in answers] == [ROWS] * 5
    assert found(checks) == set()
    assert {each.family for one in answers for each in one.results} >= {
        "data",
        "quality",
        "joint",
        "prediction",
    }
    assert shop.look() == []


def test_labels_are_judged_when_they_have_come(shop: Shop) -> None:
    shop.serve(4)
    judged = [one for one in shop.look() if one.kind == "labels"]
    assert [one.since for one in judged] == [BEGIN]  # twice the delay of labels has passed for this day only

    shop.serve(1)
    judged = [one for one in shop.look() if one.kind == "labels"]

    assert [one.since for one in judged] == [BEGIN + DAY]
    assert judged[0].rows == ROWS
    assert {each.family for each in judged[0].results} == {"performance", "concept"}


def test_a_limit_that_was_set_is_held_against_each_window(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(metric="roc_auc", performance_min=0.99)
    shop.serve(4)
    (judged,) = [one for one in shop.look() if one.kind == "labels"]
    (limit,) = [each for each in judged.findings if each.statistic == "limit"]
    assert (limit.level, limit.floor) == ("critical", 0.99)
    assert "below the limit of 0.99 that was set" in limit.message


def test_a_limit_that_no_share_can_keep_is_told_and_not_fired(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(performance_min=87)  # percent
    shop.serve(4)
    (judged,) = [one for one in shop.look() if one.kind == "labels"]
    (limit,) = [each for each in judged.results if each.statistic == "limit"]
    assert limit.unable
    assert limit.message == "Accuracy is between 0 and 1, so its limit of 87 is not watched."


def test_slices_and_a_season_that_are_set_when_the_reference_is_there_are_told(
    open_shop: Callable[..., Shop],
) -> None:
    shop = open_shop(slices=["plan"])
    shop.serve(1)
    assert not [each for one in shop.look() for each in one.results if each.unable]
    tree = shop.tree(slices=["plan", "country", "postcode"], season="weekday")
    shop.project = shop._connected(shop.project.settings.root, tree)
    shop.serve(3)
    checked = shop.look()
    told = [each.message for one in checked if one.kind == "answers" for each in one.results if each.unable]
    assert [each.split(";")[0].split(":")[0] for each in told[:3]] == [
        "Performance is not judged on 'country'",
        "Performance is not judged on 'postcode' of monitoring.slices",
        "Monitoring.season is weekday, and the reference was made with none, which windows are compared by",
    ]
    assert "everloop monitor reference churn@1.0.0 FILE" in told[0]  # the champion may be another


def test_a_price_that_rose_is_found_the_same_day_and_is_one_alert(shop: Shop) -> None:
    shop.serve(2)
    shop.look()
    shop.serve(3, scaled("monthly_fee", 1.3))

    assert ("data", "monthly_fee") in found(shop.look())
    with shop.project.store.reading() as tx:
        opened = alerts.list_alerts(tx, MODEL)
    assert len(opened) == 1
    assert opened[0].times >= 3
    assert any(each.result.subject == "monthly_fee" for each in opened[0].findings)


def test_days_that_were_odd_and_are_over_say_nothing_of_later_ones(shop: Shop) -> None:
    """One in cents: while it lasts it counts, then no more."""
    known = referring.of_version(shop.project, MODEL, shop.version)
    for change, kept in ((None, 1), (None, 2), (_in_cents, 3), (_in_cents, 4), (None, 3), (None, 4)):
        shop.serve(1, change)
        (checked,) = [one for one in shop.look() if one.kind == "answers"]
        broken = [each for each in checked.findings if each.details.get("fault") == "unit change"]
        assert [each.subject for each in broken] == (["monthly_fee"] if change else [])
        assert len(answering.before(shop.project, known, shop.version)) == kept


def _in_cents(table: pa.Table) -> pa.Table:
    cents = pc.multiply(table.column("monthly_fee"), 100.0)
    return table.set_column(table.column_names.index("monthly_fee"), "monthly_fee", cents)


def test_a_column_that_is_lost_is_told_once_in_the_alert(shop: Shop) -> None:
    shop.serve(2)
    for lost in (_emptied, None):
        if lost is None:  # not even its name comes
            shop.logged = lambda line: {**line, "inputs": _without(line["inputs"], "age")}
        shop.serve(1, lost)
        (checked,) = [one for one in shop.look() if one.kind == "answers" and one.findings]
        assert [each.statistic for each in checked.findings if each.family == "quality"] == ["fault"]
    with shop.project.store.reading() as tx:
        (alert,) = alerts.list_alerts(tx, MODEL)
    told = [each for each in alert.findings if each.result.family == "quality"]
    assert [(each.result.subject, each.times) for each in told] == [("age", 2)]
    assert told[0].result.message == "'age' does not come any more: the column is missing."
    of_contract = [each.result.message for each in alert.findings if each.result.family == "check"]
    assert of_contract[0] == "The column 'age' is not in the table."  # further evidence of the same
    assert alert.title == f"{MODEL}: 'age' does not come any more: the column is missing"


def test_a_column_that_did_not_come_for_hours_is_not_said_to_be_gone(shop: Shop) -> None:
    shop.serve(2)
    shop.look()
    shop.logged = lambda line: (
        {**line, "inputs": _without(line["inputs"], "age")} if line["at"][11:13] < "12" else line
    )
    shop.serve(1)
    (checked,) = [one for one in shop.look() if one.kind == "answers"]
    (fault,) = [each for each in checked.findings if each.statistic == "fault"]
    assert fault.message == "'age' does not come in 50.3 % of 1,000 rows: the column is missing."
    assert fault.value == 0.503


def _emptied(table: pa.Table) -> pa.Table:
    at = table.column_names.index("age")
    return table.set_column(at, "age", pa.nulls(table.num_rows, table.field("age").type))


def _without(inputs: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != name}


def test_a_window_with_few_rows_goes_on_into_the_next_day(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(min_rows=700)
    shop.serve(3, rows=300)

    checks = [one for one in shop.look() if one.kind == "answers"]

    assert [(one.since, one.until, one.rows) for one in checks] == [(BEGIN, BEGIN + 3 * DAY, 900)]


def test_a_model_that_hardly_anybody_asks_says_so_after_a_month(shop: Shop) -> None:
    shop.serve(1, rows=40)
    shop.clock.at = BEGIN + timedelta(days=29, hours=23)
    assert shop.look() == []

    shop.clock.at = BEGIN + timedelta(days=30, hours=1)
    [check] = [one for one in shop.look() if one.kind == "answers"]

    assert [each.unable for each in check.results] == [True]
    assert "40 rows in 30 days" in check.results[0].message


def test_late_predictions_are_in_the_window_that_is_checked(shop: Shop) -> None:
    """A server that was cut off brings its log when the hour was summed up already."""
    shop.serve(1)
    known = referring.of_version(shop.project, MODEL, shop.version)
    early = summing.window(shop.project, known, shop.version, BEGIN, BEGIN + DAY)
    shop.day = 0
    shop.first = 500_000
    shop.serve(1, rows=200)

    assert early is not None
    assert early.rows == ROWS
    assert [one.rows for one in shop.look() if one.kind == "answers"] == [ROWS + 200]


def test_hours_merge_to_what_the_day_is(shop: Shop) -> None:
    shop.serve(1)
    known = referring.of_version(shop.project, MODEL, shop.version)
    whole = summing.window(shop.project, known, shop.version, BEGIN, BEGIN + DAY)
    halves = [
        summing.window(shop.project, known, shop.version, BEGIN + n * DAY / 2, BEGIN + (n + 1) * DAY / 2)
        for n in range(2)
    ]

    assert whole is not None
    merged = summing.merged([each for each in halves if each is not None])
    for name, feature in whole.inputs.features.items():
        assert np.array_equal(feature.counts, merged.inputs.features[name].counts)


def test_two_who_look_at_once_judge_each_window_once(open_shop: Callable[..., Shop], url: str) -> None:
    shop = open_shop(url)
    shop.serve(3, scaled("monthly_fee", 1.3))
    made: list[Checked] = []
    lookers = [Thread(target=lambda: made.extend(shop.look())) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()

    answers = [one.since for one in made if one.kind == "answers"]
    assert sorted(answers) == [BEGIN + n * DAY for n in range(3)]
    with shop.project.store.reading() as tx:
        assert len(alerts.list_alerts(tx, MODEL)) == 1


def test_a_model_from_elsewhere_is_compared_with_the_table_that_it_is_given(shop: Shop) -> None:
    features = ["monthly_fee", "weekly_hours", "support_calls"]
    usual = customers(4_000, 7)
    frame = usual.to_pandas()
    fitted = LogisticRegression(max_iter=500).fit(frame[features], frame["churned"].astype(str))
    origin = outside.Origin(None, {}, "churned", features)
    outside.register(shop.project, MODEL, fitted, origin, version="9.0.0", promote="a test")
    shop.version = "9.0.0"
    shop.serve(1)

    [check] = shop.look()

    assert [each.unable for each in check.results] == [True]
    assert "everloop monitor reference" in check.results[0].message

    given = referring.give(shop.project, MODEL, "9.0.0", usual)
    assert given.inputs.rows == 4_000
    assert given.baseline is not None
    shop.serve(2)
    again = [one for one in shop.look() if one.kind == "answers"]
    assert [len(one.results) > 5 for one in again] == [True, True]
    assert found(again) == set()


def test_only_the_windows_of_the_version_that_is_named_are_checked(shop: Shop) -> None:
    shop.serve(1)
    assert checking.look(shop.project, MODEL, version="9.9.9") == []
    assert [one.version for one in checking.look(shop.project, MODEL, version=shop.version)] == ["1.0.0"]


def test_what_is_waited_for(shop: Shop) -> None:
    assert spans.waiting(shop.project) == []
    shop.serve(1)
    assert spans.waiting(shop.project) == [MODEL]
    shop.look()
    assert spans.waiting(shop.project) == [MODEL]  # for its labels
    with shop.project.store.reading() as tx:
        assert [one.kind for one in monitors.latest_checks(tx)] == ["answers"]
    assert [each.model for each in showing.overview(shop.project)] == [MODEL]
