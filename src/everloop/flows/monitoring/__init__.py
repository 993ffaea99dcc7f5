"""Monitoring as workflows: references, windows of production, checks. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    [
        "checking",
        "comparing",
        "damaging",
        "glancing",
        "referring",
        "reporting",
        "service",
        "showing",
        "spans",
        "summing",
        "unchecked",
    ],
)
