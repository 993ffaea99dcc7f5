"""Whether models that failed still answer at all.

One request that a model cannot answer says little: it may be the request. So a model that failed is asked
again what it answered last; where it has answered nothing yet, an ordinary row of its fields. One that fails
there, too, is asked ever more rarely: where it hangs, each question ends the process that others share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from everloop.core.serving import Field
from everloop.serving.desk import Scores, Served
from everloop.serving.inputs import Rejected, Row

from .tables import Table

Key = tuple[str, str]  # model, version
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds; twice as long each time


class Standing:
    """Of the versions that a worker serves. ``run`` gives scores of a version for rows, beside the loop;
    ``now`` is a monotonic clock."""

    def __init__(
        self, run: Callable[[Served, list[Row]], Awaitable[Scores]], now: Callable[[], float]
    ) -> None:
        self._run = run
        self._now = now
        self._answered: dict[Key, Row] = {}  # the last row that each has answered
        self._failed: dict[Key, Served] = {}  # since it answered last
        self._down: dict[Key, tuple[float, float]] = {}  # those that did not answer that row either: the
        # pause until they are asked again, and when that is

    def answered(self, model: Served, row: Row) -> None:
        key = model.name, model.version
        self._answered[key] = row
        if self._failed:
            self._settle(key)

    def failed(self, model: Served) -> None:
        self._failed[model.name, model.version] = model

    def is_down(self, model: Served) -> bool:
        return (model.name, model.version) in self._down

    async def look(self, table: Table) -> None:
        """Ask those that failed again, and forget what is served no more."""
        served = {(name, version) for name, shown in table.models.items() for version in shown.versions}
        self._answered = {key: row for key, row in self._answered.items() if key in served}
        for key, model in list(self._failed.items()):
            if key not in served:
                self._settle(key)
                continue
            pause, again = self._down.get(key, (0.0, 0.0))
            if self._now() < again:
                continue
            row = self._answered.get(key) or [_ordinary(field) for field in model.form.fields]
            try:
                model.reading.outcomes(await self._run(model, [row]))
            except Rejected:  # the row is not so ordinary: nothing is known
                self._settle(key)
            except Exception:  # noqa: BLE001 (whatever it was, it is no answer; the requests told why)
                if key in self._failed:  # it has not answered somebody meanwhile
                    pause = min(2 * pause, LONGEST_PAUSE) or FIRST_PAUSE
                    self._down[key] = pause, self._now() + pause
            else:
                self._settle(key)

    def _settle(self, key: Key) -> None:
        self._failed.pop(key, None)
        self._down.pop(key, None)


def _ordinary(field: Field) -> Any:
    """A value that nothing speaks against."""
    rule = field.rule
    if field.kind == "category":
        return next(iter(field.levels or (rule.allowed if rule else None) or ("",)))
    if field.kind == "boolean":
        return False
    if field.kind.startswith("time"):
        return "2020-01-01T00:00:00"
    low, high = (rule.minimum, rule.maximum) if rule else (None, None)
    if low is not None and high is not None:
        return (low + high) / 2
    return low if low is not None else high if high is not None else 0.0
