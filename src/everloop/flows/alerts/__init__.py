"""Alerts as workflows: findings become incidents, channels are told. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    ["closing", "delivering", "digests", "raising", "routing", "showing", "silencing", "telling", "texts"],
)
