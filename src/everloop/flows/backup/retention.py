"""Which backups to keep, and the removal of the others with all that nobody needs any longer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from everloop.core.errors import Corrupt
from everloop.flows.project import Project
from everloop.flows.saved import Backup, Target, open_target
from everloop.settings.schema import Keep

GRACE = timedelta(days=1)  # a backup that is at work elsewhere may be about to name what it has copied


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be. ``kept`` says why of each backup that stays; ``unread`` names those that
    are damaged: what they need is not known, so no objects go as long as they are there."""

    removed: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    objects: int
    bytes: int
    dry_run: bool
    unread: tuple[str, ...] = ()


def choose(backups: Sequence[tuple[str, datetime]], keep: Keep) -> dict[str, str]:
    """The backups to keep and why: the newest ``last`` ones, and the newest of each of the most recent days,
    ISO weeks and months (UTC) that have one."""
    newest_first = sorted(backups, key=lambda each: (each[1], each[0]), reverse=True)
    kept = {name: "last" for name, _ in newest_first[: keep.last]}
    periods: Iterable[tuple[str, int, Callable[[datetime], Hashable]]] = (
        ("daily", keep.daily, lambda at: at.date()),
        ("weekly", keep.weekly, lambda at: at.isocalendar()[:2]),
        ("monthly", keep.monthly, lambda at: (at.year, at.month)),
    )
    for why, many, period_of in periods:
        seen: set[Hashable] = set()
        for name, at in newest_first:
            period = period_of(at.astimezone(UTC))
            if period not in seen and len(seen) < many:
                seen.add(period)
                kept.setdefault(name, why)
    return kept


def prune(
    project: Project, place: str | None = None, *, dry_run: bool = False, keep: Keep | None = None
) -> Pruned:
    """Remove the backups that the policy does not keep, then what none of the kept ones needs.

    What was written within GRACE stays for a backup that is at work on another machine. Interrupted, the next
    one goes on. While one that stays cannot be read nobody knows what it needs, and all objects stay.
    """
    target = open_target(project, place)
    with project.locks.hold("backup"):
        return sweep(project, target, keep or project.settings.backup.keep, dry_run=dry_run)


def sweep(project: Project, target: Target, keep: Keep, *, dry_run: bool = False) -> Pruned:
    """``prune`` for one that holds the lock."""
    found = target.found()
    chosen = choose([(backup.id, backup.at) for backup in found.backups if not backup.aside], keep)
    chosen |= {backup.id: "last" for backup in [one for one in found.backups if one.aside][-keep.last :]}
    kept = [backup for backup in found.backups if backup.id in chosen]
    leaving = [backup for backup in found.backups if backup.id not in chosen]
    needed, unread = _needed(target, kept)
    unread = [*map(target.blobs.where, found.damaged), *unread]
    until = project.clock.now() - GRACE
    waste = [
        entry
        for folder in (() if unread else ("metadata", "objects"))
        for entry in target.blobs.entries(f"{target.tenant}/{folder}/")
        if entry.key not in needed and entry.modified < until
    ]
    if not dry_run:
        for backup in leaving:
            target.remove(backup)
        for entry in waste:
            target.blobs.remove(entry.key)
        target.blobs.sweep_drafts(until)
    return Pruned(
        removed=tuple(backup.id for backup in leaving),
        kept=tuple((backup.id, chosen[backup.id]) for backup in kept),
        objects=len(waste),
        bytes=sum(entry.size for entry in waste),
        dry_run=dry_run,
        unread=tuple(unread),
    )


def _needed(target: Target, kept: Sequence[Backup]) -> tuple[set[str], list[str]]:
    """The keys that backups need, and which of these do not tell."""
    needed, unread = set(), []
    for backup in kept:
        needed |= {target.part_key(part) for part in backup.parts}
        try:
            needed |= {target.object_key(found.sha256) for found in target.inventory(backup).values()}
        except Corrupt:
            unread.append(backup.id)
    return needed, unread
