"""The measures that arms are compared by: which way is better, and what is known of them beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.core.errors import InvalidSettings, nearest

SHARE = "share:"


@dataclass(frozen=True)
class Compared:
    """``sign``: 1 where larger is better, -1 where smaller is, 0 where any change is harm. ``bounded``: a
    row's value lies between 0 and 1. ``labels``: it is known when the label has come."""

    name: str
    words: str
    sign: int
    bounded: bool
    labels: bool

    @property
    def harm(self) -> str:
        """The way that is worse."""
        return {1: "drop", -1: "rise", 0: "shift"}[self.sign]

    def harmless(self, margin: str) -> str:
        return f"{self.harm}s by less than {margin}"


MEASURES = {
    m.name: m
    for m in (
        Compared("accuracy", "accuracy", 1, True, True),
        Compared("brier", "Brier score", -1, True, True),
        Compared("net_value", "net value per row", 1, False, True),
        Compared("mae", "mean absolute error", -1, False, True),
        Compared("mse", "mean squared error", -1, False, True),
        Compared("confidence", "mean confidence", 0, True, False),
        Compared("value", "mean prediction", 0, False, False),
    )
}


def find_measure(name: str) -> Compared:
    """Raises InvalidSettings for a name that is none."""
    if name in MEASURES:
        return MEASURES[name]
    if name.startswith(SHARE) and name != SHARE:
        return Compared(name, f"share of '{name.removeprefix(SHARE)}'", 0, True, False)
    known = [*MEASURES, "share:CLASS"]
    raise InvalidSettings(
        f"'{name}' is no measure that versions are compared by.",
        remedy=f"{nearest(name, known)} There are {', '.join(known)}.".strip(),
    )
