"""Times at the ends of the calendar are refused wherever one can be given, and fail nowhere."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.stories.serving.server import Server, check_problem, write_project
from tests.stories.test_cli import everloop

from everloop.core.errors import Invalid
from everloop.core.moments import ago, checked

EARLY, LATE = "0001-01-01T00:00:00%2B23:00", "9999-12-31T23:59:59-23:00"


def cursor(at: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([at, "pred_1"]).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "path",
    [
        f"/predictions/history?since={EARLY}",
        f"/predictions/history?until={LATE}",
        f"/predictions/history?cursor={cursor('0001-01-01T00:00:00+23:00')}",
        "/labels/maturity?since=0001-01-01T00:00:00Z",
        f"/labels/maturity?since={EARLY}",
        f"/labels/maturity?until={LATE}",
        f"/monitors/iris/report?until={LATE}",
        f"/monitors/iris/report?until={EARLY}",
    ],
)
def test_over_http(server: Server, path: str) -> None:
    check_problem(server.ask("GET", path), 400)


@pytest.mark.parametrize("since", ["2h", "2%20hours%20ago", "yesterday", "2026-03-01", "now"])
def test_times_in_words_over_http(server: Server, since: str) -> None:
    assert server.ask("GET", f"/predictions/history?since={since}&until=now").status == 200
    assert server.ask("GET", f"/labels/maturity?since={since}").status == 200


def test_no_time_over_http(server: Server) -> None:
    told = check_problem(server.ask("GET", "/labels/maturity?since=soon"), 400)
    assert told["detail"] == "'soon' is no time."


@pytest.mark.parametrize("at", [EARLY.replace("%2B", "+"), LATE])
def test_a_label_of_such_a_time_is_invalid_and_the_others_are_kept(server: Server, at: str) -> None:
    named = f"pred_{at[:4]}"
    labels = [
        {"prediction_id": named, "label": "setosa", "at": at},
        {"prediction_id": named, "label": "setosa"},
    ]
    answer = server.ask("POST", "/labels", {"labels": labels})
    assert answer.status == 200
    assert [one["status"] for one in answer.json["results"]] == ["invalid", "unmatched"]
    assert "1970 to 9000" in answer.json["results"][0]["error"]


def test_a_label_whose_time_is_none_is_told_in_plain_words(server: Server) -> None:
    label = {"prediction_id": "pred_1", "label": "setosa", "at": "yesterday"}
    told = check_problem(server.ask("POST", "/labels", {"labels": [label]}), 422)
    assert told["detail"] == "'labels.0.at' is 'yesterday': a time is written as in 2026-03-01T12:00:00Z."


def test_where_no_label_is_kept_the_request_is_refused(server: Server) -> None:
    label = {"prediction_id": "pred_lost", "label": "setosa", "at": LATE}
    told = check_problem(server.ask("POST", "/labels", {"labels": [label, label]}), 422)
    assert [one["field"] for one in told["errors"]] == ["labels.0", "labels.1"]
    assert "no time that can be used" in told["detail"]
    assert "1970 to 9000" in told["remedy"]


@pytest.mark.parametrize(
    "command",
    [
        "predictions list --since 9999999d",
        "predictions list --until 9999-12-31T23:59:59-23:00",
        "predictions remove --older-than 1e9",
        "predictions maturity iris --since 0001-01-01",
        "predictions export iris --until 9999-12-31T23:59:59-23:00",
        "predictions label --file labels.csv",
    ],
)
def test_on_the_command_line(tmp_path: Path, command: str) -> None:
    write_project(tmp_path, models={"iris": {"data": {"path": "iris.csv"}, "target": "species"}}).close()
    (tmp_path / "labels.csv").write_text("prediction_id,label,at\npred_1,setosa,0001-01-01T00:00:00+23:00\n")
    said = everloop(tmp_path, *command.split())
    assert said.code == 20, said.err
    assert re.search("1970 to 9000|Give fewer days|a century", said.err)


def test_a_moment_comes_back_in_utc() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert checked(datetime.fromisoformat("2026-03-01T13:00+01:00"), "at") == noon
    assert ago(noon, hours=12) == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(Invalid, match="since has no time zone: 2026"):
        checked(datetime(2026, 3, 1), "since")
