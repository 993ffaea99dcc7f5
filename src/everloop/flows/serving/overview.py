"""What the live page shows of the database: recent predictions, and what each version has answered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from everloop.flows.project import Project

from . import history

RECENT = 20


def overview(project: Project) -> dict[str, Any]:
    """As JSON types but for times."""
    recent, _ = history.page(project, limit=RECENT)
    return {
        "recent": [asdict(one) for one in recent],
        "usage": [asdict(one) for one in history.usage(project)],
    }
