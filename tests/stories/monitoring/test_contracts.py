"""What a model is asked keeps the contract of its data, or says which rule is broken in how many rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.stories.monitoring.shop import MODEL, ROWS, Shop, settings

from everloop.core.data import Column
from everloop.core.monitoring import Checked, Result
from everloop.data.examples.customers import customers
from everloop.flows.monitoring import contracting, showing
from everloop.settings import folder_settings

SCHEMA = """
import pandera.pandas as pa

class Customers(pa.DataFrameModel):
    age: int = pa.Field(ge=18, le=120)
    plan: str = pa.Field(isin=["basic", "standard", "premium"], nullable=True, raise_warning=True)
    churned: int = pa.Field(isin=[0, 1])

    @pa.dataframe_check
    def loyal(cls, rows):
        return rows["churned"] + rows["age"] > 0

    class Config:
        unique = ["age", "plan", "churned"]
"""


def first(name: str, value: Any, rows: int) -> Callable[[pa.Table], pa.Table]:
    """The first so many rows of a column have this value."""

    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        old = table.column(at).to_pylist()
        return table.set_column(at, name, pa.array([value] * rows + old[rows:], table.schema.field(at).type))

    return change


def agree(shop: Shop, contract: Any) -> Shop:
    """The project as it is with this contract in its settings."""
    tree = settings()
    tree["models"][MODEL]["contract"] = contract
    root = shop.project.settings.root
    shop.project = replace(shop.project, settings=folder_settings(root, tree))
    return shop


def of(checks: list[Checked], subject: str) -> dict[str, Result]:
    results = [each for one in checks if one.kind == "answers" for each in one.results]
    return {each.statistic: each for each in results if each.family == "check" and each.subject == subject}


def test_the_contract_that_was_read_off_the_data_is_kept_on_quiet_days(shop: Shop) -> None:
    shop.serve(3)

    checks = shop.look()

    results = [each for one in checks for each in one.results if each.family == "check"]
    assert {"required", "type", "max_missing"} == {each.statistic for each in results}
    assert {each.subject for each in results}.isdisjoint({"churned", "rows"})  # the target is not asked for
    assert [each for each in results if each.fired or each.unable] == []


def test_broken_rules_say_in_how_many_rows(shop: Shop) -> None:
    columns = {
        "age": {"type": "number", "minimum": 18, "maximum": 120, "max_missing": 0.05},
        "plan": {"type": "string", "allowed": ["basic", "standard", "premium"], "severity": "warning"},
        "monthly_fee": {"unique": True},
        "churned": {"type": "number", "allowed": ["0", "1"]},
    }
    rules = ["monthly_fee > 0", "churned in [0, 1] or age > 0", "late_payments >= 0 or support_calls >= 0"]
    agree(shop, {"min_rows": 50_000, "columns": columns, "rules": rules})
    shop.serve(1, first("age", 300, 10))

    checks = shop.look()

    age = of(checks, "age")
    assert (age["maximum"].fired, age["maximum"].level, age["maximum"].value) == (True, "warning", 10 / ROWS)
    assert age["maximum"].details == {"values": ("300",) * 10}
    assert "'age' is over its maximum 120 in 10 of 1,000 rows" in age["maximum"].message
    assert {name for name, each in age.items() if not each.fired} == {
        "required",
        "type",
        "minimum",
        "max_missing",
    }
    assert set(of(checks, "monthly_fee")) == {"required", "monthly_fee > 0"}  # requests may come twice
    assert set(of(checks, "rows")) == {rules[2]}  # not what needs the target
    assert of(checks, "churned") == {}


def test_levels_of_severity_warning_are_told_as_info(shop: Shop) -> None:
    agree(shop, {"columns": {"plan": {"allowed": ["basic", "standard"], "severity": "warning"}}})
    shop.serve(1)

    rule = of(shop.look(), "plan")["allowed"]

    assert (rule.fired, rule.level) == (True, "info")


def test_missing_values_count_beyond_what_the_contract_allows(shop: Shop) -> None:
    agree(shop, {"columns": {"age": {"max_missing": 0.2}}})
    shop.serve(1, first("age", None, 100))
    shop.serve(1, first("age", None, 300))

    few, many = (of([one], "age")["max_missing"] for one in shop.look() if one.kind == "answers")

    assert (few.fired, few.value) == (False, pytest.approx(0.1, abs=0.05))
    assert (many.fired, many.floor) == (True, 0.2)
    assert many.value is not None
    assert many.value > 0.29


def test_a_field_that_is_gone_or_became_text_breaks_the_contract(shop: Shop) -> None:
    agree(shop, {"columns": {"age": {"type": "number", "minimum": 18}, "monthly_fee": {"type": "number"}}})
    table = customers(1_000, seed=5)
    at = table.column_names.index("age")
    table = table.set_column(at, "age", pc.cast(table.column("age"), pa.string())).drop_columns("monthly_fee")

    found = showing.against(shop.project, MODEL, shop.version, table)

    broken = {(each.subject, each.statistic) for each in found if each.family == "check" and each.fired}
    assert broken == {("age", "type"), ("monthly_fee", "required")}
    assert not [each for each in found if each.subject == "age" and each.statistic == "minimum"]


def test_a_schema_in_python_is_asked_of_the_inputs_only(shop: Shop) -> None:
    (shop.project.settings.root / "schemas.py").write_text(SCHEMA)
    agree(shop, "schemas.py:Customers")
    clean = customers(500, seed=5).filter(pc.is_valid(customers(500, seed=5).column("age")))
    shop.serve(1, lambda table: pa.concat_tables([clean] * 2))

    found = [each for each in shop.look()[0].results if each.family == "check"]

    # whole numbers are whole again, rows come twice, there is no target: nothing of that is broken
    assert [(each.subject, each.fired, each.unable) for each in found] == [("contract", False, False)]

    found = showing.against(shop.project, MODEL, shop.version, first("age", 7, 3)(clean))
    (broken,) = (each for each in found if each.family == "check" and each.fired)
    assert (broken.subject, broken.level) == ("age", "warning")
    assert broken.value == pytest.approx(3 / clean.num_rows)


class Gappy(Shop):
    """Some values of what it is trained on are missing."""

    @classmethod
    def tree(cls, **given: Any) -> dict[str, Any]:
        tree = settings(**given)
        tree["models"][MODEL]["data"]["example"]["missing"] = 0.02
        return tree


def test_a_schema_that_training_keeps_is_kept_by_windows_that_miss_nothing(tmp_path: Path) -> None:
    shop = Gappy(tmp_path)
    schema = SCHEMA.replace(
        "age: int = pa.Field(ge=18, le=120)", "age: float = pa.Field(ge=18, nullable=True)"
    )
    (tmp_path / "schemas.py").write_text(schema)
    agree(shop, "schemas.py:Customers")
    shop.serve(1)
    shop.serve(1, first("age", None, 10))
    found = [each for one in shop.look() if one.kind == "answers" for each in one.results]
    shop.close()

    broken = [each.message for each in found if each.family == "check" and (each.fired or each.unable)]
    assert broken == []


def test_a_contract_that_cannot_be_used_is_a_finding(shop: Shop) -> None:
    agree(shop, "schemas.py:Customers")
    shop.serve(1)

    (checked,) = (one for one in shop.look() if one.kind == "answers")

    (finding,) = (each for each in checked.results if each.subject == "contract")
    assert (finding.unable, finding.fired, finding.details["code"]) == (True, False, "file_missing")
    assert "schemas.py" in finding.message
    assert {"data", "quality"} <= {each.family for each in checked.results}  # all else was checked


def test_of_a_large_window_the_newest_rows_are_judged(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracting, "MOST_ROWS", 200)
    agree(shop, {"columns": {"age": {"maximum": 120}}})
    shop.serve(1, first("age", 300, 800))  # all but the newest 200

    rule = of(shop.look(), "age")["maximum"]

    assert (rule.fired, rule.value) == (False, 0.0)


def as_trained(columns: list[Column], table: pa.Table) -> pa.Table:
    trained: Any = SimpleNamespace(columns=columns)
    return contracting._as_trained(trained, table)


def test_of_many_columns_each_is_cast_as_one_by_one() -> None:
    """All at once: a new table for each column takes minutes where there are ten thousand."""
    kinds = [
        ("int64", [1.0, 2.0], pa.int64()),
        ("int64", [1.5, 2.0], pa.float64()),  # cannot be: the rule about its type says so
        ("float64", [1, 2], pa.float64()),
        ("date", ["2026-03-01", "2026-03-02"], pa.date32()),
        ("timestamp[UTC]", ["2026-03-01T00:00:00Z", None], pa.timestamp("us", "UTC")),
        ("string", ["a", "b"], pa.string()),
    ]
    names = [f"c{number}" for number in range(300)]
    drawn = [kinds[number % len(kinds)] for number in range(len(names))]
    schema = [Column(name, kind) for name, (kind, _, _) in zip(names, drawn, strict=True)]
    table = pa.table(dict(zip(names, [values for _, values, _ in drawn], strict=True)))
    table = table.append_column("more", pa.array([1.0, 2.0])).replace_schema_metadata({"of": "pandas"})

    together = as_trained(schema, table)

    one_by_one = table
    for column in schema:
        one_by_one = as_trained([column], one_by_one)
    assert together.equals(one_by_one, check_metadata=True)
    assert together.schema.types == [*(kind for _, _, kind in drawn), pa.float64()]
    assert together.schema.metadata == {b"of": b"pandas"}
