"""Before anything is trained: what is wrong, and would training be the answer to it? Pure.

A broken feed is repaired, not learnt. A bad release is taken back, not retrained over. A changed world is
learnt, as soon as its labels are there. Nothing is done about what does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.decisions import Evidence
from everloop.core.loop import Action, Trigger
from everloop.core.spans import words

_ASKED = ("manual", "webhook", "schedule")
MOST_NAMED = 3
AHEAD = timedelta(minutes=5)  # by which clocks may differ
NO_BENEFIT = "no_benefit"  # the code of what is refused as training would not help, or not yet


def past(times: Iterable[datetime], now: datetime) -> list[datetime]:
    """Without those that a clock which was wrong has dated in the future."""
    return [at for at in times if at <= now + AHEAD]


@dataclass(frozen=True)
class Rules:
    """``cooldown`` and ``period`` in seconds; ``budget``: retrainings in a period, at most; ``min_rows``: new
    labelled rows, with fewer it waits."""

    cooldown: float = 86_400.0
    budget: int = 8
    period: float = 30 * 86_400.0
    min_rows: int = 50

    def rests_until(self, retrained: Sequence[datetime], now: datetime) -> datetime | None:
        """Until when the cooldown lasts; None where it is over."""
        known = past(retrained, now)
        until = max(known) + timedelta(seconds=self.cooldown) if known else now
        return until if until > now else None

    def lately(self, retrained: Sequence[datetime], now: datetime) -> list[datetime]:
        """Those that count against the budget, oldest first."""
        return sorted(at for at in past(retrained, now) if at > now - timedelta(seconds=self.period))

    def used_up_until(self, retrained: Sequence[datetime], now: datetime) -> datetime | None:
        """When the budget allows another; None where it does."""
        lately = self.lately(retrained, now)
        return None if len(lately) < self.budget else lately[-self.budget] + timedelta(seconds=self.period)


@dataclass(frozen=True)
class Sign:
    """A finding of monitoring that stands: about what, in words, and in which alert; in none where its window
    is not over."""

    subject: str
    message: str
    alert_id: str


@dataclass(frozen=True)
class Rows:
    """Rows to learn from that the champion has not seen. ``new`` ones have labels that are complete;
    ``waiting`` ones have a label, and others of their time may still get one; ``unlabelled`` ones have none.
    ``left_out``: labelled rows of windows in which a feed was broken; ``decided``: those whose label the
    model's own answer has made."""

    new: int = 0
    waiting: int = 0
    unlabelled: int = 0
    left_out: int = 0
    decided: int = 0

    @property
    def others(self) -> list[str]:
        """Those that are not new, in words."""
        told = {
            "more wait until labels of their time are complete": self.waiting,
            "have no label": self.unlabelled,
            "are left out, as their feed was broken": self.left_out,
            "are left out, as the model's own answer decided their label": self.decided,
        }
        return [f"{count:,} {words}" for words, count in told.items() if count]


@dataclass(frozen=True)
class Before:
    """The champion before this one, on the same labelled rows: by how much its ``metric`` is better
    (negative: worse), bounded with 95 % confidence."""

    version: str
    metric: str
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Wait:
    """How long the next candidate waits, whatever speaks for it but proof, and why in words. ``since``: when
    the last one was trained."""

    since: datetime
    until: datetime
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known of a model when it is considered.

    ``broken`` are faults of its feed; ``worse`` shows from labels that it got worse, ``estimated`` that it
    may have, ``moved`` that inputs or answers are others. ``harm``: in words what the drift is expected to
    cost. ``release`` is on its way, and ``asked`` a retraining whose release waits for people. ``retrained``
    are the times of past retrainings. ``untold``: there is something to learn that no count tells (a new
    version of the data, another recipe, no model yet). ``gone``: in words, data that are not where the
    settings say. ``wait``: of the next candidate; None where there is none, or where the turn has to see the
    data to tell.
    """

    now: datetime
    champion: str | None = None
    broken: tuple[Sign, ...] = ()
    worse: tuple[Sign, ...] = ()
    estimated: tuple[Sign, ...] = ()
    moved: tuple[Sign, ...] = ()
    harm: str = ""
    release: str | None = None
    asked: str | None = None
    before: Before | None = None
    rows: Rows = Rows()
    untold: str = ""
    gone: str = ""
    retrained: tuple[datetime, ...] = ()
    wait: Wait | None = None


@dataclass(frozen=True)
class Ruling:
    """``roll_back``: the version to go back to. ``again_at``: when a deferred one is to be considered again,
    None where only something new can change it."""

    action: Action
    code: str
    reason: str
    changes: str
    evidence: tuple[Evidence, ...]
    again_at: datetime | None = None
    roll_back: str | None = None


def consider(rules: Rules, facts: Facts, triggers: Sequence[Trigger], *, forced: bool = False) -> Ruling:
    """Whether to go on to training. The first of these that applies decides; all are in the evidence:

    1. it was forced, and no release of an earlier retraining waits for people -> retrain;
    2. there is no model yet -> retrain;
    3. the feed is broken -> refuse: the rows are wrong, and so would be what learns from them;
    4. the version before is better on the same rows -> refuse, and go back to it;
    5. a release is on its way -> defer until it has ended;
    6. only inputs or answers moved, and no harm of it is known -> refuse;
    7. a retraining was too short ago, or the budget of the period is used up -> defer;
    8. nothing is there that the model has not seen -> refuse, or defer where labels are on their way;
    9. too few rows with complete labels -> defer;
    10. the last candidate was trained too short ago, and nothing proves that the model got worse -> refuse;
    11. otherwise retrain: the turn asks whether that helps before it trains, and its gate after it.
    """
    checks = [
        _forced(facts, forced),
        _no_model(facts),
        _feed(facts),
        _release_problem(facts),
        _release(facts),
        _harm(facts, triggers),
        _cooldown(rules, facts),
        _budget(rules, facts),
        _rows(rules, facts),
        *_waits(facts),
    ]
    evidence = tuple(each.evidence for each in checks)
    if facts.gone:
        evidence = (*evidence, Evidence("data", False, facts.gone))
    for each in checks:
        if each.ruling is not None:
            action, code, changes = each.ruling
            return Ruling(
                action, code, each.evidence.message, changes, evidence, each.again_at, each.roll_back
            )
    said = "; ".join(dict.fromkeys(each.message.rstrip(".") for each in triggers)) or "It was asked for"
    return Ruling("retrain", _why(facts, triggers), f"{said}.", "", evidence)


@dataclass(frozen=True)
class _Check:
    evidence: Evidence
    ruling: tuple[Action, str, str] | None = None
    again_at: datetime | None = None
    roll_back: str | None = None


def _why(facts: Facts, triggers: Sequence[Trigger]) -> str:
    kinds = {each.kind for each in triggers}
    if facts.worse:
        return "changed_world"
    return "asked" if kinds & {*_ASKED} else "new_data"


def _forced(facts: Facts, forced: bool) -> _Check:
    if not forced:
        return _Check(Evidence("forced", False, "Retraining was not forced."))
    if facts.asked is not None:
        return _Check(Evidence("forced", False, "Retraining was forced, which is no approval of a release."))
    said = "Retraining was forced: nothing else was held against it."
    if facts.rows.left_out:
        said = f"{said} {facts.rows.left_out:,} rows were left out, as their feed is broken."
    return _Check(Evidence("forced", True, said), ("retrain", "forced", ""))


def _no_model(facts: Facts) -> _Check:
    if facts.champion is not None:
        return _Check(Evidence("no_model", False, f"There is a model: {facts.champion}."))
    return _Check(Evidence("no_model", True, "There is no model yet."), ("retrain", "no_model", ""))


def _feed(facts: Facts) -> _Check:
    if not facts.broken:
        return _Check(Evidence("feed", False, "No fault of what feeds the model is open."))
    named = _named(facts.broken)
    alerts = ", ".join(dict.fromkeys(each.alert_id for each in facts.broken if each.alert_id))
    said = f"What feeds {named} is broken: {facts.broken[0].message.rstrip('.')}. It is not trained on."
    changes = "Repair the feed; rows of its window are left out when that is over and was checked."
    if alerts:
        quiet = "when windows are quiet again the alert closes"
        changes = f"Repair the feed; {quiet} ({alerts}), and it is considered."
    return _Check(Evidence("feed", True, said, float(len(facts.broken))), ("refuse", "broken_feed", changes))


def _release_problem(facts: Facts) -> _Check:
    before = facts.before
    if before is None:
        message = (
            "Not compared with the version before: there is none, or too few labels since it was released."
        )
        return _Check(Evidence("version_before", False, message))
    told = (
        f"On the same {before.rows:,} labelled rows {before.metric} of {before.version}, which served "
        f"before, is {'better' if before.gain > 0 else 'worse'} by {abs(before.gain):.4g} "
        f"[{before.low:.4g}, {before.high:.4g}]"
    )
    if before.low <= 0:
        return _Check(
            Evidence("version_before", False, f"{told}: going back would not help.", before.gain, 0.0)
        )
    said = f"{told}: this release is the problem, not the world."
    changes = f"It goes back to {before.version}. Find what is wrong with {facts.champion} before another."
    return _Check(
        Evidence("version_before", True, said, before.gain, 0.0),
        ("refuse", "release_problem", changes),
        roll_back=before.version,
    )


def _release(facts: Facts) -> _Check:
    if facts.release is None:
        return _Check(Evidence("release", False, "No release is on its way."))
    if facts.asked is not None:
        said = f"{facts.asked} waits for approval before its release."
        changes = f"It is considered again after: everloop decisions approve {facts.asked}, or reject."
        return _Check(Evidence("release", True, said), ("defer", "release_under_way", changes))
    said = f"Release {facts.release} is on its way."
    changes = f"It is considered again when that has ended: everloop release status {facts.release}"
    return _Check(Evidence("release", True, said), ("defer", "release_under_way", changes))


def _harm(facts: Facts, triggers: Sequence[Trigger]) -> _Check:
    if facts.worse:
        return _Check(Evidence("harm", False, f"It got worse: {facts.worse[0].message}"))
    drifts = [each.kind == "drift" for each in triggers]
    if facts.estimated or facts.harm or not drifts or not all(drifts):
        told = facts.estimated[0].message if facts.estimated else facts.harm
        usual = (
            "Drift was not the only reason to look." if any(drifts) else "No drift was the reason to look."
        )
        return _Check(Evidence("harm", False, told or usual))
    named = f" ({_named(facts.moved)})" if facts.moved else ""
    said = f"Inputs or answers moved{named}, and nothing says that the model got worse by it."
    changes = "Labels, or estimates, that show harm."
    return _Check(Evidence("harm", True, said), ("refuse", "no_harm", changes))


def _cooldown(rules: Rules, facts: Facts) -> _Check:
    known = past(facts.retrained, facts.now)
    wrong = f" {in_future(max(facts.retrained))}" if len(known) < len(facts.retrained) else ""
    if not known:
        said = f"The loop has not trained it before.{wrong}"
        return _Check(Evidence("cooldown", False, said, None, rules.cooldown))
    since = max(0.0, (facts.now - max(known)).total_seconds())
    ago = f"The loop trained it {words(since)} ago"
    until = rules.rests_until(known, facts.now)
    if until is None:
        return _Check(Evidence("cooldown", False, f"{ago}.{wrong}", since, rules.cooldown))
    said = f"{ago}, and the cooldown is {words(rules.cooldown)}.{wrong}"
    changes = f"It is considered again at {_moment(until)}."
    return _Check(
        Evidence("cooldown", True, said, since, rules.cooldown), ("defer", "cooldown", changes), until
    )


def in_future(at: datetime) -> str:
    """Of such a training, in words."""
    return (
        f"The last training is dated in the future, {_moment(at)}: a clock was wrong, and it does not count."
    )


def _budget(rules: Rules, facts: Facts) -> _Check:
    lately = rules.lately(facts.retrained, facts.now)
    told = f"Trainings by the loop in the last {words(rules.period)}: {len(lately)} of {rules.budget}."
    until = rules.used_up_until(facts.retrained, facts.now)
    evidence = Evidence("budget", until is not None, told, float(len(lately)), float(rules.budget))
    if until is None:
        return _Check(evidence)
    changes = f"It is considered again at {_moment(until)}, or with a larger retraining.budget."
    return _Check(evidence, ("defer", "budget", changes), until)


def _rows(rules: Rules, facts: Facts) -> _Check:
    rows = facts.rows
    told = [f"{rows.new:,} labelled rows are new to the model"]
    said = f"{'; '.join([*told, *rows.others])}."
    value, limit = float(rows.new), float(rules.min_rows)
    if facts.untold:
        return _Check(Evidence("rows", False, f"{facts.untold.rstrip('.')}. {said}", value, limit))
    if rows.new >= rules.min_rows:
        return _Check(Evidence("rows", False, said, value, limit))
    few = Evidence("rows", True, f"Too few to learn from: {said} It takes {rules.min_rows:,}.", value, limit)
    if rows.new or rows.waiting or rows.unlabelled:
        changes = (
            f"It is considered again when labels of {rules.min_rows - rows.new:,} more rows are complete."
        )
        return _Check(few, ("defer", "too_few_rows", changes))
    none = Evidence("rows", True, "There is nothing to learn that the model has not seen.", value, limit)
    return _Check(none, ("refuse", "nothing_new", "New labelled rows, or another recipe; or --force."))


def _waits(facts: Facts) -> list[_Check]:
    wait = facts.wait
    if wait is None:
        return []
    since, span = (facts.now - wait.since).total_seconds(), (wait.until - wait.since).total_seconds()
    if since >= span:
        return []
    changes = (
        f"Labels that prove that it got worse. From {_moment(wait.until)} on it is asked whether training "
        "helps; or --force."
    )
    return [_Check(Evidence("wait", True, wait.message, since, span), ("refuse", NO_BENEFIT, changes))]


def _named(signs: Sequence[Sign]) -> str:
    names = list(dict.fromkeys(f"'{each.subject}'" for each in signs))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
