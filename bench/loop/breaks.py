"""The usual ways in which a feed breaks, done to the rows of a step: each gives the column and the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

CLOCKS = ("hour", "sched_dep_time", "sched_arr_time")  # columns that a time zone shifts

Rng = np.random.Generator
Break = Callable[[pd.DataFrame, Rng], tuple[str, pd.DataFrame] | None]


def columns(frame: pd.DataFrame) -> list[str]:
    return list(map(str, frame.columns))


def numbers(frame: pd.DataFrame) -> list[str]:
    return [name for name in columns(frame) if pd.api.types.is_numeric_dtype(frame[name])]


def words(frame: pd.DataFrame) -> list[str]:
    return [name for name in columns(frame) if not pd.api.types.is_numeric_dtype(frame[name])]


def _of_column(
    names: Callable[[pd.DataFrame], Sequence[str]], change: Callable[[pd.Series, Rng], pd.Series]
) -> Break:
    def made(frame: pd.DataFrame, draw: Rng) -> tuple[str, pd.DataFrame] | None:
        able = names(frame)
        if not able:
            return None
        name = str(draw.choice(able))
        return name, frame.assign(**{name: change(frame[name], draw)})

    return made


def _stuck(column: pd.Series, draw: Rng, start: float = 0.0) -> pd.Series:
    """At the value that it had last: a real one, where there is one."""
    at = int(start * len(column))
    there = column.iloc[: at + 1].dropna() if at else column.dropna()
    held = column.astype(object).copy()
    held.iloc[at:] = there.iloc[-1] if len(there) else None
    return held.infer_objects()


def _lost(share: float) -> Callable[[pd.Series, Rng], pd.Series]:
    def change(column: pd.Series, draw: Rng) -> pd.Series:
        gone = draw.uniform(size=len(column)) < share
        return column.astype(object).where(~gone, None).infer_objects()

    return change


def _zeros(column: pd.Series, draw: Rng) -> pd.Series:
    """For missing ones; where none is missing, for a third of the rows."""
    gone = column.isna().to_numpy()
    if not gone.any():
        gone = draw.uniform(size=len(column)) < 1 / 3
    return column.where(~gone, 0)


def _renamed(column: pd.Series, draw: Rng) -> pd.Series:
    """Other letters, codes or a mark in front: as another system writes them."""
    texts = column.astype(object)
    way = int(draw.integers(3))
    codes = {name: f"{number:03d}" for number, name in enumerate(sorted(texts.dropna().unique()))}
    ways = (
        lambda text: text.swapcase() if text.swapcase() != text else f"{text} ",
        codes.get,
        "v2:{}".format,
    )
    return texts.map(ways[way], na_action="ignore")


def _new(column: pd.Series, draw: Rng) -> pd.Series:
    """A third of the rows get a level that was never there."""
    return column.astype(object).where(draw.uniform(size=len(column)) >= 1 / 3, "unknown_2")


def _clock(column: pd.Series, draw: Rng) -> pd.Series:
    """Five hours later, as UTC for New York; times written as hhmm, too."""
    day = 2400 if column.max() > 24 else 24
    return (column + 5 * day / 24) % day


def _dropped(frame: pd.DataFrame, draw: Rng) -> tuple[str, pd.DataFrame]:
    name = str(draw.choice(columns(frame)))
    return name, frame.drop(columns=name)


def _swapped(frame: pd.DataFrame, draw: Rng) -> tuple[str, pd.DataFrame] | None:
    """Two columns of one kind."""
    able = [each for each in (numbers(frame), words(frame)) if len(each) > 1]
    if not able:
        return None
    one, other = map(str, draw.choice(able[int(draw.integers(len(able)))], size=2, replace=False))
    return f"{one}, {other}", frame.assign(
        **{one: frame[other].astype(object), other: frame[one].astype(object)}
    )


def _twice(frame: pd.DataFrame, draw: Rng) -> tuple[str, pd.DataFrame]:
    """A batch that came again: the first half instead of the second."""
    half = frame.iloc[: (len(frame) + 1) // 2]
    return "rows", pd.concat([half, half]).iloc[: len(frame)]


KINDS: Mapping[str, Break] = {
    "times 100": _of_column(numbers, lambda column, _: column * 100),
    "divided by 1000": _of_column(numbers, lambda column, _: column / 1000),
    "°C as °F": _of_column(numbers, lambda column, _: column * 1.8 + 32),
    "sign turned": _of_column(numbers, lambda column, _: -column),
    "stuck": _of_column(columns, _stuck),
    "stuck, newer half": _of_column(columns, lambda column, draw: _stuck(column, draw, 0.5)),
    "all missing": _of_column(columns, _lost(1.1)),
    "half missing": _of_column(columns, _lost(0.5)),
    "column gone": _dropped,
    "zeros for missing": _of_column(numbers, _zeros),
    "levels renamed": _of_column(words, _renamed),
    "a new level": _of_column(words, _new),
    "columns swapped": _swapped,
    "time zone": _of_column(lambda frame: [each for each in CLOCKS if each in frame], _clock),
    "a batch twice": _twice,
}
