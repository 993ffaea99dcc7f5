"""Changes are kept where backups are made, in the order of the commits, and make the same rows again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from everloop.core.errors import Corrupt
from everloop.store import changes, history, models, outbox, replay
from everloop.store.database import LAPSE, Store, Tx, open_store, to_json
from everloop.store.migrations import HEAD
from everloop.store.replay import Change
from everloop.store.tables import BACKED_UP, aliases, events
from tests.clocks import Hands

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PLACE = "/backups"


@pytest.fixture
def clock() -> Hands:
    return Hands(NOW, 1)


@pytest.fixture
def kept(url: str, clock: Hands) -> Iterator[Store]:
    store = open_store(url, "acme", clock)
    yield store
    store.close()


def begin(store: Store, clock: Hands) -> changes.Mark:
    with store.writing() as tx:
        return changes.begin(tx, PLACE, clock)[0]


def note(store: Store, said: str) -> None:
    with store.writing() as tx:
        history.append(tx, "m", "noted", said, at=NOW, by="me")


def rows(store: Store) -> dict[str, list[str]]:
    with store.snapshot() as tx:
        return {table.name: [to_json(row) for row in tx.each(table)] for table in BACKED_UP}


def base(store: Store) -> list[Change]:
    return [Change(HEAD, table, "put", row) for table, many in rows(store).items() for row in many]


def since(store: Store, sequence: int = 0) -> list[Change]:
    with store.snapshot() as tx:
        found = list(changes.since(tx, sequence))
    return [Change(row["schema"], row["table_name"], row["op"], row["content"]) for row in found]


def rebuilt(path: Path, clock: Hands, found: list[Change], schema: str | None = None) -> dict[str, list[str]]:
    store = replay.rebuild(path, "acme", clock, found, schema or HEAD)
    try:
        return rows(store)
    finally:
        store.close()


def test_where_no_backup_is_made_nothing_is_kept(kept: Store) -> None:
    note(kept, "x")
    assert since(kept) == []


def test_every_way_of_writing_makes_the_same_rows_again_at_every_commit(
    kept: Store, clock: Hands, tmp_path: Path
) -> None:
    chance = random.Random(7)
    note(kept, "before any backup")
    begin(kept, clock)
    found = base(kept)

    def write(tx: Tx) -> None:
        way, name = chance.randrange(6), chance.choice("abc")
        if way == 0:
            history.append(tx, name, "noted", f"é {chance.random()}", at=NOW, by="me")
        elif way == 1:
            history.add_metrics(tx, name, {"x": chance.random(), "y": 1.0}, at=NOW, rows=3)
        elif way == 2:
            models.set_alias(tx, name, "champion", str(chance.random()), "t")
        elif way == 3:
            models.set_alias(tx, name, "champion", None, "t")
        elif way == 4:
            outbox.post(tx, "run", f"run/{name}", {"a": [1, None, {"b": 2.5}]}, NOW)
        elif outbox.waiting(tx):
            outbox.mark_failed(tx, outbox.waiting(tx)[0]["sequence"], "no")

    for number in range(12):
        with kept.writing() as tx:
            for _ in range(chance.randrange(1, 5)):
                write(tx)
        assert rebuilt(tmp_path / f"{number}.db", clock, found + since(kept)) == rows(kept)


def test_a_row_that_came_and_went_in_one_transaction_leaves_its_removal(kept: Store, clock: Hands) -> None:
    begin(kept, clock)
    with kept.writing() as tx:
        models.set_alias(tx, "m", "champion", "1.0.0", "t")
        models.set_alias(tx, "m", "champion", None, "t")
    assert [(c.table, c.op) for c in since(kept)] == [("aliases", "remove")]


def test_what_is_rolled_back_is_not_kept(kept: Store, clock: Hands) -> None:
    begin(kept, clock)

    def interrupted() -> None:
        with kept.writing() as tx:
            models.set_alias(tx, "m", "champion", "1.0.0", "t")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert since(kept) == []


def test_a_transaction_that_began_before_the_first_backup_and_ends_after_it_is_kept(
    postgres_database: str, clock: Hands
) -> None:
    store, other = (open_store(postgres_database, "acme", clock) for _ in range(2))
    with store.writing() as tx:
        history.append(tx, "m", "noted", "late", at=NOW, by="me")
        begin(other, clock)
        with other.snapshot() as picture:
            assert picture.count(events) == 0  # the picture of all rows does not have it
    assert [change.table for change in since(store)] == ["events"]
    store.close()
    other.close()


def test_a_snapshot_sees_one_moment(postgres_database: str) -> None:
    store = open_store(postgres_database, "acme")
    note(store, "one")
    with store.snapshot() as picture:
        assert picture.count(events) == 1
        note(store, "two")
        assert picture.count(events) == 1
    store.close()


def test_changes_that_no_backup_goes_on_from_are_forgotten(kept: Store, clock: Hands) -> None:
    mark = begin(kept, clock)
    for number in range(3):
        note(kept, str(number))
        with kept.writing() as tx:
            mark = changes.find(tx, PLACE) or mark
            changes.reach(tx, mark, f"backup {number}", changes.newest(tx), clock.now())
    assert len(since(kept)) == 1  # the newest backup may be lost: the one before it can be gone on from
    with kept.reading() as tx:
        found = changes.find(tx, PLACE)
    assert found is not None
    assert found.reached("backup 1") == found.reached("backup 2") - 1
    assert found.reached("backup 0") is None


def test_without_backups_for_long_keeping_ends_by_itself(kept: Store, clock: Hands) -> None:
    begin(kept, clock)
    note(kept, "kept")
    clock.at += LAPSE
    note(kept, "the one that notices")
    note(kept, "not kept")
    assert since(kept) == []
    with kept.reading() as tx:
        assert changes.find(tx, PLACE) is None


def test_a_number_is_never_given_twice(kept: Store, clock: Hands) -> None:
    begin(kept, clock)
    note(kept, "one")
    with kept.writing() as tx:
        first = changes.newest(tx)
        changes.forget(tx)
    begin(kept, clock)
    note(kept, "two")
    with kept.reading() as tx:
        assert changes.newest(tx) > first


def test_other_tenants_changes_are_theirs(kept: Store, other: Store, clock: Hands) -> None:
    begin(kept, clock)
    note(other, "theirs")
    assert since(kept) == []
    begin(other, clock)
    note(other, "theirs")
    assert since(kept) == []
    assert len(since(other)) == 1


def test_rows_of_an_earlier_release_pass_its_migrations(clock: Hands, tmp_path: Path) -> None:
    alias = {"model": "m", "alias": "champion", "version": "1.0.0", "updated_at": "t"}
    found = [
        Change("0001", "aliases", "put", to_json(alias)),
        Change("0001", "aliases", "put", to_json({**alias, "alias": "challenger"})),
        Change(HEAD, "aliases", "remove", to_json({"model": "m", "alias": "challenger"})),
    ]
    assert rebuilt(tmp_path / "e.db", clock, found, "0001")["aliases"] == [to_json(alias)]


def test_rows_of_a_later_release_are_refused(clock: Hands, tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="upgrade everloop"):
        replay.rebuild(tmp_path / "a.db", "acme", clock, [], "9999")
    with pytest.raises(Corrupt, match="upgrade everloop"):
        replay.rebuild(tmp_path / "b.db", "acme", clock, [Change("9999", "x", "put", "{}")], "0001")


def refilled(store: Store, source: Store) -> None:
    with source.snapshot() as rows_of, store.writing() as tx:
        replay.refill(tx, rows_of)


def test_numbers_go_on_after_rows_were_put_back(kept: Store, clock: Hands, tmp_path: Path) -> None:
    for said in "abc":
        note(kept, said)
    before = rows(kept)
    copy = replay.rebuild(tmp_path / "e.db", "acme", clock, base(kept), HEAD)
    note(kept, "d")
    refilled(kept, copy)
    assert rows(kept) == before
    note(kept, "e")
    with kept.reading() as tx:
        numbers = [row["sequence"] for row in tx.rows(events)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4
    copy.close()


def test_rows_come_back_also_where_another_tenant_has_their_numbers(
    kept: Store, other: Store, clock: Hands, tmp_path: Path
) -> None:
    for said in "abc":
        note(kept, said)
    copy = replay.rebuild(tmp_path / "e.db", "acme", clock, base(kept), HEAD)
    with kept.engine.begin() as connection:
        connection.execute(text("UPDATE events SET tenant = 'other' WHERE summary = 'b'"))
    theirs = rows(other)
    refilled(kept, copy)
    with kept.reading() as tx:
        assert [row["summary"] for row in tx.rows(events)] == ["a", "b", "c"]
        assert tx.count(aliases) == 0
    assert rows(other) == theirs
    note(kept, "d")
    copy.close()
