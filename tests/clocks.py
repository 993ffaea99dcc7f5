"""Clocks that a test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Hands:
    """Stands at ``start``, or goes as the real one does where files have the real time; ``ahead`` of that as
    the test says. Each look at it takes ``step`` seconds."""

    def __init__(self, start: datetime | None = None, step: float = 0.0) -> None:
        self.ahead = timedelta()
        self._start = start
        self._step = timedelta(seconds=step)

    @property
    def at(self) -> datetime:
        """What it shows, without a step."""
        return self._begun() + self.ahead

    @at.setter
    def at(self, moment: datetime) -> None:
        self.ahead = moment - self._begun()

    def _begun(self) -> datetime:
        return self._start or datetime.now(UTC)

    def now(self) -> datetime:
        self.ahead += self._step
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
