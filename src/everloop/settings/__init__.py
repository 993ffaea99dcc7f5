"""YAML, environment, ``.env`` and flags become one frozen Settings; each value knows where it came from."""

from __future__ import annotations

from .loading import folder_settings, load_settings
from .schema import Model, Settings

__all__ = ["Model", "Settings", "folder_settings", "load_settings"]
