"""The history is paged by key: complete, newest first, and stable while predictions come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.stories.serving.log import NOW, line, lines, write

from everloop.core.errors import Invalid
from everloop.flows.project import Project
from everloop.flows.serving import history, labels, recording
from everloop.flows.serving.labels import LabelItem
from everloop.store.tables import predictions

START = NOW - timedelta(days=1)


@pytest.fixture
def asked(project: Project) -> Project:
    """Predictions 0 to 9 of iris, 10 to 19 of two versions of rose at the same times, and some labels."""
    write(project, lines(range(10)))
    for number in range(10, 20):
        at = (START + timedelta(seconds=number - 10)).isoformat(timespec="microseconds")
        version = "2.0.0" if number % 2 else "1.0.0"
        confidence = number / 20
        write(project, line(number, at=at, model="rose", version=version, confidence=confidence))
    write(project, line(20, prediction="virginica", request_id="one"))
    write(project, line(21, prediction="virginica", request_id="one"))
    recording.record(project)
    labels.add(project, [LabelItem(f"pred_{n:06}", "setosa") for n in (1, 2, 20)])
    labels.add(project, [LabelItem("pred_000002", "virginica"), LabelItem("pred_000003", "known")])
    return project


def numbers(project: Project, **wanted: Any) -> list[int]:
    return [int(each.prediction_id[-6:]) for each in history.page(project, **wanted)[0]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"model": "iris"}, [21, 20, *range(9, -1, -1)]),
        ({"model": "rose", "version": "2.0.0"}, [19, 17, 15, 13, 11]),
        ({"model": "nobody"}, []),
        ({"request_id": "one"}, [21, 20]),
        ({"prediction": "virginica"}, [21, 20]),
        ({"label": "known"}, [20, 3, 2, 1]),
        ({"label": "missing", "model": "iris"}, [21, 9, 8, 7, 6, 5, 4, 0]),
        ({"label": "setosa"}, [20, 1]),
        ({"label": "virginica"}, [2]),
        ({"label": "=known"}, [3]),
        ({"min_confidence": 0.9}, [21, 20, 19, 9, 18, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"max_confidence": 0.55}, [11, 10]),
        ({"min_confidence": 0.6, "max_confidence": 0.7}, [14, 13, 12]),
        ({"since": START + timedelta(seconds=8), "until": START + timedelta(seconds=20)}, [19, 9, 18, 8]),
        ({"since": START + timedelta(seconds=30)}, []),
        ({"variant": "challenger"}, []),
    ],
)
def test_each_filter_chooses(asked: Project, wanted: dict[str, Any], expected: list[int]) -> None:
    assert numbers(asked, **wanted) == expected


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
@pytest.mark.parametrize("model", [None, "rose"])
def test_pages_hold_everything_once_also_where_times_are_equal(
    asked: Project, limit: int, model: str | None
) -> None:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = history.page(asked, model=model, limit=limit, cursor=cursor)
        found += [each.prediction_id for each in page]
        if cursor is None:
            break
        assert len(page) == limit
    assert len(found) == len(set(found)) == (10 if model else 22)


def test_a_page_stays_what_it_is_while_new_ones_come(asked: Project) -> None:
    first, cursor = history.page(asked, limit=5)
    write(asked, lines(range(50, 60)))
    recording.record(asked)
    second, _ = history.page(asked, limit=5, cursor=cursor)
    assert not {each.prediction_id for each in first} & {each.prediction_id for each in second}
    assert max(each.at for each in second) <= min(each.at for each in first)


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 0},
        {"limit": 1001},
        {"cursor": "nonsense"},
        {"cursor": "WzEsMl0"},
        {"cursor": "é"},
        {"since": NOW.replace(tzinfo=None)},
        {"model": "a\0b"},
        {"request_id": "\ud800"},
    ],
)
def test_what_cannot_be_asked_is_told(asked: Project, wanted: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        history.page(asked, **wanted)


@pytest.mark.parametrize("damage", [{"inputs": "not { json"}, {"inputs": "[1]"}, {"probabilities": "{"}])
def test_one_that_is_damaged_is_listed_and_says_so(asked: Project, damage: dict[str, str]) -> None:
    with asked.store.writing() as tx:
        tx.change(predictions, predictions.c.prediction_id == "pred_000005", **damage)
    found = {one.prediction_id: one for one in history.page(asked, model="iris")[0]}
    assert len(found) == 12
    broken = found["pred_000005"]
    assert broken.warnings[-1] == "Its inputs or probabilities are no JSON in the database."
    assert (broken.inputs == {}) is ("inputs" in damage)
    assert (broken.probabilities is None) is ("probabilities" in damage)
    assert all(not one.warnings for name, one in found.items() if name != "pred_000005")


def test_a_period_that_ends_before_it_begins_is_refused(asked: Project) -> None:
    with pytest.raises(Invalid, match=r"since .*2026.* is after until .*2026"):
        history.page(asked, since=START + timedelta(seconds=1), until=START)
    with pytest.raises(Invalid, match="is after until"):
        labels.maturity(asked, "iris", START + timedelta(seconds=1), START)
    assert history.page(asked, since=START, until=START) == ([], None)


def test_usage_counts_by_model_and_version(asked: Project) -> None:
    found = [(each.model, each.version, each.count, each.latency_ms) for each in history.usage(asked)]
    assert found == [("iris", "1.0.0", 12, 0.25), ("rose", "1.0.0", 5, 0.25), ("rose", "2.0.0", 5, 0.25)]
    late = history.usage(asked, since=START + timedelta(seconds=9))
    assert [(each.model, each.version, each.count) for each in late] == [
        ("iris", "1.0.0", 3),
        ("rose", "2.0.0", 1),
    ]
    assert history.usage(asked, since=NOW) == []
