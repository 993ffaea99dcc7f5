"""Which training rows count: each choice is tried on the latest rows, trained on what came before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from everloop.core.errors import ExperimentError, Invalid, MLOpsError, WrongType
from everloop.core.runs import Choice, Recipe, RowChoice

from . import choices, splits

BLOCKS = 3
SHARE = 0.1  # of the training rows, in each block
LEAST = 300  # training rows: below, a block has too few to tell choices apart
ERRORS = 2.0  # standard errors of the paired differences that a choice has to be better by than all rows

Judge = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(rows to learn, their weights, rows to judge) -> the loss of each judged row."""


@dataclass(frozen=True, eq=False)
class Times:
    """When rows are from, (n,): seconds since the epoch where ``real``, else numbers of any unit."""

    values: np.ndarray
    real: bool

    def weights(self, choice: RowChoice, rows: np.ndarray) -> np.ndarray:
        """What each of the rows (positions) counts, (len(rows),), as of the latest of them."""
        chosen = self.values[rows]
        return choices.weights(choice, chosen, float(chosen.max()))

    def possible(self, rows: np.ndarray) -> tuple[str, ...]:
        """The choices that make sense for these rows."""
        chosen = self.values[rows]
        found = choices.possible(chosen, float(chosen.max()))
        return found if self.real else tuple(name for name in found if name != "seasonal")

    def text(self, value: float) -> str:
        if not self.real:
            return f"{value:g}"
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")


def read_times(table: pa.Table, recipe: Recipe, given: np.ndarray | None) -> Times:
    """From ``given`` (seconds since the epoch, one per row) or else the recipe's ``time_column``. Raises
    Invalid where there is neither, and what is wrong with the column."""
    if given is not None:
        values = np.asarray(given, dtype=np.float64)
        if values.shape != (table.num_rows,) or not np.isfinite(values).all():
            raise WrongType(
                f"{len(values)} times, not all finite, were given for {table.num_rows} rows.",
                remedy="Give seconds since the epoch, one number per row.",
            )
        return Times(values, real=True)
    name = recipe.time_column
    if name is None:
        raise Invalid("There is no time_column.", remedy="Name the column of the rows' times.")
    column = table.select([name] if name in table.column_names else [])
    frame: pd.DataFrame = column.replace_schema_metadata().to_pandas()
    when = splits.times(frame, replace(recipe, split=replace(recipe.split, column=name)))
    if pd.api.types.is_numeric_dtype(when):
        return Times(when.to_numpy(dtype=np.float64), real=False)
    return Times((when - pd.Timestamp(0)).dt.total_seconds().to_numpy(dtype=np.float64), real=True)


def choose(table: pa.Table, recipe: Recipe, given: np.ndarray | None) -> tuple[Times | None, Choice]:
    """The rows' times, and the choice where nothing is to be tried: the recipe's own where it is possible."""
    if recipe.data == "all":
        return None, Choice("all", "as the recipe says")
    try:
        times = read_times(table, recipe, given)
    except MLOpsError as error:
        return None, Choice("all", f"all rows count: {error.message}")
    if recipe.data == "try":
        return times, Choice("all", "nothing was tried yet")
    if recipe.data == "seasonal" and not times.real:
        said = f"all rows count: '{recipe.time_column}' holds numbers, which have no season"
        return None, Choice("all", said)
    return times, Choice(recipe.data, "as the recipe says")


def attempt(times: Times, rows: np.ndarray, judge: Judge) -> Choice:
    """Try the choices on the latest blocks of ``rows``, each trained on the rows before its block, and choose
    by the paired losses of the judged rows; all rows count unless another choice is better beyond chance.
    """
    when = times.values[rows]
    if len(rows) < LEAST:
        return Choice("all", f"all rows count: {len(rows)} are too few to try others ({LEAST})")
    ordered = np.sort(when)
    size = round(SHARE * len(rows))
    cuts = np.unique(ordered[[len(rows) - size * number for number in range(BLOCKS, 0, -1)]])
    cuts = cuts[cuts > ordered[0]]
    if len(cuts) < 2:
        return Choice("all", "all rows count: their times are too few to try others")
    names = times.possible(rows[when < cuts[0]])
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start, end in zip(cuts, [*cuts[1:], np.inf], strict=True):
        past, block = rows[when < start], rows[(when >= start) & (when < end)]
        plain: np.ndarray | None = None
        for name in list(found):
            weights = times.weights(_known(name), past)
            if plain is not None and (weights == weights[0]).all():  # the same training once more
                found[name].append(plain)
                continue
            try:
                found[name].append(judge(past, weights, block))
            except ExperimentError as error:
                if name == choices.ALL:
                    return Choice("all", f"all rows count: nothing could be tried: {error.message}")
                del found[name]
                continue
            if name == choices.ALL:
                plain = found[name][-1]
    losses = {name: np.concatenate(parts) for name, parts in found.items()}
    best = _known(choices.chosen({name: one.tolist() for name, one in losses.items()}, errors=ERRORS))
    return Choice(
        best,
        _words(best, losses, len(cuts)),
        {name: tuple(float(part.mean()) for part in parts) for name, parts in found.items()},
        tuple(times.text(float(cut)) for cut in cuts),
    )


def _words(best: RowChoice, losses: dict[str, np.ndarray], blocks: int) -> str:
    means = {name: float(values.mean()) for name, values in losses.items()}
    rows = len(losses[choices.ALL])
    told = ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())
    where = f"mean loss on the latest {rows:,} training rows in {blocks} blocks: {told}"
    if best != "all":
        return f"{best} rows are better than all ({where})"
    if len(losses) == 1:
        return f"all rows count: no other choice differs from it ({where})"
    return f"no choice is better than all rows beyond chance ({where})"


def _known(name: str) -> RowChoice:
    known: dict[str, RowChoice] = {
        "all": "all", "recent": "recent", "weighted": "weighted", "seasonal": "seasonal",
    }  # fmt: skip
    return known[name]
