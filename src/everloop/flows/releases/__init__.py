"""Releases as workflows: states, plans, looks, memory. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    [
        "deploying",
        "faults",
        "keeping",
        "looking",
        "memory",
        "observing",
        "planning",
        "results",
        "shadowing",
        "showing",
    ],
)
