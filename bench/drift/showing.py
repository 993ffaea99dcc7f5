"""Numbers of a page, as they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from bench.releases.run import within


def tabled(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


def claims(told: dict[str, list[bool]]) -> list[bool]:
    """Weeks in which an alert says that the model does worse."""
    return [any(three) for three in zip(told["estimated"], told["performance"], told["concept"], strict=True)]


def score(alerts: Sequence[bool], drops: Sequence[bool]) -> dict[str, float]:
    true = sum(a and d for a, d in zip(alerts, drops, strict=True))
    precision = true / sum(alerts) if any(alerts) else math.nan
    recall = true / sum(drops) if any(drops) else math.nan
    both = sum(alerts) + sum(drops)
    right = sum(a == d for a, d in zip(alerts, drops, strict=True))
    return {
        "true": true, "precision": precision, "recall": recall, "f1": 2 * true / both if both else 0.0,
        "accuracy": right / len(drops),
    }  # fmt: skip


def thousand(found: dict[str, Any]) -> str:
    low, high = within(found["alarms"], found["windows"])
    share = 1_000 * found["alarms"] / found["windows"]
    return f"{share:.0f} ({1_000 * low:.1f} to {1_000 * high:.1f}; {share_of(found)})"


def share_of(found: dict[str, Any]) -> str:
    return f"{found['alarms']} of {found['windows']:,}"


def seconds(value: float) -> str:
    return f"{value:.3g}"


def rate(found: dict[str, Any]) -> float:
    return float(10_000 * found["false"] / found["labels"])


def delay(found: dict[str, Any] | None) -> float:
    return median(math.inf if each is None else each for each in found["delays"]) if found else math.nan


def in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
