"""Durable workflows: load, call the rooms, save. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    [
        "alerts",
        "backup",
        "contracts",
        "content",
        "data",
        "delivery",
        "demo",
        "demo_folder",
        "dvc",
        "health",
        "history",
        "initial",
        "models",
        "outside",
        "report",
        "reproduction",
        "runs",
        "saved",
        "states",
        "status",
        "tracking",
        "turn",
        "watch",
    ],
)
