"""Strategies of releasing, side by side, over simulated releases.

    python -m bench.releases                        1,000 releases of each scenario by each strategy
    python -m bench.releases --releases 100         a tenth of that
    python -m bench.releases --only equal,worse --strategies 'canary|flagger'
    python -m bench.releases --page bench/releases/RESULTS.md --json out.json
    python -m bench.releases --read out.json --page bench/releases/RESULTS.md
    python -m bench.releases.memory                 how long questions about the past take

Everloop's rows are verdicts of its judge; the others' are their rules (``peers.py``, ``kayenta.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import betaincinv

from everloop.core.errors import Refused
from everloop.core.spans import words

from . import ours, peers
from .page import CONCLUSION, NOTES, PAGE
from .scenarios import DAY, HOUR, SCENARIOS, SLOW, Outcome, World

STRATEGIES: Mapping[str, Callable[..., Outcome]] = {
    "canary": ours.canary,
    "shadow, canary": ours.shadow_then_canary,
    "blue-green": ours.blue_green,
    "rolling": ours.rolling,
    "direct": ours.direct,
    "flagger": peers.flagger,
    "argo": peers.argo,
    "kayenta": peers.kayenta_service,
    "kayenta+labels": peers.kayenta_labels,
    "peeked test": peers.peeked,
}
LOOKS = (
    *(3.0, 6.0, 9.0, 12.0, 15.0, 30.0),
    *(60.0 * minute for minute in (1, 2, 5, 10, 20, 40)),
    *(HOUR * hour for hour in (1, 2, 3, 4, 6, 9, 12, 18, 24)),
    *(HOUR * hour for hour in range(25, 37)),
    *(HOUR * hour for hour in (40, 44, 48, 54, 60, 66, 72, 84)),
    *(DAY * day for day in np.arange(4, 14.5, 0.5).tolist()),
)


@dataclass(frozen=True)
class Line:
    """``time``: median seconds to a verdict. ``before`` and ``after``: bad answers of a release, beyond the
    champion's: until its verdict, and within fourteen days."""

    scenario: str
    strategy: str
    releases: int
    promoted: int
    rolled_back: int
    inconclusive: int
    false: int
    time: float
    before: float
    after: float
    note: str = ""
    took: float = 0.0


def run(scenario: str, strategy: str, releases: int) -> Line:
    it, begun = SCENARIOS[scenario], time.perf_counter()
    seed = 1_000 * list(SCENARIOS).index(scenario) + list(STRATEGIES).index(strategy)
    try:
        with ours.foreseeing():
            found = STRATEGIES[strategy](it, releases, seed, LOOKS)
    except Refused as refused:
        return Line(scenario, strategy, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, str(refused.message))
    world = World(it, releases, seed)
    count = {name: int((found.verdict == name).sum()) for name in ("promoted", "rolled back", "inconclusive")}
    before = world.bad_answers(found.exposed)
    rest = np.where(found.verdict == "promoted", world.remaining(found.time), 0.0)
    return Line(
        scenario,
        strategy,
        releases,
        *count.values(),
        sum(count[name] for name in it.wrong),
        float(np.median(found.time)),
        float(before.mean()),
        float(world.bad_answers(found.exposed + rest).mean()),
        found.note,
        time.perf_counter() - begun,
    )


def within(hits: int, of: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper & Pearson 1934)."""
    low = float(betaincinv(hits, of - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 0.975)) if hits < of else 1.0
    return low, high


def table(lines: Sequence[Line]) -> str:
    rows = [
        "| strategy | promoted | rolled back | inconclusive | false (95 % interval) | median time "
        "| bad answers until the verdict | within 14 days |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in lines:
        if not each.releases:
            rows.append(f"| {each.strategy} | refused: {each.note} | | | | | | |")
            continue
        shares = [_percent(n / each.releases) for n in (each.promoted, each.rolled_back, each.inconclusive)]
        low, high = within(each.false, each.releases)
        false = f"{_percent(each.false / each.releases)} ({_percent(low)} to {_percent(high)})"
        name = f"{each.strategy} ({each.note})" if each.note else each.strategy
        waited = words(each.time) if each.time else "at once"
        cells = [name, *shares, false, waited, _many(each.before), _many(each.after)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _many(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 10 or abs(number) < 0.05 else f"{number:.1f}"


def page(lines: Sequence[Line]) -> str:
    releases = max(each.releases for each in lines)
    parts = [PAGE.format(cores=os.cpu_count(), releases=releases, slow=SLOW, conclusion=CONCLUSION)]
    for name, scenario in SCENARIOS.items():
        of_it = [each for each in lines if each.scenario == name]
        if of_it:
            false = " or ".join(scenario.wrong)
            parts.append(f"## {_title(scenario.words)}\n\nFalse: {false}.\n\n{table(of_it)}\n")
    return "\n".join([*parts, NOTES])


def _title(words: str) -> str:
    return words[:1].upper() + words[1:]


def main(arguments: Sequence[str] | None = None) -> None:
    told = argparse.ArgumentParser(
        prog="python -m bench.releases",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told.add_argument("--releases", type=int, default=1_000)
    told.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, with commas between")
    told.add_argument("--strategies", default="|".join(STRATEGIES), help="with | between")
    told.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    told.add_argument("--page", type=Path, help="write the tables to this file")
    told.add_argument("--read", type=Path, nargs="+", help="numbers measured before, in place of a run")
    told.add_argument("--json", type=Path, help="write the numbers to this file")
    told.add_argument("--quick", action="store_true", help="50 releases of each")
    asked = told.parse_args(arguments)
    lines = _read(asked.read) if asked.read else _measure(asked)
    shown = page(lines)
    print(shown)
    if asked.page:
        asked.page.write_text(shown)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in lines], indent=1))


def _read(files: Sequence[Path]) -> list[Line]:
    return [Line(**each) for file in files for each in json.loads(file.read_text())]


def _measure(asked: argparse.Namespace) -> list[Line]:
    releases = 50 if asked.quick else asked.releases
    scenarios = [name for name in SCENARIOS if name in asked.only.split(",")]
    jobs = [(name, strategy) for name in scenarios for strategy in asked.strategies.split("|")]
    begun, lines = time.perf_counter(), []
    with ProcessPoolExecutor(asked.workers) as pool:
        for each in [pool.submit(run, name, strategy, releases) for name, strategy in jobs]:
            lines.append(each.result())
            print(f"{lines[-1].took:6.1f} s  {lines[-1].scenario}: {lines[-1].strategy}", file=sys.stderr)
    print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return lines
