"""A suite of Great Expectations on what a model is asked, by the real library, without a network."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.stories.monitoring.shop import BEGIN, MODEL, ROWS, Shop
from tests.stories.monitoring.test_contracts import first

from everloop.adapters.gx import docs, suites
from everloop.core.errors import MissingExtra
from everloop.core.monitoring import Checked, Result
from everloop.data.examples.customers import customers
from everloop.flows.monitoring import expecting, showing

AGE = {"column": "age", "min_value": 18, "max_value": 100, "mostly": 0.99}
EXPECTATIONS: list[dict[str, Any]] = [
    {"type": "expect_column_values_to_be_between", "kwargs": AGE, "severity": "info"},
    {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "monthly_fee", "min_value": 5}},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "churned", "value_set": [0, 1]}},
    {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "support_calls", "type_": "int64"}},
]


@pytest.fixture(autouse=True)
def library() -> None:
    """Skips on a laptop without the extra, and fails in CI."""
    if find_spec("great_expectations") is None:
        text = "great_expectations is not installed: pip install 'everloop[gx]'"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(text, pytrace=False)
        pytest.skip(text)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Nothing is ever connected to."""
    tried: list[Any] = []

    def connect(_self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield tried
    assert tried == []


@pytest.fixture
def shop(tmp_path: Path, open_shop: Callable[..., Shop]) -> Shop:
    (tmp_path / "suite.json").write_text(json.dumps({"name": "asked", "expectations": EXPECTATIONS}))
    return open_shop(suite="suite.json")


def of(checks: list[Checked]) -> list[Result]:
    found = [each for one in checks if one.kind == "answers" for each in one.results]
    return [each for each in found if each.family == "check" and each.statistic.startswith("expect_")]


def test_a_window_is_judged_by_the_suite_and_has_data_docs(shop: Shop) -> None:
    shop.serve(1)
    shop.serve(1, first("age", 300, 50))

    checks = shop.look()

    quiet, broken = (of([one]) for one in checks if one.kind == "answers")
    names = [(each.subject, each.statistic) for each in quiet]
    assert names == [
        ("age", "expect_column_values_to_be_between"),
        ("monthly_fee", "expect_column_mean_to_be_between"),
        ("support_calls", "expect_column_values_to_be_of_type"),  # as in the data it was trained on
    ]  # in the order of the suite; what needs the target is left out
    assert [(each.fired, each.unable) for each in quiet] == [(False, False)] * 3
    assert quiet[0].floor == pytest.approx(0.01)
    assert quiet[1].value == pytest.approx(12, abs=2)
    age = broken[0]
    assert (age.fired, age.level, age.value) == (True, "info", 50 / ROWS)
    assert age.message.startswith(
        "age values must be greater than or equal to 18.0 and less than or equal to 100.0, "
        "at least 99 % of the time: broken in 50 of 1,000 rows. Data Docs: "
    )
    assert age.details["values"] == [300.0] * 5
    page = Path(age.details["data_docs"])
    assert f"Data Docs: {page}" in age.message
    assert page.is_relative_to(expecting.folder(shop.project, MODEL))
    assert "300" in page.read_text()
    site = expecting.folder(shop.project, MODEL)
    index = (site / "index.html").read_text()
    pages = {Path(one.details["data_docs"]) for one in (*quiet, *broken)}
    assert len(pages) == 2
    assert all(str(one.relative_to(site)) in index for one in pages)
    assert all("Content-Security-Policy" in one.read_text() for one in (*pages, site / "index.html"))


def test_a_finding_of_the_suite_is_in_the_alert(shop: Shop) -> None:
    expectations = [{"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age", "max_value": 1}}]
    suite = {"name": "asked", "expectations": expectations}
    (shop.project.settings.root / "suite.json").write_text(json.dumps(suite))
    shop.serve(1)
    shop.look()

    (watched,) = showing.overview(shop.project)

    (finding,) = (each.result for alert in watched.alerts for each in alert.findings)
    assert (finding.subject, finding.level) == ("age", "warning")  # where the suite states none
    assert "it is 4" in finding.message


def test_what_is_of_the_table_is_proposed_as_no_column(shop: Shop) -> None:
    expectations = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 1}},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age", "max_value": 1}},
    ]
    suite = {"name": "asked", "expectations": expectations}
    (shop.project.settings.root / "suite.json").write_text(json.dumps(suite))
    shop.serve(1)
    shop.look()

    (watched,) = showing.overview(shop.project)

    assert {each.result.subject for alert in watched.alerts for each in alert.findings} >= {"age", "table"}
    assert watched.alerts[0].proposal.startswith("Repair what feeds 'age' first.")


def test_a_table_by_hand_is_judged_and_nothing_is_written(shop: Shop) -> None:
    found = showing.against(shop.project, MODEL, shop.version, first("age", 300, 50)(customers(ROWS, seed=5)))

    (broken,) = (each for each in found if each.statistic.startswith("expect_") and each.fired)
    assert (broken.subject, broken.value) == ("age", 50 / ROWS)
    assert "Data Docs" not in broken.message
    assert not expecting.folder(shop.project, MODEL).exists()


def test_a_suite_that_cannot_be_run_is_a_finding_and_all_else_is_checked(shop: Shop) -> None:
    nameless = [{"type": "expect_column_mean_to_be_between", "kwargs": {"min_value": 1}}]
    unknown = [*EXPECTATIONS, {"type": "expect_magic", "kwargs": {}}]
    told = {
        "is no JSON": "{",
        "is no suite of Great Expectations 1.x": '{"expectation_suite_name": "old", "expectations": []}',
        "expect_magic not found": json.dumps({"name": "x", "expectations": unknown}),
        "does not take the suite 'x'": json.dumps({"name": "x", "expectations": nameless}),
        "There is no file": None,
    }
    file = shop.project.settings.root / "suite.json"
    for said, content in told.items():
        file.unlink() if content is None else file.write_text(content)
        shop.serve(1)

        (checked,) = (one for one in shop.look() if one.kind == "answers")

        (finding,) = (each for each in checked.results if each.subject == "suite")
        assert (finding.unable, finding.fired) == (True, False)
        assert said in finding.message
        assert {"data", "quality", "prediction"} <= {each.family for each in checked.results}


def run(frame: pd.DataFrame, *expectations: dict[str, Any], **options: Any) -> list[Result]:
    return suites.run({"name": "s", "expectations": list(expectations)}, frame, inputs=["a", "b"], **options)


def test_an_expectation_that_cannot_be_judged_is_unable() -> None:
    frame = pd.DataFrame({"b": ["x", "y"]})
    gone = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "a", "min_value": 1}}
    text = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "b", "min_value": 1}}
    sound = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "b"}}

    found = run(frame, gone, text, sound)

    assert [(each.unable, each.fired) for each in found] == [(True, False), (True, False), (False, False)]
    assert 'could not be judged: Error: The column "a" in BatchData does not exist' in found[0].message


def test_the_oldest_pages_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "KEPT", 2)
    expectation = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}
    frame = pd.DataFrame({"a": [1, 2]})
    pages = []
    for day in (1, 2, 3, 3):  # the last one twice: its check was interrupted
        (found,) = run(frame, expectation, site=tmp_path, at=BEGIN.replace(day=day))
        pages.append(Path(found.details["data_docs"]))

    assert [page.exists() for page in pages] == [False, True, True, True]
    assert pages[2] == pages[3]
    assert len(list((tmp_path / "validations").rglob("*.html"))) == 2


def test_severities_are_levels() -> None:
    asked = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "a", "max_value": 1}}
    levels = [{"severity": name} for name in ("info", "warning", "critical")]

    found = run(pd.DataFrame({"a": [5]}), *({**asked, **each} for each in levels))

    assert [each.level for each in found] == ["info", "warning", "critical"]
    assert found[0].message.endswith("less than or equal to 1.0: it is 5.")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name="great_expectations")

    monkeypatch.setattr(suites, "import_module", absent)

    with pytest.raises(MissingExtra, match=r"pip install 'everloop\[gx\]'"):
        run(pd.DataFrame({"a": [1]}))


def test_ids_of_another_project_do_not_matter() -> None:
    own = "cc76b952-ebab-4ee4-bf55-857b7c615ff0"
    asked = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "id": own}

    (found,) = suites.run(
        {"name": "s", "id": own, "expectations": [asked], "notes": None},
        pd.DataFrame({"a": [1.0, None]}),
        inputs=["a"],
    )

    assert (found.fired, found.value) == (True, 0.5)
