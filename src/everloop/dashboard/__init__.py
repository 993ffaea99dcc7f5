"""Pages for people to look at. Submodules load on first use."""

from __future__ import annotations

from everloop.core.lazy import submodules

__getattr__ = submodules(
    __name__, ["alert", "comparison", "loop", "monitoring", "notebook", "release", "report"]
)
