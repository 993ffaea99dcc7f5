"""Transactions, tenants and migrations."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, InvalidSettings, MLOpsError, StorageDenied, StorageFull, Unavailable
from everloop.store import datasets, history, models, outbox, tables
from everloop.store.database import Store, open_store
from everloop.store.engine import translate
from everloop.store.migrations import HEAD

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def append(store: Store, text: str = "x") -> None:
    with store.writing() as tx:
        history.append(tx, "m", "noted", text, at=NOW, by="me")


def summaries(store: Store) -> list[str]:
    with store.reading() as tx:
        return [event.summary for event in history.list_events(tx, "m")]


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    append(store, "kept")

    def interrupted() -> None:
        with store.writing() as tx:
            history.append(tx, "m", "noted", "lost", at=NOW, by="me")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert summaries(store) == ["kept"]


def test_the_schema_in_code_is_the_schema_the_migrations_make(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD


def test_every_table_carries_a_tenant_in_its_keys(store: Store) -> None:
    for table in tables.metadata.tables.values():
        assert not table.c.tenant.nullable
        unique = [list(u["column_names"]) for u in inspect(store.engine).get_unique_constraints(table.name)]
        primary = [c.name for c in table.primary_key]
        for key in [*unique, *([primary] if primary != ["sequence"] else [])]:
            assert key[0] == "tenant", f"{table.name}: {key}"


def test_no_operation_sees_or_touches_another_tenants_rows(store: Store, other: Store) -> None:
    append(store, "ours")
    with store.writing() as tx:
        models.set_alias(tx, "m", "champion", "1.0.0", "t")
        outbox.post(tx, "run", "run/1", {"a": 1}, NOW)
    assert summaries(other) == []
    with other.writing() as tx:
        assert models.list_aliases(tx, "m") == {}
        assert tx.count(tables.events) == 0
        assert tx.distinct(tables.events, "model") == []
        assert tx.next_sequence(tables.outbox) == 1
        assert tx.change(tables.events, summary="stolen") == 0
        assert tx.remove(tables.aliases) == 0
        assert outbox.waiting(tx) == []
        outbox.post(tx, "run", "run/1", {"a": 2}, NOW)
        models.set_alias(tx, "m", "champion", "2.0.0", "t")
    assert summaries(store) == ["ours"]
    with store.reading() as tx:
        assert models.list_aliases(tx, "m") == {"champion": "1.0.0"}
        assert [entry["document"]["a"] for entry in outbox.waiting(tx)] == [1]


def test_only_the_transaction_class_touches_connections() -> None:
    """Scoping holds by construction: no other module of the store executes a statement."""
    folder = Path(tables.__file__).parent.parent
    allowed = {"database.py", "engine.py", "migrate.py", "locks.py", "env.py", "v0001_first.py"}
    allowed |= {"v0005_data_names.py", "v0007_releases.py"}
    allowed |= {"replay.py"}  # builds a file of its own, which one tenant alone has
    for path in folder.rglob("*.py"):
        if path.name not in allowed:
            assert ".execute(" not in path.read_text(), path.name
            assert "connect(" not in path.read_text(), path.name


def test_opening_again_keeps_everything(store: Store, url: str) -> None:
    append(store)
    again = open_store(url, "acme")
    assert summaries(again) == ["x"]
    again.close()


def test_a_newer_database_is_refused_with_the_remedy(store: Store, url: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Corrupt, match=r"schema 9999.*upgrade everloop"):
        open_store(url)


def test_the_outbox_keeps_order_and_takes_each_key_once(store: Store) -> None:
    with store.writing() as tx:
        for key in ("b", "a", "b", "c"):
            outbox.post(tx, "run", key, {"key": key}, NOW)
        entries = outbox.waiting(tx)
        assert [entry["key"] for entry in entries] == ["b", "a", "c"]
        outbox.mark_delivered(tx, entries[0]["sequence"], NOW)
        outbox.mark_rejected(tx, entries[1]["sequence"], "no", NOW)
        assert [entry["key"] for entry in outbox.waiting(tx)] == ["c"]
        assert [entry["key"] for entry in outbox.rejected(tx)] == ["a"]
        assert outbox.count_waiting(tx) == 1


def test_sqlite_waits_instead_of_failing_when_locked(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'e.db'}")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_a_half_made_database_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(engine: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("everloop.store.database.upgrade", broken)
    with pytest.raises(RuntimeError):
        open_store(f"sqlite:///{tmp_path / 'e.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://x/y", "SQLite and PostgreSQL are supported"),
    ],
)
def test_a_wrong_url_is_explained(url: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        open_store(url)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        open_store("postgresql+psycopg://nobody@127.0.0.1:9/none")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.db").write_bytes(b"not a database at all, really not" * 100)
    with pytest.raises(Corrupt, match="damaged"):
        open_store(f"sqlite:///{tmp_path / 'e.db'}")


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageDenied, match="cannot be made"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'deeper' / 'e.db'}")


def test_plain_sqlite_reads_what_we_wrote(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'e.db'}", "acme")
    append(store, "readable")
    store.close()
    with sqlite3.connect(tmp_path / "e.db") as plain:
        assert plain.execute("SELECT tenant, summary FROM events").fetchall() == [("acme", "readable")]
    plain.close()


def test_a_document_that_is_no_json_is_told_with_its_row(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'db'}", "acme")
    for dataset in ("good", "bad"):
        with store.writing() as tx:
            datasets.add_version(tx, version(dataset))
    for garbage in ("{cut", "{}", "[1]", '{"format": 1}'):
        with sqlite3.connect(tmp_path / "db") as raw:
            raw.execute("UPDATE dataset_versions SET document = ? WHERE dataset = 'bad'", [garbage])
        raw.close()
        with store.reading() as tx:
            assert datasets.versions(tx, "good")
        with pytest.raises(Corrupt, match=r"dataset_versions.* bad/aaaa") as raised, store.reading() as tx:
            datasets.versions(tx)
        assert "everloop backup restore" in raised.value.remedy
        assert "newer" not in str(raised.value)
    store.close()


def version(dataset: str) -> DatasetVersion:
    return DatasetVersion(
        dataset=dataset,
        version_id="a" * 64,
        sequence=0,
        rows=1,
        columns=(),
        statistics={},
        source="x",
        hash_algorithm="sha256",
        created_at=NOW,
        created_by="me",
    )


def test_a_table_that_is_gone_is_a_damage_and_no_silence(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE events"))
    with pytest.raises(Corrupt, match="events") as raised:
        summaries(store)
    assert "restore" in raised.value.remedy


@pytest.mark.parametrize(("free", "expected"), [(0, StorageFull), (1 << 30, Unavailable)])
def test_a_disk_that_fails_is_not_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, free: int, expected: type[MLOpsError]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    failed = OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error"))
    told = translate(failed, make_url("sqlite:////tmp/x.db"))
    assert isinstance(told, expected)
    assert "space" in str(told)
    assert "server" not in str(told)


@pytest.fixture
def rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """What may not be done, by the name of the file or folder."""
    denied: set[tuple[str, int]] = set()
    before = os.access

    def access(path: Path, how: int, **chosen: Any) -> bool:
        inside = (path.name, how) if path != tmp_path else ("folder", how)
        return inside not in denied and before(path, how, **chosen)

    monkeypatch.setattr("os.access", access)
    return denied


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("db", "can be read, but cannot be written."),
        ("folder", "can be read, but cannot be written: its folder cannot"),
    ],
)
def test_a_database_that_cannot_be_written_can_be_read_until_it_may_be_written(
    tmp_path: Path, rights: set[tuple[str, int]], what: str, said: str
) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    writable = open_store(url)
    append(writable, "kept")
    writable.close()
    there = sorted(tmp_path.iterdir())
    rights.add((what, os.W_OK))
    store = open_store(url)
    assert summaries(store) == ["kept"]
    with pytest.raises(StorageDenied, match=f"The database {tmp_path}/db {said}"):
        append(store)
    denied = store.denied()
    assert denied is not None
    assert said in denied.message
    assert sorted(tmp_path.iterdir()) == there
    rights.clear()
    assert store.denied() is None
    append(store, "more")
    assert summaries(store) == ["kept", "more"]
    store.close()
