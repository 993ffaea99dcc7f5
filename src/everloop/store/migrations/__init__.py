"""Numbered, append-only migrations, run by Alembic, which loads when one is missing. ``HEAD`` is the number
this release works with."""

from everloop.core.lazy import submodules

HEAD = "0011"
__getattr__ = submodules(__name__, ["running"])
