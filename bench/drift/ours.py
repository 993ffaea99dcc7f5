"""Everloop on the scoring worlds, with the alpha that its settings give."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.monitoring import Result
from everloop.flows.monitoring import checking
from everloop.monitoring import checks, concept, reference, windows
from everloop.monitoring.reference import Reference
from everloop.settings.monitoring import Watch

from . import worlds
from .peak import Peak
from .worlds import LEVELS, PHASES, Columns, World

ALPHA = checking.alpha(Watch())
REFERENCE = 100_000
HISTORY = 8
"""Quiet windows before a change."""
SCENARIOS: Mapping[str, dict[str, Any]] = {
    "independent": {},
    "AR(1) .95": {"memory": worlds.MEMORY},
    "seasonal": {"season": True},
    "mean of 30": {"average": 30},
}


def table(columns: Columns) -> pa.Table:
    """As a model's inputs come: numbers, and categories as text."""
    made: dict[str, Any] = {}
    for name, values in columns.items():
        if name.startswith("k"):
            levels = pa.array([*(f"level {code}" for code in range(LEVELS[int(name[1:])])), "new"])
            places = np.where(values == worlds.NEW, len(levels) - 1, values).astype(np.int32)
            codes = pa.array(places, mask=places == -1)
            made[name] = pa.DictionaryArray.from_arrays(codes, levels)
        else:
            made[name] = pa.array(values, from_pandas=True)
    return pa.table(made)


def phases(rows: int, window: int) -> list[str]:
    return [str(each) for each in (np.arange(rows) // window) % PHASES]


def built(world: World, usual: Columns, window: int) -> Reference:
    rows = len(usual["x00"])
    return reference.build(table(usual), phases=phases(rows, window) if world.season else None)


def quiet(scenario: str, rows: int, seeds: Sequence[int], each: int) -> dict[str, Any]:
    """Findings in ``each`` windows of each world in which nothing changes."""
    alarms, began = 0, time.process_time()
    subjects: dict[str, int] = {}
    for seed in seeds:
        world = World(seed, **SCENARIOS[scenario])
        known = built(world, world.rows(REFERENCE, part=0, window=rows), rows)
        stream = world.rows(rows * each, part=1, window=rows)
        recent: list[windows.Window] = []
        for number in range(each):
            part = table(worlds.cut(stream, number * rows, (number + 1) * rows))
            phase = str(number % PHASES) if world.season else None
            window = windows.summarise(known, part, phases=phase)
            found = [one for one in checks.check(known, window, alpha=ALPHA, recent=recent) if one.fired]
            alarms += bool(found)
            for one in found:
                key = f"{one.family} {one.statistic}"
                subjects[key] = subjects.get(key, 0) + 1
            recent = [*recent, window][-31:]
    count = len(seeds) * each
    return {
        "alarms": alarms, "windows": count, "found": subjects, "seconds": time.process_time() - began,
    }  # fmt: skip


def power(rows: int, seeds: Sequence[int], each: int) -> dict[str, dict[str, int]]:
    """After how many windows the changed column was named, after eight quiet windows; and when a window
    stands alone."""
    found = {
        change: {"draws": len(seeds) * each, "alone": 0, "first": 0, "second": 0, "third": 0}
        for change in worlds.CHANGES
    }
    for seed in seeds:
        world = World(seed)
        usual = world.rows(REFERENCE, part=0)
        known = built(world, usual, rows)
        for draw in range(each):
            before = [
                windows.summarise(known, table(world.rows(rows, part=1_000 * draw + place + 10)))
                for place in range(HISTORY)
            ]
            for change in worlds.CHANGES:
                recent, seen = before, False
                for place, name in enumerate(("first", "second", "third")):
                    columns, names = worlds.change_at(world, usual, change, rows, draw, place)
                    window = windows.summarise(known, table(columns))
                    if name == "first":
                        found[change]["alone"] += named(checks.check(known, window, alpha=ALPHA), names)
                    seen = seen or named(checks.check(known, window, alpha=ALPHA, recent=recent), names)
                    found[change][name] += seen
                    recent = [*recent, window]
    return found


def named(results: Sequence[Result], names: Sequence[str]) -> bool:
    found = [one for one in results if one.fired]
    if len(names) == 2:
        return any(one.family == "joint" for one in found)
    return any(one.subject == names[0] for one in found)


def harmless(rows: int, seeds: Sequence[int], each: int) -> dict[str, Any]:
    """Windows in which a shift of .02 standard deviations was reported."""
    alarms = 0
    for seed in seeds:
        world = World(seed)
        usual = world.rows(REFERENCE, part=0)
        known = built(world, usual, rows)
        recent: list[windows.Window] = []
        for place in range(each):
            columns, names = worlds.changed(
                world, world.rows(rows, part=place + 1), "mean +.02 sd", usual, 0, dict
            )
            window = windows.summarise(known, table(columns))
            alarms += named(checks.check(known, window, alpha=ALPHA, recent=recent), names)
            recent = [*recent, window]
    return {"alarms": alarms, "windows": len(seeds) * each}


# -- speed -------------------------------------------------------------------------------------------------


def build(usual: int, file: str) -> dict[str, Any]:
    """Make a reference and store it in a file."""
    world = World(900)
    reference.build(table(world.rows(5_000, part=0)))  # imported and compiled
    before = table(world.rows(usual, part=0))
    began = time.process_time()
    with Peak() as peak:
        known = reference.build(before)
    seconds = time.process_time() - began
    stored = json.dumps(known.to_document())
    Path(file).write_text(stored)
    return {"build": seconds, "build_memory": peak.megabytes, "stored": len(stored), "usual": usual}


def check(file: str, rows: int, times: int = 5) -> dict[str, Any]:
    """Read the reference from its file and check a window; from nothing to the findings. Memory is that of
    the first time, seconds are the median. ``check_text``: categories as plain text, no dictionaries."""
    world = World(900)
    _check(file, table(world.rows(1_000, part=2)))  # imported and compiled
    now = table(world.rows(rows, part=1))
    with Peak() as peak:
        _check(file, now)
    plain = pa.table(
        {
            name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(now.column_names, now.columns, strict=True)
        }
    )
    return {
        "check": _seconds(file, now, times), "check_text": _seconds(file, plain, times),
        "check_memory": peak.megabytes, "rows": rows,
    }  # fmt: skip


def _seconds(file: str, now: pa.Table, times: int) -> float:
    took = []
    for _ in range(times):
        began = time.process_time()
        _check(file, now)
        took.append(time.process_time() - began)
    return float(np.median(took))


def _check(file: str, now: pa.Table) -> list[Result]:
    known = Reference.from_document(json.loads(Path(file).read_text()))
    return checks.check(known, windows.summarise(known, now), alpha=ALPHA)


# -- errors ------------------------------------------------------------------------------------------------


def stream(share: float, later: float, memory: float, seeds: Sequence[int], rows: int) -> dict[str, Any]:
    """Alarms while nothing changes, and labels until the change after ``rows`` labels was noticed."""
    false, labels, seconds = 0, 0, 0.0
    delays: list[int | None] = []
    for seed in seeds:
        usual, now = worlds.stream(seed, share, later, memory, rows)
        detector = concept.RisingLoss(concept.reference_losses(usual, ordered=True))
        began = time.process_time()
        alarms = np.array([one.at for one in detector.feed(now, np.arange(len(now)))])
        seconds += time.process_time() - began
        quiet, found = worlds.judged(alarms, share, later, rows)
        false, labels, delays = false + quiet[0], labels + quiet[1], [*delays, found]
    return {"false": false, "labels": labels, "delays": delays, "speed": 2 * rows * len(seeds) / seconds}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "build": build,
    "check": check,
    "quiet": quiet,
    "power": power,
    "harmless": harmless,
    "stream": stream,
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
