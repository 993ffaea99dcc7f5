"""Settings as text, to be pasted into a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Block style, keys in the order given, short lists in one line."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
