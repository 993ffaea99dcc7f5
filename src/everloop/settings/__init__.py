"""YAML, environment, ``.env`` and flags become one frozen Settings; each value knows where it came from."""

from __future__ import annotations

from .alerts import Alerts, masked
from .layers import flag
from .loading import folder_settings, load_settings
from .releases import ReleaseRules
from .schema import Model, Settings
from .serving import ModelServing, Serving

__all__ = [
    "Alerts",
    "Model",
    "ModelServing",
    "ReleaseRules",
    "Serving",
    "Settings",
    "flag",
    "folder_settings",
    "load_settings",
    "masked",
]
