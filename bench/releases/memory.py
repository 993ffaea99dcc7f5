"""How long the memory of production takes to answer with a million of everything: events, predictions,
labels, changes of traffic, metrics, looks and checks of windows. In one process, of which the start does not
count.

    python -m bench.releases.memory [URL of a database]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.figures import Figure, show_figures
from everloop import wiring
from everloop.core.documents import dump
from everloop.core.models import ModelVersion
from everloop.core.monitoring import Checked
from everloop.core.releases import PROD, Look, Plan, Release, Traffic
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.deployment import buckets
from everloop.flows import models, states, turn
from everloop.flows.project import Project
from everloop.flows.releases import deploying, memory
from everloop.settings import folder_settings
from everloop.store import tables
from everloop.store.times import to_text

MANY = 1_000_000
EVERY = timedelta(seconds=30)
PROMOTED = 1_000  # one change of traffic in so many promotes; the others move weights
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_BATCH = 20_000
REACH, BEST = 0.1, 0.03  # seconds


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        project = opened(Path(folder), url)
        begun = time.perf_counter()
        fill(project)
        print(f"filled in {time.perf_counter() - begun:.0f} s")
        print(show_figures([measure(name, work) for name, work in asked(project).items()], 46))
        project.close()


def opened(folder: Path, url: str | None) -> Project:
    (folder / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    tree: dict[str, Any] = {
        "models": {"iris": {"data": {"path": "iris.csv"}, "target": "species"}},
        "tracking": {"enabled": False},
    }
    if url:
        tree["store"] = {"url": url}
    project = wiring.connect(folder_settings(folder, tree))
    turn.run(project, "iris")
    return project


def fill(project: Project) -> None:
    """Rows as the product writes them, in bulk."""
    trained = models.find(project, "iris").version
    versions = [trained, *(_again(trained, number) for number in range(1, 50))]
    several(project, tables.model_versions, (_version(each, n) for n, each in enumerate(versions[1:], 2)))
    names = [version.version for version in versions]
    several(project, tables.releases, (_release(number, names) for number in range(MANY // PROMOTED)))
    several(project, tables.traffic, (_traffic(number, names) for number in range(1, MANY)))
    several(project, tables.events, (_event(number) for number in range(MANY)))
    several(project, tables.metrics, (_metric(number) for number in range(MANY)))
    several(project, tables.looks, (_look(number) for number in range(MANY)))
    several(project, tables.predictions, (_prediction(number, names) for number in range(MANY)))
    several(project, tables.labels, (_label(number) for number in range(MANY)))
    several(project, tables.monitor_checks, (_check(number, names) for number in range(MANY)))


def several(project: Project, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    with project.store.engine.begin() as connection:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({"tenant": project.tenant, **row})
            if len(batch) == _BATCH:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)


def _at(number: int) -> datetime:
    return BEGIN + number * EVERY


def _release_id(number: int) -> str:
    return f"rel_{number // PROMOTED:06}"


def _named(number: int, names: Sequence[str]) -> tuple[str, str]:
    """The champion and the candidate while traffic ``number`` is in force."""
    turn_ = number // PROMOTED
    return names[turn_ % len(names)], names[(turn_ + 1) % len(names)]


def _again(version: ModelVersion, number: int) -> ModelVersion:
    made: dict[str, Any] = {**version.__dict__, "version": f"1.{number}.0", "run_id": version.run_id}
    return ModelVersion(**made)


def _version(version: ModelVersion, sequence: int) -> dict[str, Any]:
    return {
        "model": version.model, "version": version.version, "sequence": sequence,
        "run_id": f"{version.run_id}-{sequence}", "created_at": to_text(version.created_at),
        "document": dump(version),
    }  # fmt: skip


def _release(number: int, names: Sequence[str]) -> dict[str, Any]:
    old, new = _named(number * PROMOTED, names)
    made = Release(
        f"rel_{number:06}", "iris", "prod", "canary", new, "promoted", _at(number * PROMOTED), "a bench",
        against=old, plan=Plan(steps=(500, 2_500, 5_000)),
    )  # fmt: skip
    return {
        "release_id": made.release_id, "model": "iris", "environment": "prod", "status": made.status,
        "created_at": to_text(made.created_at), "document": dump(made),
    }  # fmt: skip


def _traffic(number: int, names: Sequence[str]) -> dict[str, Any]:
    old, new = _named(number, names)
    taken = number % PROMOTED == 0
    arms = buckets.direct(old) if taken else buckets.canary(old, new, number % 5_000 + 1)
    change: Any = "promoted" if taken else "shifted"
    entry = Traffic(
        "iris", "prod", number + 1, _at(number), change, old, arms, _release_id(number), "a bench", "a reason"
    )
    return {
        "model": "iris", "environment": "prod", "sequence": entry.sequence, "at": to_text(entry.at),
        "release_id": entry.release_id, "champion": old, "change": change, "document": dump(entry),
    }  # fmt: skip


def _event(number: int) -> dict[str, Any]:
    ours = number % 2 == 0
    details = {"release_id": _release_id(number), "environment": "prod"} if ours else {}
    return {
        "model": "iris",
        "kind": "shifted" if ours else "decided",
        "at": to_text(_at(number)),
        "by": "a bench",
        "summary": "weights were moved",
        "details": {"format": 1, **details},
        "environment": details.get("environment"),
    }


def _metric(number: int) -> dict[str, Any]:
    name = ("accuracy", "drift_score", "log_loss", "f1")[number % 4]
    return {"model": "iris", "name": name, "value": 0.5, "at": to_text(_at(number)), "rows": 100}


def _look(number: int) -> dict[str, Any]:
    verdict: Any = "advance" if number % 250 == 249 else "hold"
    look = Look(_release_id(number), number % PROMOTED + 1, _at(number), 0, verdict, "a reason")
    return {
        "release_id": look.release_id, "sequence": look.sequence, "at": to_text(look.at), "verdict": verdict,
        "document": dump(look),
    }  # fmt: skip


def _prediction(number: int, names: Sequence[str]) -> dict[str, Any]:
    old, _ = _named(number, names)
    return {
        "prediction_id": f"pred_{number:08}", "at": to_text(_at(number) + EVERY / 2), "model": "iris",
        "version": old, "variant": "control" if number % PROMOTED else "champion", "request_id": f"r{number}",
        "latency_ms": 1.0, "prediction": "setosa", "value": None, "confidence": 0.9,
        "inputs": json.dumps({"sepal_length": 5.1}), "probabilities": None, "warnings": None,
        "release_id": _release_id(number), "probability": None, "unit": f"{number:016x}",
    }  # fmt: skip


def _label(number: int) -> dict[str, Any]:
    at = to_text(_at(number) + EVERY)
    return {
        "prediction_id": f"pred_{number:08}", "label": "setosa" if number % 9 else "virginica", "value": None,
        "at": at, "received_at": at, "by": "a bench",
    }  # fmt: skip


def _check(number: int, names: Sequence[str]) -> dict[str, Any]:
    old, _ = _named(number, names)
    check = Checked("iris", old, "answers", _at(number), _at(number + 1), _at(number + 1), 1, ())
    return {
        "model": "iris", "version": old, "kind": check.kind, "since": to_text(check.since),
        "until": to_text(check.until), "at": to_text(check.at), "rows": check.rows, "document": dump(check),
    }  # fmt: skip


def asked(project: Project) -> dict[str, Callable[[int], object]]:
    """What is asked, by a number from 0 to MANY - 1 that says of when."""
    return {
        "history, newest 100": lambda _: memory.history(project, "iris", None, 100),
        "history --env prod, newest 100": lambda _: memory.history(project, "iris", "prod", 100),
        "history --env staging (nothing there)": lambda _: memory.history(project, "iris", "staging", 100),
        "model at a moment": lambda n: memory.at(project, "iris", _at(n)),
        "explain": lambda n: memory.explain(project, f"pred_{n:08}"),
        "who is champion, since when": lambda _: _champion(project),
        "the last good version": lambda _: _last_good(project),
        "where a model stands": lambda _: deploying.standing(project, "iris", PROD),
    }


def _champion(project: Project) -> object:
    with project.store.reading() as tx:
        return states.releases.champion_since(tx, "iris", PROD)


def _last_good(project: Project) -> object:
    with project.store.reading() as tx:
        return states.last_good(tx, "iris", PROD)


def measure(name: str, work: Callable[[int], object]) -> Figure:
    """Of nine moments from the first to the last the slowest, each the best of seven: others use the machine
    too."""
    taken = [min(_timed(work, place * MANY // 10) for _ in range(7)) for place in range(1, 10)]
    return Figure(name, max(taken), REACH, BEST, "slowest of 9", "ms")


def _timed(work: Callable[[int], object], number: int) -> float:
    begun = time.perf_counter()
    work(number)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
