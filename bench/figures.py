"""Figures beside what they are to reach, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number beside what it is to reach: at most that, or (``least``) at least. None: not measured.
    ``kind`` is how it is shown: as a "number" with a ``unit``, a "count", a "share" or, of seconds, "ms"."""

    name: str
    measured: float | None
    reach: float
    best: float
    of: str = ""
    kind: str = "number"
    unit: str = ""
    least: bool = False

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "-"
        sign = 1 if self.least else -1
        if sign * self.measured >= sign * self.best:
            return "best"
        return "ok" if sign * self.measured >= sign * self.reach else "NOT"

    def show(self, number: float | None) -> str:
        if number is None:
            return "-"
        if self.kind == "share":
            return f"1/{1 / number:.1f}" if number else "0"
        if self.kind == "ms":
            return f"{number * 1000:.1f} ms"
        return f"{number:.0f}" if self.kind == "count" else f"{number:.2f} {self.unit}".rstrip()


def show_figures(figures: Sequence[Figure], width: int) -> str:
    """A line for each; ``width`` is that of the names."""
    lines = [f"{'':{width}} {'measured':>9} {'to reach':>9} {'best':>9}"]
    for each in figures:
        numbers = [f"{each.show(number):>9}" for number in (each.measured, each.reach, each.best)]
        lines.append(f"{each.name:{width}} {' '.join(numbers)}  {each.verdict:4} {each.of}".rstrip())
    return "\n".join(lines)
