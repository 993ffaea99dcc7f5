"""Who opens the pages of the loop sees what was decided and why, and can do there what waits for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.servers import chromium
from tests.servers.tabs import Tab, tab
from tests.stories.loop.town import MODEL, Town
from tests.stories.serving.server import Answer, Server, iris_project, running
from tests.stories.serving.test_dashboard import Page

from everloop.core.decisions import Evidence
from everloop.core.loop import DecisionRecord, Trigger
from everloop.flows.loop import course, showing
from everloop.store import loop
from everloop.wiring import open_project

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EVIL = "<img src=x onerror=\"document.title='hacked'\"> '{{7*7}}'"
NOW = datetime.now(UTC)
RECORD = DecisionRecord(
    decision_id="dec_1refused",
    model="iris",
    number=1,
    at=NOW - timedelta(days=3),
    action="refuse",
    code="broken_feed",
    reason=EVIL,
    changes="Repair the feed.",
    triggers=(Trigger("drift", "alert/1", NOW, EVIL, {"alert_id": "alert_1"}),),
    evidence=(
        Evidence("feed", True, EVIL, 2.0),
        Evidence("version_before", False, "Not compared."),
        Evidence("cooldown", False, "The loop trained it 3 days ago.", 259_200.0, 86_400.0),
        Evidence("rows", False, "1,234 labelled rows are new.", 1_234.0, 50.0),
    ),
    by="ann",
    champion="1.0.0",
    job_id="job_1",
    outcome="refused",
    times=3,
    newest=NOW - timedelta(days=2),
)
PROMOTED = replace(
    RECORD, decision_id="dec_2promoted", number=2, at=NOW - timedelta(days=1), action="retrain",
    outcome="promoted", said="Better by 0.02.", version="1.0.1", turn_id="turn_1", run_id="run_1",
    releases=("rel_1",), times=1, newest=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of two models of which one has never been trained; nobody trains meanwhile."""
    folder = tmp_path_factory.mktemp("decided")
    iris_project(folder, serving={"retrain": False}, iris={"retraining": {"schedule": "0 3 * * 1"}})
    keep(
        folder,
        RECORD,
        PROMOTED,
        *(waiting(name) for name in ("dec_3yes", "dec_4no", "dec_5late", "dec_6stays")),
    )
    with running(folder) as started:
        yield started
        assert "Traceback" not in started.errors


def keep(folder: Path, *records: DecisionRecord) -> None:
    here = open_project(folder=folder)
    try:
        for one in records:
            with here.store.writing() as tx:
                loop.put(tx, one)
    finally:
        here.close()


def waiting(decision_id: str) -> DecisionRecord:
    return replace(
        PROMOTED, decision_id=decision_id, number=int(decision_id[4]), at=NOW, stage="approval", outcome="",
        said="", version=None, turn_id=None, run_id=None, releases=(),
    )  # fmt: skip


def page(server: Server, path: str) -> Page:
    return Page(chromium.dump_dom(f"http://{server.address}/{path}"))


def decided(server: Server, decision_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.ask("GET", f"/decisions/{decision_id}").json
    return found


# -- what is shown -----------------------------------------------------------------------------------------


def test_a_browser_gets_pages_and_a_client_json(server: Server) -> None:
    for path in ("/decisions", "/decisions/dec_1refused"):
        shown: Answer = server.ask("GET", path, headers=BROWSER)
        assert shown.headers["content-type"].startswith("text/html")
        assert "form-action 'self'" in shown.headers["content-security-policy"]
        assert server.ask("GET", path).headers["content-type"] == "application/json"
    assert server.ask("GET", "/decisions/dec_nothing", headers=BROWSER).status == 404
    assert server.ask("GET", "/decisions?model=nobody", headers=BROWSER).status == 404
    assert server.ask("GET", "/decisions?action=dance", headers=BROWSER).status == 422


def test_the_list_has_all_decisions_and_where_the_loop_is(server: Server) -> None:
    found = page(server, "decisions")
    for words in (
        *("iris@1.0.0", "next of schedule", "0 with complete labels, of 50 that are needed"),
        *("3 times, last", "iris@1.0.1 promoted: Better by 0.02.", "waits for approval before it trains"),
        *("1 of 8 trainings", EVIL),
    ):
        assert words in found.text, words
    assert {"decisions/dec_1refused", "decisions/dec_2promoted", "decisions?model=iris"} <= {*found.links}
    assert "img" not in found.tags
    assert found.tags["svg"] >= 4
    only = page(server, "decisions?model=iris&action=refuse")
    assert "dec_1refused" in "".join(only.links)
    assert "Better by 0.02" not in only.text
    assert "Nothing was decided that is asked for here" in page(server, "decisions?action=defer").text


def test_a_decision_has_its_evidence_and_what_came_of_it(server: Server) -> None:
    found = page(server, "decisions/dec_2promoted")
    for words in (
        *("iris@1.0.1 promoted: Better by 0.02.", "Repair the feed.", "version before", "1,234", "3 days"),
        *("1 day", "fired", "turn_1", "everloop runs show run_1", "by ann", EVIL),
    ):
        assert words in found.text, words
    assert "img" not in found.tags
    assert {"../releases/rel_1/report", "../alerts/alert_1", "../jobs/job_1"} <= {*found.links}
    assert "Approve" not in found.text
    assert "found 3 times in a row" in page(server, "decisions/dec_1refused").text


def test_other_pages_lead_there(server: Server) -> None:
    found = page(server, "dashboard")
    assert "decisions" in found.links
    assert "decisions?model=iris" in found.links


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_is_wider_than_the_window(server: Server, width: int) -> None:
    keep(server.folder, replace(RECORD, decision_id="dec_long", number=7, reason="a_very_long_word" * 40))
    with tab(f"http://{server.address}/decisions/dec_long") as one:
        for path in ("decisions/dec_long", "decisions"):
            one.do(f"location.href = '/{path}'")
            one.wait(f"document.readyState === 'complete' && location.pathname === '/{path}'")
            one.resize(width)
            one.wait(f"innerWidth === {width}")
            assert one.do("document.documentElement.scrollWidth") <= width


# -- what is done there ------------------------------------------------------------------------------------


def fill(one: Tab, form: str, **values: str) -> None:
    for name, value in values.items():
        one.do(f"document.querySelector('form[data-post$=\"{form}\"] [name={name}]').value = '{value}'")
    one.do(f"document.querySelector('form[data-post$=\"{form}\"] button').click()")


def test_the_loop_is_paused_and_resumed(server: Server) -> None:
    with tab(f"http://{server.address}/decisions") as one:
        fill(one, "loop/pause", reason="the feed is moved")
        one.wait("/since .* by .*: the feed is moved/.test(document.body.textContent)")
        [standing] = server.ask("GET", "/loop").json["models"]
        assert standing["pause"]["reason"] == "the feed is moved"
        fill(one, "loop/resume")
        one.wait("document.querySelector('form[data-post=\"loop/pause\"]') !== null")
    assert server.ask("GET", "/loop").json["models"][0]["pause"] is None


def test_a_retraining_is_approved(server: Server) -> None:
    with tab(f"http://{server.address}/decisions/dec_3yes") as one:
        fill(one, "approve", role="owner", reason="the supplier is known")
        one.wait("document.body.textContent.includes('train approved by')")
        assert one.do("document.querySelector('form[data-post]')") is None
    found = decided(server, "dec_3yes")
    assert found["stage"] == "train"
    [approval] = found["approvals"]
    assert (approval["role"], approval["note"]) == ("owner", "the supplier is known")


def test_a_rejection_needs_a_reason(server: Server) -> None:
    with tab(f"http://{server.address}/decisions/dec_4no") as one:
        fill(one, "reject")
        assert decided(server, "dec_4no")["stage"] == "approval"
        fill(one, "reject", reason="a holiday week")
        one.wait("/rejected by .*: a holiday week/.test(document.body.textContent)")
    assert decided(server, "dec_4no")["outcome"] == "refused"


def test_a_trial_is_ended(server: Server) -> None:
    at = NOW + timedelta(days=1)
    keep(
        server.folder, replace(PROMOTED, decision_id="dec_8trial", stage="trial", outcome="kept", again_at=at)
    )
    with tab(f"http://{server.address}/decisions/dec_8trial") as one:
        fill(one, "reject", reason="a holiday week")
        one.wait("document.querySelector('form[data-post]') === null")
        assert one.do("/; not judged again: rejected by .*: a holiday week/.test(document.body.textContent)")
    found = decided(server, "dec_8trial")
    assert (found["stage"], found["outcome"], found["looks"]) == ("ended", "kept", 0)


def test_what_somebody_else_did_meanwhile_is_told(server: Server) -> None:
    with tab(f"http://{server.address}/decisions/dec_5late") as one:
        assert server.ask("POST", "/decisions/dec_5late/reject", {"reason": "no"}).status == 200
        fill(one, "approve")
        one.wait("document.querySelector('output').textContent.includes('has ended: refused')")
        assert one.do("document.querySelector('form[data-post] button').disabled") is False


def test_a_form_of_another_site_does_nothing(server: Server) -> None:
    """What a browser sends across sites without asking is no JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        sent = server.ask("POST", "/loop/pause", b'{"model": "iris"}', {"content-type": kind})
        assert sent.status == 415
    assert server.ask("GET", "/loop").json["models"][0]["pause"] is None


# -- a real course -----------------------------------------------------------------------------------------


def test_the_course_of_a_model_has_its_decisions_champions_and_scores(open_town: Callable[..., Town]) -> None:
    town = open_town()
    assert course.course(town.project, MODEL) is None
    town.live(4)
    found = course.course(town.project, MODEL)
    assert found is not None
    assert [one.decision_id for one in found.decisions] == [one.decision_id for one in town.decisions()]
    assert [(one.version, one.until) for one in found.reigns] == [("1.0.0", found.until)]
    assert found.since <= found.scores[0].since < found.scores[-1].until <= found.until
    assert (found.metric, found.estimated) == ("log_loss", False)
    assert all(each.low <= each.value <= each.high for each in found.scores if each.low and each.high)
    (standing,) = showing.standings(town.project, counted=True)
    assert standing.leeway is not None
    assert standing.leeway.rows.new > standing.leeway.min_rows
    assert (standing.leeway.trained, standing.leeway.rests_until) == (0, None)
    assert showing.standings(town.project)[0].leeway is None
