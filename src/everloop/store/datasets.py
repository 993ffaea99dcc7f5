"""Dataset versions and contracts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from everloop.core.contracts import Contract
from everloop.core.data import DataRef, DatasetVersion
from everloop.core.documents import dump, load
from everloop.core.errors import Conflict, Corrupt, Invalid, UnknownVersion, close, nearest
from everloop.data import names

from . import refs
from .database import Row, Tx
from .tables import contracts, dataset_versions
from .times import to_text

_COLUMNS = dataset_versions.c
_BRIEF = ("dataset", "version_id", "sequence", "created_at", "document")


def add_version(
    tx: Tx,
    version: DatasetVersion,
    branch: str = names.MAIN,
    *,
    at: datetime | None = None,
    by: str | None = None,
) -> DatasetVersion:
    """Record a version once and put the branch there: the same content again gives the version that is there.

    ``at`` and ``by``: when and through whom the branch came there [when and by whom the version was made].
    Without a parent it follows the branch's head. A branch that is not there begins at the head of ``main``.
    Raises Invalid for an impossible name of a dataset or branch, Conflict where a tag has it.
    """
    check_name(tx, version.dataset)
    there = _branch(tx, version.dataset, branch)
    known = known_version(tx, version.version_id, version.dataset)
    if known is not None:
        if there is None or there.version_id != known.version_id:
            at, by = at or version.created_at, by or version.created_by
            refs.move(tx, DataRef(known.dataset, branch, "branch", known.version_id, at, by), "came again")
        return known
    above = there.version_id if there else refs.head(tx, version.dataset)
    placed = replace(
        version,
        sequence=tx.next_sequence(dataset_versions, _COLUMNS.dataset == version.dataset),
        parent=version.parent or above,
    )
    _insert(tx, placed)
    ref = DataRef(placed.dataset, branch, "branch", placed.version_id, placed.created_at, placed.created_by)
    refs.move(tx, ref, "registered")
    return placed


def set_parent(tx: Tx, version: DatasetVersion, parent: str | None) -> None:
    """Put a recorded version behind another; what it holds stays."""
    document: dict[str, Any] = dump(replace(version, parent=parent))
    document.pop("statistics")
    wanted = (_COLUMNS.dataset == version.dataset, _COLUMNS.version_id == version.version_id)
    tx.change(dataset_versions, *wanted, document=document)


def check_name(tx: Tx, dataset: str) -> None:
    """Raises Invalid where there is no such dataset and none can be called so."""
    try:
        names.check_dataset(dataset)
    except Invalid:
        if not isinstance(dataset, str) or dataset not in datasets(tx):
            raise


def versions(tx: Tx, dataset: str | None = None, *, statistics: bool = True) -> list[DatasetVersion]:
    """Oldest first. ``statistics=False`` leaves them out: they are most of what is known of a version."""
    wanted = [_COLUMNS.dataset == dataset] if dataset else []
    only = None if statistics else _BRIEF
    return [_version(row) for row in tx.rows(dataset_versions, *wanted, by="created_at", only=only)]


def datasets(tx: Tx) -> list[str]:
    return tx.distinct(dataset_versions, "dataset")


def known_version(
    tx: Tx, version_id: str, dataset: str | None = None, *, statistics: bool = True
) -> DatasetVersion | None:
    """The version with exactly this id."""
    wanted = [_COLUMNS.version_id == version_id, *([_COLUMNS.dataset == dataset] if dataset else [])]
    only = None if statistics else _BRIEF
    rows = tx.rows(dataset_versions, *wanted, by="created_at", limit=1, only=only)
    return _version(rows[0]) if rows else None


def find_version(
    tx: Tx, version_id: str, dataset: str | None = None, *, statistics: bool = True
) -> DatasetVersion:
    """The version with this id, a unique beginning of one (4 characters or more), a tag or branch, ``latest``
    (where ``main`` stands), or a time (where ``main`` stood then); ``~2`` after it: the second before it.

    ``DATASET@WHAT`` says the dataset; only ids and their beginnings do without one. Raises UnknownVersion.
    """
    spec = names.parse(version_id)
    named, what = spec.dataset or dataset, spec.what
    found_id = _exact(tx, named, what) or _by_name(tx, named, what) or _by_beginning(tx, named, what)
    if found_id is None:
        raise _unknown(tx, named, what)
    found = known_version(tx, found_id, named, statistics=statistics and not spec.back)
    if found is None:
        raise UnknownVersion(
            f"'{version_id}' stands at {found_id[:12]}, which is no longer there.",
            remedy="'everloop data list' shows what is.",
        )
    if not spec.back:
        return found
    above = _before(tx, found, spec.back)
    return (known_version(tx, above.version_id, above.dataset) or above) if statistics else above


def _exact(tx: Tx, dataset: str | None, what: str) -> str | None:
    wanted = [_COLUMNS.version_id == what, *([_COLUMNS.dataset == dataset] if dataset else [])]
    return what if what and tx.count(dataset_versions, *wanted) else None


def _by_name(tx: Tx, dataset: str | None, what: str) -> str | None:
    """The id that a tag, a branch, ``latest`` or a time stands for."""
    if dataset is None:
        if what != names.LATEST:
            return None
        rows = tx.rows(dataset_versions, newest=True, by="created_at", limit=1, only=("dataset",))
        return refs.head(tx, rows[0]["dataset"]) if rows else None
    if what == names.LATEST:
        return refs.head(tx, dataset)
    ref = refs.find_ref(tx, dataset, what)
    if ref is not None:
        return ref.version_id
    moment = names.as_time(what)
    return refs.stood_at(tx, dataset, moment) if moment is not None else None


def _by_beginning(tx: Tx, dataset: str | None, what: str) -> str | None:
    if not names.is_prefix(what):
        return None
    wanted = [_COLUMNS.version_id >= what.lower(), _COLUMNS.version_id < f"{what.lower()}g"]
    wanted += [_COLUMNS.dataset == dataset] if dataset else []
    rows = tx.rows(dataset_versions, *wanted, by="version_id", limit=100, only=("version_id",))
    found = list(dict.fromkeys(row["version_id"] for row in rows))
    if len(found) > 1:
        shown = ", ".join(each[:12] for each in found[:5])
        raise UnknownVersion(
            f"'{what}' is the beginning of several versions: {shown}.", remedy="Give more of it."
        )
    return found[0] if found else None


def _before(tx: Tx, version: DatasetVersion, back: int) -> DatasetVersion:
    here = version
    for step in range(back):
        above = known_version(tx, here.parent, here.dataset, statistics=False) if here.parent else None
        if above is None:
            raise UnknownVersion(
                f"{version.dataset}@{version.short} has {step} version{'' if step == 1 else 's'} before it, "
                f"not {back}.",
                remedy=f"'everloop data log {version.dataset}' shows them.",
            )
        here = above
    return here


def _unknown(tx: Tx, dataset: str | None, what: str) -> UnknownVersion:
    """What is wrong with a name that leads nowhere, and the nearest one that does."""
    there = datasets(tx)
    if not there:
        return UnknownVersion(
            f"There is no data version '{what}'.", remedy="'everloop data add FILE' makes the first."
        )
    if dataset is not None and dataset not in there:
        return UnknownVersion(f"There is no dataset '{dataset}'.", remedy=nearest(dataset, there))
    moment = names.as_time(what)
    if moment is not None and dataset is None:
        return UnknownVersion(f"Of which dataset, at {what}?", remedy=f"Write it as {there[0]}@{what}.")
    if moment is not None:
        first = tx.rows(dataset_versions, _COLUMNS.dataset == dataset, limit=1, only=("created_at",))
        return UnknownVersion(
            f"{dataset} had no version yet at {to_text(moment)[:16]} UTC.",
            remedy=f"Its first came at {first[0]['created_at'][:16]} UTC.",
        )
    known = refs.list_refs(tx, dataset)
    holders = [f"{ref.dataset}@{ref.name}" for ref in known if ref.name == what]
    if dataset is None and (what in there or holders):
        return UnknownVersion(
            f"There is no data version '{what}'.",
            remedy=f"Did you mean '{holders[0] if holders else f'{what}@{names.LATEST}'}'?",
        )
    near = [name for name in there if dataset is None and close(what, [name])]
    if near:
        return UnknownVersion(
            f"There is no data version '{what}'.", remedy=f"Did you mean '{near[0]}@{names.LATEST}'?"
        )
    wanted = [_COLUMNS.dataset == dataset] if dataset else []
    rows = tx.rows(dataset_versions, *wanted, newest=True, by="created_at", limit=12, only=("version_id",))
    nearby = [*(ref.name for ref in known if dataset), *(row["version_id"][:12] for row in rows)]
    of = f" of {dataset}" if dataset else ""
    return UnknownVersion(
        f"There is no data version '{what}'{of}.",
        remedy=f"{nearest(what, nearby)} 'everloop data list' shows all.",
    )


def _branch(tx: Tx, dataset: str, branch: str) -> DataRef | None:
    tx.lock(f"dataset/{dataset}")
    there = refs.find_ref(tx, dataset, branch)
    if there is not None and there.kind != "branch":
        raise Conflict(f"'{branch}' is a tag of {dataset}, which stays where it is.", remedy="Name a branch.")
    if there is None and branch != names.MAIN:
        names.check(branch)
    return there


def _insert(tx: Tx, version: DatasetVersion) -> None:
    document: dict[str, Any] = dump(version)
    statistics = document.pop("statistics")
    tx.add(
        dataset_versions,
        dataset=version.dataset,
        version_id=version.version_id,
        sequence=version.sequence,
        created_at=to_text(version.created_at),
        document=document,
        statistics=statistics,
    )


def _version(row: Row) -> DatasetVersion:
    kept = row["document"] if isinstance(row["document"], dict) else {}
    document = {"statistics": row.get("statistics") or {}, **kept}
    try:
        return load(DatasetVersion, document)
    except Corrupt as error:
        where = f"In the table dataset_versions, {row['dataset']}/{row['version_id']}"
        raise Corrupt(f"{where}: {error.message}", remedy=error.remedy) from error


def add_contract(tx: Tx, model: str, contract: Contract, at: str) -> None:
    """Record the contract that a model's data are checked against, if it is not the newest already."""
    if newest_contract(tx, model) == contract:
        return
    sequence = tx.next_sequence(contracts, contracts.c.model == model)
    tx.add(contracts, model=model, sequence=sequence, created_at=at, document=dump(contract))


def newest_contract(tx: Tx, model: str) -> Contract | None:
    rows = tx.rows(contracts, contracts.c.model == model, newest=True, limit=1)
    return load(Contract, rows[0]["document"]) if rows else None
