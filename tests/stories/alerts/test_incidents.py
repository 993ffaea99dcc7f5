"""One incident is one alert: opened, updated, told of as the rules, silences and the budget say, closed."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.servers import receivers
from tests.stories.alerts.incidents import NOON, checked, drift, project, take, worse

from everloop.core.errors import Conflict, Invalid, NotFound, UnknownModel
from everloop.flows import history
from everloop.flows.alerts import closing, delivering, raising, showing, silencing, texts
from everloop.flows.project import Project
from everloop.store import outbox
from everloop.store.database import Row

NOBODY = {"team": "cloudevents+http://127.0.0.1:9/"}


def posted(here: Project) -> list[Row]:
    with here.store.reading() as tx:
        return outbox.messages(tx)


def told(here: Project) -> list[tuple[str, str, str]]:
    return [
        (row["document"]["channel"], row["document"]["message"]["event"], row["document"]["message"]["level"])
        for row in posted(here)
        if "message" in row["document"]
    ]


def kinds(here: Project, model: str = "iris") -> list[str]:
    return [event.kind for event in history.events(here, model)]


# -- one incident is one alert -----------------------------------------------------------------------------


def test_findings_of_a_model_are_one_alert_that_repeats_update(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    (first,) = take(here, drift("age"), worse(), damage="about 40 wrong answers a day", proposal="retrain")
    (second,) = take(here, drift("age"), drift("income"), hour=1)
    assert first.alert_id == second.alert_id
    assert [(each.result.subject, each.times) for each in second.findings] == [
        ("accuracy", 1),
        ("age", 2),
        ("income", 1),
    ]
    assert second.times == 2
    assert second.level == "critical"
    assert second.title == "iris: accuracy fell to 0.61, usually 0.70, and 2 more"
    assert second.damage == "about 40 wrong answers a day"
    assert showing.listed(here, "iris") == [second]
    assert told(here) == [("team", "opened", "critical")]
    assert kinds(here) == ["alerted"]


def test_names_from_data_do_not_command_who_reads_the_message(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    name = "age\n- [critical] \u202ex\x1b[2J"
    (alert,) = take(here, drift(name), damage=f"'{name}' moves the answers", proposal=f"Repair '{name}'.")
    told = texts.message(here, alert, "opened")
    assert not set(alert.title + told.title + told.text) & {"\u202e", "\x1b"}
    assert "\n- [critical]" not in told.text
    assert r"\u202ex\x1b[2J" in told.title


def test_models_have_alerts_of_their_own(tmp_path: Path) -> None:
    here = project(tmp_path)
    take(here, worse())
    take(here, worse(), model="flights")
    assert {alert.model for alert in showing.listed(here)} == {"iris", "flights"}


def test_what_could_not_be_checked_is_a_finding(tmp_path: Path) -> None:
    unable = replace(drift("age"), fired=False, unable=True, message="age is missing in all rows.")
    (alert,) = take(project(tmp_path), unable)
    assert alert.title == "iris: age is missing in all rows"


def test_a_title_counts_what_was_found(tmp_path: Path) -> None:
    unable = replace(drift("height"), fired=False, unable=True)
    (alert,) = take(project(tmp_path), worse(), drift("age"), unable)
    assert len(alert.findings) == 3
    assert alert.title.endswith("usually 0.70, and 1 more")


def test_who_is_told_by_rules_is_said_so(tmp_path: Path) -> None:
    (alert,) = take(project(tmp_path, channels=NOBODY, rules=[{"level": "critical"}]), drift())
    assert alert.held == "of level info, below that of every rule that it fits"


def test_a_quiet_check_of_a_quiet_model_is_nothing(tmp_path: Path) -> None:
    here = project(tmp_path)
    assert take(here) == []
    assert showing.listed(here) == []
    assert kinds(here) == []


def test_an_alert_closes_after_quiet_windows_and_opens_anew(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY, quiet=3)
    (first,) = take(here, worse())
    for hour in (1, 2):
        assert take(here, hour=hour)[0].status == "open"
    take(here, worse(), hour=3)  # begins anew
    for hour in (4, 5):
        take(here, hour=hour)
    (closed,) = take(here, hour=6)
    assert closed.alert_id == first.alert_id
    assert (closed.status, closed.closed_by) == ("closed", "everloop")
    assert closed.reason == "nothing was found in 3 windows in a row"
    assert showing.listed(here) == []
    (again,) = take(here, worse(), hour=7)
    assert again.alert_id != first.alert_id
    assert [event for _, event, _ in told(here)] == ["opened", "closed", "opened"]
    assert kinds(here) == ["alerted", "closed", "alerted"]


def test_versions_checked_in_one_window_count_as_one_quiet_window(tmp_path: Path) -> None:
    here = project(tmp_path, quiet=2)
    take(here, worse())
    take(here, version="1.0.1")  # the window of the finding itself
    for version in ("1.0.0", "1.0.1"):
        take(here, hour=1, version=version)
    assert len(showing.listed(here)) == 1
    take(here, hour=2)
    assert showing.listed(here) == []


def test_each_kind_of_check_has_to_be_quiet(tmp_path: Path) -> None:
    """Labels come late: inputs that are as usual say nothing about them."""
    here = project(tmp_path, quiet=1)
    take(here, worse(), kind="labels")
    take(here, drift())
    take(here, hour=1)
    assert len(showing.listed(here)) == 1
    take(here, hour=1, kind="labels")
    assert showing.listed(here) == []


def test_by_hand_it_closes_once(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    (alert,) = take(here, worse())
    closed = closing.close(here, alert.alert_id[-8:], "a known holiday")
    assert (closed.status, closed.reason) == ("closed", "a known holiday")
    assert [event for _, event, _ in told(here)] == ["opened", "closed"]
    with pytest.raises(Conflict, match="a known holiday"):
        closing.close(here, alert.alert_id, "again")
    with pytest.raises(NotFound, match="There is no alert 'alert_nothing'"):
        closing.close(here, "alert_nothing", "…")


# -- who is told -------------------------------------------------------------------------------------------


def test_info_is_shown_and_nobody_is_told(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    (alert,) = take(here, drift())
    assert alert.held == "of level info; without alerts.rules, channels are told from warning on"
    assert posted(here) == []


def test_without_channels_the_alert_says_so(tmp_path: Path) -> None:
    (alert,) = take(project(tmp_path), worse())
    assert alert.held == "there is nobody to tell: set alerts.channels"


def test_a_higher_level_is_told_again_and_a_lower_one_is_not(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    take(here, drift(level="info"))
    take(here, drift(level="warning"), hour=1)
    take(here, drift(level="warning"), hour=2)
    take(here, worse(), hour=3)
    take(here, drift(level="warning"), hour=4)
    assert told(here) == [("team", "opened", "warning"), ("team", "escalated", "critical")]
    assert kinds(here) == ["alerted", "escalated", "escalated"]


def test_rules_choose_channels_by_model_family_subject_and_level(tmp_path: Path) -> None:
    both = {"team": NOBODY["team"], "pager": NOBODY["team"], "shop": NOBODY["team"]}
    rules = [
        {"level": "info", "channels": ["team"]},
        {"level": "critical", "families": ["performance"], "channels": ["pager"]},
        {"models": ["shop_*"], "channels": ["shop"]},
        {"subjects": ["age"], "level": "warning", "channels": ["shop"]},
    ]
    here = project(tmp_path, channels=both, rules=rules)
    take(here, drift("income", "warning"))
    assert told(here) == [("team", "opened", "warning")]
    take(here, worse(level="warning"), hour=1)
    assert len(told(here)) == 1
    take(here, worse(), hour=2)
    assert {channel for channel, _, _ in told(here)[1:]} == {"team", "pager"}
    take(here, drift("age", "warning"), hour=3)
    assert told(here)[-1][0] == "shop"


def test_a_rule_separates_families(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY, rules=[{"families": ["data", "joint"], "separate": True}, {}])
    found = take(here, drift(), worse())
    assert {alert.key for alert in found} == {"drift", "all"}
    take(here, worse(), hour=1)
    assert {alert.key: alert.times for alert in showing.listed(here)} == {"drift": 1, "all": 2}


def test_a_silence_holds_messages_back_until_it_ends(tmp_path: Path, clock: Hands) -> None:
    here = project(tmp_path, clock, channels=NOBODY)
    made = silencing.silence(here, "iris", 7200, "we know")
    (alert,) = take(here, worse())
    assert alert.held == f"silenced by {here.user} until 2026-03-02 14:00 UTC: we know"
    assert posted(here) == []
    assert showing.listed(here) == [alert]
    clock.at = NOON + timedelta(hours=3)
    take(here, worse(), hour=3)
    assert told(here) == [("team", "opened", "critical")]
    assert silencing.listed(here) == []
    assert silencing.listed(here, every=True) == [made]


def test_a_silence_of_a_subject_lets_others_through(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    silencing.silence(here, None, 7200, "…", subject="accuracy")
    take(here, worse("accuracy"))
    assert posted(here) == []
    take(here, worse("accuracy"), worse("recall"), hour=1)
    assert len(posted(here)) == 1


@pytest.mark.parametrize("subject", ["model", "accuracy"])
def test_a_silence_of_a_metric_holds_back_what_monitors_find_of_it(tmp_path: Path, subject: str) -> None:
    """They say "model", or the slice, of what is measured."""
    here = project(tmp_path, channels=NOBODY)
    silencing.silence(here, "iris", 7200, "…", subject=subject)
    take(here, replace(worse("model"), statistic="accuracy"))
    take(here, replace(worse("model"), statistic="limit", details={"metric": "accuracy"}), hour=1)
    assert posted(here) == []


def test_a_rule_about_a_metric_fits_what_monitors_find_of_it(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY, rules=[{"subjects": ["acc*"]}])
    take(here, replace(worse("model"), statistic="recall"))
    assert posted(here) == []
    take(here, replace(worse("age <= 30"), statistic="accuracy"), hour=1)
    assert len(posted(here)) == 1


def test_a_silence_of_what_no_monitor_has_looked_at_holds_and_is_doubted(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)

    def doubt(subject: str, model: str | None = "iris") -> str | None:
        return silencing.unknown(here, silencing.silence(here, model, 7200, "…", subject=subject))

    assert doubt("aeg") is None  # nothing is known to compare it with
    take(here, drift("age"))
    assert doubt("age") is None
    assert doubt("age", None) is None
    assert doubt("aeg") == "No monitor of iris has looked at 'aeg' yet. Did you mean 'age'?"
    take(here, worse("aeg"), hour=1)
    assert posted(here) == []


def test_a_silence_is_ended_before_its_time_once(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)
    made = silencing.silence(here, "iris", 7200, "…")
    silencing.end(here, made.silence_id)
    take(here, worse())
    assert len(posted(here)) == 1
    with pytest.raises(Conflict, match="has ended"):
        silencing.end(here, made.silence_id)
    assert kinds(here) == ["silenced", "unsilenced", "alerted"]


@pytest.mark.parametrize("seconds", [0, -1, 91 * 86_400, float("nan")])
def test_a_silence_of_no_or_endless_time_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(Invalid, match="90 days"):
        silencing.silence(project(tmp_path), None, seconds, "…")


def test_a_silence_of_a_model_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'iris'"):
        silencing.silence(project(tmp_path), "irsi", 60, "…")


# -- the budget --------------------------------------------------------------------------------------------


def incident(here: Project, hour: int, *, model: str = "iris", level: str = "critical") -> Any:
    """One that opens and is closed."""
    (alert,) = take(here, worse(level=level), hour=hour, model=model)
    return closing.close(here, alert.alert_id, "seen")


def test_beyond_the_budget_all_go_into_one_digest_a_day(tmp_path: Path, clock: Hands) -> None:
    with receivers.http() as receiver:
        channels = {"team": f"cloudevents+http://{receiver.address}/hook"}
        here = project(tmp_path, clock, channels=channels, weekly=2, closing=False)
        alerts = [
            incident(here, hour, level=level) for hour, level in enumerate(["critical"] * 3 + ["warning"])
        ]
        assert [alert.held is None for alert in alerts] == [True, True, False, False]
        assert alerts[2].held == "over the budget of 2 messages in 7 days: held for the next digest"
        incident(here, 0, model="flights")  # has a budget of its own
        assert delivering.deliver(here).delivered == 4
        events = [json.loads(body) for _, _, body in receiver.requests]
        assert [event["type"].rpartition(".")[2] for event in events] == ["opened"] * 2 + ["digest", "opened"]
        (digest,) = [event for event in events if event["type"].endswith("digest")]
        assert {one["alert_id"] for one in digest["data"]["alerts"]} == {each.alert_id for each in alerts[2:]}
        assert digest["data"]["level"] == "critical"
        assert "told in the digest of 2026-03-02" in (showing.find(here, alerts[2].alert_id).held or "")

        clock.at = NOON + timedelta(hours=5)
        late = incident(here, 5)
        assert not delivering.is_due(here)
        clock.at = NOON + timedelta(hours=25)
        assert delivering.deliver(here).delivered == 1
        second = json.loads(receiver.requests[-1][2])
        assert [one["alert_id"] for one in second["data"]["alerts"]] == [late.alert_id]
        assert second["id"] != digest["id"]

        clock.at = NOON + timedelta(days=7, hours=1)
        assert incident(here, 170).held is None


def test_what_is_held_back_while_a_digest_goes_out_is_in_the_next(tmp_path: Path, clock: Hands) -> None:
    with receivers.http() as receiver:
        channels = {"team": f"cloudevents+http://{receiver.address}/"}
        here = project(tmp_path, clock, channels=channels, weekly=1, closing=False)
        incident(here, 0)
        delivering.deliver(here)
        incident(here, 1)
        later: list[Any] = []
        receiver.on_request = lambda: later.append(incident(here, 2)) if not later else None
        delivering.deliver(here)
        assert not delivering.is_due(here)
        clock.at = NOON + timedelta(hours=25)
        delivering.deliver(here)
        told_of = json.loads(receiver.requests[-1][2])["data"]["alerts"]
        assert [one["alert_id"] for one in told_of] == [later[0].alert_id]


# -- many at once ------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'everloop.db'}"
    else:
        yield request.getfixturevalue("postgres_database")


def _check(folder: str, url: str, number: int) -> None:
    here = project(Path(folder), url=url, channels=NOBODY)
    for hour in range(5):
        take(here, worse(), drift(f"feature_{number}"), hour=hour)
    here.close()


def test_checkers_at_once_open_one_alert_and_lose_nothing(url: str, tmp_path: Path) -> None:
    here = project(tmp_path, url=url)
    spawned = multiprocessing.get_context("spawn")
    processes = [spawned.Process(target=_check, args=(str(tmp_path), url, n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    (alert,) = showing.listed(here)
    assert alert.times == 20
    assert {each.result.subject: each.times for each in alert.findings} == {
        "accuracy": 20,
        **{f"feature_{n}": 5 for n in range(4)},
    }
    assert told(here) == [("team", "opened", "critical")]
    here.close()


def test_a_check_that_is_rolled_back_leaves_nothing(tmp_path: Path) -> None:
    here = project(tmp_path, channels=NOBODY)

    def fails() -> None:
        with here.store.writing() as tx:
            raising.take(tx, here, checked(worse()))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fails()
    assert showing.listed(here) == []
    assert posted(here) == []
    assert kinds(here) == []


def test_labels_that_come_after_the_end_belong_to_the_alert_of_their_window(tmp_path: Path) -> None:
    here = project(tmp_path)
    (opened,) = take(here, drift(level="warning"))
    for hour in (1, 2, 3):
        (ended,) = take(here, hour=hour)
    assert (ended.status, ended.closed_by) == ("closed", "everloop")
    (again,) = take(here, worse(), kind="labels")
    assert (again.alert_id, again.status, again.level) == (opened.alert_id, "open", "critical")
    assert again.closed_at is None
    for hour in (1, 2, 3):
        (ended,) = take(here, hour=hour, kind="labels")
    assert (ended.alert_id, ended.status) == (opened.alert_id, "closed")
    (other,) = take(here, worse(), hour=9, kind="labels")  # of a window that nothing was found in
    assert other.alert_id != opened.alert_id


def test_labels_do_not_open_what_somebody_closed(tmp_path: Path) -> None:
    here = project(tmp_path)
    (opened,) = take(here, drift(level="warning"))
    closing.close(here, opened.alert_id, "known")
    (other,) = take(here, worse(), kind="labels")
    assert other.alert_id != opened.alert_id


@pytest.mark.parametrize(
    ("closing", "events"),
    [(True, ["opened", "closed", "opened", "closed"]), (False, ["opened"])],
)
def test_who_was_told_that_it_closed_is_told_that_it_is_open_again(
    tmp_path: Path, closing: bool, events: list[str]
) -> None:
    here = project(tmp_path, channels=NOBODY, closing=closing)
    take(here, worse())
    for hour in (1, 2, 3):
        take(here, hour=hour)
    (again,) = take(here, worse("recall"), kind="labels")
    assert again.told == {"team": "critical"}
    for hour in (1, 2, 3):
        take(here, hour=hour, kind="labels")
    assert [event for _, event, _ in told(here)] == events


@pytest.mark.parametrize("why", ["", " \n"])
def test_nobody_is_silenced_and_nothing_closed_without_a_reason(tmp_path: Path, why: str) -> None:
    here = project(tmp_path, channels=NOBODY)
    (alert,) = take(here, worse())
    with pytest.raises(Invalid, match="A silence needs a reason"):
        silencing.silence(here, "iris", 3600, why)
    with pytest.raises(Invalid, match="needs a reason"):
        closing.close(here, alert.alert_id, why)
    assert showing.find(here, alert.alert_id).status == "open"
