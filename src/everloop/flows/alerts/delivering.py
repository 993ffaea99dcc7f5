"""Deliver the messages that wait: each when it is due, and again when it could not be, for as long as the
settings say. A channel that does not answer keeps nobody else's messages waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from everloop.core import spans
from everloop.core.documents import load
from everloop.core.errors import Busy, MLOpsError, NotFound, Refused, Unavailable, nearest
from everloop.core.ids import new_id
from everloop.core.monitoring import Message
from everloop.flows.project import Project
from everloop.settings import masked
from everloop.store import history, outbox
from everloop.store.database import Row

from . import digests, telling, texts

FIRST_PAUSE = 30.0  # seconds until a message is tried again, twice as long each time
LONGEST_PAUSE = 3600.0
MOST = 1000  # messages looked at in one go


@dataclass(frozen=True)
class Delivery:
    """What a delivery did. ``problems`` by channel; ``busy``: another process is delivering."""

    delivered: int = 0
    waiting: int = 0
    rejected: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    busy: bool = False


def is_due(project: Project) -> bool:
    """Whether a message can be delivered now."""
    with project.store.reading() as tx:
        waiting = outbox.messages(tx, MOST)
    return any(due <= project.clock.now() for due, _ in _in_order(waiting))


def deliver(project: Project, *, now: bool = False, stop: Callable[[], bool] = lambda: False) -> Delivery:
    """Deliver what is due, or ``now`` all that waits. One process at a time; others leave it to that one.

    A message may come twice where a process is killed between the delivery and its mark: with the same id.
    """
    try:
        with project.locks.hold("alerts"):
            done = _Pass(project)
            for entry in _entries(project, everything=now):
                if stop():
                    break
                done.hand_over(entry)
    except Busy:
        return Delivery(waiting=_waiting(project), busy=True)
    return Delivery(done.delivered, _waiting(project), done.rejected, done.problems)


def try_out(project: Project, channel: str | None) -> dict[str, str | None]:
    """Tell one channel, or each of them, that this is a test; what went wrong by channel. Raises NotFound."""
    channels = project.settings.alerts.channels
    channel = channel.lower() if channel else None
    if channel is not None and channel not in channels:
        raise NotFound(f"There is no channel '{channel}'.", remedy=nearest(channel, channels))
    if not channels:
        raise NotFound("There is no channel.", remedy="Set alerts.channels; see docs/how-to/alerts.md.")
    found: dict[str, str | None] = {}
    for name in [channel] if channel else channels:
        message = texts.trial(project, new_id("test", project.clock.now()), name)
        try:
            _send(project, channels[name], message)
            found[name] = None
        except MLOpsError as error:
            found[name] = str(error)
    return found


def _send(project: Project, address: str, message: Message) -> None:
    """Whatever a channel raises is its problem: the others do not wait for it. Raises MLOpsError."""
    try:
        project.open_notifier(address).send(message)
    except MLOpsError:
        raise
    except Exception as error:
        raise Unavailable(
            f"{masked(address)} failed: {type(error).__name__}.", remedy="Look at alerts.channels."
        ) from error


class _Pass:
    """Of a channel that fails, nothing more is tried in this pass."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.delivered = 0
        self.rejected = 0
        self.problems: dict[str, str] = {}

    def hand_over(self, entry: Row) -> None:
        channel, project = entry["document"]["channel"], self._project
        if channel in self.problems:
            return
        digest = "digest" in entry["document"]
        address = project.settings.alerts.channels.get(channel)
        try:
            if address is None:
                raise Refused(f"There is no channel '{channel}' any more.")
            message = (
                digests.compose(project, entry) if digest else load(Message, entry["document"]["message"])
            )
            if message is not None:
                _send(project, address, message)
        except Refused as error:
            self._give_up(entry, error.message)
        except MLOpsError as error:
            self.problems[channel] = error.message
            late = project.clock.now() - _begun(entry) >= timedelta(
                seconds=spans.seconds(project.settings.alerts.give_up)
            )
            if late:
                self._give_up(entry, error.message)
            else:
                self._put_off(entry, error.message)
        else:
            self._mark(entry, message)

    def _mark(self, entry: Row, message: Message | None) -> None:
        with self._project.store.writing() as tx:
            outbox.mark_delivered(tx, entry["sequence"], self._project.clock.now())
            if "digest" in entry["document"]:
                digests.delivered(tx, self._project, entry, message)
        self.delivered += message is not None

    def _put_off(self, entry: Row, error: str) -> None:
        pause = min(FIRST_PAUSE * 2 ** min(entry["attempts"], 20), LONGEST_PAUSE)
        with self._project.store.writing() as tx:
            outbox.put_off(tx, entry, error, self._project.clock.now() + timedelta(seconds=pause))

    def _give_up(self, entry: Row, error: str) -> None:
        now, document = self._project.clock.now(), entry["document"]
        with self._project.store.writing() as tx:
            outbox.mark_rejected(tx, entry["sequence"], error, now)
            if "digest" in document:
                digests.given_up(tx, self._project, entry, error)
            else:
                telling.not_told(tx, self._project, entry, error)
                message, channel = document["message"], document["channel"]
                history.append(
                    tx, document["model"], "undelivered", f"{message['title']} to {channel}: {error}",
                    at=now, by="everloop",
                    details={
                        "channel": channel, "message_id": message["message_id"], "alert_id": _alert(entry),
                    },
                )  # fmt: skip
        self.rejected += 1


def _entries(project: Project, *, everything: bool) -> Iterator[Row]:
    """Those due, the longest due first: what has failed gives way to what has not been tried, but for what is
    newer of the same alert."""
    with project.store.reading() as tx:
        waiting = outbox.messages(tx, MOST)
    until = project.clock.now()
    yield from (entry for due, entry in _in_order(waiting) if everything or due <= until)


def _in_order(waiting: Iterable[Row]) -> list[tuple[datetime, Row]]:
    """When each is due: of an alert and a channel none before those that are older."""
    latest: dict[tuple[str, str], datetime] = {}
    found = []
    for entry in waiting:
        of = entry["document"]["channel"], _alert(entry)
        latest[of] = max(_due(entry), latest.get(of, _due(entry)))
        found.append((latest[of], entry))
    return sorted(found, key=lambda each: each[0])


def _alert(entry: Row) -> str:
    """The id of the alert that a message is about; none of a digest."""
    subject: str = entry["document"].get("message", {}).get("subject", "")
    return subject.rpartition("/")[2]


def _begun(entry: Row) -> datetime:
    return datetime.fromisoformat(entry["created_at"])


def _due(entry: Row) -> datetime:
    return datetime.fromisoformat(entry["document"].get("not_before") or entry["created_at"])


def _waiting(project: Project) -> int:
    with project.store.reading() as tx:
        return outbox.count_messages(tx, project.clock.now())[0]
