"""The loop as pages: where it is, what it decided, and one decision with its evidence. What people may do is
sent as JSON to the server that the page came from, as any client sends it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from everloop.core import spans
from everloop.core.decisions import Evidence
from everloop.core.loop import DecisionRecord
from everloop.flows.loop import telling
from everloop.flows.loop.course import Course
from everloop.flows.loop.showing import Standing

from . import page, timeline

ACTIONS = ("retrain", "refuse", "defer")
LONGEST = 300  # characters of a reason in the list; its page has all
_BADGES = {"good": "promoted", "not": "not", "bad": "stopped", "": ""}


def policy(nonce: str) -> str:
    """The Content-Security-Policy of the pages: their own script and answers of this server, and no other."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def render(
    standings: Sequence[Standing],
    courses: Mapping[str, Course],
    decisions: Sequence[DecisionRecord],
    *,
    unreadable: Sequence[str] = (),
    models: Sequence[str],
    model: str | None,
    action: str | None,
    limit: int,
    now: datetime,
    nonce: str,
) -> str:
    """``decisions``, newest first, are those of ``model`` and ``action``; ``courses`` by model."""
    return page.plain(
        "loop.html",
        _FILTERS,
        standings=standings,
        timelines={name: timeline.draw(each) for name, each in courses.items()},
        decisions=decisions,
        damaged=telling.damaged(unreadable),
        models=models,
        actions=ACTIONS,
        model=model,
        action=action,
        limit=limit,
        leeway=telling.leeway,
        waits=lambda one: telling.waits(one, now),
        link=_link,
        outcome=telling.outcome,
        badge=badge,
        asked=telling.ASKED,
        nonce=nonce,
    )


def _link(one: Standing, words: str) -> str:
    """The decision under way, or on trial, that the words begin with; empty where it is none."""
    known = (*one.under_way, *one.on_trial)
    return next((each.decision_id for each in known if words.startswith(each.decision_id)), "")


def render_decision(one: DecisionRecord, champion: str | None, nonce: str) -> str:
    """``champion``: that of now."""
    return page.plain(
        "decision.html",
        _FILTERS,
        one=one,
        outcome=telling.outcome(one),
        to_compare=telling.to_compare(one, champion),
        badge=badge(one),
        speaks=telling.speaks,
        asked=one.stage in telling.ASKED,
        alerts=_alerts(one),
        nonce=nonce,
    )


def badge(one: DecisionRecord) -> str:
    return _BADGES[timeline.kind_of(one)]


def _alerts(one: DecisionRecord) -> list[str]:
    """The one that was opened for it, and those that called for it."""
    told = [one.alert_id, *(each.details.get("alert_id") for each in one.triggers)]
    return list(dict.fromkeys(str(each) for each in told if each))


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %b %Y %H:%M}"


def _measured(each: Evidence, value: float | None) -> str:
    """Empty where there is nothing to measure."""
    if value is None or not math.isfinite(value):
        return ""
    if each.check in ("cooldown", "wait"):
        return spans.words(value)
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


_FILTERS: Mapping[str, Any] = {
    "moment": _moment,
    "value": lambda each: _measured(each, each.value),
    "limit": lambda each: _measured(each, each.threshold),
    "short": _short,
    "words": lambda name: name.replace("_", " "),
}
