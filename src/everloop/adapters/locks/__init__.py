"""Locks that the operating system or the database frees when their holder dies, so none is ever stale."""
