"""Backups: make, list, check, restore, prune, drill, schedule. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import attributes

_SOURCES = {
    "create": "saving",
    "drill": "drilling",
    "fetch_object": "target",
    "follow": "schedule",
    "make_due": "schedule",
    "open_backups": "target",
    "open_target": "target",
    "prune": "retention",
    "restore": "restoring",
    "spelled": "restoring",
    "verify": "verifying",
    "windows": "restoring",
}
__getattr__ = attributes(__name__, {name: f"{__name__}.{module}" for name, module in _SOURCES.items()})
