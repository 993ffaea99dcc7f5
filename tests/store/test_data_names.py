"""Tags, branches and the names of versions, in both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from everloop.core.data import ColumnStatistics, DataRef, DatasetVersion
from everloop.core.errors import Conflict, Invalid, UnknownVersion
from everloop.store import datasets, refs
from everloop.store.database import Store, open_store
from everloop.store.engine import open_engine
from everloop.store.migrate import upgrade

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


def version(number: int, dataset: str = "flights") -> DatasetVersion:
    return DatasetVersion(
        dataset=dataset,
        version_id=f"{number:04x}" + "ab" * 30,
        sequence=0,
        rows=number,
        columns=(),
        statistics={"a": ColumnStatistics(number, 0, number)},
        hash_algorithm="sha256",
        created_at=START + timedelta(hours=number),
        created_by="me",
        source="memory",
    )


def add(store: Store, number: int, branch: str = "main", dataset: str = "flights") -> DatasetVersion:
    with store.writing() as tx:
        return datasets.add_version(tx, version(number, dataset), branch)


def move(store: Store, name: str, number: int, kind: str = "tag", hours: int = 9) -> None:
    with store.writing() as tx:
        at = START + timedelta(hours=hours)
        refs.move(tx, DataRef("flights", name, kind, version(number).version_id, at, "me"), "by hand")


def find(store: Store, name: str, dataset: str | None = None) -> int:
    with store.reading() as tx:
        return datasets.find_version(tx, name, dataset).rows


def test_a_branch_moves_with_each_version_registered_on_it(store: Store) -> None:
    first, second = add(store, 1), add(store, 2)
    trial = add(store, 3, "trial")
    third, again = add(store, 4), add(store, 5, "trial")
    assert [v.sequence for v in (first, second, trial, third, again)] == [1, 2, 3, 4, 5]
    assert first.parent is None
    assert (second.parent, trial.parent) == (first.version_id, second.version_id)
    assert third.parent == second.version_id
    assert again.parent == trial.version_id
    assert (find(store, "flights@latest"), find(store, "flights@main"), find(store, "flights@trial")) == (
        4,
        4,
        5,
    )


def test_known_content_moves_the_branch_back_to_it_and_keeps_its_place(store: Store) -> None:
    for number in (1, 2, 3):
        add(store, number)
    again = add(store, 1)
    assert (again.sequence, again.parent) == (1, None)
    assert find(store, "flights@latest") == 1
    assert add(store, 4).parent == again.version_id
    with store.reading() as tx:
        assert [m.reason for m in refs.list_moves(tx, "flights")] == [
            "registered",
            "registered",
            "registered",
            "came again",
            "registered",
        ]


def test_a_version_has_many_names(store: Store) -> None:
    for number in (1, 2, 3):
        add(store, number)
    add(store, 9, dataset="other")
    move(store, "v1", 2)
    names = {
        "flights@v1": 2,
        "flights@latest~1": 2,
        "flights@~": 2,
        "flights@v1~1": 1,
        "0002": 2,
        "0003~2": 1,
        "0003AB": 3,
        "other@0009": 9,
        "flights@2026-03-01T11:30": 2,
        "flights@2026-03-01T12:30+01:00": 2,
        "flights@2026-03-02": 3,
        "latest": 9,
    }
    assert {name: find(store, name) for name in names} == names
    assert find(store, "v1", "flights") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flights@goldem", "no data version 'goldem' of flights. Did you mean 'golden'"),
        ("flight@v1", "no dataset 'flight'. Did you mean 'flights'"),
        ("golden", "Did you mean 'flights@golden'"),
        ("flights", "Did you mean 'flights@latest'"),
        ("000", "no data version '000'"),
        ("abcd", "no data version 'abcd'"),
        ("00010", "beginning of several versions: 00010c"),
        ("flights@golden~5", "has 1 version before it, not 5"),
        ("flights@2026-03-01T09:59", "had no version yet at 2026-03-01T09:59 UTC. Its first came at 2026-03"),
        ("2026-03-01", "Write it as flights@2026-03-01"),
        ("flights@", "no data version ''"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_there_is(store: Store, name: str, message: str) -> None:
    for number in (1, 2):
        add(store, number)
    with store.writing() as tx:
        for ending in "cd":
            odd = version(1)
            datasets.add_version(
                tx, DatasetVersion(**{**vars(odd), "version_id": f"00010{ending}" + "ab" * 29})
            )
    move(store, "golden", 2)
    with pytest.raises(UnknownVersion) as found:
        find(store, name)
    assert message in str(found.value)


def test_what_was_newest_then_follows_a_rollback(store: Store) -> None:
    for number in (1, 2, 3):
        add(store, number)
    move(store, "main", 1, "branch", hours=5)
    assert find(store, "flights@2026-03-01T12:59") == 3
    assert find(store, "flights@2026-03-01T14:00") == 1
    assert find(store, "flights@latest") == 1


def test_a_branch_cannot_have_the_name_of_a_tag_or_an_impossible_one(store: Store) -> None:
    add(store, 1)
    move(store, "v1", 1)
    with pytest.raises(Conflict, match="'v1' is a tag"):
        add(store, 2, "v1")
    with pytest.raises(Invalid, match="beginning of a version's id"):
        add(store, 2, "beef")
    assert find(store, "flights@latest") == 1


def test_a_name_that_is_gone_leaves_its_movements(store: Store) -> None:
    add(store, 1)
    move(store, "v1", 1)
    with store.writing() as tx:
        ref = refs.find_ref(tx, "flights", "v1")
        assert ref is not None
        refs.remove(tx, ref, at=START, by="me", reason="removed")
        assert [r.name for r in refs.list_refs(tx, "flights")] == ["main"]
        assert [(m.name, m.version_id is None) for m in refs.list_moves(tx, "flights")][-1] == ("v1", True)


def test_versions_come_with_their_statistics_or_without(store: Store) -> None:
    add(store, 1)
    with store.reading() as tx:
        assert datasets.versions(tx)[0].statistics == {"a": ColumnStatistics(1, 0, 1)}
        assert datasets.versions(tx, "flights", statistics=False)[0].statistics == {}
        assert datasets.find_version(tx, "0001").statistics["a"].count == 1


def test_a_database_of_the_first_release_gets_its_branch_and_its_past(url: str) -> None:
    open_store(url).close()  # makes the file's folder
    engine = open_engine(url)
    with engine.begin() as connection:
        names = [
            row[0]
            for row in connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
                if engine.dialect.name == "sqlite"
                else text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            )
        ]
        for name in names:
            connection.execute(text(f'DROP TABLE "{name}"'))
    upgrade(engine, "0004")
    insert = text("INSERT INTO dataset_versions VALUES ('acme', 'flights', :id, :number, :at, :document)")
    with engine.begin() as connection:
        for number in (1, 2):
            of = version(number)
            document = {
                "format": 1,
                "dataset": of.dataset,
                "version_id": of.version_id,
                "sequence": number,
                "rows": number,
                "columns": [],
                "hash_algorithm": "sha256",
                "source": "memory",
                "created_at": of.created_at.isoformat(),
                "created_by": "me",
                "statistics": {"z": {"count": 1, "missing": 0, "distinct": 1, "levels": {"y": 2, "b": 1}}},
            }
            values = {"id": of.version_id, "number": number, "at": f"2026-03-01T1{number}:00:00.000000+00:00"}
            connection.execute(insert, {**values, "document": json.dumps(document)})
    engine.dispose()
    store = open_store(url, "acme")
    assert find(store, "flights@main") == 2
    assert find(store, "flights@2026-03-01T11:30") == 1
    with store.reading() as tx:
        known = datasets.versions(tx)
        assert list(known[1].statistics["z"].levels) == ["y", "b"]
        assert datasets.versions(tx, statistics=False)[0].statistics == {}
        assert [ref.updated_by for ref in refs.list_refs(tx)] == ["me"]
    store.close()


def test_content_that_came_again_came_when_it_did_and_not_when_it_was_first_made(store: Store) -> None:
    first = add(store, 1)
    add(store, 2)
    with store.writing() as tx:
        datasets.add_version(tx, first, at=START + timedelta(hours=6), by="you")
        assert refs.list_moves(tx, "flights")[-1].by == "you"
    assert [find(store, f"flights@2026-03-01T{hour}:30") for hour in (10, 12, 15)] == [1, 2, 1]
