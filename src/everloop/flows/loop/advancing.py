"""What comes after the decision: the turn's result, approvals, the releases, and the end of it. Each step is
one transaction with the record, so that a process may end at any time and another one goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from everloop.core import spans
from everloop.core.decisions import Evidence, GateVerdict
from everloop.core.documents import load
from everloop.core.errors import Conflict, Corrupt, Invalid, MLOpsError, NotFound, Unavailable
from everloop.core.ids import new_id
from everloop.core.loop import Approval, DecisionRecord, Outcome, Stage, Step
from everloop.core.monitoring import Checked, Result
from everloop.core.releases import OPEN, PROD, Release
from everloop.core.turns import TurnSummary
from everloop.flows import alerts, environments, states
from everloop.flows import loop as rooms
from everloop.flows.project import Project
from everloop.flows.releases import deploying
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.retraining import triage, trial
from everloop.store import history, loop, predictions, releases, turns
from everloop.store.database import Row, Tx

from . import following, telling, trials

LONGEST_PAUSE = timedelta(hours=1)
MOST_FINDINGS = 20
_MORE = (
    "Labels that prove that it got worse; later, more labelled rows on which the champion's errors can be "
    "foreseen, or many more rows; or --force."
)


def decided(project: Project, job: Job) -> DecisionRecord | None:
    """The record of a job whose decision is made: it is gone on with."""
    if job.decision_id is None:
        return None
    with project.store.reading() as tx:
        return loop.find(tx, job.decision_id)


# -- the turn ----------------------------------------------------------------------------------------------


def after_turn(
    project: Project, decision_id: str, turn_id: str, summary: Mapping[str, Any]
) -> DecisionRecord:
    """Take in what the turn has done."""
    told = load(TurnSummary, summary)
    with project.store.writing() as tx:
        record = _locked(tx, decision_id)
        if record.stage != "train":
            return record
        record = replace(
            record,
            turn_id=turn_id,
            run_id=told.run_id,
            version=told.registered,
            evidence=(*record.evidence, *_evidence(record, told)),
            again_at=None,
        )
        if told.status == "stopped":
            return _refused_data(tx, project, record, told)
        if not told.retrained:
            said = told.decision.reason if told.decision else "The turn saw no reason to train."
            record = replace(record, action="refuse", code=triage.NO_BENEFIT, reason=said, changes=_MORE)
            return _end(tx, project, record, "refused", "")
        return _judged(tx, project, record, told.verdict, promoted=told.promoted, held=told.held)


def _judged(
    tx: Tx,
    project: Project,
    record: DecisionRecord,
    verdict: GateVerdict | None,
    *,
    promoted: bool,
    held: str,
) -> DecisionRecord:
    """The gate has spoken, and the version is registered."""
    spoken = _result(tx, record.turn_id, "gate")
    record = replace(record, against=spoken["champion"] if spoken else None)
    for each in loop.on_trial(tx):
        if each.model == record.model:
            _end_trial(tx, project, each, f"{record.decision_id} has trained another candidate")
    if promoted:
        return _end(tx, project, record, "promoted", _why(verdict))
    if verdict is None or not verdict.promote:
        ended = _end(tx, project, record, "kept", _why(verdict))
        if not trials.begins(project, record.model, verdict):
            return ended
        later = project.clock.now() + following.between_looks(project, record.model)
        return _put(tx, trial.began(ended, later))
    return _goes_out(tx, project, record, held)


def _goes_out(tx: Tx, project: Project, record: DecisionRecord, held: str) -> DecisionRecord:
    """The gate is for it."""
    if held and not following.is_ours(held):
        return _end(tx, project, record, "held", held)
    first: Stage = following.first(record.rollout)
    if "release" in project.model(record.model).retraining.approve:
        record = _put(tx, replace(record, stage="release_approval"))
        _tell(tx, project, record, "waiting", f"{record.decision_id} waits for the approval of its release")
        return record
    return _put(tx, replace(record, stage=first))


def leave_out(project: Project, decision_id: str, damaged: Sequence[str]) -> None:
    """Write down which predictions are not trained on, as they cannot be read."""
    if not damaged:
        return
    looked = Evidence("damaged", True, f"Labelled predictions are {predictions.told(damaged)}.")
    with project.store.writing() as tx:
        record = _locked(tx, decision_id)
        if looked not in record.evidence:
            _put(tx, replace(record, evidence=(*record.evidence, looked)))


def _evidence(record: DecisionRecord, told: TurnSummary) -> tuple[Evidence, ...]:
    """What else the turn looked at before it trained, and what its gate said."""
    known = {each.check for each in record.evidence}
    looked = told.decision.evidence if told.decision else ()
    found = [each for each in looked if each.check not in known]
    if told.verdict is None:
        return tuple(found)
    return (*found, Evidence("gate", not told.verdict.promote, told.verdict.reason))


def _why(verdict: GateVerdict | None) -> str:
    return verdict.reason if verdict else "It was not judged."


def _refused_data(tx: Tx, project: Project, record: DecisionRecord, told: TurnSummary) -> DecisionRecord:
    """The data break their contract: an incident, which somebody is told of, and no training."""
    now = project.clock.now()
    results = tuple(
        Result(
            "quality",
            str(each.get("column") or "data"),
            "contract",
            True,
            f"The data to train on break their contract: {each['message']}",
            level="critical",
        )
        for each in told.findings[:MOST_FINDINGS]
        if each.get("severity", "error") == "error"
    )
    version = record.champion or ""
    checked = Checked(record.model, version, "answers", now - timedelta(seconds=1), now, now, 0, results)
    said = "Repair the data. Nothing is trained on them."
    raised = alerts.raising.take(tx, project, checked, proposal=said) if results else []
    reason = results[0].message if results else "The data break their contract."
    alert_id = raised[0].alert_id if raised else None
    record = replace(
        record, action="refuse", code="broken_data", reason=reason, changes=said, alert_id=alert_id
    )
    return _end(tx, project, record, "refused", "")


def after_failure(tx: Tx, project: Project, job: Job, turn_id: str | None, error: Exception) -> None:
    """A failure that passes is tried again, ever later; what a failed turn had registered counts."""
    if loop.lost(tx, job.model):  # it may be this one: people end it
        return
    known = loop.find(tx, job.decision_id) if job.decision_id else loop.of_job(tx, job.job_id)
    if known is None:
        return
    said = error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
    record = _locked(tx, known.decision_id)
    if record.stage != "train" or record.job_id != job.job_id:
        return
    registered = _result(tx, turn_id, "register")
    if registered is not None:
        made = registered["version"]
        verdict = load(GateVerdict, (_result(tx, turn_id, "gate") or {})["verdict"])
        looked = Evidence("turn", False, f"After it was registered the turn failed: {said}")
        record = replace(
            record,
            turn_id=turn_id,
            run_id=made["run_id"],
            version=made["version"],
            evidence=(*record.evidence, looked),
        )
        promoted, held = registered["promoted"], registered.get("held", "")
        _judged(tx, project, record, verdict, promoted=promoted, held=held)
    elif not isinstance(error, Unavailable):
        _end(tx, project, record, "failed", said)
    else:
        tried = record.times
        pause = timedelta(seconds=spans.seconds(project.model(record.model).retraining.retry))
        later = project.clock.now() + min(pause * 2 ** min(tried - 1, 10), max(pause, LONGEST_PAUSE))
        _put(tx, replace(record, again_at=later, times=tried + 1, said=str(error)))


def _result(tx: Tx, turn_id: str | None, step: str) -> Mapping[str, Any] | None:
    """Of a step that is done."""
    found = turns.finished_step(tx, turn_id, step) if turn_id else None
    return found["result"] if found else None


# -- on its way --------------------------------------------------------------------------------------------


def advance(project: Project) -> list[DecisionRecord]:
    """Go on with what is under way; returns what changed. One that cannot go on now is looked at again."""
    with project.store.reading() as tx:
        found = [*loop.under_way(tx), *loop.on_trial(tx)]
    changed = []
    for record in found:
        after = _advanced(project, record)
        if after != record:
            changed.append(after)
    return changed


def _advanced(project: Project, record: DecisionRecord) -> DecisionRecord:
    if record.stage == "train" and record.again_at is not None:
        return _try_again(project, record)
    if record.stage == "trial":
        return _look_again(project, record)
    if record.stage not in following.RELEASES:
        return record
    if not following.its_release(record):
        return _begin(project, record)
    with project.store.reading() as tx:
        release = releases.find(tx, record.releases[-1])
    return record if release.status in OPEN else _released(project, record, release)


def _try_again(project: Project, record: DecisionRecord) -> DecisionRecord:
    with project.store.writing() as tx:
        now = _locked(tx, record.decision_id)
        if now != record or record.again_at is None or record.again_at > project.clock.now():
            return now
        return _queue(tx, project, now, f"{record.said} It is tried again")


def _look_again(project: Project, record: DecisionRecord) -> DecisionRecord:
    """At a candidate on trial, unless that is over."""
    with project.store.reading() as tx:
        over = following.over(tx, project, record)
        if not over and not following.is_look_due(tx, project, record, project.clock.now()):
            return record
    after = record if over else trials.look(project, record)
    with project.store.writing() as tx:
        now = _locked(tx, record.decision_id)
        if now != record:
            return now
        over = following.over(tx, project, record)  # a look takes its time
        if over:
            return _end_trial(tx, project, record, over)
        if not following.is_look_due(tx, project, record, project.clock.now()):
            return record
        if after.looks > record.looks:
            _tell(tx, project, after, "judged", after.evidence[-1].message)
        return _put(tx, after) if after.outcome else _goes_out(tx, project, after, "")


def _end_trial(tx: Tx, project: Project, record: DecisionRecord, why: str) -> DecisionRecord:
    ended = trial.ended(record, why)
    _tell(tx, project, ended, "judged", ended.evidence[-1].message)
    return _put(tx, ended)


def _queue(tx: Tx, project: Project, record: DecisionRecord, reason: str) -> DecisionRecord:
    job = jobs.enqueue(
        tx, project, record.model, force=record.forced, reason=reason, decision_id=record.decision_id
    )
    return _put(tx, replace(record, stage="train", job_id=job.job_id, again_at=None))


def _begin(project: Project, record: DecisionRecord) -> DecisionRecord:
    """Begin the release of this stage, in one transaction with the record."""
    reason = f"{record.decision_id}: {record.reason}"
    asked = deploying.Request(f"{record.model}@{record.version}", PROD, strategy=record.stage, reason=reason)
    try:
        planned = deploying.prepare(project, asked)
        if planned.against not in (None, record.compared_with):
            return _judge_again(project, record, planned.against)
        place = environments.find(project, PROD)
        with project.store.writing() as tx:
            now = _locked(tx, record.decision_id)
            if now != record:
                return now
            release = replace(planned, release_id=new_id("rel", planned.created_at), status="waiting")
            entered = states.enter(tx, project, release)
            if not place.approval:
                entered = states.begin(tx, project, entered)
            return _put(tx, replace(record, releases=(*record.releases, entered.release_id)))
    except Conflict as conflict:
        if not _has_release(project, record.model):
            return _close(project, record, "held", conflict.message)
        return record  # another release has to end first
    except Unavailable:
        return record  # it is tried again at the next look
    except MLOpsError as refused:
        how = f"everloop deploy {record.model}@{record.version} --strategy direct"
        return _close(project, record, "held", f"{refused.message} By hand: {how}")


def _judge_again(project: Project, record: DecisionRecord, current: str) -> DecisionRecord:
    """The champion is another one than the gate has compared with: it compares again, and the release begins
    where the new version is better than this one, too."""
    changed = telling.changed(record, current)
    try:
        champion, verdict = rooms.judging.judge(project, record)
    except (Corrupt, NotFound, Invalid) as lost:
        train = f"Train anew: everloop retrain {record.model} --force"
        return _close(project, record, "held", f"{changed}, and cannot be compared: {lost.message} {train}")
    if champion != current:
        return record  # once more another one: it is looked at again
    said = f"{changed}, and compared again: {verdict.reason}"
    with project.store.writing() as tx:
        now = _locked(tx, record.decision_id)
        if now != record:
            return now
        looked = Evidence("gate", not verdict.promote, said)
        record = replace(record, against=current, evidence=(*record.evidence, looked))
        _tell(tx, project, record, "judged", f"{'promote' if verdict.promote else 'do not promote'}: {said}")
        if not verdict.promote:
            return _end(tx, project, record, "kept", said)
        _put(tx, record)
    return _begin(project, record)


def _has_release(project: Project, model: str) -> bool:
    with project.store.reading() as tx:
        return releases.open_release(tx, model, PROD) is not None


def _released(project: Project, record: DecisionRecord, release: Release) -> DecisionRecord:
    """Its release has ended."""
    following_stage = following.after(record.rollout, record.stage)
    if release.status == "promoted":
        return _close(project, record, "promoted", release.outcome)
    if release.status == "concluded" and following_stage is not None:
        with project.store.writing() as tx:
            now = _locked(tx, record.decision_id)
            return _put(tx, replace(now, stage=following_stage)) if now == record else now
    outcome: Outcome = "held" if release.status == "concluded" else "rolled_back"
    return _close(project, record, outcome, release.outcome or release.status)


# -- people ------------------------------------------------------------------------------------------------


def approve(project: Project, decision_id: str, role: str = "", note: str = "") -> DecisionRecord:
    """Approve the step that a retraining waits at; it goes on. Raises NotFound, Conflict."""
    with project.store.writing() as tx:
        record = _waiting(tx, decision_id)
        step: Step = "train" if record.stage == "approval" else "release"
        given = Approval(step, project.user, project.clock.now(), role, note)
        record = replace(record, approvals=(*record.approvals, given))
        said = f"{step} of {record.decision_id} approved" + (f" as {role}" if role else "")
        _tell(tx, project, record, "approved", said)
        if step == "train":
            return _queue(tx, project, record, f"approved: {record.reason}")
        return _put(tx, replace(record, stage=following.first(record.rollout)))


def reject(project: Project, decision_id: str, reason: str = "") -> DecisionRecord:
    """Say no at the step that a retraining waits at, or to a candidate on trial; it ends there. So does one
    that is damaged, wherever it is. Raises NotFound, Conflict."""
    said = f"rejected by {project.user}" + (f": {reason}" if reason else "")
    with project.store.writing() as tx:
        lost = loop.find_lost(tx, decision_id)
        if lost is not None:
            loop.begin(tx, lost["model"])
            return _end(tx, project, _stand_in(project, lost), "failed", f"What it said is lost; {said}")
        if (on_trial := _locked(tx, decision_id)).stage == "trial":
            return _end_trial(tx, project, on_trial, said)
        record = _waiting(tx, decision_id)
        return _end(tx, project, record, "refused" if record.stage == "approval" else "held", said)


def _stand_in(project: Project, lost: Row) -> DecisionRecord:
    """What is known of a decision whose document is damaged."""
    return DecisionRecord(
        decision_id=lost["decision_id"],
        model=lost["model"],
        number=lost["number"],
        at=datetime.fromisoformat(lost["at"]),
        action=lost["action"],
        code=loop.LOST,
        reason="Its row in the database was damaged: why it was made is lost.",
        changes="",
        triggers=(),
        evidence=(),
        by=project.user,
        job_id=lost["job_id"],
        stage=lost["stage"],
    )


def _waiting(tx: Tx, decision_id: str) -> DecisionRecord:
    record = _locked(tx, decision_id)
    if record.stage not in telling.ASKED:
        over = record.stage == "ended"
        state = f"has ended: {record.outcome}" if over else f"is at the stage '{record.stage}'"
        given = "".join(f": {_told(each)}" for each in record.approvals[-1:])
        on = f" To go on: {telling.to_go_on(record)}." if record.stage == "trial" else ""
        said = f"It waits for nobody's approval{given}.{on}"
        raise Conflict(f"The decision {record.decision_id} {state}.", remedy=said)
    return record


def _told(one: Approval) -> str:
    what = "training" if one.step == "train" else "release"
    role = f" as {one.role}" if one.role else ""
    return f"its {what} was approved by {one.by}{role}, {telling.moment(one.at)}"


# -- keeping it --------------------------------------------------------------------------------------------


def _locked(tx: Tx, decision_id: str) -> DecisionRecord:
    record = loop.find(tx, decision_id)
    loop.begin(tx, record.model)
    return loop.find(tx, record.decision_id)


def _put(tx: Tx, record: DecisionRecord) -> DecisionRecord:
    loop.put(tx, record)
    return record


def _close(project: Project, record: DecisionRecord, outcome: Outcome, said: str) -> DecisionRecord:
    with project.store.writing() as tx:
        now = _locked(tx, record.decision_id)
        return _end(tx, project, now, outcome, said) if now == record else now


def _end(tx: Tx, project: Project, record: DecisionRecord, outcome: Outcome, said: str) -> DecisionRecord:
    at: datetime = project.clock.now()
    done = replace(record, stage="ended", outcome=outcome, said=said, ended_at=at, again_at=None)
    loop.put(tx, done)
    _tell(tx, project, done, "concluded", f"{outcome.replace('_', ' ')}: {said or record.reason}")
    return done


def _tell(tx: Tx, project: Project, record: DecisionRecord, kind: str, said: str) -> None:
    details = {"decision_id": record.decision_id, "version": record.version, "turn_id": record.turn_id}
    history.append(tx, record.model, kind, said, at=project.clock.now(), by=project.user, details=details)
