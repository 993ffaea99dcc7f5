"""Releases, who answers since when, and the looks at releases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from everloop.core.documents import dump, load
from everloop.core.releases import OPEN, Look, Release, Traffic

from . import ids
from .database import Row, Tx
from .tables import looks, releases, traffic
from .times import to_text

_R, _T, _L = releases.c, traffic.c, looks.c


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
    row = ids.find(tx, _R.release_id, release_id, noun="release", listing="everloop release list")
    return load(Release, row["document"])


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


def last_outcomes(tx: Tx, model: str, environment: str) -> dict[str, str]:
    """The status of the release of each version that ended last. No document is read whole: there may be
    many."""
    of = _R.document
    ended = func.coalesce(of["finished_at"].as_string(), of["created_at"].as_string())
    query = select(of["version"].as_string().label("version"), _R.status, ended.label("ended"))
    query = query.where(_R.model == model, _R.environment == environment)
    query = query.where(_R.status.in_(("promoted", "rolled_back")))
    rows = sorted(tx.select(query, releases), key=lambda row: str(row["ended"]))
    return {row["version"]: row["status"] for row in rows}


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
        change=entry.change,
        document=dump(entry),
    )


def in_force(tx: Tx, model: str, environment: str, at: datetime | None = None) -> Traffic | None:
    """Who answers [now]; None while nothing was released to the environment."""
    found = list_traffic(tx, model, environment, until=at, limit=1)
    return found[0] if found else None


def list_traffic(
    tx: Tx,
    model: str,
    environment: str,
    *,
    release_id: str | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[Traffic]:
    """Newest first."""
    query = select(_T.document).where(*_there(model, environment))
    if release_id:
        query = query.where(_T.release_id == release_id)
    if until is not None:
        query = query.where(_T.at <= to_text(until)).order_by(_T.at.desc())
    rows = tx.select(query.order_by(_T.sequence.desc()).limit(limit), traffic)
    return [load(Traffic, row["document"]) for row in rows]


def first(tx: Tx, model: str, environment: str) -> Traffic | None:
    """What was in force first."""
    rows = tx.rows(traffic, *_there(model, environment), limit=1)
    return load(Traffic, rows[0]["document"]) if rows else None


def champion_since(tx: Tx, model: str, environment: str, until: datetime | None = None) -> datetime | None:
    """Since when the champion in an environment [of a moment] has been that without a break."""
    found = [row for row in _took_over(tx, model, environment) if not until or row["at"] <= to_text(until)]
    beginning = first(tx, model, environment)
    if beginning is None or (until is not None and beginning.at > until):
        return None
    if not found or (len(found) == 1 and found[0]["champion"] == beginning.champion):
        return beginning.at
    return datetime.fromisoformat(found[-1]["at"])


def champions(tx: Tx, model: str, environment: str) -> list[tuple[str, str, str]]:
    """What put each champion in its place, oldest first: the change, its version, its release."""
    found = _took_over(tx, model, environment)
    return [(row["change"], row["champion"], row["release_id"]) for row in found]


def reigns(tx: Tx, model: str, environment: str) -> list[tuple[datetime, str]]:
    """Since when each champion was that, oldest first; a version may come back."""
    beginning = first(tx, model, environment)
    found = [(beginning.at, beginning.champion)] if beginning else []
    for row in _took_over(tx, model, environment):
        if found[-1][1] != row["champion"]:
            found.append((datetime.fromisoformat(row["at"]), row["champion"]))
    return found


def _took_over(tx: Tx, model: str, environment: str) -> list[Row]:
    """The changes that made another version champion, oldest first."""
    columns = (_T.change, _T.champion, _T.release_id, _T.at, _T.sequence)
    wanted = (*_there(model, environment), _T.change.in_(("promoted", "rolled_back")))
    rows = tx.select(
        select(*columns).where(*wanted), traffic
    )  # not ordered there: that would read all others
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: int(row["sequence"])):
        if not found or found[-1]["champion"] != row["champion"]:
            found.append(row)
    return found


def _there(model: str, environment: str) -> tuple[ColumnElement[bool], ...]:
    return (_T.model == model, _T.environment == environment)


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


def list_looks(
    tx: Tx, release_id: str, limit: int | None = None, *, until: datetime | None = None
) -> list[Look]:
    """Oldest first; with ``limit`` the newest of them."""
    query = select(_L.document).where(_L.release_id == release_id)
    if until is not None:
        query = query.where(_L.at <= to_text(until)).order_by(_L.at.desc())
    rows = tx.select(query.order_by(_L.sequence.desc()).limit(limit), looks)
    return [load(Look, row["document"]) for row in reversed(rows)]


def some_looks(tx: Tx, release_id: str, most: int) -> list[Look]:
    """At most about so many looks at a release, at even distances, the newest among them, oldest first."""
    newest = tx.rows(looks, _L.release_id == release_id, newest=True, limit=1, only=("sequence",))
    if not newest:
        return []
    count = int(newest[0]["sequence"])
    apart = max(1, -(-count // most))
    chosen = (_L.release_id == release_id, _L.sequence % apart == count % apart)
    return [load(Look, row["document"]) for row in tx.rows(looks, *chosen)]


def verdicts(tx: Tx, release_ids: Sequence[str]) -> list[Look]:
    """The looks at these releases that changed something, oldest first."""
    wanted = (
        _L.release_id.in_(release_ids),
        _L.verdict.in_(("advance", "promote", "roll_back", "inconclusive")),
    )
    rows = tx.select(select(_L.document).where(*wanted).order_by(_L.at, _L.sequence), looks)
    return [load(Look, row["document"]) for row in rows]
