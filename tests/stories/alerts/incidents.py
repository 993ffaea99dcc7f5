"""Checks as a monitor makes them, and projects to take them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.clocks import Hands

from everloop import wiring
from everloop.core.monitoring import Alert, Checked, Result
from everloop.flows.alerts import raising
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DATA = {"example": {"name": "iris"}}
MODELS = {name: {"data": DATA, "target": "species"} for name in ("iris", "flights")}


def project(folder: Path, clock: Hands | None = None, url: str | None = None, **alerts: Any) -> Project:
    tree: dict[str, Any] = {"models": MODELS, "tracking": {"enabled": False}, "alerts": alerts}
    if url:
        tree["store"] = {"url": url}
    return wiring.connect(folder_settings(folder, tree), clock or Hands(NOON))


def drift(subject: str = "age", level: Any = "info", **more: Any) -> Result:
    return Result(
        "data", subject, "ks", True, f"{subject} has changed (0.21, usually 0.02).", level, 0.21, **more
    )


def worse(subject: str = "accuracy", level: Any = "critical") -> Result:
    said = f"{subject} fell to 0.61, usually 0.70."
    return Result("performance", subject, subject, True, said, level, 0.61, usual=0.70)


def checked(
    *results: Result, hour: int = 0, model: str = "iris", version: str = "1.0.0", kind: Any = "answers"
) -> Checked:
    since = NOON + timedelta(hours=hour - 1)
    until = since + timedelta(hours=1)
    calm = Result("data", "height", "ks", False, "as usual", value=0.01)
    return Checked(model, version, kind, since, until, until, 1000, (calm, *results))


def take(
    project: Project, *results: Result, hour: int = 0, damage: str = "", proposal: str = "", **more: Any
) -> list[Alert]:
    """What a check of the window that ends ``hour`` hours after noon makes of it."""
    with project.store.writing() as tx:
        window = checked(*results, hour=hour, **more)
        return raising.take(tx, project, window, damage=damage, proposal=proposal)
