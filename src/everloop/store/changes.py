"""How far each backup has come, and the changes since: what a backup reads and when they may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from everloop.core.clock import Clock

from .database import LAPSE, Row, Tx
from .tables import BACKED_UP, backup_marks, changes
from .times import to_text


@dataclass(frozen=True)
class Mark:
    """The newest backup in a target, the one before it, and the last change that each of them holds."""

    target: str
    at: datetime
    backup_id: str | None
    sequence: int
    earlier_id: str | None
    earlier_sequence: int

    def reached(self, backup_id: str | None) -> int | None:
        """The last change in a backup from which a next one can go on; None where it cannot."""
        known = {self.backup_id: self.sequence, self.earlier_id: self.earlier_sequence}
        return known.get(backup_id) if backup_id else None


def find(tx: Tx, target: str) -> Mark | None:
    row = tx.row(backup_marks, backup_marks.c.target == target)
    if row is None:
        return None
    at = datetime.fromisoformat(row["at"])
    return Mark(target, at, row["backup_id"], row["sequence"], row["earlier_id"], row["earlier_sequence"])


def begin(tx: Tx, target: str, clock: Clock) -> tuple[Mark, datetime]:
    """The mark of a target, and a moment: whatever is committed later has a later time.

    From the first call on changes are kept. A picture of all rows taken after it, and the changes kept from
    here on, leave nothing out.
    """
    tx.lock("changes")
    now = clock.now()
    mark = find(tx, target)
    if mark is None:
        reached = newest(tx)
        mark = Mark(target, now, None, reached, None, reached)
        _put(tx, mark)
    return mark, now


def reach(tx: Tx, mark: Mark, backup_id: str, sequence: int, at: datetime) -> None:
    """A backup is complete up to ``sequence``. What no target goes on from any longer is forgotten."""
    _put(tx, Mark(mark.target, at, backup_id, sequence, mark.backup_id, mark.sequence))
    tx.remove(backup_marks, backup_marks.c.at < to_text(at - LAPSE))
    needed = [row["earlier_sequence"] for row in tx.rows(backup_marks, by="target")]
    tx.remove(changes, changes.c.sequence <= min(needed))


def forget(tx: Tx) -> None:
    """No backup goes on from what is here: the next one begins with all rows."""
    tx.remove(changes)
    tx.remove(backup_marks)


def since(tx: Tx, sequence: int) -> Iterator[Row]:
    """In the order in which they were committed."""
    return tx.each(changes, changes.c.sequence > sequence)


def newest(tx: Tx, at_least: int = 0) -> int:
    return max(tx.next_sequence(changes) - 1, at_least)


def latest(tx: Tx, since: datetime) -> datetime:
    """The time of the last change, if it is later."""
    rows = tx.rows(changes, newest=True, limit=1)
    return max(since, datetime.fromisoformat(rows[0]["at"])) if rows else since


def count_rows(tx: Tx) -> dict[str, int]:
    return {table.name: tx.count(table) for table in BACKED_UP}


def _put(tx: Tx, mark: Mark) -> None:
    tx.put(
        backup_marks,
        target=mark.target,
        at=to_text(mark.at),
        backup_id=mark.backup_id,
        sequence=mark.sequence,
        earlier_id=mark.earlier_id,
        earlier_sequence=mark.earlier_sequence,
    )
