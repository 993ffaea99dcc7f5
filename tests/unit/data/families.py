"""One small table per family of types, with what is awkward in it. Golden ids are pinned for each."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa


def _integers() -> pa.Table:
    kinds = {"i1": pa.int8(), "i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(), "u1": pa.uint8()}
    columns = {name: pa.array([1, None, 0, 100], kind) for name, kind in kinds.items()}
    return pa.table({**columns, "u8": pa.array([2**64 - 1, None, 0, 7], pa.uint64())})


def _floats() -> pa.Table:
    values = [1.5, None, float("nan"), -0.0, 0.0, float("inf"), float("-inf")]
    kinds = {"f2": pa.float16(), "f4": pa.float32(), "f8": pa.float64()}
    return pa.table({name: pa.array(values).cast(kind) for name, kind in kinds.items()})


def _times() -> pa.Table:
    values = [0, None, -1, 86_399]
    return pa.table(
        {
            "naive": pa.array(values, pa.timestamp("s")),
            "utc": pa.array(values, pa.timestamp("ms", "UTC")),
            "zone": pa.array(values, pa.timestamp("ns", "Europe/Berlin")),
            "date": pa.array(values, pa.date32()),
            "time": pa.array([0, None, 1, 86_399], pa.time32("s")),
            "duration": pa.array(values, pa.duration("us")),
        }
    )


def _decimals() -> pa.Table:
    values = [Decimal("1.10"), None, Decimal("-0.01"), Decimal("99999.99")]
    kinds = {"small": pa.decimal128(7, 2), "large": pa.decimal256(60, 2)}
    return pa.table({name: pa.array(values, kind) for name, kind in kinds.items()})


def _categories() -> pa.Table:
    codes = pa.array([2, None, 0, 2], pa.int8())
    return pa.table(
        {
            "plain": pa.DictionaryArray.from_arrays(codes, pa.array(["x", "unused", "y"])),
            "ordered": pa.DictionaryArray.from_arrays(codes, pa.array(["low", "mid", "high"]), ordered=True),
            "numbers": pa.DictionaryArray.from_arrays(codes, pa.array([30, 20, 10])),
            "ordered numbers": pa.DictionaryArray.from_arrays(codes, pa.array([3, 1, 2]), ordered=True),
        }
    )


def _nested() -> pa.Table:
    pairs = pa.map_(pa.string(), pa.int64())
    return pa.table(
        {
            "list": pa.array([[1, None], None, [], [2, 3]]),
            "lists": pa.array([[["a"], []], None, [None], [["b", ""]]]),
            "fixed": pa.array([[1, 2], None, [3, None], [5, 6]], pa.list_(pa.int32(), 2)),
            "struct": pa.array([{"a": 1, "b b": "x"}, None, {"a": None, "b b": ""}, {"a": 0, "b b": None}]),
            "map": pa.array([[("a", 1)], None, [], [("b", None), ("c", 3)]], pairs),
            "structs": pa.array([[{"a": 1}], None, [None, {"a": None}], []]),
        }
    )


FAMILIES: dict[str, pa.Table] = {
    "integers": _integers(),
    "floats": _floats(),
    "booleans": pa.table({"b": pa.array([True, None, False])}),
    "texts": pa.table({"s": pa.array(["a", None, "", "Zoë 🙂", "a"]), "ß": pa.array(["x"] * 5)}),
    "binaries": pa.table(
        {"b": pa.array([b"\x00", None, b""]), "f": pa.array([b"ab", None, b"cd"], pa.binary(2))}
    ),
    "times": _times(),
    "decimals": _decimals(),
    "categories": _categories(),
    "nested": _nested(),
    "nulls": pa.table({"n": pa.nulls(3), "i": pa.array([None, None, None], pa.int64())}),
    "uuids": pa.table({"u": pa.array([b"0123456789abcdef", None], pa.uuid())}),
    "no rows": pa.table({"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())}),
}
