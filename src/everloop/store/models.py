"""Runs, model versions, aliases and reference statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from everloop.core.data import ColumnStatistics
from everloop.core.documents import dump, load
from everloop.core.errors import UnknownVersion
from everloop.core.models import ModelVersion
from everloop.core.runs import Run
from everloop.core.serving import Form

from . import ids
from .database import Tx
from .tables import aliases, model_versions, references, runs
from .times import to_text


def add_run(tx: Tx, run: Run) -> None:
    tx.add(
        runs,
        run_id=run.run_id,
        model=run.model,
        turn_id=run.turn_id,
        created_at=to_text(run.started_at),
        document=dump(run),
        data_version=run.data_version,
    )


def list_runs(tx: Tx, model: str | None = None, limit: int | None = None) -> list[Run]:
    """Newest first."""
    wanted = [runs.c.model == model] if model else []
    found = tx.rows(runs, *wanted, newest=True, by="created_at", limit=limit)
    return [load(Run, row["document"]) for row in found]


def runs_on(tx: Tx, data_version: str) -> list[Run]:
    """The runs that were trained on a data version, oldest first."""
    found = tx.rows(runs, runs.c.data_version == data_version, by="created_at")
    return [load(Run, row["document"]) for row in found]


def find_run(tx: Tx, run_id: str) -> Run:
    """The run with this id or a unique ending or beginning of one (4 characters or more)."""
    row = ids.find(tx, runs.c.run_id, run_id, noun="run", listing="everloop runs list", kind=UnknownVersion)
    return load(Run, row["document"])


def add_model_version(tx: Tx, version: ModelVersion) -> None:
    sequence = tx.next_sequence(model_versions, model_versions.c.model == version.model)
    tx.add(
        model_versions,
        model=version.model,
        version=version.version,
        sequence=sequence,
        run_id=version.run_id,
        created_at=to_text(version.created_at),
        document=dump(version),
    )


def set_form(tx: Tx, version: ModelVersion, form: Form) -> None:
    """Keep how a version is served."""
    known = find_model_version(tx, version.model, version.version)
    if known is not None:
        kept = replace(known, form=form)
        tx.change(
            model_versions,
            model_versions.c.model == version.model,
            model_versions.c.version == version.version,
            document=dump(kept),
        )


def list_model_versions(tx: Tx, model: str | None = None) -> list[ModelVersion]:
    """Oldest first."""
    wanted = [model_versions.c.model == model] if model else []
    return [load(ModelVersion, row["document"]) for row in tx.rows(model_versions, *wanted)]


def find_model_version(tx: Tx, model: str, version: str) -> ModelVersion | None:
    """The version of a model with exactly this number."""
    row = tx.row(model_versions, model_versions.c.model == model, model_versions.c.version == version)
    return load(ModelVersion, row["document"]) if row else None


def count_versions(tx: Tx, model: str) -> int:
    return tx.count(model_versions, model_versions.c.model == model)


def registered(tx: Tx) -> list[str]:
    """The names of all models that have a version."""
    return tx.distinct(model_versions, "model")


def version_of_run(tx: Tx, run_id: str) -> ModelVersion | None:
    row = tx.row(model_versions, model_versions.c.run_id == run_id)
    return load(ModelVersion, row["document"]) if row else None


def set_alias(tx: Tx, model: str, alias: str, version: str | None, at: str) -> None:
    if version is None:
        tx.remove(aliases, aliases.c.model == model, aliases.c.alias == alias)
    else:
        tx.put(aliases, model=model, alias=alias, version=version, updated_at=at)


def list_aliases(tx: Tx, model: str) -> dict[str, str]:
    return {row["alias"]: row["version"] for row in tx.rows(aliases, aliases.c.model == model, by="alias")}


def champion(tx: Tx, model: str) -> ModelVersion | None:
    version = list_aliases(tx, model).get("champion")
    return find_model_version(tx, model, version) if version is not None else None


def set_reference(
    tx: Tx, model: str, data_version: str, statistics: Mapping[str, ColumnStatistics], at: str
) -> None:
    """What later data are compared with: the statistics of the data the champion was trained on."""
    columns = {name: dump(column) for name, column in statistics.items()}
    document = {"format": 1, "columns": columns}
    tx.put(references, model=model, data_version=data_version, updated_at=at, document=document)


def reference(tx: Tx, model: str) -> tuple[str, dict[str, ColumnStatistics]] | None:
    row = tx.row(references, references.c.model == model)
    if row is None:
        return None
    columns = row["document"]["columns"]
    return row["data_version"], {name: load(ColumnStatistics, column) for name, column in columns.items()}
