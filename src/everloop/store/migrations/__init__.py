"""Numbered, append-only migrations, run by Alembic. ``HEAD`` is the number this release works with."""

HEAD = "0010"
