"""Consider a retraining: what calls for it, what is known, the decision, and all of it written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.decisions import GatePolicy
from everloop.core.errors import MLOpsError
from everloop.core.ids import new_id
from everloop.core.loop import DecisionRecord, Outcome, Stage, Trigger
from everloop.core.monitoring import Alert
from everloop.core.releases import PROD
from everloop.data import files
from everloop.flows import states
from everloop.flows.alerts import feeds
from everloop.flows.monitoring import unchecked
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.retraining import records, triage
from everloop.retraining.triage import Before, Facts, Rows, Ruling, Sign
from everloop.store import alerts, datasets, history, loop, models, releases
from everloop.store.database import Tx

from . import following, gathering, resting, versus

YOUNG = timedelta(days=14)  # a release may be what is wrong so long
MOST_COMPARED = 2_000  # rows that the version before is asked about
LEAST_COMPARED = 100


def consider(project: Project, job: Job) -> DecisionRecord:
    """The decision of a job, made once: a process that takes it over finds it."""
    with project.store.writing() as tx:
        loop.begin(tx, job.model)
        loop.check(tx, job.model)
        known = loop.of_job(tx, job.job_id) or _joined(tx, project, job)
        triggers = loop.waiting(tx, job.model)
    if known is not None:
        return known
    facts = _facts(project, job.model, triggers)
    ruling = triage.consider(project.model(job.model).retraining.rules, facts, triggers, forced=job.force)
    record = _record(project, job, facts, ruling, triggers)
    with project.store.writing() as tx:
        loop.begin(tx, job.model)
        there = loop.of_job(tx, job.job_id)
        if there is not None:
            return there
        before = loop.list_decisions(tx, job.model, limit=1)
        record = replace(record, number=loop.next_number(tx, job.model))
        kept = records.joined(record, before[0] if before else None)
        loop.put(tx, kept)
        if ruling.roll_back:
            _go_back(tx, project, job.model, ruling)
        if ruling.action != "defer":
            loop.settle(tx, job.model, kept.decision_id, [each.key for each in triggers])
        if kept.times == 1:
            _tell(tx, project, kept)
    return kept


def _joined(tx: Tx, project: Project, job: Job) -> DecisionRecord | None:
    """The retraining whose training waits for approval, with what calls for another one: both are one. None
    where none waits."""
    waits = next((one for one in loop.under_way(tx, job.model) if one.stage == "approval"), None)
    if waits is None:
        return None
    triggers = loop.waiting(tx, job.model)
    record = records.with_triggers(waits, triggers)
    loop.put(tx, record)
    loop.settle(tx, job.model, record.decision_id, [each.key for each in triggers])
    jobs.join_decision(tx, job.job_id, record.decision_id)
    said = f"joins {record.decision_id}, which waits for approval before it trains: {job.reason}"
    details = {"decision_id": record.decision_id, "job_id": job.job_id}
    history.append(
        tx, job.model, "considered", said, at=project.clock.now(), by=project.user, details=details
    )
    return record


def _record(
    project: Project, job: Job, facts: Facts, ruling: Ruling, triggers: list[Trigger]
) -> DecisionRecord:
    rules = project.model(job.model).retraining
    stage: Stage = "ended"
    outcome: Outcome = "refused" if ruling.action == "refuse" else "deferred"
    if ruling.action == "retrain":
        stage, outcome = ("approval" if "train" in rules.approve and not job.force else "train"), ""
    return DecisionRecord(
        decision_id=new_id("dec", facts.now),
        model=job.model,
        number=0,
        at=facts.now,
        action=ruling.action,
        code=ruling.code,
        reason=ruling.reason,
        changes=ruling.changes,
        triggers=tuple(triggers),
        evidence=ruling.evidence,
        by=project.user,
        champion=facts.champion,
        forced=job.force,
        job_id=job.job_id,
        stage=stage,
        outcome=outcome,
        again_at=ruling.again_at,
        rollout=following.chosen(project, job.model, facts.champion),
        ended_at=facts.now if stage == "ended" else None,
    )


def _tell(tx: Tx, project: Project, record: DecisionRecord) -> None:
    details = {"decision_id": record.decision_id, "code": record.code, "job_id": record.job_id}
    said = f"{record.action}: {record.reason}"
    history.append(tx, record.model, "considered", said, at=record.at, by=project.user, details=details)


def _go_back(tx: Tx, project: Project, model: str, ruling: Ruling) -> None:
    """In the transaction of the record: both are done, or neither."""
    releases.begin(tx, model)
    running = releases.open_release(tx, model, PROD)
    if running is not None:
        states.end(tx, project, running, "rolled_back", ruling.reason)
    if states.champion(tx, model, PROD) != ruling.roll_back:
        states.go_back(tx, project, model, PROD, ruling.roll_back, ruling.reason)


# -- what is known -----------------------------------------------------------------------------------------


def _facts(project: Project, model: str, triggers: list[Trigger]) -> Facts:
    now = project.clock.now()
    with project.store.reading() as tx:
        serving = models.champion(tx, model)
        opened = alerts.list_alerts(tx, model, "open")
        running = releases.open_release(tx, model, PROD)
        others = [one for one in loop.under_way(tx, model) if one.stage != "approval"]
        retrained = loop.retrained(tx, model)
        signs = _signs(tx, opened, serving.version if serving else None, project.settings.alerts.quiet)
    on_its_way = running.release_id if running else None
    if on_its_way is None and others:
        on_its_way = others[0].releases[-1] if others[0].releases else others[0].decision_id
    until = gathering.until(project, model)
    faults = unchecked.faults(project, model, until) if until is not None else []
    if not signs["broken"]:
        signs["broken"] = [Sign(each.result.subject, each.result.message, "") for each in faults]
    untold = _untold(project, model, triggers)
    known = not untold and not signs["broken"]
    return Facts(
        now=now,
        champion=serving.version if serving else None,
        broken=tuple(signs["broken"]),
        worse=tuple(signs["worse"]),
        estimated=tuple(signs["estimated"]),
        moved=tuple(signs["moved"]),
        harm=next((each.damage for each in opened if each.damage and signs["moved"]), ""),
        release=on_its_way,
        asked=next((one.decision_id for one in others if one.stage == "release_approval"), None),
        before=_before(project, model, now) if not signs["broken"] else None,
        rows=gathering.count(project, model, until, [each.span for each in faults]) if serving else Rows(),
        untold=untold,
        gone=_gone(project, model),
        retrained=retrained,
        wait=resting.wait(project, serving, proven=bool(signs["worse"])) if serving and known else None,
    )


def _signs(tx: Tx, opened: list[Alert], version: str | None, quiet: int) -> dict[str, list[Sign]]:
    """What open alerts have found: feeds of any version that are still broken; the rest of the champion
    alone, and not what came of a broken feed."""
    found: dict[str, list[Sign]] = {"broken": [], "worse": [], "estimated": [], "moved": []}
    for alert in opened:
        still = feeds.broken(tx, alert, quiet)
        spans = gathering.broken_spans(tx, alert.model, min(each.since for each in alert.findings))
        for each in alert.findings:
            result = each.result
            if not result.fired:
                continue
            sign = Sign(result.subject, result.message, alert.alert_id)
            if result.breaks_feed:
                found["broken"] += [sign] if each in still else []
            elif each.version != version or any(s.since < each.until and each.since < s.until for s in spans):
                continue
            elif result.family in ("performance", "concept"):
                found["worse"].append(sign)
            elif result.family == "estimated":
                found["estimated"].append(sign)
            elif result.family in ("data", "joint", "prediction"):
                found["moved"].append(sign)
    return found


def _untold(project: Project, model: str, triggers: list[Trigger]) -> str:
    """What is there to learn that no count tells."""
    settings = project.model(model)
    told = next((each.message for each in triggers if each.kind == "data"), "")
    if told:
        return told
    with project.store.reading() as tx:
        serving = models.champion(tx, model)
        if serving is None:
            return ""
        known = datasets.datasets(tx)
        head = datasets.find_version(tx, f"{settings.dataset}@latest") if settings.dataset in known else None
        seen = datasets.known_version(tx, serving.data_version, serving.dataset) if serving.dataset else None
    changed = gathering.written(project, model)
    if changed is not None and changed > serving.created_at:
        return f"{settings.data.path} was changed after {serving.version} was trained."
    if head and seen and head.version_id != seen.version_id and not head.origin.get("base"):
        return f"The data have a new version, {head.version_id[:12]}."
    return ""


def _gone(project: Project, model: str) -> str:
    """Of a file that is not there: what stands in for it."""
    settings = project.model(model)
    if settings.data.path is None or files.is_there(project.settings.root / settings.data.path):
        return ""
    return (
        f"{settings.data.path} is gone: its newest version that is known, of {settings.dataset}, stands in."
    )


def _before(project: Project, model: str, now: datetime) -> Before | None:
    """The champion before on the labelled rows of this one, where this one is young."""
    with project.store.reading() as tx:
        current = models.champion(tx, model)
        since = releases.champion_since(tx, model, PROD)
        older = states.last_good(tx, model, PROD)
    if current is None or since is None or older is None or now - since > YOUNG:
        return None
    try:
        return _compared(project, model, current.version, older, since, now)
    except MLOpsError:
        return None  # the version before is gone or takes other columns


def _compared(
    project: Project, model: str, version: str, older: str, since: datetime, now: datetime
) -> Before | None:
    policy = GatePolicy(metric=project.model(model).gate.metric, min_rows=LEAST_COMPARED)
    verdict = versus.judge(project, model, version, older, since, now, policy, MOST_COMPARED)
    found = verdict.comparison
    if found is None:
        return None
    return Before(older, found.metric, found.improvement, found.low, found.high, found.rows)
