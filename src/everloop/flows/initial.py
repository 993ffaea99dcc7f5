"""A sample project: settings with a comment on every line, data, a README. It overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import Conflict
from everloop.data import writing
from everloop.data.examples import sources

_NAMES = {"iris": ("iris", "iris"), "customers": ("churn", "churn"), "flights": ("flights", "late")}
_FIRST = datetime(2013, 3, 1, tzinfo=UTC)
_THEN = datetime(2013, 4, 1, tzinfo=UTC)


def create(folder: Path, example: str, write_file: Callable[[Path, bytes], None]) -> list[str]:
    """Write the sample project and return its files, from ``folder``.

    ``example`` is ``iris``, ``customers`` or ``flights``. Raises Conflict when one of the files is there, and
    MissingExtra for flights without their package; then nothing is written.
    """
    wanted = _files(example)
    there = [name for name in wanted if (folder / name).exists()]
    if there:
        raise Conflict(
            f"There is already {' and '.join(there)} in {folder}.",
            remedy="Name another folder, or move what is there: init overwrites nothing.",
        )
    contents = {name: make() for name, make in wanted.items()}
    for name, content in contents.items():
        write_file(folder / name, content)
    return list(contents)


def _files(example: str) -> Mapping[str, Callable[[], bytes]]:
    """Each file's name and how its content is made. The settings come last: with them it is a project."""
    later = _LATER.get(example)
    return {
        **_DATA[example],
        "README.md": lambda: _readme(example, later),
        ".gitignore": lambda: _template("gitignore"),
        "everloop.yaml": lambda: _template(f"{example}.yaml"),
    }


def _template(name: str) -> bytes:
    return files(__package__).joinpath("templates", name).read_bytes()


def _readme(example: str, later: str | None) -> bytes:
    project, model = _NAMES[example]
    command = f"everloop run --data {later}" if later else ""
    extra = f"{command}    # later data arrive\n" if later else ""
    return _template("README.md").decode().format(project=project, model=model, later=extra).encode()


def _customers(**dials: float) -> pa.Table:
    return sources.table("customers", missing=0.02, **dials)


def _between(low: datetime | None, high: datetime) -> pa.Table:
    table = sources.table("flights")
    kind = table.schema.field("scheduled").type
    chosen = pc.less(table["scheduled"], pa.scalar(high).cast(kind))
    if low is not None:
        chosen = pc.and_(chosen, pc.greater_equal(table["scheduled"], pa.scalar(low).cast(kind)))
    return table.filter(chosen)


_DATA: Mapping[str, Mapping[str, Callable[[], bytes]]] = {
    "iris": {"data/iris.csv": lambda: writing.to_bytes(sources.table("iris"), ".csv")},
    "customers": {
        "data/customers.csv": lambda: writing.to_bytes(_customers(rows=4000), ".csv"),
        "data/customers-later.csv": lambda: writing.to_bytes(
            _customers(rows=2000, seed=7, drift=1.0), ".csv"
        ),
    },
    "flights": {
        "data/flights.parquet": lambda: writing.to_bytes(_between(None, _FIRST), ".parquet"),
        "data/flights-march.parquet": lambda: writing.to_bytes(_between(_FIRST, _THEN), ".parquet"),
    },
}
_LATER = {"customers": "data/customers-later.csv", "flights": "data/flights-march.parquet"}
