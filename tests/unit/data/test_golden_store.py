"""A store that an earlier build has written: every release loads it, to the last bit.

To add to it when a new format comes, `python -m tests.unit.data.test_golden_store` writes a store of that
format beside the files that are there, which stay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.unit.data.families import FAMILIES
from tests.unit.data.memory_store import MemoryStore

from everloop.data import manifest
from everloop.data.identity import version_id

FOLDER = Path(__file__).parent / "golden"


def tables() -> list[pa.Table]:
    """Of every family of types; and a history with a patch, an order and new rows."""
    ids = np.arange(3_000)
    first = pa.table({"id": ids, "x": ids % 50 / 4, "s": [f"name {n % 9}" for n in ids]})
    second = first.set_column(1, "x", pa.array(np.where(ids % 500 == 7, -1.0, ids % 50 / 4)))
    third = pa.concat_tables(
        [second.slice(100, 50), second.slice(0, 90), second.slice(150), first.slice(0, 40)]
    )
    return [*FAMILIES.values(), first, second, third]


def test_what_was_written_once_is_read_for_ever() -> None:
    store = MemoryStore(
        {path.stem: path.read_bytes() for path in FOLDER.glob("*.pack")},
        {path.stem: path.read_bytes() for path in FOLDER.glob("*.manifest")},
    )
    assert len(store.manifests) >= len(FAMILIES) + 3
    for table in tables():
        name = version_id(table)
        loaded = store.load(name)
        assert version_id(loaded) == name
        assert loaded.schema.names == table.schema.names
    assert any(store.open(name).manifest.order is not None for name in store.manifests)
    columns = [column for data in store.manifests.values() for column in manifest.load(data).columns]
    assert any(column.patches for column in columns)


def write() -> None:
    store, parent = MemoryStore(), None
    for table in tables():
        parent = store.keep(table, parent)
    FOLDER.mkdir(exist_ok=True)
    for name, data in store.packs.items():
        (FOLDER / f"{name}.pack").write_bytes(data)
    for name, data in store.manifests.items():
        (FOLDER / f"{name}.manifest").write_bytes(data)


if __name__ == "__main__":
    write()
