"""Monitors at the command line and over HTTP; a server checks windows by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet
import pytest
import yaml
from tests.stories.monitoring import shop as shops
from tests.stories.monitoring.shop import MODEL, Shop
from tests.stories.serving.server import PATIENCE, Server, check_problem, running
from tests.stories.test_cli import everloop

from everloop.data.examples.customers import customers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shop whose prices rose two days ago, and whose server was not there to see it."""
    made = tmp_path_factory.mktemp("shop")
    days = pytest.MonkeyPatch()
    days.setattr(Shop, "begin", _midnight() - timedelta(days=4))
    opened = Shop(made)
    opened.serve(2)
    opened.serve(2, lambda table: customers(table.num_rows, 99, drift=0.8))
    opened.project.close()
    tree = shops.settings()
    tree["models"]["later"] = tree["models"][MODEL]
    (made / "everloop.yaml").write_text(yaml.safe_dump(tree))
    (made / "afolder").mkdir()
    pyarrow.parquet.write_table(customers(100, 7), made / "kept.parquet")
    pyarrow.parquet.write_table(customers(3_000, 7), made / "usual.parquet")
    pyarrow.parquet.write_table(customers(1_000, 8, drift=0.8), made / "new.parquet")
    yield made
    days.undo()


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def get(server: Server, path: str) -> Any:
    answer = server.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.json


def said(folder: Path, *arguments: str, code: int = 0) -> str:
    done = everloop(folder, "monitor", *arguments)
    assert done.code == code, f"{done.out}{done.err}"
    return done.out + done.err


def test_a_server_checks_what_is_over_and_tells_it(folder: Path) -> None:
    assert "no window is over yet" in said(folder, "list")
    with running(folder) as server:
        until = time.monotonic() + 4 * PATIENCE  # a process of its own has to begin
        while len(get(server, "/monitors")["models"][0]["checks"]) < 1 and time.monotonic() < until:
            time.sleep(0.2)
        while not get(server, "/alerts")["alerts"] and time.monotonic() < until:
            time.sleep(0.2)
        checks = get(server, f"/monitors/{MODEL}")["checks"]
        [alert] = get(server, "/alerts")["alerts"]
        plan = get(server, f"/monitors/{MODEL}/plan?hourly=500")
        unknown = server.ask("GET", "/monitors/none")
        no_plan = server.ask("GET", f"/monitors/{MODEL}/plan?version=9.9.9&hourly=5")

    fired = {each["subject"] for one in checks for each in one["results"] if each["fired"]}
    assert {"weekly_hours", "monthly_fee"} <= fired
    assert alert["model"] == MODEL
    assert plan["false_alarms"] == pytest.approx(0.1)
    assert 0 < plan["inputs"]["found"]["mean"][0] < 1
    check_problem(unknown, 404)
    check_problem(no_plan, 404)


def test_what_was_checked_is_shown(folder: Path) -> None:
    said(folder, "check", MODEL)
    listed = said(folder, "list")
    assert "data weekly_hours" in listed or "data monthly_fee" in listed

    shown = said(folder, "show", MODEL, "--limit", "2")
    assert "info: 'weekly_hours': mean" in shown

    every = said(folder, "show", MODEL, "--all")
    assert "  as usual: " in every
    assert "Nothing fired" not in every
    first = next(line for line in every.splitlines() if line.endswith("nothing fired."))
    assert "things checked; nothing fired." in first

    everything = json.loads(said(folder, "show", MODEL, "--json"))["checks"]
    assert len(everything) >= 4
    assert any(not each["fired"] for each in everything[0]["results"])


def test_a_report_is_one_page_that_asks_nobody(folder: Path) -> None:
    said(folder, "check", MODEL)
    assert "Report: " in said(folder, "report", MODEL, "--to", "page.html")

    page = (folder / "page.html").read_text()
    assert "weekly_hours" in page
    assert 'src="http' not in page
    assert json.loads(said(folder, "report", MODEL, "--to", "page.html", "--json"))["results"]


def test_a_plan_is_told_before_anything_runs(folder: Path) -> None:
    told = said(folder, "plan", MODEL, "--hourly", "200")
    assert "at most 0.1 false alarms in 30 days" in told
    assert "Labels of one window" in told
    assert "log_loss" in told
    assert "Expected performance: at most 0.025 false alarms in 30 days." in told
    assert "Labels, of performance and of the stream of errors: at most 0.025 false alarms" in told
    assert "Not counted in these: signs of a broken feed" in told

    most = json.loads(said(folder, "plan", MODEL, "--hourly", "1e9", "--json"))
    assert most["inputs"]["found"]["missing"][0] < 0.02
    few = json.loads(said(folder, "plan", MODEL, "--hourly", "2", "--json"))
    assert few["inputs"]["windows"] == pytest.approx(30 / 11)  # 500 rows take 11 days


def test_a_table_is_checked_and_nothing_is_recorded(folder: Path) -> None:
    before = json.loads(said(folder, "show", MODEL, "--json"))
    assert "info: 'monthly_fee': mean" in said(folder, "check", MODEL, "new.parquet")
    assert "Nothing fired" in said(folder, "check", f"{MODEL}@1.0.0", "usual.parquet")
    assert json.loads(said(folder, "show", MODEL, "--json")) == before


def test_a_broken_feed_is_named_in_a_table_too(folder: Path) -> None:
    table = customers(1_000, 3)
    cents = pyarrow.compute.multiply(table.column("monthly_fee"), 100.0)
    place = table.column_names.index("monthly_fee")
    pyarrow.parquet.write_table(table.set_column(place, "monthly_fee", cents), folder / "cents.parquet")
    out = said(folder, "check", MODEL, "cents.parquet")
    assert "critical: 'monthly_fee' comes in another unit: × 100" in out
    assert "critical: 'monthly_fee' comes in another unit: × 100" in said(
        folder, "compare", "usual.parquet", "cents.parquet"
    )


def test_profiles_say_what_the_tables_say(folder: Path) -> None:
    said(folder, "profile", "usual.parquet", "--to", "usual.json")
    said(folder, "profile", "new.parquet", "--like", "usual.json", "--to", "new.json")

    tables = said(folder, "compare", "usual.parquet", "new.parquet")
    assert said(folder, "compare", "usual.json", "new.json") == tables
    assert "monthly_fee" in tables
    assert (folder / "usual.json").stat().st_size < 20_000

    assert "Page: " in said(folder, "compare", "usual.json", "new.json", "--to", "compared.html")
    page = (folder / "compared.html").read_text()
    assert "<h1>usual.json and new.json</h1>" in page
    assert "<h3>monthly_fee</h3>" in page
    assert 'src="http' not in page
    told = json.loads(said(folder, "compare", "usual.json", "new.json", "--to", "compared.html", "--json"))
    assert told["page"].endswith("compared.html")
    assert told["results"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", MODEL, "--hourly", "0.1"], "nothing would be checked"),
        (["plan", MODEL, "--hourly", "1e-300"], "no window has the 500 rows of monitoring.min_rows"),
        (["plan", MODEL, "--hourly", "nan"], "nan rows an hour"),
        (["plan", MODEL, "--hourly", "inf"], "inf rows an hour"),
        (["plan", MODEL, "--hourly", "1e12"], "1e+12 rows an hour"),
        (["check", "nobody"], "There is no model 'nobody'"),
        (["check", f"{MODEL}@9.9.9"], "There is no churn@9.9.9"),
        (["check", "later"], "'everloop run' trains the first"),
        (["check", f"{MODEL}@9.9.9", "new.parquet"], "There is no churn@9.9.9"),
        (["check", MODEL, "absent.parquet"], "absent.parquet"),
        (["show", "nobody"], "There is no model 'nobody'"),
        (["show", "later"], "No window of 'later'"),
        (["reference", MODEL, "everloop.yaml"], "everloop.yaml"),
        (["compare", "new.parquet", "absent.json"], "absent.json"),
        (["compare", "everloop.json", "new.parquet"], "everloop.json"),
        (["plan", "nobody"], "There is no model 'nobody'"),
        (["profile", "kept.parquet", "--to", "kept.parquet"], "kept.parquet is what is read"),
        (
            ["compare", "new.parquet", "kept.parquet", "--to", "./kept.parquet"],
            "kept.parquet is what is read",
        ),
        (["compare", "new.parquet", "usual.parquet", "--to", "afolder"], "it is a folder"),
        (["profile", "usual.parquet", "--to", "afolder"], "it is a folder"),
    ],
)
def test_what_cannot_be_is_said_with_a_remedy(folder: Path, arguments: list[str], words: str) -> None:
    done = everloop(folder, "monitor", *arguments)
    assert done.code != 0
    assert words in done.err
    assert "what to do" in done.err
    assert "Traceback" not in done.err


def test_profiles_that_do_not_belong_together_are_refused(folder: Path) -> None:
    said(folder, "profile", "usual.parquet", "--to", "a.json")
    said(folder, "profile", "new.parquet", "--to", "b.json")
    said(folder, "profile", "new.parquet", "--like", "b.json", "--to", "c.json")

    for second in ("b.json", "c.json"):
        done = everloop(folder, "monitor", "compare", "a.json", second)
        assert "not made over the bins of the first" in done.err
    (folder / "d.json").write_text('{"some": "thing"}')
    assert "is no profile" in everloop(folder, "monitor", "compare", "d.json", "new.parquet").err


def test_a_damaged_profile_is_named(folder: Path) -> None:
    said(folder, "profile", "usual.parquet", "--to", "whole.json")
    whole = json.loads((folder / "whole.json").read_text())
    for packed in (whole["packed"][:-40], "", None, 5):
        (folder / "cut.json").write_text(json.dumps(whole | {"packed": packed}))
        done = everloop(folder, "monitor", "compare", "cut.json", "new.parquet")
        assert "The profile 'cut.json' is damaged." in done.err
        assert "--to cut.json" in done.err
    (folder / "cut.json").write_text("[" * 100_000)
    assert "'cut.json' is no JSON" in everloop(folder, "monitor", "compare", "cut.json", "new.parquet").err
