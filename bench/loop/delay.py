"""From the last label that was needed to the new champion serving: ``python -m bench.loop.delay [ROUNDS]``.

A real server, default settings but without canary. A shop's world has changed; all labels are there but one.
That one is sent, and the server is asked until another version answers. The seconds of the step ``train`` are
taken off: they depend on the model alone. What each part of the way took is read from the records.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import yaml
from tests.stories.loop.test_alone import Today
from tests.stories.loop.town import MODEL, turned
from tests.stories.serving.server import Server, running

from everloop.data.examples.customers import customers
from everloop.flows.loop import gathering
from everloop.flows.serving import labels
from everloop.store import jobs, turns

ROUNDS = 5
SERVED = 8  # days
PATIENCE = 120.0
QUIET = 20.0  # seconds before the label
TRAINING = "train"


class Shop(Today):
    """Its last day was so long ago that its labels are complete."""

    begin = Today.begin - timedelta(days=SERVED)


def main(rounds: int) -> None:
    found = []
    for number in range(rounds):
        load = psutil.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            parts = once(Path(folder))
        found.append(parts)
        took = sum(parts.values()) - parts[TRAINING]
        told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
        print(f"round {number + 1} (load {load:.1f}): {took:.2f} s without training: {told}", flush=True)
    print("median of each part: " + ", ".join(f"{n} {median(p[n] for p in found):.2f}" for n in found[0]))
    without = sorted(sum(parts.values()) - parts[TRAINING] for parts in found)
    print(f"median {median(without):.2f} s, {without[0]:.2f} to {without[-1]:.2f}")


def once(folder: Path) -> dict[str, float]:
    """Seconds of each part of the way from the label to the new champion, in their order."""
    town = Shop(folder, rollout="direct", on=["labels"])
    names = town.features()
    for _ in range(SERVED):
        town.day_of(turned)
    late, *last = town._due
    town.clock.at += timedelta(hours=12)
    labels.add(town.project, last)
    town.clock.at = datetime.now(UTC)
    rows = gathering.count(town.project, MODEL, gathering.until(town.project, MODEL)).new
    town.close()
    tree = Shop.tree(rollout="direct", on=["labels"], new_labels=rows + 1)
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))
    with running(folder) as server:
        time.sleep(QUIET)  # nothing is to be done
        assert not server.ask("GET", "/decisions").json["decisions"]
        body = _question(names)
        begun, since = time.monotonic(), datetime.now(UTC)
        server.ask(
            "POST", "/labels", {"labels": [{"prediction_id": late.prediction_id, "label": late.label}]}
        )
        while _version(server, body) == "1.0.0":
            assert time.monotonic() - begun < PATIENCE, server.ask("GET", "/decisions").json
            time.sleep(0.02)
        until = datetime.now(UTC)
        _, (record,) = time.sleep(1.0), server.ask("GET", "/decisions").json["decisions"]
    return _parts(folder, record, since, until)


def _parts(folder: Path, record: dict[str, Any], since: datetime, until: datetime) -> dict[str, float]:
    town = Shop(folder, known=True)
    with town.project.store.reading() as tx:
        job = jobs.find(tx, record["job_id"])
        turn = turns.find_turn(tx, record["turn_id"])
        steps = [row for row in turns.list_steps(tx, record["turn_id"]) if row["name"] != "record"]
    town.close()
    (trigger,) = record["triggers"]
    ends = [("label", since)]
    ends += [("noticed", datetime.fromisoformat(trigger["at"]))]
    ends += [("taken", datetime.fromisoformat(job["started_at"]))]
    ends += [("gathered", datetime.fromisoformat(turn["started_at"]))]
    ends += [(row["name"], datetime.fromisoformat(row["finished_at"])) for row in steps]
    ends += [("serving", until)]
    return {name: (end - begin).total_seconds() for (_, begin), (name, end) in pairwise(ends)}


def _question(names: list[str]) -> dict[str, Any]:
    row = customers(1, 1).select(names).to_pylist()[0]
    return {"features": {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}}


def _version(server: Server, body: dict[str, Any]) -> str:
    return str(server.ask("POST", f"/models/{MODEL}/predict", body).json["model_version"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
