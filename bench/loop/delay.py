"""From the last label that was needed to the new champion serving: ``python -m bench.loop.delay``.

A real server, default settings but without canary. A shop's world has changed; all labels are there but one.
That one is sent, and the server is asked until another version answers. The seconds of the step ``train`` are
taken off: they depend on the model alone.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.stories.loop.test_alone import Today
from tests.stories.loop.town import MODEL, turned
from tests.stories.serving.server import Server, running

from everloop.data.examples.customers import customers
from everloop.flows.loop import gathering
from everloop.flows.serving import labels
from everloop.store import turns

ROUNDS = 5
SERVED = 5  # days, all long enough ago that their labels are complete
PATIENCE = 120.0


def main() -> None:
    found = []
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            seconds, training = once(Path(folder))
        found.append(seconds - training)
        print(f"round {number + 1}: {seconds:.2f} s, of these {training:.2f} s training: {found[-1]:.2f} s")
    found.sort()
    print(f"median {found[len(found) // 2]:.2f} s, {found[0]:.2f} to {found[-1]:.2f}")


def once(folder: Path) -> tuple[float, float]:
    """Seconds from the label to the new champion, and those of its training."""
    town = Today(folder, rollout="direct", on=["labels"])
    names = town.features()
    for day in range(SERVED):
        town.day_of(turned) if day else town.day_of()
    late, *last = town._due
    town.clock.at += timedelta(hours=12)
    labels.add(town.project, last)
    town.clock.at = datetime.now(UTC)
    rows = gathering.count(town.project, MODEL, gathering.until(town.project, MODEL)).new
    town.close()
    tree = Today.tree(rollout="direct", on=["labels"], new_labels=rows + 1)
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))
    with running(folder) as server:
        time.sleep(10.0)  # nothing is to be done
        assert not server.ask("GET", "/decisions").json["decisions"]
        body = _question(names)
        begun = time.monotonic()
        server.ask(
            "POST", "/labels", {"labels": [{"prediction_id": late.prediction_id, "label": late.label}]}
        )
        while _version(server, body) == "1.0.0":
            assert time.monotonic() - begun < PATIENCE, server.ask("GET", "/decisions").json
            time.sleep(0.02)
        seconds = time.monotonic() - begun
        (record,) = server.ask("GET", "/decisions").json["decisions"]
    town = Today(folder, known=True)
    with town.project.store.reading() as tx:
        step = next(row for row in turns.list_steps(tx, record["turn_id"]) if row["name"] == "train")
    town.close()
    first, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
    return seconds, (ended - first).total_seconds()


def _question(names: list[str]) -> dict[str, Any]:
    row = customers(1, 1).select(names).to_pylist()[0]
    return {"features": {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}}


def _version(server: Server, body: dict[str, Any]) -> str:
    return str(server.ask("POST", f"/models/{MODEL}/predict", body).json["model_version"])


if __name__ == "__main__":
    main()
