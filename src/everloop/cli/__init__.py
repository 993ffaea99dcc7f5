"""The command line: ``everloop``. Commands are named in ``application``; each loads when it is asked for."""

from __future__ import annotations

from .application import main

__all__ = ["main"]
