"""Broken feeds: which of them does the product find before it would learn their rows, and how often does it
take a sound week for a broken one?

    python -m bench.loop.feeds --page bench/loop/FEEDS.md    all streams; about 10 minutes
    python -m bench.loop.feeds --only power,stops --each 2   some of them, fewer breaks

Each step's rows are a window of production as the monitors see it: recorded as JSON, summed up over the
reference of the model that serves (the rows it has learnt), looked at beside the windows before, and searched
for faults. One that is found broken is refused by ``retraining.triage``, and its rows are not learnt.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from everloop.core.monitoring import Checked, Result
from everloop.flows.loop import gathering
from everloop.flows.monitoring import answering, checking, production
from everloop.monitoring import checks, faults, reference, texture, windows
from everloop.monitoring.windows import Window
from everloop.retraining import triage
from everloop.retraining.triage import Facts, Rules, Sign
from everloop.settings.monitoring import Watch

from .bank import Bank
from .breaks import KINDS, Rng
from .streams import REAL, Missing, Stream

EACH = 8  # breaks of a kind in a stream
RENEWED = 8  # steps that a model serves
MARK = "?"
FEW = 32  # values of a number, that are compared each


def table_of(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pa.Table:
    """As the log of predictions gives it back."""
    given = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    rows: Any = [{"inputs": json.dumps(each)} for each in given]
    return production.inputs(rows, kinds)


@dataclass
class Watcher:
    """The monitors of a model: ``begun`` is the first step that it serves."""

    bank: Bank
    begun: int
    past: list[tuple[Checked, Window]] = field(default_factory=list)  # the newest first

    def __post_init__(self) -> None:
        stream, known = self.bank.stream, self.bank.known(self.begun)
        learnt = pa.Table.from_pandas(stream.inputs.iloc[:known], preserve_index=False)
        order: Any = stream.times[:known]
        self.reference = reference.build(learnt, order=order)
        self.texture = texture.of(learnt, order=order)
        self.kinds = {name: feature.kind for name, feature in self.reference.features.items()}
        spaces = np.diff(stream.times[np.searchsorted(stream.step, np.arange(stream.steps))])
        self.rules = Watch(window=f"{round(float(np.median(spaces)) / 3600)}h")

    def look(self, step: int, frame: pd.DataFrame) -> tuple[Checked, Window]:
        """The check of a step's rows, as they came."""
        table = table_of(frame, self.kinds)
        window = windows.summarise(self.reference, table)
        usual = {id(one) for one in answering.usual([one for one, _ in self.past[: answering.BEFORE]])}
        recent = [made for one, made in reversed(self.past) if id(one) in usual]
        alpha = checking.alpha(self.rules)
        results = list(checks.check(self.reference, window, alpha=alpha, recent=recent))
        results += faults.diagnose(
            self.reference, window, table, results, texture=self.texture,
            times=self.bank.stream.times[self.bank.rows(step)],
        )  # fmt: skip
        return _checked(step, table.num_rows, results), window

    def take(self, step: int) -> Checked:
        """The step as it really was."""
        found = self.look(step, self.frame(step))
        self.past.insert(0, found)
        return found[0]

    def frame(self, step: int) -> pd.DataFrame:
        return self.bank.stream.inputs.iloc[self.bank.rows(step)]


def _checked(step: int, rows: int, results: Sequence[Result]) -> Checked:
    since = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=step)
    until = since + timedelta(days=1)
    return Checked("stream", "v1", "answers", since, until, until, rows, tuple(results))


@dataclass(frozen=True)
class Broken:
    """One break, and whether its window was found broken. ``changed``: the share of rows that are others.
    ``hidden``: its columns are no farther from the whole stream's than in the oddest sound window, so that
    their values by themselves tell nothing."""

    stream: str
    kind: str
    step: int
    column: str
    changed: float
    caught: bool
    hidden: bool
    told: str


@dataclass(frozen=True)
class Found:
    """``refused``: sound windows that were taken for broken ones, of ``sound`` ones, and why."""

    stream: str
    breaks: tuple[Broken, ...]
    sound: int
    refused: Mapping[int, str]


def measure(stream: Stream, each: int = EACH) -> Found:
    """Breaks at random steps of a stream, whose model is trained anew every eight steps."""
    bank = Bank(stream)
    draw = np.random.default_rng([7, *stream.name.encode()])
    wanted: dict[int, list[str]] = {}
    for kind in KINDS:
        for step in draw.integers(stream.start + 1, stream.steps - 1, size=each):
            wanted.setdefault(int(step), []).append(kind)
    breaks, refused = [], {}
    for step in range(stream.start, stream.steps - 1):
        if (step - stream.start) % RENEWED == 0:
            watcher = Watcher(bank, step)
        for kind in wanted.get(step, ()):
            breaks += _broken(watcher, step, kind, draw)
        sound = watcher.take(step)
        if gathering.is_broken(sound):
            refused[step] = _why(sound)
    return Found(stream.name, tuple(breaks), stream.steps - 1 - stream.start, refused)


def _broken(watcher: Watcher, step: int, kind: str, draw: Rng) -> list[Broken]:
    frame = watcher.frame(step)
    for _ in range(20):
        made = KINDS[kind](frame, draw)
        if made is None:
            return []
        column, after = made
        changed = _changed(frame, after)
        if changed:
            checked, _ = watcher.look(step, after)
            caught, hidden = _refused(checked), _hidden(watcher.bank, frame, after)
            name = watcher.bank.stream.name
            return [Broken(name, kind, step, column, changed, caught, hidden, _why(checked))]
    return []


def _refused(checked: Checked) -> bool:
    """Neither is a retraining begun while its alert is open, nor are these rows learnt later."""
    broken = tuple(Sign(each.subject, each.message, "alert") for each in checked.results if each.breaks_feed)
    ruling = triage.consider(Rules(), Facts(checked.until, champion="v1", broken=broken), ())
    return ruling.code == "broken_feed" and gathering.is_broken(checked)


def _hidden(bank: Bank, before: pd.DataFrame, after: pd.DataFrame) -> bool:
    names = [str(name) for name in before if name in after and not before[name].equals(after[name])]
    if len(names) < 1 or list(before.columns) != list(after.columns):
        return False
    return all(_far(bank, name, after[name]) <= _farthest(bank, name) for name in names)


@cache
def _farthest(bank: Bank, name: str) -> float:
    whole = bank.stream.inputs[name]
    return max(_far(bank, name, whole.iloc[bank.rows(step)]) for step in range(bank.stream.steps))


def _far(bank: Bank, name: str, column: pd.Series) -> float:
    """Total variation over values; of numbers with many values over sixteenths of the stream."""
    whole = bank.stream.inputs[name]
    if pd.api.types.is_numeric_dtype(whole) and whole.nunique() > FEW:
        edges = np.unique(np.quantile(whole.dropna(), np.linspace(0, 1, 17)))
        edges[0], edges[-1] = edges[0] - 1e-9, edges[-1] + 1e-9
        whole, column = (
            pd.Series(np.digitize(pd.to_numeric(each), edges)).where(each.notna().to_numpy())
            for each in (whole, column)
        )
    one, other = (each.value_counts(normalize=True, dropna=False) for each in (whole, column))
    return float(one.sub(other, fill_value=0).abs().sum() / 2)


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """The share of rows that are others."""
    if list(before.columns) != list(after.columns):
        return 1.0
    one, other = (each.astype(object).where(each.notna(), MARK).to_numpy() for each in (before, after))
    return float((one != other).any(axis=1).mean())


def _why(checked: Checked) -> str:
    told = [
        f"{each.subject} {each.details.get('fault', each.statistic)}"
        for each in checked.results if each.breaks_feed
    ]  # fmt: skip
    return "; ".join(told)


# -- the page ----------------------------------------------------------------------------------------------

HEAD = """# Broken feeds: found before they are learnt?

`python -m bench.loop.feeds --page bench/loop/FEEDS.md`. Into each real stream of `python -m bench.loop`
breaks are put at random steps and columns, from a seed. The rows of a step are a window of production; it
goes through the product's own monitors (`monitoring.checks`, `monitoring.faults`) beside the rows that the
model has learnt, which is trained anew every eight steps. Caught means that `retraining.triage` refuses to
train and that `flows.loop.gathering` leaves the rows out. A window is a step, also where it has fewer than
the 500 rows of `monitoring.min_rows`: hotel, power and chicago need a smaller number there. With the default
such windows last longer, and chicago's one row a day is never checked. The rules of `monitoring.impossible`
were made after a part of these breaks had been seen, so the figures flatter them.

- **hidden**: of those not caught, the column's values were no farther from the whole stream's than in its
  oddest sound window, so that by themselves they tell nothing: a flag that is mostly 0 and sticks at 0, an
  hour of the day that is five hours late where all hours are equally frequent.
- **sound windows refused**: windows without a break that were taken for broken.
"""


def page(found: Sequence[Found]) -> str:
    every = [one for each in found for one in each.breaks]
    told = [HEAD, _sums(found, every), "\n## By stream\n"]
    told += ["| stream | breaks | caught | not caught: hidden | seen and missed | sound windows refused |"]
    told += ["|---|---|---|---|---|---|"]
    for each in found:
        cells = _cells(each.breaks)
        told += [f"| {each.stream} | {cells} | {len(each.refused)} of {each.sound} |"]
    told += ["\n## By kind\n", "| kind | breaks | caught | not caught: hidden | seen and missed |"]
    told += ["|---|---|---|---|---|"]
    told += [f"| {kind} | {_cells([one for one in every if one.kind == kind])} |" for kind in KINDS]
    told += ["\n## Seen and missed\n"]
    told += [
        f"- {one.stream}, step {one.step}: {one.kind}, `{one.column}`, {one.changed:.0%} of the rows changed"
        for one in every if not one.caught and not one.hidden
    ]  # fmt: skip
    told += ["\n## Sound windows that were refused\n"]
    told += [f"- {each.stream}, step {step}: {why}" for each in found for step, why in each.refused.items()]
    return "\n".join(told) + "\n"


def _sums(found: Sequence[Found], every: Sequence[Broken]) -> str:
    caught, hidden = sum(one.caught for one in every), sum(one.hidden and not one.caught for one in every)
    refused, sound = sum(len(each.refused) for each in found), sum(each.sound for each in found)
    shown = len(every) - hidden
    return (
        f"**{caught} of {len(every)} breaks caught** ({caught / len(every):.0%}; all was to be reached).\n"
        f"Of the {len(every) - caught} others {hidden} are hidden; without these {caught} of {shown} "
        f"({caught / shown:.1%}) are caught.\nSound windows refused: {refused} of {sound} "
        f"({refused / sound:.1%})."
    )


def _cells(breaks: Sequence[Broken]) -> str:
    missed = [one for one in breaks if not one.caught]
    hidden = sum(one.hidden for one in missed)
    return f"{len(breaks)} | {len(breaks) - len(missed)} | {hidden} | {len(missed) - hidden}"


def main(arguments: Sequence[str] | None = None) -> None:
    told = argparse.ArgumentParser(prog="python -m bench.loop.feeds", description="Breaks put into streams.")
    told.add_argument("--only", default=",".join(REAL), help="streams, with commas between")
    told.add_argument("--each", type=int, default=EACH, help="breaks of a kind in a stream")
    told.add_argument("--page", type=Path, help="write the tables to this file")
    asked = told.parse_args(arguments)
    found = []
    for name in asked.only.split(","):
        begun = time.perf_counter()
        try:
            found.append(measure(REAL[name](), asked.each))
        except Missing as error:
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{time.perf_counter() - begun:6.1f} s  {name}", file=sys.stderr)
    shown = page(found)
    print(shown)
    if asked.page:
        asked.page.write_text(shown)


if __name__ == "__main__":
    main()
