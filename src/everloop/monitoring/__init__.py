"""The monitoring room: what changed between the reference and now."""
