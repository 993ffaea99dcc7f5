"""To be imported by a process that others are forked from: it has taken a turn then."""

from __future__ import annotations

from tests.warm import warm

warm()
