"""Measurements of what the documentation claims. Run by hand (``make bench``), never as tests."""
