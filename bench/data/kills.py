"""The drill of kills: processes that register, collect and back up are killed at random instants.

    python -m bench.data.kills [--kills 500] [--seed 1]

Two processes at a time work on one project; each is killed (SIGKILL) at some instant. After each pair another
process looks: every acknowledged version must be there, the newest ones must load as what they were, and
verification must find nothing; in full now and then, and at the end. Nothing is ever cleaned by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import Busy, Conflict, Refused
from everloop.data import identity
from everloop.flows import backup, data, files, upkeep

from . import ours

LONGEST = 1.2  # seconds until a kill
EVERY = 25  # rounds: between them only bytes are verified


def work(folder: Path, seed: int, say: Callable[[str], None]) -> None:
    """Register, and now and then collect or back up, for ever; says each version that was acknowledged."""
    chance = random.Random(seed)
    project = ours.open_in(folder)
    rows = 30_000
    table = pa.table(
        {"id": np.arange(rows), **{f"x{n}": np.random.default_rng(n).random(rows) for n in range(8)}}
    )
    place = folder / f"files{seed % 3}"
    while True:
        kind = chance.random()
        try:
            if kind < 0.6:
                values = table["x3"].to_numpy().copy()
                values[chance.randrange(rows) :: 97] = chance.random()
                table = table.set_column(4, "x3", pa.array(values)).slice(0, rows - chance.randrange(3))
                say(data.register(project, table, f"t{seed % 4}").version.version_id)
            elif kind < 0.8:
                place.mkdir(exist_ok=True)
                (place / f"{chance.randrange(6)}.bin").write_bytes(
                    chance.randbytes(chance.randrange(300_000))
                )
                say(files.register_files(project, str(place), f"f{seed % 3}").version.version_id)
            elif kind < 0.9:
                upkeep.collect(project, grace=timedelta(0), dry_run=False, wait=0.2)
            else:
                backup.create(project, str(folder.parent / "backups"))
        except (Busy, Conflict, Refused):
            continue


def look(folder: Path, known: list[str], *, full: bool) -> dict[str, Any]:
    """What is missing, and what verification finds."""
    project = ours.open_in(folder)
    found = upkeep.verify(project, full=full)
    listed = {version.version_id: version for version in data.list_versions(project)}
    missing = [name for name in known if name not in listed]
    tables = [listed[name] for name in known[-3:] if name in listed and listed[name].columns]
    wrong = [v.version_id for v in tables if identity.version_id(data.load(project, v)) != v.version_id]
    damages = [f"{damage.key}: {damage.what}" for damage in found.damages]
    return {"missing": missing, "wrong": wrong, "damages": damages, "versions": len(listed)}


def forked(act: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """A child that acts, and the end of the pipe on which it speaks."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        act(lambda text: os.write(writing, f"{text}\n".encode()) and None)
    except BaseException:  # noqa: BLE001  (whatever it is, the drill says it)
        os.write(writing, f"! {json.dumps(traceback.format_exc())}\n".encode())
    os._exit(0)


def heard(reading: int) -> list[str]:
    with os.fdopen(reading) as pipe:
        return pipe.read().splitlines()


def drill(folder: Path, kills: int, seed: int) -> bool:
    chance = random.Random(seed)
    place = folder / "project"
    known: list[str] = []
    problems: list[str] = []
    killed, begun, found = 0, time.monotonic(), {"versions": 0}
    while killed < kills:
        children = []
        for _ in range(2):
            number = chance.randrange(2**31)
            child, reading = forked(lambda say, number=number: work(place, number, say))
            children.append((chance.uniform(0.02, LONGEST), child, reading))
        started = time.monotonic()
        for after, child, _ in sorted(children):
            time.sleep(max(0.0, started + after - time.monotonic()))
            os.kill(child, signal.SIGKILL)
            killed += 1
        for _, child, reading in children:
            os.waitpid(child, 0)
            said = heard(reading)
            problems += [line for line in said if line.startswith("!")]
            known += [line for line in said if not line.startswith("!") and line not in known]
        full = (killed // 2) % EVERY == 0 or killed >= kills
        seen = list(known)
        child, reading = forked(
            lambda say, seen=seen, full=full: say(json.dumps(look(place, seen, full=full)))
        )
        os.waitpid(child, 0)
        lines = heard(reading)
        if not lines or lines[-1].startswith("!"):
            problems.append(f"the look after {killed} kills: {lines or 'nothing said'}")
            break
        found = json.loads(lines[-1])
        problems += [
            f"after {killed} kills: {k} {found[k]}" for k in ("missing", "wrong", "damages") if found[k]
        ]
        if problems:
            break
        if killed % 50 == 0:
            print(f"{killed} kills, {len(known)} versions acknowledged", file=sys.stderr, flush=True)
    for problem in problems[:5]:
        print(problem, file=sys.stderr)
    print(
        f"kills: {killed} in {time.monotonic() - begun:.0f} s, {len(known)} versions acknowledged, "
        f"{found['versions']} there: {'NOT' if problems else 'ok'}"
    )
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="everloop-kills-") as folder:
        sys.exit(not drill(Path(folder), given.kills, given.seed))


if __name__ == "__main__":
    main()
