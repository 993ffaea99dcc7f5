"""Messages reach real receivers, also when those are away, slow or broken, and when the sender is killed."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.servers import free_port, receivers
from tests.stories.alerts.incidents import NOON, drift, project, take, worse

from everloop.core.errors import InvalidSettings, MissingExtra, NotFound
from everloop.flows import delivery, history
from everloop.flows.alerts import closing, delivering, showing
from everloop.flows.project import Project
from everloop.store import outbox

SECRET = "hunter2secret"


def here_with(folder: Path, clock: Hands, receiver: receivers.Http, **more: Any) -> Project:
    return project(folder, clock, channels={"hook": f"cloudevents+http://{receiver.address}/x?y=1"}, **more)


def events(receiver: receivers.Http) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in receiver.requests]


# -- webhooks ----------------------------------------------------------------------------------------------


def test_a_webhook_gets_cloudevents(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook, link="https://ml.example.org/")
    (alert,) = take(here, worse(), drift("age"), damage="40 wrong answers a day", proposal="retrain")
    closing.close(here, alert.alert_id, "seen")
    assert delivering.deliver(here) == delivering.Delivery(delivered=2)
    path, headers, _ = hook.requests[0]
    assert path == "/x?y=1"
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    opened, closed = events(hook)
    assert {name: value for name, value in opened.items() if name != "data"} == {
        "specversion": "1.0",
        "id": f"{alert.alert_id}-1",
        "source": "/everloop/everloop/default",
        "type": "everloop.alert.opened",
        "subject": f"iris/{alert.alert_id}",
        "time": "2026-03-02T12:00:00+00:00",
        "datacontenttype": "application/json",
    }
    assert opened["data"]["link"] == f"https://ml.example.org/alerts/{alert.alert_id}"
    assert [each["result"]["subject"] for each in opened["data"]["alert"]["findings"]] == ["accuracy", "age"]
    for words in (
        "accuracy fell to 0.61",
        "40 wrong answers a day",
        "retrain",
        f"Message {alert.alert_id}-1",
    ):
        assert words in opened["data"]["text"]
    assert (closed["type"], closed["id"]) == ("everloop.alert.closed", f"{alert.alert_id}-2")
    assert closed["data"]["title"].startswith("[critical] Closed: iris: ")


def test_a_receiver_that_is_down_gets_the_message_later(tmp_path: Path, clock: Hands) -> None:
    port = free_port()
    here = project(tmp_path, clock, channels={"hook": f"cloudevents+http://127.0.0.1:{port}/"})
    take(here, worse())
    done = delivering.deliver(here)
    assert (done.delivered, done.waiting) == (0, 1)
    assert "cannot be reached" in done.problems["hook"]
    assert showing.undelivered(here).problem == done.problems["hook"]
    with receivers.http(port) as receiver:
        assert not delivering.is_due(here)
        clock.at = NOON + timedelta(seconds=31)
        assert delivering.is_due(here)
        assert delivering.deliver(here).delivered == 1
        assert len(receiver.requests) == 1
    assert delivering.deliver(here) == delivering.Delivery()


def test_pauses_between_tries_double_up_to_an_hour(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook, give_up="1w")
    hook.status = 500
    take(here, worse())
    pauses, last = [], NOON
    for _ in range(10):
        while not delivering.is_due(here):
            clock.at += timedelta(seconds=30)
        delivering.deliver(here)
        pauses.append((clock.at - last).total_seconds())
        last = clock.at
    assert pauses == [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert {event["id"] for event in events(hook)} == {events(hook)[0]["id"]}


def test_it_gives_up_after_the_time_that_is_set(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook, give_up="2h")
    hook.status = 503
    take(here, worse())
    delivering.deliver(here)
    clock.at = NOON + timedelta(hours=2)
    done = delivering.deliver(here)
    assert (done.rejected, done.waiting) == (1, 0)
    (said,) = showing.failed(here, showing.listed(here)[0])
    assert said.startswith("hook: ")
    assert said.endswith(" (given up)")
    last = history.events(here, "iris")[-1]
    assert last.kind == "undelivered"
    assert "127.0.0.1 answered 503" in last.summary
    assert "undelivered" in showing.timeline(here, showing.listed(here)[0])[-1].words
    ((key, error),) = showing.undelivered(here).given_up
    assert key.endswith("/hook")
    assert "503" in (error or "")


def test_what_was_given_up_is_told_when_it_is_found_again(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook, give_up="2h")
    hook.status = 503
    (alert,) = take(here, worse())
    for hours in (0, 2):
        clock.at = NOON + timedelta(hours=hours)
        delivering.deliver(here)
    alert = showing.find(here, alert.alert_id)
    assert alert.told == {}
    assert alert.held == (
        "the message to hook was given up (127.0.0.1 answered 503); "
        "it is told again when something is found next"
    )
    hook.status = 200
    del hook.requests[:]
    (alert,) = take(here, worse(), hour=3)
    delivering.deliver(here)
    assert (alert.told, alert.held) == ({"hook": "critical"}, None)
    assert [each["type"].rpartition(".")[2] for each in events(hook)] == ["opened"]


def test_where_only_a_higher_level_was_given_up_the_end_is_told(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    take(here, worse(level="warning"))
    delivering.deliver(here)
    hook.status = 422
    (alert,) = take(here, worse(), hour=1)
    delivering.deliver(here)
    assert showing.find(here, alert.alert_id).told == {"hook": "warning"}
    hook.status = 200
    closing.close(here, alert.alert_id, "seen")
    delivering.deliver(here)
    said = [each["type"].rpartition(".")[2] for each in events(hook)]
    assert said == ["opened", "escalated", "closed"]


def test_while_a_newer_message_waits_what_was_given_up_is_not_told_besides(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook, give_up="2h")
    hook.status = 503
    take(here, worse(level="warning"))
    clock.at = NOON + timedelta(hours=1)
    take(here, worse(), hour=1)
    clock.at = NOON + timedelta(hours=2)
    assert delivering.deliver(here).rejected == 1
    take(here, worse(), hour=2)
    hook.status = 200
    del hook.requests[:]
    delivering.deliver(here, now=True)
    assert [each["type"].rpartition(".")[2] for each in events(hook)] == ["escalated"]


def test_a_refusal_is_final_and_holds_up_nothing(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook)
    take(here, worse())
    hook.status = 422
    assert delivering.deliver(here).rejected == 1
    hook.status = 200
    take(here, worse(), model="flights")
    assert delivering.deliver(here).delivered == 1


def test_a_slow_receiver_is_left_after_the_timeout(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook, timeout=0.2)
    hook.pause = 3.0
    take(here, worse())
    done = delivering.deliver(here)
    assert "0.2 s" in done.problems["hook"] or "timed out" in done.problems["hook"]
    assert done.waiting == 1


def test_a_channel_that_fails_keeps_no_other_waiting(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    channels = {
        "dead": f"cloudevents+http://127.0.0.1:{free_port()}/",
        "hook": f"cloudevents+http://{hook.address}/",
    }
    here = project(tmp_path, clock, channels=channels)
    for model in ("iris", "flights"):
        take(here, worse(), model=model)
    done = delivering.deliver(here)
    assert (done.delivered, done.waiting, list(done.problems)) == (2, 2, ["dead"])


def test_a_channel_that_fails_is_asked_once_in_a_pass(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    hook.status = 500
    for model in ("iris", "flights"):
        take(here, worse(), model=model)
    assert delivering.deliver(here).waiting == 2
    assert len(hook.requests) == 1


def test_a_message_that_is_never_taken_does_not_stop_those_behind_it(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    take(here, worse())
    hook.on_request = lambda: setattr(
        hook,
        "status",
        500 if b"/alert_" in hook.requests[-1][2] and b'"iris/' in hook.requests[-1][2] else 200,
    )
    delivering.deliver(here)
    take(here, worse(), model="flights")
    clock.at = NOON + timedelta(minutes=1)
    delivering.deliver(here)
    clock.at = NOON + timedelta(minutes=2)
    delivering.deliver(here)
    taken = [event["subject"].partition("/")[0] for event in events(hook)]
    assert "flights" in taken
    assert showing.undelivered(here).waiting == 1


def test_a_channel_that_is_gone_from_the_settings_is_told(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    take(here_with(tmp_path, clock, hook), worse())
    later = project(tmp_path, clock)
    assert delivering.deliver(later).rejected == 1
    assert "no channel 'hook' any more" in (showing.undelivered(later).given_up[0][1] or "")


def _deliver(folder: str, address: str) -> None:
    delivering.deliver(project(Path(folder), channels={"hook": f"cloudevents+http://{address}/"}), now=True)


def test_killed_between_delivery_and_mark_it_comes_again_with_the_same_id(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = project(tmp_path, clock, channels={"hook": f"cloudevents+http://{hook.address}/"})
    take(here, worse())
    process = multiprocessing.get_context("spawn").Process(
        target=_deliver, args=(str(tmp_path), hook.address)
    )
    hook.on_request = lambda: os.kill(process.pid or 0, signal.SIGKILL)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    hook.on_request = lambda: None
    assert delivering.deliver(here).delivered == 1
    first, second = events(hook)
    assert (first["id"], first["source"]) == (second["id"], second["source"])


def test_one_process_delivers_at_a_time(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = here_with(tmp_path, clock, hook)
    take(here, worse())
    with here.locks.hold("alerts"):
        assert delivering.deliver(here) == delivering.Delivery(waiting=1, busy=True)
    assert hook.requests == []


@pytest.mark.parametrize("now", [True, False])
def test_of_an_alert_the_older_message_comes_first(
    tmp_path: Path, clock: Hands, hook: receivers.Http, now: bool
) -> None:
    """Of another alert nothing waits for it."""
    here = here_with(tmp_path, clock, hook)
    hook.status = 503
    (alert,) = take(here, worse())
    delivering.deliver(here)
    clock.at = NOON + timedelta(seconds=31)
    delivering.deliver(here)  # opened is put off by a minute
    clock.at = NOON + timedelta(seconds=40)
    closing.close(here, alert.alert_id, "seen")
    take(here, worse(), model="flights")
    hook.status = 200
    del hook.requests[:]
    delivering.deliver(here, now=now)
    clock.at = NOON + timedelta(seconds=95)
    delivering.deliver(here, now=now)
    said = [(each["subject"].partition("/")[0], each["type"].rpartition(".")[2]) for each in events(hook)]
    assert [each for model, each in said if model == "iris"] == ["opened", "closed"]
    assert said[0] == ("flights", "opened")
    assert not delivering.is_due(here)


# -- MLflow's entries --------------------------------------------------------------------------------------


def test_alerts_and_records_for_mlflow_do_not_wait_for_each_other(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook)
    with here.store.writing() as tx:
        outbox.post(tx, "alias", "alias/1", {"model": "iris", "alias": "champion", "version": "1"}, NOON)
    take(here, worse())
    with here.store.reading() as tx:
        assert [row["kind"] for row in outbox.waiting(tx)] == ["alias"]
        assert outbox.count_waiting(tx) == 1
    assert delivering.deliver(here).delivered == 1
    with here.store.reading() as tx:
        assert outbox.count_waiting(tx) == 1
    assert delivery.send_again(here) == 0
    assert delivering.deliver(here) == delivering.Delivery()


# -- apprise -----------------------------------------------------------------------------------------------


def test_people_get_a_letter(tmp_path: Path, clock: Hands) -> None:
    with receivers.smtp(tmp_path / "box", "ops", SECRET) as server:
        address = f"mailto://ops:{SECRET}@127.0.0.1:{server.port}?from=ml@example.org&to=team@example.org&mode=insecure"
        here = project(tmp_path, clock, channels={"team": address})
        (alert,) = take(here, worse(), damage="40 wrong answers a day")
        assert delivering.deliver(here) == delivering.Delivery(delivered=1)
    ((sender, recipients, letter),) = server.letters
    assert (sender, recipients) == ("ml@example.org", ["team@example.org"])
    assert str(make_header(decode_header(letter["Subject"]))) == (
        "[critical] iris: accuracy fell to 0.61, usually 0.70"
    )
    parts = [part.get_payload(decode=True) or b"" for part in letter.walk() if not part.is_multipart()]
    text = b"\n".join(part for part in parts if isinstance(part, bytes)).decode()
    for words in ("40 wrong answers a day", f"Message {alert.alert_id}-1", "everloop alerts close"):
        assert words in text


def test_a_letter_that_is_refused_waits_and_no_password_is_told(
    tmp_path: Path, clock: Hands, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with receivers.smtp(tmp_path / "box", "ops", "another") as server:
        address = f"mailto://ops:{SECRET}@127.0.0.1:{server.port}?from=ml@example.org&to=team@example.org&mode=insecure"
        here = project(tmp_path, clock, channels={"team": address})
        take(here, worse())
        done = delivering.deliver(here)
    assert (done.delivered, done.waiting) == (0, 1)
    assert done.problems["team"].startswith("mailto://… did not take the message: ")
    assert "535" in done.problems["team"]
    assert "127.0.0.1" not in done.problems["team"]  # of some services that part is a token
    with here.store.reading() as tx:
        kept = str([dict(row) for row in outbox.messages(tx)])
    out = capfd.readouterr()
    assert SECRET not in "".join([str(done), kept, out.out, out.err, caplog.text, repr(here.settings)])


def test_why_a_letter_was_refused_is_told(
    tmp_path: Path, clock: Hands, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with receivers.smtp(tmp_path / "box", "ops", SECRET, "451 4.3.0 The queue is full") as server:
        address = f"mailto://ops:{SECRET}@127.0.0.1:{server.port}?from=ml@example.org&to=team@example.org&mode=insecure"
        here = project(tmp_path, clock, channels={"team": address})
        take(here, worse())
        with caplog.at_level("DEBUG"):
            done = delivering.deliver(here)
    said = 'mailto://… did not take the message: Sending email to "…@…" failed: 451 4.3.0 The queue is full'
    assert done.problems["team"] == said
    assert {each.levelname for each in caplog.records if each.name == "apprise"} == {"WARNING"}
    assert SECRET not in "".join([str(done), *capfd.readouterr(), caplog.text])


def test_apprise_reaches_webhooks_of_its_own_kind(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    here = project(tmp_path, clock, channels={"json": f"json://{hook.address}/in"})
    (alert,) = take(here, worse())
    closing.close(here, alert.alert_id, "seen")
    assert delivering.deliver(here).delivered == 2
    first, second = events(hook)
    assert (first["type"], second["type"]) == ("failure", "success")
    assert first["title"] == "[critical] iris: accuracy fell to 0.61, usually 0.70"


@pytest.mark.parametrize("behaviour", [{"status": 500}, {"pause": 3.0}])
def test_apprise_that_fails_is_tried_again(
    tmp_path: Path, clock: Hands, hook: receivers.Http, behaviour: dict[str, Any]
) -> None:
    here = project(tmp_path, clock, channels={"json": f"json://{hook.address}/{SECRET}"}, timeout=0.3)
    vars(hook).update(behaviour)
    take(here, worse())
    done = delivering.deliver(here)
    assert done.waiting == 1
    assert done.problems
    assert SECRET not in str(done)


def test_apprise_sends_no_message_to_where_a_receiver_points(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    with receivers.http() as elsewhere:
        here = project(tmp_path, clock, channels={"json": f"json://{hook.address}/in"})
        hook.status, hook.location = 307, f"http://{elsewhere.address}/"
        take(here, worse())
        assert delivering.deliver(here).waiting == 1
        assert elsewhere.requests == []


@pytest.mark.parametrize("span", ["0s", "0.0h"])
def test_a_message_is_tried_for_some_time(tmp_path: Path, span: str) -> None:
    with pytest.raises(InvalidSettings, match=r"alerts\.give_up.*give at least 30s"):
        project(tmp_path, give_up=span)


def test_a_webhook_that_wants_a_password_gets_it(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    address = f"cloudevents+http://ann:p%40ss@{hook.address}/é?q=ü"
    here = project(tmp_path, clock, channels={"hook": address})
    take(here, worse())
    assert delivering.deliver(here).delivered == 1
    ((path, headers, _),) = hook.requests
    assert headers["authorization"] == f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
    assert path == "/%C3%A9?q=%C3%BC"


@pytest.mark.parametrize(
    "address",
    [f"http://foo..bar/{SECRET}", f"http://{'x' * 64}.org/{SECRET}", f"ftp://{SECRET}", "http://a:b/"],
)
def test_a_webhook_that_cannot_be_is_refused_by_the_settings(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidSettings, match=r"write cloudevents\+https://host/path") as told:
        project(tmp_path, channels={"a": f"cloudevents+{address}"})
    assert SECRET not in str(told.value)


def test_a_library_that_fails_in_its_own_way_stops_no_other_channel(
    tmp_path: Path, clock: Hands, hook: receivers.Http
) -> None:
    here = here_with(tmp_path, clock, hook, weekly=50)
    odd = replace(here, open_notifier=lambda address: 1 / 0)  # type: ignore[arg-type, return-value]  # it fails
    take(here, worse())
    done = delivering.deliver(odd)
    assert (done.waiting, done.problems) == (1, {"hook": "cloudevents+http://… failed: ZeroDivisionError."})
    assert "ZeroDivisionError" in str(delivering.try_out(odd, "hook")["hook"])


def test_an_address_that_apprise_does_not_know_says_so_without_it(tmp_path: Path, capfd: Any) -> None:
    here = project(tmp_path, channels={"odd": f"nonsense://{SECRET}/x"})
    with pytest.raises(InvalidSettings, match="nonsense://…") as told:
        here.open_notifier(here.settings.alerts.channels["odd"])
    assert SECRET not in str(told.value) + "".join(capfd.readouterr())


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    here = project(tmp_path, channels={"team": "mailto://example.org"})
    with pytest.raises(MissingExtra, match="apprise") as told:
        here.open_notifier("mailto://example.org")
    assert "everloop[alerts]" in told.value.remedy


# -- trying out --------------------------------------------------------------------------------------------


def test_channels_are_tried_out(tmp_path: Path, clock: Hands, hook: receivers.Http) -> None:
    channels = {
        "hook": f"cloudevents+http://{hook.address}/",
        "dead": f"cloudevents+http://127.0.0.1:{free_port()}/",
    }
    here = project(tmp_path, clock, channels=channels)
    found = delivering.try_out(here, None)
    assert found["hook"] is None
    assert "cannot be reached" in (found["dead"] or "")
    assert events(hook)[0]["type"] == "everloop.alert.test"
    with pytest.raises(NotFound, match="Did you mean 'hook'"):
        delivering.try_out(here, "hok")
    with pytest.raises(NotFound, match="There is no channel"):
        delivering.try_out(project(tmp_path / "none", clock), None)
