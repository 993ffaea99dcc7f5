"""Settings as text, to be pasted into a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from . import layers

_OF_THE_PLACE = ("store", "paths", "backup", "alerts")


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Block style, keys in the order given, short lists in one line."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def standalone(text: str, tenant: str, root: Path) -> str:
    """The settings file of a copy of a project that lives by itself: without the places of the original's
    database, files, tracking server, backups and channels: nothing done with the copy touches those."""
    tree = layers.read_text(text) or {}
    kept = {name: value for name, value in tree.items() if name not in _OF_THE_PLACE}
    tracking = {**(kept.get("tracking") or {})}
    kept["tracking"] = {name: value for name, value in tracking.items() if name not in ("uri", "artifacts")}
    storage = kept.get("storage") or {}
    for section, name in ((storage, "credentials_file"), (storage.get("encryption") or {}, "key_file")):
        if section.get(name):
            section[name] = str((root / section[name]).expanduser())
    return to_yaml({**{name: value for name, value in kept.items() if value != {}}, "tenant": tenant})
