"""Releases, who answers since when, and the looks at releases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from everloop.core.documents import dump, load
from everloop.core.errors import NotFound, nearest
from everloop.core.releases import OPEN, Look, Release, Traffic

from .database import Row, Tx
from .tables import looks, releases, traffic
from .times import to_text

_R, _T = releases.c, traffic.c


def begin(tx: Tx, model: str) -> None:
    """Changes of a model's releases come one after the other."""
    tx.lock(f"releases/{model}")


def put(tx: Tx, release: Release) -> None:
    tx.put(
        releases,
        release_id=release.release_id,
        model=release.model,
        environment=release.environment,
        status=release.status,
        created_at=to_text(release.created_at),
        document=dump(release),
    )


def find(tx: Tx, release_id: str) -> Release:
    """The release with this id, or a unique ending or beginning of one (4 characters or more)."""
    row = tx.row(releases, _R.release_id == release_id)
    if row is not None:
        return load(Release, row["document"])
    part = release_id.lower()
    known = tx.distinct(releases, "release_id")
    matching = [name for name in known if len(part) >= 4 and (name.startswith(part) or name.endswith(part))]
    if len(matching) == 1:
        return find(tx, matching[0])
    if matching:
        shown = ", ".join(matching[:5])
        raise NotFound(f"'{release_id}' fits several releases: {shown}.", remedy="Give more of it.")
    raise NotFound(
        f"There is no release '{release_id}'.",
        remedy=nearest(release_id, known[-12:]) + " 'everloop release list' shows all.",
    )


def list_releases(
    tx: Tx,
    model: str | None = None,
    environment: str | None = None,
    *,
    statuses: Sequence[str] = (),
    limit: int | None = None,
) -> list[Release]:
    """Newest first."""
    wanted = [_R.model == model] if model else []
    wanted += [_R.environment == environment] if environment else []
    wanted += [_R.status.in_(statuses)] if statuses else []
    rows = tx.rows(releases, *wanted, newest=True, by="created_at", limit=limit)
    return [load(Release, row["document"]) for row in rows]


def open_release(tx: Tx, model: str, environment: str) -> Release | None:
    """The release of a model that waits or runs in an environment."""
    found = list_releases(tx, model, environment, statuses=OPEN, limit=1)
    return found[0] if found else None


def direct(tx: Tx, entry: Traffic) -> None:
    """Put an entry in force. Its ``sequence`` is one more than that of the last one, which the table holds
    everybody to."""
    tx.add(
        traffic,
        model=entry.model,
        environment=entry.environment,
        sequence=entry.sequence,
        at=to_text(entry.at),
        release_id=entry.release_id,
        champion=entry.champion,
        document=dump(entry),
    )


def in_force(tx: Tx, model: str, environment: str, at: datetime | None = None) -> Traffic | None:
    """Who answers [now]; None while nothing was released to the environment."""
    wanted = [_T.model == model, _T.environment == environment]
    if at is None:
        rows = tx.rows(traffic, *wanted, newest=True, limit=1)
    else:
        rows = tx.rows(traffic, *wanted, _T.at <= to_text(at), newest=True, by="at", limit=2)
        rows = sorted(rows, key=lambda row: (row["at"], row["sequence"]), reverse=True)
    return _entry(rows[0]) if rows else None


def list_traffic(
    tx: Tx, model: str, environment: str, *, release_id: str | None = None, limit: int | None = None
) -> list[Traffic]:
    """Newest first."""
    wanted = [_T.model == model, _T.environment == environment]
    wanted += [_T.release_id == release_id] if release_id else []
    return [_entry(row) for row in tx.rows(traffic, *wanted, newest=True, limit=limit)]


def champion_since(tx: Tx, model: str, environment: str) -> datetime | None:
    """Since when the champion in an environment has been that without a break."""
    since = None
    current = in_force(tx, model, environment)
    wanted = [_T.model == model, _T.environment == environment]
    for row in tx.rows(traffic, *wanted, newest=True, only=("champion", "at", "sequence")):
        if current is None or row["champion"] != current.champion:
            break
        since = datetime.fromisoformat(row["at"])
    return since


def champions(tx: Tx, model: str, environment: str) -> list[tuple[str, str, str]]:
    """What put each champion in its place, oldest first: the change, its version, its release."""
    found: list[tuple[str, str, str]] = []
    for entry in reversed(list_traffic(tx, model, environment)):
        if entry.change in ("promoted", "rolled_back") and (not found or found[-1][1] != entry.champion):
            found.append((entry.change, entry.champion, entry.release_id))
    return found


def marks(tx: Tx) -> tuple[tuple[str, str, int], ...]:
    """Something that is different when any traffic is."""
    newest = select(_T.model, _T.environment, func.max(_T.sequence).label("n")).group_by(
        _T.model, _T.environment
    )
    found = tx.select(newest, traffic)
    return tuple(sorted((str(row["model"]), str(row["environment"]), int(row["n"])) for row in found))


def add_look(tx: Tx, look: Look) -> None:
    tx.add(
        looks,
        release_id=look.release_id,
        sequence=look.sequence,
        at=to_text(look.at),
        verdict=look.verdict,
        document=dump(look),
    )


def list_looks(tx: Tx, release_id: str, limit: int | None = None) -> list[Look]:
    """Oldest first; with ``limit`` the newest of them."""
    rows = tx.rows(looks, looks.c.release_id == release_id, newest=True, limit=limit)
    return [load(Look, row["document"]) for row in reversed(rows)]


def _entry(row: Row) -> Traffic:
    return load(Traffic, row["document"])
