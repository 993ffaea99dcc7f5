"""Serving as workflows: what is served, what was predicted, labels, samples. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    [
        "exporting",
        "history",
        "jobs",
        "labels",
        "overview",
        "planning",
        "recording",
        "samples",
        "summing",
    ],
)
