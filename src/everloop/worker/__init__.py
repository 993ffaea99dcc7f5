"""Processes that work beside the one a person waits for."""
