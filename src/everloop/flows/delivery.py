"""Deliver what waits in the outbox to MLflow: in order, each entry once, never in the way of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from everloop.core.errors import Busy, Corrupt, ExperimentError, InvalidSettings, NotFound, Unavailable
from everloop.core.ports import Tracker
from everloop.store import outbox

from . import artifacts
from .project import Project


@dataclass(frozen=True)
class Delivery:
    """What a delivery did. ``problem`` is why it stopped before the end, if it did; ``busy``: because another
    process is delivering."""

    delivered: int
    waiting: int
    rejected: int = 0
    problem: str | None = None
    busy: bool = False


def is_due(project: Project) -> bool:
    """Whether something waits for MLflow."""
    if not project.settings.tracking.enabled:
        return False
    with project.store.reading() as tx:
        return outbox.count_waiting(tx) > 0


def deliver(project: Project, *, stop: Callable[[], bool] = lambda: False) -> Delivery:
    """Take the waiting entries one after the other. One process at a time; others leave it to that one.

    A tracker that is not there ends it: the entries stay, in order. An entry that it refuses for good,
    or whose files are lost, is set aside (``everloop doctor`` shows it), and the ones behind it go on.
    """
    try:
        with project.locks.hold("deliver"):
            return _deliver(project, stop)
    except Busy:
        with project.store.reading() as tx:
            return Delivery(
                0, outbox.count_waiting(tx), problem="another process is delivering now", busy=True
            )


def send_again(project: Project) -> int:
    """Let all that was ever delivered wait once more, for an MLflow that has lost it: what it still has stays
    as it is. Returns how many entries that are."""
    with project.locks.hold("deliver"), project.store.writing() as tx:
        return outbox.send_again(tx)


def _deliver(project: Project, stop: Callable[[], bool]) -> Delivery:
    delivered = rejected = 0
    tracker: Tracker | None = None
    problem = None
    while not stop():
        with project.store.reading() as tx:
            head = outbox.waiting(tx, limit=1)
        if not head:
            break
        entry = head[0]
        try:
            tracker = tracker or project.open_tracker()
            _hand_over(project, tracker, entry["kind"], entry["document"])
        except (Unavailable, InvalidSettings) as error:
            with project.store.writing() as tx:
                outbox.mark_failed(tx, entry["sequence"], str(error))
            problem = str(error)
            break
        except (ExperimentError, NotFound, Corrupt) as error:
            with project.store.writing() as tx:
                outbox.mark_rejected(tx, entry["sequence"], str(error), project.clock.now())
            rejected += 1
            continue
        with project.store.writing() as tx:
            outbox.mark_delivered(tx, entry["sequence"], project.clock.now())
        delivered += 1
    with project.store.reading() as tx:
        return Delivery(delivered, outbox.count_waiting(tx), rejected, problem)


def _hand_over(project: Project, tracker: Tracker, kind: str, document: Mapping[str, Any]) -> None:
    if kind == "run":
        files = {name: artifacts.fetch(project, address) for name, address in document["files"].items()}
        files |= {name: text.encode() for name, text in document["texts"].items()}
        tracker.record_run(document, files)
    elif kind == "log":
        logged = document.get("files", {})
        tracker.record_log(
            document, {name: artifacts.fetch(project, address) for name, address in logged.items()}
        )
    elif kind == "version":
        tracker.record_version(document)
    else:
        tracker.set_alias(document)
