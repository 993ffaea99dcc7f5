"""A simulated day but for the workers: the champion answers, monitoring looks, and what calls for a
retraining is noticed. A small model of these, beside the real decisions that ``simulation`` makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from everloop.core.loop import Trigger, TriggerKind
from everloop.retraining import records, schedule, triage
from everloop.retraining.columns import Floats

from .kept import Job, Kept, Plan, Version
from .world import DAY, Rows, World, losses

LEAST_LABELS = 20  # with fewer nothing is said about those to come
NEWEST = 2_000  # labels, by which it is told how long they take
LATELY = 7  # days whose inputs are compared with what was learnt
HEALED = 2  # quiet days after which a feed's alert closes
_KINDS: Mapping[str, TriggerKind] = {"worse": "performance", "moved": "drift"}


class Days:
    """What is seen of one model in a world, day after day."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan, self.kept = world, plan, Kept()
        self.day = 0
        self.served: dict[int, Floats] = {}  # each day's losses, of rows whose label ever comes
        self._said: dict[str, Floats] = {}
        there = np.isfinite(world.times)
        self._day_of = np.where(there, np.floor(np.where(there, world.times, 0.0) / DAY), -np.inf)
        late = np.flatnonzero(np.isfinite(world.times) & np.isfinite(world.known))
        self._arriving = late[np.argsort(world.known[late], kind="stable")]  # labels in the order they come
        self._edges = np.searchsorted(world.times, np.arange(world.days + 1) * DAY)

    # -- a day ---------------------------------------------------------------------------------------------

    def begin_day(self, day: int) -> None:
        """The champion answers, monitoring looks."""
        self.day = day
        serving = self.kept.champion
        if serving is not None:
            rows = self.rows_of(day)
            rows = rows[np.isfinite(self.world.known[rows])]
            self.served[day] = self.losses(serving, rows)
        self._look(day)

    @property
    def now(self) -> datetime:
        return self.world.clock(self.day)

    def rows_of(self, first: int, last: int | None = None) -> Rows:
        """Of a day, or of the days from the first to the last."""
        return np.arange(self._edges[first], self._edges[(first if last is None else last) + 1])

    def losses(self, version: Version, rows: Rows) -> Floats:
        return losses(self.world.kind, self.world.truth[rows], self.answers(version, rows))

    def answers(self, version: Version, rows: Rows) -> Floats:
        """Of a registered version; all that it may ever be asked are answered at once."""
        if version.name not in self._said:
            everything = np.arange(len(self.world.times))
            self._said[version.name] = self.world.answers(version.trained.model, everything)
        return self._said[version.name][rows]

    def known(self) -> np.ndarray:
        """(n,): whose labels have come by the end of the day."""
        return np.asarray(self.world.known <= (self.day + 1) * DAY)

    def complete_until(self) -> float:
        """Labels of rows from before have come, as far as the worker's clock tells: they have waited twice
        as long as 95 % of the newest labels took. -inf while too few have come to say."""
        world, end = self.world, (self.day + 1) * DAY
        come = int(np.searchsorted(world.known[self._arriving], end, side="right"))
        newest = self._arriving[max(0, come - NEWEST) : come]
        if len(newest) < LEAST_LABELS:
            return -np.inf
        late = float(np.quantile(world.known[newest] - world.times[newest], 0.95))
        return (self.now - world.begin).total_seconds() - 2 * max(0.0, late)

    # -- monitoring ----------------------------------------------------------------------------------------

    def _look(self, day: int) -> None:
        kept = self.kept
        if fault := self.world.fault(day):
            kept.faults[day] = fault
            kept.signs["feed"] = (day, fault)
            kept.opened.setdefault("feed", day)
        elif "feed" in kept.opened and day - max(kept.faults) >= HEALED:
            del kept.opened["feed"]
        serving = kept.champion
        if serving is None:
            return
        since = kept.champions[-1][0] + 1
        self._judge(serving, day)
        asked = [each for each in range(max(since, day - LATELY + 1), day + 1) if each not in kept.faults]
        rows = np.concatenate([self.rows_of(each) for each in asked]) if asked else np.empty(0, np.int64)
        enough = len(rows) >= self.plan.window_rows
        self._sign("moved", day, self.world.moved(serving.trained, rows) if enough else "")

    def _sign(self, kind: str, day: int, said: str) -> None:
        if said:
            self.kept.signs[kind] = (day, said)
            self.kept.opened.setdefault(kind, day)
        else:
            self.kept.opened.pop(kind, None)

    def _judge(self, serving: Version, day: int) -> None:
        """By the next window: the days since the last one whose labels are complete, without those of a
        broken feed, once they are long enough and have rows enough. Until then what was found stands."""
        kept, plan = self.kept, self.plan
        first = max(kept.champions[-1][0] + 1, kept.looked)
        complete = self.complete_until()
        until = min(day, int(complete // DAY) - 1) if np.isfinite(complete) else -1
        if (until + 1 - first) * DAY < plan.window or until < first:
            return
        known, rows = self.known(), self.rows_of(first, until)
        rows = rows[known[rows] & ~self.in_faults()[rows]]
        if len(rows) >= plan.window_rows:
            kept.looked = until + 1
            self._sign("worse", day, self.world.worse(serving.trained, rows))

    # -- noticing ------------------------------------------------------------------------------------------

    def notice(self) -> None:
        kept = self.kept
        if kept.under_way() or any(not each.done for each in kept.jobs):
            return
        found = [each for each in self._news() if each.key not in kept.triggers]
        kept.triggers |= {each.key: each for each in found}
        if found or self._is_again():
            kept.jobs.append(Job(len(kept.jobs) + 1))

    def _news(self) -> list[Trigger]:
        kept, plan, serving = self.kept, self.plan, self.kept.champion
        if serving is None:
            first = Trigger("manual", f"first/{len(kept.versions)}", self.now, "There is no model yet")
            return [first] if len(self.usable()) >= plan.first else []
        found = []
        for sign, kind in _KINDS.items():
            if sign in kept.opened and kind in plan.on:
                day, said = kept.signs[sign]
                found.append(Trigger(kind, f"alert/{sign}/{kept.opened[sign]}/{day}", self.now, said))
        if plan.schedule is not None:
            last = [each.at for each in kept.triggers.values() if each.kind == "schedule"]
            due = schedule.last_due(plan.schedule, max(last, default=serving.at), self.now)
            if due is not None:
                said = f"The schedule was due at {due:%Y-%m-%d %H:%M} UTC"
                found.append(Trigger("schedule", f"schedule/{due.isoformat()}", due, said))
        if "labels" in plan.on:
            new = self.count(serving).new
            if many := new // plan.new_labels:
                said = f"{new:,} labelled rows are new since {serving.name} was trained"
                found.append(Trigger("labels", f"labels/{serving.name}/{many}", self.now, said))
        return found

    def waiting(self) -> list[Trigger]:
        return [each for key, each in self.kept.triggers.items() if key not in self.kept.settled]

    def _is_again(self) -> bool:
        return bool(self.waiting()) and records.is_due(self.kept.newest, self.now)

    # -- rows ----------------------------------------------------------------------------------------------

    def count(self, serving: Version) -> triage.Rows:
        times = self.world.times
        later = np.arange(np.searchsorted(times, serving.until), self._edges[self.day + 1])
        known, done = self.known()[later], times[later] < self.complete_until()
        out = int((known & done & self.in_faults()[later]).sum())
        labelled, ready = int(known.sum()), int((known & done).sum())
        return triage.Rows(ready - out, labelled - ready, len(later) - labelled, out)

    def in_faults(self) -> np.ndarray:
        """(n,): rows of days on which the feed was found broken."""
        return np.isin(self._day_of, list(self.kept.faults))

    def usable(self) -> Rows:
        """Rows to train on: labelled, complete, and of days with a whole feed."""
        done = (self.world.times < self.complete_until()) | np.isneginf(self.world.times)
        return np.flatnonzero(self.known() & done & ~self.in_faults())
