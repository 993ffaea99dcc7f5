"""When to retrain: policies replayed over real streams, and over streams without drift.

    python -m bench.loop                                 all streams, 40 quiet ones; about 20 minutes
    python -m bench.loop --only hotel,power --quiet 2    some of them
    python -m bench.loop --page bench/loop/RESULTS.md    write the page and a picture per stream beside it

The models are kept in ``bench/loop/data``: a second run takes a minute. Delete ``*.npz`` there after a change
of estimators, preparation or choices.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from . import page
from .bank import Bank
from .policies import POLICIES, Replay
from .streams import QUIET as BURSTY
from .streams import REAL, Missing, Stream, quiet

ALPHA = 0.05
LATER = ("every 4 steps", "ours")
QUIET = ("never", "distances > .1", "tests p < .05", "loss +10 %", "ours")


@dataclass(frozen=True)
class Line:
    """A policy on a stream. ``share`` of the improvement that every step brings over never; ``harmful``
    promotions at 5 % each by the parts of a step, ``by_rows`` by its rows, ``surely`` at 5 % for all of them
    together (Bonferroni, by the parts); ``starts``: the share where the first model is of this step, or one,
    two or three steps later; ``fits``: models fitted, trials included."""

    stream: str
    words: str
    rows: int
    steps: int
    policy: str
    loss: float
    share: float
    trained: int
    promoted: int
    harmful: int
    by_rows: int
    surely: int
    fits: int
    told: tuple[str, ...] = ()
    starts: tuple[float, ...] = ()


def replay(stream: Stream, names: Sequence[str], pictures: Path | None = None) -> list[Line]:
    bank = Bank(stream)
    found: dict[str, Replay] = {}
    for name in names:
        begun = time.perf_counter()
        found[name] = POLICIES[name](bank)
        print(f"{time.perf_counter() - begun:6.1f} s  {stream.name}: {name}", file=sys.stderr)
    starts = _started(bank, found) if stream.name in REAL else {}
    if stream.name in REAL:
        bank.keep()
    if pictures is not None:
        page.draw(stream, found, pictures / f"{stream.name}.png")
    never, every = (found[name].loss if name in found else np.nan for name in ("never", "every step"))
    return [
        Line(
            stream.name, stream.words, len(stream.truth), stream.steps - stream.start - 1, name, it.loss,
            (never - it.loss) / (never - every), len(it.trained), len(it.promoted), _under(it.chances, ALPHA),
            _under(it.by_rows, ALPHA), _under(it.chances, ALPHA / max(1, len(it.promoted))), it.fits,
            tuple(it.told), starts.get(name, ()),
        )
        for name, it in found.items()
    ]  # fmt: skip


def _started(bank: Bank, found: Mapping[str, Replay]) -> dict[str, tuple[float, ...]]:
    """Shares of improvement with other first models: when a calendar or a trial comes is luck in part."""
    if not {"never", "every step", *LATER} <= set(found):
        return {}
    shares: dict[str, list[float]] = {name: [] for name in LATER}
    usual = bank.stream
    for later in range(4):
        bank.stream = replace(usual, start=usual.start + later)
        loss = {name: POLICIES[name](bank).loss for name in ("never", "every step", *LATER)}
        for name in LATER:
            shares[name].append((loss["never"] - loss[name]) / (loss["never"] - loss["every step"]))
    bank.stream = usual
    return {name: tuple(each) for name, each in shares.items()}


def _under(chances: Sequence[float], alpha: float) -> int:
    return sum(each < alpha for each in chances)


def main(arguments: Sequence[str] | None = None) -> None:
    told = argparse.ArgumentParser(
        prog="python -m bench.loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told.add_argument("--only", default=",".join(REAL), help="streams, with commas between")
    told.add_argument(
        "--quiet", type=int, default=2 * BURSTY, help="streams without drift; bursts from 20 on"
    )
    told.add_argument("--policies", default=",".join(POLICIES), help="with commas between")
    told.add_argument("--page", type=Path, help="write the tables to this file, pictures beside it")
    told.add_argument("--pictures", type=Path, help="folder of the pictures, where no page is written")
    told.add_argument("--json", type=Path, help="write the numbers to this file")
    told.add_argument("--read", type=Path, nargs="+", help="numbers measured before, in place of a run")
    told.add_argument("--quick", action="store_true", help="two small streams and two quiet ones")
    asked = told.parse_args(arguments)
    lines, missing = _read(asked.read) if asked.read else _measure(asked)
    shown = page.page([asdict(each) for each in lines], missing)
    print(shown)
    if asked.page:
        asked.page.write_text(shown)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in lines], indent=1))


def _read(files: Sequence[Path]) -> tuple[list[Line], list[str]]:
    found = [Line(**each) for file in files for each in json.loads(file.read_text())]
    order = [*REAL, *sorted({each.stream for each in found} - set(REAL))]
    return sorted(found, key=lambda each: order.index(each.stream)), []


def _measure(asked: argparse.Namespace) -> tuple[list[Line], list[str]]:
    streams = ("hotel", "power") if asked.quick else tuple(asked.only.split(","))
    names = asked.policies.split(",")
    lines: list[Line] = []
    missing: list[str] = []
    pictures = asked.pictures or (asked.page.parent if asked.page else None)
    for stream in (each for each in REAL if each in streams):
        try:
            lines += replay(REAL[stream](), names, pictures)
        except Missing as error:
            missing.append(f"{stream}: {error}")
            print(missing[-1], file=sys.stderr)
    for seed in range(2 if asked.quick else asked.quiet):
        lines += replay(quiet(seed), [name for name in QUIET if name in names])
    return lines, missing
