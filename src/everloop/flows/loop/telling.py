"""The loop in words, the same wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from everloop.core.decisions import Evidence
from everloop.core.loop import DecisionRecord, Trigger
from everloop.core.spans import words
from everloop.retraining import trial

from .showing import Leeway, Standing, Work

_STAGES = {
    "approval": "waits for approval before it trains",
    "train": "trains",
    "release_approval": "waits for approval before its release",
    "direct": "is released",
    "shadow": "runs as a shadow",
    "canary": "is on its canary",
}
MOST_NAMED = 5  # decisions in a sentence
ASKED = ("approval", "release_approval")  # the stages at which people are waited for


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def when(one: DecisionRecord) -> str:
    """When it was decided, and when the same was found last."""
    again = f", found again at {moment(one.newest)}" if one.newest else ""
    return f"{moment(one.at)}{again}"


def outcome(one: DecisionRecord) -> str:
    """What came of it, or where it is."""
    if one.is_open:
        after = f"; {one.said.removesuffix('.')}" if one.said else ""
        return f"{_STAGES[one.stage]}{after}"
    if one.action == "retrain":
        version = f"{one.model}@{one.version} " if one.version else ""
        said = one.said.removeprefix(
            f"{one.decision_id}: {one.reason}"
        )  # a release's reason is the decision's
        found = f"{version}{one.outcome.replace('_', ' ')}" + (f": {said}" if said else "")
        if one.stage == "trial" and one.again_at is not None:
            look = f"{moment(one.again_at)} (look {one.looks + 1} of {trial.LOOKS})"
            return f"{found.removesuffix('.')}; judged again on later labels at {look}"
        if one.outcome == "kept" and (result := trial.result(one)):
            return f"{found.removesuffix('.')}; {result}"
        return found
    if one.again_at is not None:
        return f"considered again at {moment(one.again_at)}"
    return ""


def speaks(one: DecisionRecord, found: Evidence) -> bool:
    """Whether it is marked in a list of all that was looked at: it fired, or it decided."""
    return found.fired or found.message == one.reason


def changed(one: DecisionRecord, champion: str | None) -> str:
    """Of a new version that waits for its release: that the champion is another one by now than it was
    compared with; empty where it is not."""
    if not one.is_open or one.version is None or champion in (None, one.compared_with, one.version):
        return ""
    before = one.compared_with or "no champion"
    return f"{champion} became champion after the gate had compared with {before}"


def to_compare(one: DecisionRecord, champion: str | None) -> str:
    """The same, and what follows."""
    found = changed(one, champion)
    return f"{found}: before the release it compares with this one, too" if found else ""


def damaged(unreadable: Sequence[str]) -> str:
    """Which decisions cannot be read; empty where all can."""
    if not unreadable:
        return ""
    named = ", ".join(unreadable[:MOST_NAMED]) + (" …" if len(unreadable) > MOST_NAMED else "")
    return f"Damaged, and left out: {named}. Restore from a backup: everloop backup restore --replace."


def to_go_on(one: DecisionRecord) -> str:
    """What people do about one that waits for them, or can do about one on trial; empty for others."""
    if one.stage == "trial":
        return (
            f"it does by itself; everloop decisions reject {one.decision_id} --why TEXT ends the trial, "
            f"everloop deploy {one.model}@{one.version} releases it all the same"
        )
    return f"everloop decisions approve {one.decision_id}, or reject" if one.stage in ASKED else ""


def to_end(decision_id: str) -> str:
    """What people do about one that is damaged and stops the loop."""
    return f"end it, what it says is lost: everloop decisions reject {decision_id} --why TEXT"


def waits(one: Standing, now: datetime) -> list[str]:
    """What is under way and what waits, for whom or until when."""
    return list(_waits(one, now))


def _waits(one: Standing, now: datetime) -> Iterator[str]:
    going, last = one.under_way, one.last
    for name in one.lost:
        yield f"{name} is damaged and has not ended, so that the loop stops; {to_end(name)}"
    for each in going:
        yield "; ".join(filter(None, [f"{each.decision_id} {outcome(each)}", to_compare(each, one.champion)]))
        if each.again_at is not None:
            yield f"it is tried again at {moment(each.again_at)}"
    for each in one.on_trial:
        yield f"{each.decision_id} {outcome(each)}"
    if one.work is not None:
        yield job(one.work, now)
    if not going and one.waiting and last is not None and last.action == "defer":
        again = f"at {moment(last.again_at)}" if last.again_at else "when that has changed"
        yield f"{last.decision_id} was put off, and is considered again {again}"


def unconsidered(one: Standing) -> list[Trigger]:
    """What has come since the last decision: what that has put off was considered."""
    last = one.last
    known = {each.key for each in last.triggers} if last is not None and last.action == "defer" else set()
    return [each for each in one.waiting if each.key not in known]


def job(one: Work, now: datetime) -> str:
    """Who works on it; there is nobody to tell of while it waits."""
    if one.owner is None or one.heard_at is None or one.held_until is None:
        return f"{one.job_id} waits for a worker since {moment(one.asked_at)}"
    said = f"{one.owner} works on {one.job_id}, heard of last at {moment(one.heard_at)}"
    if one.held_until > now:
        return said
    return f"{said}; it may have died, and another worker takes the job over"


def leeway(one: Leeway) -> dict[str, str]:
    """By what it is about."""
    new = f"{one.rows.new:,} with complete labels, of {one.min_rows:,} that are needed"
    again = f", the next from {moment(one.used_up_until)} on" if one.used_up_until else ""
    return {
        "cooldown": f"until {moment(one.rests_until)}" if one.rests_until else "none now",
        "budget": f"{one.trained} of {one.budget} trainings in {words(one.period)} are used{again}",
        "new rows": "; ".join([new, *one.rows.others]),
    }
