"""The stages that a new version goes through after the gate, by how it is to be rolled out."""

from __future__ import annotations

from everloop.core.loop import Stage

_STAGES: dict[str, tuple[Stage, ...]] = {
    "direct": ("direct",),
    "canary": ("canary",),
    "shadow": ("shadow",),
    "shadow-canary": ("shadow", "canary"),
}
_HELD = "The loop sees to it: "


def held(rollout: str, approval: bool) -> str:
    """Why a version that passed the gate is not champion at once; empty where it is."""
    if rollout == "direct" and not approval:
        return ""
    way = (
        "it goes out directly"
        if rollout == "direct"
        else f"it goes out by {' and then '.join(_STAGES[rollout])}"
    )
    return f"{_HELD}{way}{', when that is approved' if approval else ''}."


def is_ours(reason: str) -> bool:
    return reason.startswith(_HELD)


def first(rollout: str) -> Stage:
    return _STAGES[rollout][0]


def after(rollout: str, stage: Stage) -> Stage | None:
    stages = _STAGES[rollout]
    where = stages.index(stage) + 1
    return stages[where] if where < len(stages) else None


def before(rollout: str, stage: Stage) -> int:
    """How many stages come before this one."""
    return _STAGES[rollout].index(stage)
