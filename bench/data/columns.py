"""The made table: twenty columns of the kinds a customer table has, as many rows as asked for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

START = 1_700_000_000
COUNTRIES = (
    "DE", "FR", "IT", "ES", "PL", "NL", "BE", "SE", "AT", "CH", "DK", "FI", "NO", "PT", "IE", "CZ",
    "GR", "HU", "RO", "BG",
)  # fmt: skip
SEGMENTS = ("private", "small business", "enterprise", "public")
PRODUCTS = tuple(f"P-{number:06d}" for number in range(30_000))
STATUSES = ("new", "active", "dormant", "lost")
_STARTS = ("Bad ", "Neu", "Alt", "Ober", "Unter", "Groß", "Klein", "Saint-")
_ENDS = (
    "stadt", "dorf", "heim", "burg", "hausen", "brück", "ville", "mont", "field", "ford",
    "wood", "port", "haven", "bach", "berg", "feld", "kirchen", "see", "au", "hof",
)  # fmt: skip
CITIES = tuple(start + end for start in _STARTS for end in _ENDS)


OTHERS = (
    "segment", "product", "status", "score", "amount", "balance", "price", "quantity", "discount", "age",
    "session", "active", "opted_in", "birthday", "latitude",
)  # fmt: skip


def rows(rng: np.random.Generator, count: int, key: int) -> pa.Table:
    """``count`` rows whose keys go on from ``key``."""
    when = START * 1_000_000 + (key + np.arange(count)) * 31_000_000
    return pa.table(
        {
            "rid": pa.array(np.arange(key, key + count)),
            **{name: values(rng, name, count) for name in ("customer", "country", "city")},
            "created": pa.array(when + rng.integers(0, 30_000, count) * 1000, pa.timestamp("us", "UTC")),
            **{name: values(rng, name, count) for name in OTHERS},
        }
    )


def values(rng: np.random.Generator, name: str, count: int) -> pa.Array:
    """Values of one column."""
    match name:
        case "customer":
            return pa.array((rng.pareto(1.2, count) * 1000).astype(np.int64) % 150_000)
        case "country":
            return _words(rng, COUNTRIES, count)
        case "city":
            return _words(rng, ("", *CITIES), count, missing=0.03)
        case "segment":
            return _words(rng, SEGMENTS, count)
        case "product":
            codes = (rng.pareto(1.0, count) * 500).astype(np.int64) % 30_000
            return pa.array(PRODUCTS).take(pa.array(codes, mask=rng.random(count) < 0.01))
        case "status":
            return _words(rng, STATUSES, count).dictionary_encode()
        case "score":
            return pa.array(rng.random(count))
        case "amount":
            return pa.array(rng.lognormal(7.0, 1.0, count).round(2))
        case "balance":
            return pa.array(rng.normal(0, 1500, count).round(2), mask=rng.random(count) < 0.05)
        case "price":
            return pa.array(rng.choice([4.99, 9.99, 14.99, 19.99, 29.99, 49.99, 99.0], count))
        case "quantity":
            return pa.array(rng.poisson(3, count))
        case "discount":
            return pa.array(rng.beta(1, 8, count).round(3), mask=rng.random(count) < 0.2)
        case "age":
            years = np.clip(rng.normal(45, 15, count), 18, 99).astype(np.int32)
            return pa.array(years, mask=rng.random(count) < 0.02)
        case "session":
            digits = np.frombuffer(rng.bytes(5 * count).hex().encode(), dtype="S10")
            return pa.array(digits, pa.binary()).cast(pa.string())
        case "active":
            return pa.array(rng.random(count) < 0.8)
        case "opted_in":
            return pa.array(rng.random(count) < 0.4, mask=rng.random(count) < 0.1)
        case "birthday":
            return pa.array(rng.integers(-12_000, 13_000, count), pa.int32()).cast(pa.date32())
        case "latitude":
            return pa.array(rng.normal(50, 6, count))
    raise KeyError(name)


def _words(rng: np.random.Generator, words: tuple[str, ...], count: int, missing: float = 0.0) -> pa.Array:
    """The first words are the frequent ones."""
    weights = 1 / np.arange(1, len(words) + 1)
    codes = rng.choice(len(words), count, p=weights / weights.sum())
    chosen = pa.array(codes, mask=rng.random(count) < missing if missing else None)
    return pa.array(words).take(chosen)
