"""Which files under DVC are which data versions."""

from __future__ import annotations

from everloop.core.documents import dump, load
from everloop.core.dvc import DvcFile

from .database import Tx
from .tables import dvc_files
from .times import to_text


def add_file(tx: Tx, file: DvcFile) -> None:
    """Record it once: what was known first stays."""
    tx.add_once(
        dvc_files,
        ("dataset", "repository", "path", "commit_id", "md5"),
        dataset=file.dataset,
        repository=file.repository,
        path=file.path,
        commit_id=file.commit,
        md5=file.md5,
        version_id=file.version_id,
        at=to_text(file.at),
        document=dump(file),
    )


def files(tx: Tx, dataset: str | None = None, version_id: str | None = None) -> list[DvcFile]:
    """Oldest first; of one dataset or version, or all."""
    columns = dvc_files.c
    wanted = [columns.dataset == dataset] if dataset is not None else []
    wanted += [columns.version_id == version_id] if version_id is not None else []
    return [load(DvcFile, row["document"]) for row in tx.rows(dvc_files, *wanted, by="at")]
