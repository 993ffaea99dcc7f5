"""The loop: what calls for a retraining is noticed, considered, done step by step, and written down.
Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__,
    [
        "advancing",
        "asking",
        "considering",
        "course",
        "doing",
        "gathering",
        "judging",
        "lookout",
        "noticing",
        "pausing",
        "showing",
        "telling",
        "versus",
        "working",
    ],
)
