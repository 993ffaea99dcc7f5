"""Backups: make, list, check, restore, prune, drill, schedule. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import attributes

_SOURCES = {
    "create": "saving",
    "fetch_object": "target",
    "open_backups": "target",
}
__getattr__ = attributes(__name__, {name: f"{__name__}.{module}" for name, module in _SOURCES.items()})
