"""Where a model comes from, as a noun and as a tree."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.unit.registry.makers import NOW, run, version

from everloop.core.data import DatasetVersion
from everloop.core.documents import dump, load
from everloop.core.models import Event, Lineage
from everloop.core.runs import Environment
from everloop.registry.lineage import lineage


def data(version_id, parent=None, rows=1000, source="flights.csv"):
    return DatasetVersion("flights", version_id, 1, rows, (), {}, "sha256", NOW, "ann", source, parent)


def event(sequence, number, kind="promoted", model="late"):
    return Event(sequence, model, kind, NOW, "ann", f"better in {number}", {"version": number})


FIRST = replace(version("1.0.0"), data_version="a" * 64)
SECOND = replace(version("1.0.1"), data_version="b" * 64, run_id="run_2", parent="1.0.0")
THIRD = replace(
    version("1.1.0"), data_version="c" * 64, run_id="run_3", parent="late@1.0.1", git_commit="f00d" * 10
)
DATA = {
    d.version_id: d
    for d in (data("a" * 64), data("b" * 64, "a" * 64), data("c" * 64, "b" * 64, 1200, "may.csv"))
}
RUNS = {"run_3": run(run_id="run_3")}
EVENTS = [
    event(9, "1.1.0"),
    event(2, "1.1.0"),
    event(3, "1.0.1"),
    event(4, "1.1.0", "registered"),
    event(5, "1.1.0", model="x"),
]


def trace(of=THIRD, versions=(FIRST, SECOND, THIRD), runs=RUNS, datasets=DATA, events=EVENTS):
    return lineage(of, versions, runs, datasets, events)


def test_it_names_everything_the_model_comes_from():
    found = trace()
    assert found.parents == (SECOND, FIRST)
    assert found.run is RUNS["run_3"]
    assert [d.version_id[0] for d in found.data] == ["c", "b", "a"]
    assert found.source == "may.csv"
    assert found.git_commit == "f00d" * 10
    assert [e.sequence for e in found.promotions] == [2, 9]


def test_the_commit_is_the_runs_where_the_version_has_none():
    environment = Environment("3.11", "linux", {}, git_commit="beef")
    assert trace(SECOND, runs={"run_2": run(environment=environment)}).git_commit == "beef"


def test_what_is_no_longer_stored_ends_the_chain():
    found = trace(versions=(THIRD,), runs={}, datasets={"c" * 64: DATA["c" * 64]})
    assert (found.parents, found.run, len(found.data)) == ((), None, 1)
    assert trace(datasets={}).source is None


def test_models_of_the_same_number_are_not_mistaken_for_each_other():
    assert trace(versions=(version("1.0.1", model="other"), THIRD)).parents == ()


def test_a_circle_of_parents_ends():
    one, two = replace(FIRST, parent="1.0.1"), SECOND
    assert trace(two, versions=(one, two)).parents == (one,)


def test_a_lineage_is_a_document():
    assert load(Lineage, dump(trace())) == trace()
    assert datetime.fromisoformat(dump(trace())["version"]["created_at"]) == datetime(
        2026, 1, 2, 3, 4, tzinfo=UTC
    )
