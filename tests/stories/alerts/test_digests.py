"""What the budget held back is told in a digest in the end, also where a receiver was away for long."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.clocks import Hands
from tests.servers import receivers
from tests.stories.alerts.incidents import NOON, project, take, worse
from tests.stories.serving.test_dashboard import Page

from everloop.core.monitoring import Alert
from everloop.dashboard import alert as pages
from everloop.flows import history
from everloop.flows.alerts import closing, delivering, showing, silencing
from everloop.flows.project import Project

OVER = "over the budget of 1 messages in 7 days"
DAY = timedelta(days=1)


def here_with(folder: Path, clock: Hands, *hooks: receivers.Http, **more: Any) -> Project:
    names = ("hook", "team")
    channels = {name: f"cloudevents+http://{each.address}/" for name, each in zip(names, hooks, strict=False)}
    return project(folder, clock, channels=channels, weekly=1, closing=False, **more)


def held_back(here: Project) -> Alert:
    """The second alert of the week; the first one was told."""
    (first,) = take(here, worse())
    closing.close(here, first.alert_id, "seen")
    delivering.deliver(here)
    (alert,) = take(here, worse(), hour=1)
    assert alert.held == f"{OVER}: held for the next digest"
    return alert


def digests(receiver: receivers.Http) -> list[dict[str, Any]]:
    found = [json.loads(body) for _, _, body in receiver.requests]
    return [each["data"] for each in found if each["type"] == "everloop.alert.digest"]


def held(here: Project, alert: Alert) -> str:
    return showing.find(here, alert.alert_id).held or ""


def undelivered(here: Project) -> list[str]:
    return [each.summary for each in history.events(here, "iris") if each.kind == "undelivered"]


def test_a_digest_that_is_refused_is_made_again_a_day_later(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    alert = held_back(here)
    hook.status = 400
    assert delivering.deliver(here).rejected == 1
    assert held(here, alert).startswith(f"{OVER}: the digest to hook was given up (")
    assert held(here, alert).endswith("refuses the message: 400); the next is due 2026-03-03 12:00 UTC")
    (said,) = undelivered(here)
    assert said.startswith(f"{alert.alert_id}: the digest to hook was given up: ")
    assert f"undelivered: {said}" in [each.words for each in showing.timeline(here, alert)]
    take(here, worse(), hour=2)  # it is found again: no reason to hurry
    closing.close(here, alert.alert_id, "seen")
    assert not delivering.is_due(here)
    hook.status = 200
    clock.at = NOON + DAY
    assert delivering.deliver(here).delivered == 1
    told = digests(hook)[-1]
    assert [each["alert_id"] for each in told["alerts"]] == [alert.alert_id]
    assert held(here, alert) == f"{OVER}: told in the digest of 2026-03-03 12:00 UTC"
    assert delivering.deliver(here, now=True) == delivering.Delivery()


def test_after_long_failure_the_next_is_tried_at_once_and_by_hand(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    alert = held_back(here)
    hook.status = 503
    delivering.deliver(here)
    clock.at = NOON + DAY
    assert delivering.deliver(here).rejected == 1
    hook.status = 200
    assert delivering.deliver(here, now=True).delivered == 1
    assert showing.find(here, alert.alert_id).told == {"hook": "critical"}
    assert len(undelivered(here)) == 1


def test_it_ends_a_week_after_the_alert_was_heard_of_last(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    alert = held_back(here)
    hook.status = 400
    for _ in range(24 * 12):
        if delivering.is_due(here):
            delivering.deliver(here)
        clock.at += timedelta(hours=1)
    assert len(digests(hook)) == len(undelivered(here)) == 9  # once a day
    assert held(here, alert).endswith("refuses the message: 400), and no other follows")
    assert delivering.deliver(here, now=True) == delivering.Delivery()
    hook.status = 200
    (again,) = take(here, worse(), hour=24 * 12)
    assert (again.alert_id, again.told) == (alert.alert_id, {"hook": "critical"})


def test_one_for_a_channel_that_is_gone_is_given_up_for_good(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    alert = held_back(here_with(tmp_path, clock, hook))
    here = project(tmp_path, clock)
    assert delivering.deliver(here).rejected == 1
    assert "no channel 'hook' any more), and no other follows" in held(here, alert)
    assert len(undelivered(here)) == 1
    assert delivering.deliver(here, now=True) == delivering.Delivery()


def test_a_channel_that_still_waits_is_told_of_beside_one_that_knows(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    with receivers.http() as other:
        here = here_with(tmp_path, clock, hook, other)
        alert = held_back(here)
        hook.status = 400
        delivering.deliver(here)
    assert held(here, alert) == f"{OVER}: told in the digest of 2026-03-02 12:00 UTC; hook waits for the next"


def test_who_was_told_meanwhile_is_not_told_again(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook)
    (first,) = take(here, worse())
    closing.close(here, first.alert_id, "seen")
    delivering.deliver(here)
    take(here, worse(level="warning"), hour=1)
    hook.status = 503
    delivering.deliver(here)
    clock.at = NOON + timedelta(days=7, hours=1)  # the budget is there again
    hook.status = 200
    (told,) = take(here, worse(), hour=170)
    assert (told.told, told.digest, told.held) == ({"hook": "critical"}, {}, None)
    delivering.deliver(here, now=True)
    assert showing.find(here, told.alert_id).told == {"hook": "critical"}
    assert [each["alert"]["level"] for each in map(_data, hook.requests) if "alert" in each][-1] == "critical"


def _data(request: tuple[str, dict[str, str], bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request[2])["data"]
    return found


def test_what_is_silenced_is_for_a_digest_after_that(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    alert = held_back(here)
    silencing.silence(here, "iris", 36 * 3600, "a new form")
    for day in (0, 1):
        clock.at = NOON + day * DAY
        assert delivering.deliver(here) == delivering.Delivery(waiting=1)
    assert digests(hook) == []
    assert held(here, alert) == f"{OVER}: held for the next digest"
    clock.at = NOON + 2 * DAY
    assert delivering.deliver(here) == delivering.Delivery(delivered=1)
    assert [each["alert_id"] for each in digests(hook)[0]["alerts"]] == [alert.alert_id]


def test_a_digest_says_when(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook)
    clock.at = NOON + timedelta(minutes=10)
    alert = held_back(here)
    take(here, worse(), hour=2)
    clock.at = NOON + timedelta(hours=3)
    closing.close(here, alert.alert_id, "seen")
    take(here, worse(), hour=4)
    delivering.deliver(here)
    lines = [each for each in digests(hook)[0]["text"].splitlines() if each.startswith("- ")]
    assert lines[0].endswith(
        f"(opened 2026-03-02 12:10 UTC, closed 2026-03-02 15:00 UTC, found in 2 windows, {alert.alert_id})"
    )
    assert "(open since 2026-03-02 15:00 UTC, found in 1 window, alert_" in lines[1]


def test_the_page_shows_the_digest(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook)
    alert = held_back(here)
    clock.at = NOON + timedelta(hours=2)
    delivering.deliver(here)
    alert = showing.find(here, alert.alert_id)
    text = Page(pages.render(alert, showing.timeline(here, alert))).text
    assert "nobody was told" not in text
    assert "told in the digest of 2026-03-02 14:00 UTC" in text
    steps = showing.timeline(here, alert)
    assert [(each.at, each.words) for each in steps if "digest" in each.words] == [
        (clock.at, f"told: {alert.alert_id} to hook in a digest")
    ]
