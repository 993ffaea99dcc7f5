"""ADWIN, DDM, EDDM, Page-Hinkley and KSWIN of river, fed with batches of losses.

Each learns from the stream what is usual; a reference is the beginning of that stream, and its alarms are not
told. ADWIN and KSWIN raise alarms on
improvement, too; Page-Hinkley is asked for rising losses only, unless ``mode`` says otherwise. All take
errors to be independent and raise many false alarms where errors come in bursts. They keep no document: one
is fed again from where it began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from everloop.core.errors import Invalid, MissingExtra

_OWN: dict[str, tuple[str, str, Mapping[str, Any], bool]] = {
    # name: module, class, options of ours, whether losses must be 0 or 1
    "adwin": ("river.drift", "ADWIN", {}, False),
    "ddm": ("river.drift.binary", "DDM", {}, True),
    "eddm": ("river.drift.binary", "EDDM", {}, True),
    "page_hinkley": ("river.drift", "PageHinkley", {"mode": "up"}, False),
    "kswin": ("river.drift", "KSWIN", {"seed": 0}, False),
}


class RiverDetector:
    """One of river's detectors. After an alarm it starts anew, as river's do."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        """Raises MissingExtra where river is not installed, TypeError for options it does not have."""
        module, kind, ours, self._binary = _OWN[name]
        self._name = name
        self._inner = getattr(_load(module), kind)(**{**ours, **options})

    def update(self, values: Any) -> list[int]:
        """Losses in the order of prediction time; the positions of alarms. Missing ones are passed over.
        Raises Invalid for losses other than 0 and 1 where the detector counts errors."""
        losses = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(losses)
        if self._binary and (odd := losses[present & (losses != 0) & (losses != 1)]).size:
            raise Invalid(
                f"{self._name} counts errors: a loss is 0 or 1, not {odd[0]:g}.",
                remedy="Use adwin, page_hinkley, kswin or rising_loss for losses of other sizes.",
            )
        if np.isinf(losses).any():
            raise Invalid(f"{self._name} was given an infinite loss.", remedy="Cut losses off before.")
        alarms, inner = [], self._inner
        for position, loss in zip(np.flatnonzero(present).tolist(), losses[present].tolist(), strict=True):
            inner.update(loss)
            if inner.drift_detected:
                alarms.append(position)
        return alarms


def _load(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or module, "river") from error


def _maker(name: str) -> Callable[..., RiverDetector]:
    def make(reference: Any, **options: Any) -> RiverDetector:
        made = RiverDetector(name, options)
        if reference is not None:
            made.update(reference)
        return made

    return make


DETECTORS: dict[str, Callable[..., RiverDetector]] = {name: _maker(name) for name in _OWN}
"""Makers by name, for ``monitoring.detectors.Detectors``: reference (or None) and options to a detector."""
