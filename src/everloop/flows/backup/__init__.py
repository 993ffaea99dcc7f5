"""Backups: make, list, check, restore, prune, drill, schedule. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import attributes

_SOURCES = {
    "create": "backup.saving",
    "drill": "backup.drilling",
    "follow": "backup.schedule",
    "make_due": "backup.schedule",
    "open_backups": "saved",
    "open_target": "saved",
    "prune": "backup.retention",
    "restore": "backup.restoring",
    "spelled": "backup.restoring",
    "verify": "backup.verifying",
    "windows": "backup.restoring",
}
__getattr__ = attributes(__name__, {name: f"everloop.flows.{module}" for name, module in _SOURCES.items()})
