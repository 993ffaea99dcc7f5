"""The loop, day after day in a simulated world, with the decision code that decides in production.

``triage.consider``, ``policy.decide``, ``benefit.estimate`` and ``worth``, ``schedule.last_due`` and the
world's gate are the real ones. Around them stands a small model of the rest: monitoring that compares the
newest labelled days, a store whose transactions hold or do not happen, two workers that take jobs from each
other, die before and after each write, and stall while somebody else goes on with their job.

After each move and each day what must always be so is checked (``promises``). All that is drawn comes from
the seed, and deaths from a generator of their own: the same seed gives the same year to the bit, and with
deaths the same end as without.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from everloop.core.decisions import Decision, Evidence, GateVerdict, RetrainPolicy
from everloop.core.errors import Invalid, TooFewRows
from everloop.core.loop import Action, DecisionRecord, Order, Outcome
from everloop.retraining import benefit, moving, policy, records, remembered, triage, trial
from everloop.retraining.triage import Before, Facts, Ruling, Sign

from .days import Days
from .kept import Deaths, Job, Plan, Version
from .world import DAY, Rows, Trained, World

WORKERS = 2
MOST_DEATHS = 30  # in a day, so that it ends
YOUNG = 14 * DAY  # a release may be what is wrong so long
LEAST_COMPARED = 100
FRESH = 100  # rows that are new since the champion was trained, with fewer all unseen ones are compared on

Work = Generator[None, None, None]
Consider = Callable[..., Ruling]
_OUTCOMES: Mapping[Action, Outcome] = {"retrain": "", "refuse": "refused", "defer": "deferred"}


class Loop(Days):
    """The loop of one model in a world. ``pass_day`` has to be called for day 0, 1, 2 …"""

    def __init__(
        self,
        world: World,
        plan: Plan,
        *,
        consider: Consider = triage.consider,
        deaths: Deaths | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(world, plan)
        self._consider, self._deaths, self._seed = consider, deaths, seed
        self.killed, self.stalled = 0, 0
        self.watch: Callable[[], None] = lambda: None  # told after each move of a worker

    def pass_day(self, day: int) -> None:
        """The champion answers, monitoring looks, the loop does what is due."""
        self.begin_day(day)
        self._advance()
        self.notice()
        if not all(each.done for each in self.kept.jobs):
            self._work_off()

    # -- workers -------------------------------------------------------------------------------------------

    def _work_off(self) -> None:
        """Until both workers find nothing to do. They move in turns that are drawn, and die as is drawn."""
        draw = np.random.default_rng([self._seed, 9, self.day])
        workers: dict[int, Work] = {each: self._worker(each) for each in range(WORKERS)}
        deaths = 0
        while workers:
            chosen = int(draw.choice(sorted(workers)))
            if self._deaths is not None and deaths < MOST_DEATHS:
                fate = draw.random()
                if fate < self._deaths.kill + self._deaths.stall:
                    deaths += 1
                    self._lose(chosen)
                if fate < self._deaths.kill:
                    self.killed += 1
                    workers[chosen] = self._worker(chosen)  # what starts it again does so at once
                    continue
                self.stalled += fate < self._deaths.kill + self._deaths.stall
            try:
                next(workers[chosen])
            except StopIteration:
                del workers[chosen]
            self.watch()

    def _lose(self, worker: int) -> None:
        for job in self.kept.jobs:
            if job.held_by == worker:
                job.held_by = None

    def _worker(self, name: int) -> Work:
        """Each ``yield`` is a place where it may end. What is computed is lost then; what is kept is kept."""
        while (job := self._claim(name)) is not None:
            yield
            record = yield from self._once(job, "considered", partial(self._considered, job), self._put)
            if record.turn_id:
                yield from self._turn(job)
            job.done, job.held_by = True, None
            yield

    def _claim(self, worker: int) -> Job | None:
        for job in self.kept.jobs:
            if not job.done and job.held_by is None:
                job.held_by = worker
                return job
        return None

    def _once(
        self, job: Job, step: str, compute: Callable[[], Any], save: Callable[[Job, Any], Any]
    ) -> Generator[None, None, Any]:
        """A step and its effects are kept in one transaction, unless they were kept before."""
        if (job.number, step) not in self.kept.steps:
            found = compute()
            yield
            if (job.number, step) not in self.kept.steps:
                self.kept.steps[job.number, step] = save(job, found)
        yield
        return self.kept.steps[job.number, step]

    def _turn(self, job: Job) -> Work:
        decision = yield from self._once(job, "decided", lambda: self._decided(job), self._put_decision)
        if not decision.retrain:
            return
        if self.plan.limit is not None and len(self.kept.learnt) >= self.plan.limit:
            said = f"The limit of {self.plan.limit} trainings of this simulation was reached"
            yield from self._once(
                job, "limited", lambda: said, lambda job, why: self._end(job, "failed", why)
            )
            return
        trained = yield from self._once(
            job, "trained", lambda: self.world.fit(self.usable()), self._put_training
        )
        verdict = yield from self._once(job, "judged", lambda: self._judged(trained), lambda job, said: said)
        yield from self._once(job, "registered", lambda: self._made(job, trained, verdict), self._put_version)

    # -- considering ---------------------------------------------------------------------------------------

    def _considered(self, job: Job) -> tuple[DecisionRecord, Ruling]:
        triggers, facts = tuple(self.waiting()), self.facts()
        ruling = self._consider(self.plan.rules, facts, triggers, forced=False)
        outcome = _OUTCOMES[ruling.action]
        going = ruling.action == "retrain"
        return DecisionRecord(
            decision_id=job.decision_id, model=self.plan.model, number=job.number, at=facts.now,
            action=ruling.action,
            code=ruling.code, reason=ruling.reason, changes=ruling.changes, triggers=triggers,
            evidence=ruling.evidence,
            by="loop", champion=facts.champion, stage="train" if going else "ended", outcome=outcome,
            again_at=ruling.again_at, turn_id=f"turn-{job.number:04d}" if going else None,
            ended_at=None if going else facts.now,
        ), ruling  # fmt: skip

    def _put(self, job: Job, found: tuple[DecisionRecord, Ruling]) -> DecisionRecord:
        record, ruling = found
        kept = self.kept
        record = records.joined(record, kept.newest)
        kept.records[record.decision_id] = record
        kept.days.setdefault(record.decision_id, self.day)
        kept.of_job[job.number] = record.decision_id
        if record.action != "defer":
            kept.settled |= {each.key: record.decision_id for each in found[0].triggers}
        if ruling.roll_back:
            kept.champions.append((self.day, ruling.roll_back))
        return record

    def facts(self) -> Facts:
        kept, serving = self.kept, self.kept.champion
        signs = {
            kind: (Sign(kind, kept.signs[kind][1], f"alert-{since}"),) for kind, since in kept.opened.items()
        }
        going = kept.under_way()
        worse, broken = signs.get("worse", ()), signs.get("feed", ())
        return Facts(
            now=self.now,
            champion=serving.name if serving else None,
            broken=broken,
            worse=worse,
            moved=signs.get("moved", ()),
            release=going[0].decision_id if going else None,
            before=self._before(serving) if serving and not broken else None,
            rows=self.count(serving) if serving else triage.Rows(),
            retrained=kept.retrained(given=self.plan.given),
        )

    def _before(self, serving: Version) -> Before | None:
        day = self.kept.champions[-1][0]
        older = next((name for _, name in reversed(self.kept.champions) if name != serving.name), None)
        if older is None or (self.day - day) * DAY > YOUNG:
            return None
        rows = self.rows_of(day + 1, self.day) if self.day > day else np.empty(0, np.int64)
        rows = rows[self.known()[rows] & ~self.in_faults()[rows]]
        if len(rows) < LEAST_COMPARED:
            return None
        other = next(each for each in self.kept.versions if each.name == older)
        verdict = self.world.judge(
            rows, self.answers(serving, rows), other.trained, self.answers(other, rows), serving.name
        )
        found = verdict.comparison
        if found is None:
            return None
        return Before(older, found.metric, found.improvement, found.low, found.high, found.rows)

    # -- a turn --------------------------------------------------------------------------------------------

    def _decided(self, job: Job) -> Decision:
        serving, rows = self.kept.champion, self.usable()
        record = self.kept.records[self.kept.of_job[job.number]]
        asked = RetrainPolicy(min_samples=self.plan.min_samples)
        fresh = len(rows) if serving is None else int((self.world.times[rows] >= serving.until).sum())
        return policy.decide(
            asked, champion=serving.name if serving else None, rows=len(rows), fresh_rows=fresh,
            performance=None, performance_rows=None, drift=None,
            order=Order(record.reason, record.code == "changed_world"),
            helps=self._helps(serving, rows, record.code == "changed_world") if serving else None,
        )  # fmt: skip

    def _helps(self, serving: Version, rows: Rows, proven: bool) -> Evidence:
        unseen = rows[~serving.has_seen(len(self.world.times))[rows]]
        new = unseen[~serving.had(len(self.world.times))[unseen]]
        found = self._benefit(serving, new if len(new) >= benefit.FEWEST else unseen)
        learnt = len(serving.trained.learnt) + len(serving.trained.held)
        newer = self.kept.versions[self.kept.versions.index(serving) + 1 :]
        known = triage.past([serving.at, *(each.at for each in newer)], self.now)
        judged = [each.verdict for each in self.kept.versions[-benefit.MEMORY :] if each.challenged]
        growth, steps = len(rows) / max(1, learnt), benefit.WAIT
        if known:
            steps = (self.now - max(known)).total_seconds() / self.plan.window
        good, why = benefit.worth(
            found,
            growth=growth,
            steps=steps,
            moves=self._moves(serving, rows) if steps >= benefit.WAIT else None,
            refused=len(newer),
            gained=benefit.gained(judged),
            proven=proven,
            window=self.plan.window,
        )
        return Evidence("benefit", good, why, None if found is None else found.gain, 0.0)

    def _benefit(self, serving: Version, rows: Rows) -> benefit.Benefit | None:
        world, said = self.world, self.answers(serving, rows)
        answers = said[:, 1] if said.ndim == 2 and said.shape[1] == 2 else said
        times = np.where(np.isfinite(world.times[rows]), world.times[rows], -DAY)
        try:
            return benefit.estimate(answers, world.truth[rows], world.features(rows), times, kind=world.kind)
        except (TooFewRows, Invalid):
            return None

    def _moves(self, serving: Version, rows: Rows) -> moving.Moves | None:
        rows = rows[np.isfinite(self.world.times[rows])]
        known = {**self.world.features(rows), "label": self.world.truth[rows]}
        new = int((~serving.had(len(self.world.times))[rows]).sum())
        return moving.judge(known, self.world.times[rows], new)

    def _put_decision(self, job: Job, decision: Decision) -> Decision:
        record = self.kept.records[self.kept.of_job[job.number]]
        record = replace(record, evidence=(*record.evidence, *decision.evidence))
        if not decision.retrain:
            record = replace(record, action="refuse", code=triage.NO_BENEFIT, reason=decision.reason)
        self.kept.records[record.decision_id] = record
        if not decision.retrain:
            self._end(job, "refused", "")
        return decision

    def _put_training(self, job: Job, trained: Trained) -> Trained:
        used = np.concatenate([trained.learnt, trained.held])
        times = self.world.times[used]
        days = frozenset(int(each) for each in np.unique(times[np.isfinite(times)] // DAY))
        record = self.kept.records[self.kept.of_job[job.number]]
        self.kept.records[record.decision_id] = replace(record, run_id=f"run-{job.number:04d}")
        self.kept.learnt.append((self.day, record.decision_id, days))
        return trained

    def _judged(self, trained: Trained) -> GateVerdict:
        serving, rows, fresh = self.kept.champion, trained.held, False
        if serving is not None:
            unseen = rows[~serving.has_seen(len(self.world.times))[rows]]
            new = unseen[~serving.had(len(self.world.times))[unseen]]
            fresh = len(new) >= FRESH
            rows = new if fresh else unseen
        champion = None if serving is None else self.answers(serving, rows)
        answers = self.world.answers(trained.model, rows)
        verdict = self.world.judge(rows, champion, trained, answers, serving.name if serving else "")
        return remembered.judge(verdict, self._earlier(), self.plan.margin) if fresh else verdict

    def _earlier(self, but: Version | None = None) -> list[GateVerdict]:
        """On the candidates before, as ``flows.candidates`` tells them."""
        if not self.plan.past_gains:
            return []
        there = [each for each in self.kept.versions if each.challenged and each is not but]
        return [self.kept.records[each.decision_id].last_look or each.verdict for each in there]

    def _made(self, job: Job, trained: Trained, verdict: GateVerdict) -> Version:
        until = self.complete_until()
        name = f"{len(self.kept.versions) + 1}.0.0"
        known = self.kept.champion is not None
        at = self.now
        return Version(name, self.kept.of_job[job.number], trained, max(until, 0.0), at, verdict, known)

    def _put_version(self, job: Job, version: Version) -> Version:
        kept = self.kept
        kept.versions.append(version)
        record = kept.records[version.decision_id]
        kept.records[version.decision_id] = record = replace(record, version=version.name)
        if version.verdict.promote:
            self._go_out(version)
        else:
            self._end(job, "kept", version.verdict.reason)
            if version.challenged and trial.deserved(version.verdict, self.plan.margin):
                later = self.now + timedelta(seconds=self.plan.window)
                record = kept.records[version.decision_id]
                kept.records[version.decision_id] = trial.began(record, later)
        return version

    def _go_out(self, version: Version) -> None:
        kept = self.kept
        if self.plan.canary and kept.champions:
            record = replace(
                kept.records[version.decision_id], stage="canary", releases=(f"rel-{version.name}",)
            )
            kept.records[version.decision_id] = record
            kept.released[version.decision_id] = self.now
        else:
            self._promote(version)

    def _promote(self, version: Version) -> None:
        self.kept.champions.append((self.day, version.name))
        self.kept.opened.pop("worse", None)
        self.kept.opened.pop("moved", None)
        self._close(version.decision_id, "promoted", version.verdict.reason)

    def _advance(self) -> None:
        """A canary that has run for long enough by the clock is promoted."""
        for record in self.kept.under_way():
            if record.stage != "canary":
                continue
            if self.now - self.kept.released[record.decision_id] >= timedelta(days=self.plan.canary):
                self._promote(next(each for each in self.kept.versions if each.name == record.version))
        for record in self.kept.on_trial():
            if record.again_at is not None and record.again_at <= self.now:
                self._look_again(record)

    def _look_again(self, record: DecisionRecord) -> None:
        """At a candidate that the gate could not tell from the champion, by the labels that have come."""
        kept, serving = self.kept, self.kept.champion
        version = next(each for each in kept.versions if each.name == record.version)
        newer = any(each.run_id and each.number > record.number for each in kept.records.values())
        if serving is None or serving.name != record.champion or newer or kept.under_way():
            kept.records[record.decision_id] = trial.ended(record, "there is a newer candidate or champion")
            return
        rows = self.usable()
        rows = rows[self.world.times[rows] >= (kept.days[record.decision_id] + 1) * DAY]
        later = self.now + timedelta(seconds=self.plan.window)
        if too_early := trial.too_early(record, len(rows)):
            kept.records[record.decision_id] = trial.waits(record, too_early, later)
            return
        verdict = self.world.judge(
            rows, self.answers(serving, rows), version.trained, self.answers(version, rows), serving.name,
            again=True,
        )  # fmt: skip
        verdict = remembered.judge(verdict, self._earlier(but=version), self.plan.margin)
        if verdict.comparison is None:  # too few labels
            kept.records[record.decision_id] = trial.waits(record, verdict.reason, later)
            return
        kept.records[record.decision_id] = trial.looked(record, verdict, len(rows), later)
        if verdict.promote:
            self._go_out(replace(version, verdict=verdict))

    def _end(self, job: Job, outcome: Outcome, said: str) -> str:
        self._close(self.kept.of_job[job.number], outcome, said)
        return said

    def _close(self, decision_id: str, outcome: Outcome, said: str) -> None:
        record = self.kept.records[decision_id]
        self.kept.records[decision_id] = replace(
            record, stage="ended", outcome=outcome, said=said, ended_at=self.now
        )
