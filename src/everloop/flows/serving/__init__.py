"""Serving as workflows: compile a version, route its requests, record what was predicted."""
