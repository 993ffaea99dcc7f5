"""What was found in a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Result
from everloop.store import predictions

from .summing import Summed


@dataclass(frozen=True)
class Looked:
    """``results`` over so many rows. ``mark``: how far the version's monitor is then [as before];
    ``window``: what is looked back on."""

    results: Sequence[Result]
    rows: int
    mark: Mapping[str, Any] | None = None
    window: Summed | None = None


def unable(error: MLOpsError) -> Result:
    """A check that cannot be made is a finding."""
    details = {"code": error.code}
    return Result("check", "check", "check", False, str(error), "warning", unable=True, details=details)


def damaged(named: Sequence[str]) -> list[Result]:
    """Predictions that cannot be read are a finding."""
    if not named:
        return []
    text = f"Predictions of the window are {predictions.told(named)}."
    return [Result("check", "predictions", "damaged", False, text, "warning", float(len(named)), unable=True)]
