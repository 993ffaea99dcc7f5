"""Rows sent for training: refused with a reason, or part of the model's data from the next retraining on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from tests.stories.serving.log import FLOWER

from everloop.core.errors import UnknownModel, UnknownVersion
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import data, turn
from everloop.flows.project import Project
from everloop.flows.serving import samples
from everloop.serving.inputs import Rejected
from everloop.store import samples as stored


def newest(project: Project) -> str | None:
    with project.store.reading() as tx:
        return stored.newest(tx, "iris")


def test_samples_are_counted_until_a_retraining_is_due(open_project: Any, trained: Project) -> None:
    here = open_project(serving={"samples_to_retrain": 3})
    first = samples.add(here, "iris", FLOWER, "setosa", "request-1")
    assert (first.count, first.waiting, first.threshold, first.due) == (1, 1, 3, False)
    again = samples.add_all(here, "iris", [(list(FLOWER.values()), "setosa"), (FLOWER, "virginica")])
    assert (again.count, again.waiting, again.due) == (3, 3, True)
    assert len({*first.ids, *again.ids}) == 3


@pytest.mark.parametrize(
    ("inputs", "target", "field", "said"),
    [
        ({**FLOWER, "sepal_lenght": 1}, "setosa", "sepal_lenght", "a value was given, but.*sepal_length"),
        ({"sepal_length": 5.1}, "setosa", "sepal_width", "nothing was given; allowed: a value, or null"),
        ({**FLOWER, "sepal_width": "wide"}, "setosa", "sepal_width", "'wide' is of another type.*float64"),
        ({**FLOWER, "sepal_width": True}, "setosa", "sepal_width", "true is of another type"),
        ({**FLOWER, "sepal_width": [1]}, "setosa", "sepal_width", "a list is of another type"),
        ({**FLOWER, "sepal_width": float("inf")}, "setosa", "sepal_width", "inf is no finite number"),
        ({**FLOWER, "sepal_width": 10**400}, "setosa", "sepal_width", "a huge whole number is larger than"),
        ([5.1, 3.5], "setosa", "features", "2 values do not fit.*4 values: sepal_length, sepal_width"),
        ("5.1", "setosa", "features", "'5.1' is neither an object nor a list"),
        (FLOWER, "setsoa", "target", "'setsoa' is no class of iris; allowed: a class of 'species': setosa, "),
        (FLOWER, None, "target", "null is neither text nor number; .*virginica"),
        (FLOWER, ["setosa"], "target", "a list is neither text nor number"),
        (FLOWER, 3, "target", "3 is no class of iris"),
        ({**FLOWER, "species": "setosa"}, "setosa", "species", "a value was given, but is no field of iris"),
    ],
)
def test_a_refused_sample_names_the_field_and_the_value(
    trained: Project, inputs: Any, target: Any, field: str, said: str
) -> None:
    with pytest.raises(Rejected, match=f"^{field}: {said}") as told:
        samples.add(trained, "iris", inputs, target)
    assert told.value.wrong[0].field == field
    with pytest.raises(Rejected, match=f"^{field} in row 1: {said}"):
        samples.add_all(trained, "iris", [(FLOWER, "setosa"), (inputs, target)])
    assert newest(trained) is None  # all or none


def test_of_a_refused_sample_every_wrong_field_is_named(trained: Project) -> None:
    with pytest.raises(Rejected, match="And 2 more") as told:
        samples.add(trained, "iris", {**FLOWER, "sepal_width": "wide", "petal_width": False}, "rose")
    assert [one.field for one in told.value.wrong] == ["sepal_width", "petal_width", "target"]


def test_a_sample_that_would_break_the_contract_is_refused(open_project: Any, trained: Project) -> None:
    rules = {"columns": {"sepal_width": {"minimum": 0}, "petal_width": {"max_missing": 0}}}
    model = {"data": {"path": "iris.csv"}, "target": "species", "contract": rules}
    strict = open_project(models={"iris": model})
    with pytest.raises(Rejected, match=r"^sepal_width: -40.0 breaks the contract: .*minimum 0.*allowed: "):
        samples.add(strict, "iris", {**FLOWER, "sepal_width": -40.0}, "setosa")
    with pytest.raises(Rejected, match=r"^petal_width: null breaks the contract: "):
        samples.add(strict, "iris", {**FLOWER, "petal_width": None}, "setosa")
    assert samples.add(strict, "iris", FLOWER, "setosa").count == 1


def test_what_a_contract_warns_of_is_kept_and_told(open_project: Any, trained: Project) -> None:
    rules = {"columns": {"sepal_width": {"maximum": 5, "severity": "warning"}}}
    model = {"data": {"path": "iris.csv"}, "target": "species", "contract": rules}
    here = open_project(models={"iris": model})
    wide = {**FLOWER, "sepal_width": 50.0}
    stored = samples.add_all(here, "iris", [(FLOWER, "setosa"), (wide, "setosa")])
    assert stored.count == 2
    (told,) = stored.warnings
    assert told == "Row 1: 'sepal_width' is over its maximum 5: 50.0."
    masked = open_project(models={"iris": {**model, "serving": {"mask": {"sepal_width": "hide"}}}})
    assert samples.add(masked, "iris", wide, "setosa").warnings == ("The field 'sepal_width' is unusual.",)
    assert samples.add(masked, "iris", FLOWER, "setosa").warnings == ()


def test_of_a_masked_field_no_error_tells_the_value(open_project: Any, trained: Project) -> None:
    rules = {"columns": {"sepal_width": {"minimum": 0}}}
    model = {"data": {"path": "iris.csv"}, "target": "species", "contract": rules}
    masked = open_project(models={"iris": model | {"serving": {"mask": {"sepal_width": "hide"}}}})
    for value in ("secret", -40.25):
        with pytest.raises(Rejected, match=r"^sepal_width: ") as told:
            samples.add(masked, "iris", {**FLOWER, "sepal_width": value}, "setosa")
        assert str(value) not in f"{told.value} {told.value.wrong}"


def test_a_model_that_is_not_there_or_has_no_data_is_told(project: Project) -> None:
    with pytest.raises(UnknownModel):
        samples.add(project, "rose", FLOWER, "setosa")
    with pytest.raises(UnknownVersion, match="no data of 'iris' yet"):
        samples.add(project, "iris", FLOWER, "setosa")


def test_the_data_with_samples_are_a_version_of_their_own(trained: Project) -> None:
    base = data.find(trained, "iris@latest")
    samples.add(trained, "iris", FLOWER, "setosa")
    samples.add(trained, "iris", {**FLOWER, "petal_width": None}, "virginica")
    table = samples.merge(trained, "iris", newest(trained))
    assert table.num_rows == 152
    assert table.slice(150).to_pylist() == [
        {**FLOWER, "species": "setosa"},
        {**FLOWER, "petal_width": None, "species": "virginica"},
    ]
    made = data.find(trained, "iris@latest")
    assert (made.rows, made.parent, made.origin["base"]) == (152, base.version_id, base.version_id)
    assert "2 samples" in made.source
    assert samples.merge(trained, "iris", newest(trained)).equals(table)
    assert len(data.list_versions(trained, "iris")) == 2
    samples.add(trained, "iris", FLOWER, "setosa")
    assert samples.merge(trained, "iris", newest(trained)).num_rows == 153
    assert data.find(trained, "iris@latest").origin["base"] == base.version_id


def test_columns_that_only_the_file_has_are_asked_of_the_file_alone(open_project: Any) -> None:
    rules = {"columns": {"note": {"max_missing": 0}, "petal_width": {"max_missing": 0.01}}}
    model = {"data": {"path": "iris.csv"}, "target": "species", "contract": rules, "exclude": ["note"]}
    project = open_project(models={"iris": model})
    flowers = iris()
    path = project.settings.root / "iris.csv"
    path.write_bytes(writing.to_bytes(flowers.append_column("note", pa.array(["a"] * 150)), ".csv"))
    assert turn.run(project, "iris").model_version == "1.0.0"
    samples.add(project, "iris", FLOWER, "setosa")
    both = samples.merge(project, "iris", newest(project))
    assert both.column("note").null_count == 1
    assert turn.run(project, "iris", source=both).status == "done"

    samples.add_all(project, "iris", [({**FLOWER, "petal_width": None}, "setosa")] * 2)
    stopped = turn.run(project, "iris", source=samples.merge(project, "iris", newest(project)))
    assert [(one["rule"], one["column"]) for one in stopped.findings] == [("max_missing", "petal_width")]

    path.write_bytes(writing.to_bytes(flowers.append_column("note", pa.array(["a"] * 149 + [None])), ".csv"))
    stopped = turn.run(project, "iris", source=samples.merge(project, "iris", newest(project)))
    assert {(one["rule"], one["column"]) for one in stopped.findings} == {
        ("max_missing", "note"), ("max_missing", "petal_width"),
    }  # fmt: skip
    assert "(1 of 150 rows)" in str(stopped.findings)


def test_where_the_file_is_gone_the_version_without_samples_is_the_base(trained: Project) -> None:
    samples.add(trained, "iris", FLOWER, "setosa")
    samples.merge(trained, "iris", newest(trained))
    (trained.settings.root / "iris.csv").unlink()
    samples.add(trained, "iris", FLOWER, "virginica")
    assert samples.merge(trained, "iris", newest(trained)).num_rows == 152
    assert samples.merge(trained, "iris", None).num_rows == 150


def test_every_kind_of_column_takes_its_values(open_project: Any) -> None:
    model = {"data": {"path": "t.csv"}, "target": "y", "exclude": ["id"], "contract": {}}
    here = open_project(models={"t": model})
    table = pa.table(
        {
            "id": pa.array(range(20)),
            "n": pa.array([1, 2] * 10, pa.int8()),
            "b": pa.array([True, False] * 10),
            "d": pa.array([datetime(2026, 1, 1).date()] * 20),
            "t": pa.array([datetime(2026, 1, 1)] * 20, pa.timestamp("s", "UTC")),
            "c": pa.array(["x", "y"] * 10).dictionary_encode(),
            "y": pa.array([0, 1] * 10),
        }
    )
    data.register(here, table, "t")
    good = {"n": 3, "b": True, "d": "2026-02-01", "t": "2026-02-01T00:00:00Z", "c": "z"}
    samples.add(here, "t", good, 1)
    samples.add(here, "t", {**dict.fromkeys(good), "id": 7}, 0)
    with here.store.reading() as tx:
        until = stored.newest(tx, "t")
    merged = samples.merge(here, "t", until)
    assert merged.schema == table.schema
    first, second = merged.slice(20).to_pylist()
    assert (first["n"], first["b"], str(first["d"]), first["c"], first["y"]) == (
        3,
        True,
        "2026-02-01",
        "z",
        1,
    )
    assert first["t"].isoformat() == "2026-02-01T00:00:00+00:00"
    assert second == {**dict.fromkeys(good), "id": 7, "y": 0}
    for name, bad in (("n", 300), ("n", 1.5), ("d", "soon"), ("t", "2026-02-01T00:00:00"), ("b", 1)):
        with pytest.raises(Rejected, match=f"^{name}: {bad!r} is "):
            samples.add(here, "t", {**good, name: bad}, 1)
