"""What the live page shows, gathered so that any number of people who look on costs hardly more than one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from everloop.core.errors import MLOpsError
from everloop.core.serving import Form
from everloop.flows import monitoring, serving
from everloop.serving.counts import Counts

from . import metrics
from .metrics import Host
from .series import EVERY, Series

if TYPE_CHECKING:
    from .office import Office

RECENT_EVERY = (2.0, 15.0)  # seconds between reads: at least, and at most when they take long
PAST_EVERY = (30.0, 900.0)
WATCHED_EVERY = (5.0, 300.0)
PAUSE = 20.0  # times as long as a read took


class Board:
    """Looks at the server every EVERY seconds, and at the database when somebody asks, but not too often."""

    def __init__(self, office: Office, host: Host) -> None:
        self._office = office
        self._host = host
        self._series = Series()
        self._series.look(office.started.timestamp(), Counts(), {}, {}, {})
        now = office.project.clock.monotonic
        self._recent = _Kept(now, *RECENT_EVERY)
        self._past = _Kept(now, *PAST_EVERY)
        self._watched = _Kept(now, *WATCHED_EVERY)

    async def run(self) -> None:
        """Look on until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        counts = await self._office.counted()
        kept = self._office.recording
        summaries = kept.summaries.items()
        host = self._host.document()
        now = {
            "cpu": host["cpu_percent"],
            "memory": host["memory_percent"],
            "disk": host["disk_percent"],
            "backlog": kept.backlog,
        }
        self._series.look(
            self._office.project.clock.now().timestamp(),
            counts,
            {model: one.predictions.levels for model, one in summaries if one.predictions.levels},
            {m: (s.predictions.numbers, s.predictions.total) for m, s in summaries if s.predictions.numbers},
            now,
        )

    async def document(self, since: int, model: str | None) -> dict[str, Any]:
        """All that the page shows, the points after ``since`` only. As JSON types but for times."""
        office = self._office
        plan = office.plan
        names = [one.name for one in plan.models] if plan else []
        shown = model if model in names else (plan.default if plan and plan.default in names else None)
        shown = shown or (names[0] if names else None)
        counts = await office.counted()
        recent = await self._recent.get(lambda: serving.overview.recent(office.project))
        past = await self._past.get(lambda: serving.overview.past(office.project, names))
        watched = await self._watched.get(lambda: {"monitors": monitoring.glancing.glance(office.project)})
        newest = self._series.number
        return {
            "project": office.project.settings.project,
            "now": office.project.clock.now(),
            "every": EVERY,
            "number": newest,
            "points": self._series.since(since if since <= newest else 0, shown),
            "restarted": since > newest,
            "model": shown,
            "models": self._models(past.get("usage", {})),
            "metrics": metrics.document(office, counts, self._host),
            "notices": self._notices(),
            "problems": self._problems([one.get("problem") for one in (recent, past, watched)]),
            "monitors": watched.get("monitors"),
            **{name: recent.get(name, []) for name in ("recent", "jobs")},
            **{name: past.get(name, {}) for name in ("labels", "history")},
        }

    def _models(self, usage: Mapping[str, Any]) -> list[dict[str, Any]]:
        plan = self._office.plan
        failed: dict[str, str] = {}
        for worker in self._office.workers.values():
            failed |= worker.failed
        return [
            {
                "name": model.name,
                "default": model.default,
                "fallback": model.fallback or ("class shares" if model.constant else None),
                "versions": [
                    {
                        "version": one.version,
                        "variant": one.variant,
                        "serves": one.version == self._office.plans.serving(model),
                        "failed": failed.get(f"{model.name}@{one.version}"),
                        **_route(one.form),
                        **usage.get(model.name, {}).get(one.version, {}),
                    }
                    for one in reversed(model.versions)
                ],
            }
            for model in (plan.models if plan else ())
        ]

    def _notices(self) -> list[str]:
        """What went wrong last, which may be long ago; but for what is wrong with versions, which is among
        the problems as long as it is so."""
        workers, known = sorted(self._office.workers.items()), tuple(self._office.plans.shown.values())
        return [
            f"At {one.now['problem_at']} in worker {n}: {problem}"
            for n, one in workers
            if (problem := one.now.get("problem")) and not problem.startswith(known)
        ]

    def _problems(self, more: list[str | None]) -> list[str]:
        office = self._office
        shown = office.plans.shown
        found = [
            office.problem,
            office.recording.problem,
            *more,
            *shown.values(),
        ]
        for worker in office.workers.values():
            unloaded = {name: why for name, why in worker.failed.items() if name not in shown}
            found += [f"{name} could not be loaded: {why}" for name, why in unloaded.items()]
        return list(dict.fromkeys(text for text in found if text))


def _route(form: Form) -> dict[str, Any]:
    agreement = form.agreement
    return {
        "route": form.route,
        "reason": form.reason,
        "task": form.task,
        "agreement": None
        if agreement is None
        else {"rows": agreement.rows, "largest": agreement.largest, "labels": agreement.labels},
    }


class _Kept:
    """An answer of the database that is good for a while, the longer the longer it took."""

    def __init__(self, now: Callable[[], float], least: float, most: float) -> None:
        self._now = now
        self._least, self._most = least, most
        self._until = float("-inf")
        self._found: dict[str, Any] = {}
        self._reading = asyncio.Lock()

    async def get(self, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self._now() < self._until or (self._reading.locked() and self._found):
            return self._found
        async with self._reading:
            if self._now() < self._until:
                return self._found
            began = self._now()
            try:
                self._found = await run_in_threadpool(read)
            except MLOpsError as error:
                self._found = {**self._found, "problem": error.message}
            else:
                self._found.pop("problem", None)
            ended = self._now()
            self._until = ended + min(self._most, max(self._least, PAUSE * (ended - began)))
        return self._found
