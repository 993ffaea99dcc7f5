"""Durable workflows: load, call the rooms, save. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__, ["data", "delivery", "history", "models", "reproduction", "runs", "status", "turn"]
)
