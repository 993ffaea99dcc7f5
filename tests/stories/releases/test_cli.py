"""Releases at the command line: a day on which all goes well, and what is refused and why."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.stories.releases.doors import ENVIRONMENTS, change_settings, folder, requests, template
from tests.stories.test_cli import Said, everloop

from everloop.cli.call import Call
from everloop.cli.release import _Shown
from everloop.flows import serving
from everloop.flows.releases import deploying, looking
from everloop.wiring import open_project

__all__ = ["folder", "template"]
CANARY = ("deploy", "iris@2.0.0", "--strategy", "canary", "--traffic", "5000/hour", "--steps", "0.05,0.5")


def said(folder: Path, *arguments: str, code: int = 0) -> str:
    done = everloop(folder, *arguments)
    assert done.code == code, f"{done.out}{done.err}"
    return done.out


def released(folder: Path, *arguments: str) -> str:
    """Deploy; the release's id."""
    done = everloop(folder, *arguments, "--json")
    assert done.code == 0, f"{done.out}{done.err}"
    return str(done.json["release"]["release_id"])


def current(folder: Path, environment: str = "prod") -> Any:
    listed = everloop(folder, "environments", "--json").json["environments"]
    found = next(one for one in listed if one["name"] == environment)
    return found["current"].get("iris", {}).get("version")


# -- days --------------------------------------------------------------------------------------------------


def test_a_direct_release_and_the_way_back(folder: Path) -> None:
    out = said(folder, "deploy", "iris@2.0.0", "--reason", "the spring model")
    assert out.splitlines()[0] == "iris@2.0.0 answers every request in prod at once after 1.0.0."
    assert re.search(r"^Release rel_\w+: promoted$", out, re.M)
    assert "Go back: everloop rollback iris --env prod" in out
    assert current(folder) == "2.0.0"
    assert "champion" in said(folder, "models", "list")

    listed = everloop(folder, "environments", "--json").json["environments"]
    release_id = everloop(folder, "release", "list", "--json").json["releases"][0]["release_id"]
    there = next(one for one in listed if one["name"] == "prod")["current"]["iris"]
    assert (there["release_id"], there["on_its_way"]) == (release_id, None)

    out = said(folder, "rollback", "iris", "--reason", "complaints")
    assert out == "iris@1.0.0 is current in prod again, after 2.0.0.\n"
    assert current(folder) == "1.0.0"
    told = said(folder, "history", "iris")
    assert "iris@2.0.0 is champion after 1.0.0: the spring model" in told
    assert "iris@2.0.0 rolled back to 1.0.0: complaints" in told
    assert "rolled back" in said(folder, "release", "list", "iris", "--env", "production")


def test_going_back_to_a_version_and_to_a_moment(folder: Path) -> None:
    said(folder, "deploy", "iris@2.0.0")
    between = datetime.now(UTC).isoformat()
    done = everloop(folder, "rollback", "iris", "--to", "1.0.0", "--json")
    assert done.json == {"model": "iris", "environment": "prod", "before": "2.0.0", "after": "1.0.0"}
    said(folder, "rollback", "iris", "--at", between)
    assert current(folder) == "2.0.0"
    said(folder, "rollback", "iris", "--at", between, code=40)  # it is current


def test_a_dry_run_shows_the_plan_and_changes_nothing(folder: Path) -> None:
    out = said(folder, *CANARY, "--measure", "accuracy=0.1", "--dwell", "10m", "--longest", "7d", "--dry-run")
    lines = out.splitlines()
    assert lines[0] == (
        "iris@2.0.0 answers 5 % of the requests in prod, beside a control of the same size (1.0.0), then "
        "50 %; each step takes 10 minutes at least."
    )
    assert "It is promoted when accuracy is proven not worse by 0.1 or more." in lines
    assert "a drop of accuracy by 0.1 is found within" in out
    assert "failed units of the candidate roll back at once" in out
    assert lines[-1] == "Nothing was released: this was a dry run."
    assert len(everloop(folder, "release", "list", "--json").json["releases"]) == 1  # the first model's
    assert said(folder, "release", "status").startswith("No release is on its way.")


def test_a_version_that_the_gate_turned_down_is_deployed_knowingly(folder: Path) -> None:
    out = said(folder, "run", "--force")
    assert re.search(r"^ *measured .* \(of iris@1\.0\.0\)$", out, re.M)
    reason = everloop(folder, "models", "show", "iris@challenger", "--json").json["version"]["tags"]["gate"]
    spec = everloop(folder, "models", "show", "iris@challenger", "--json").json["version"]["version"]
    out = said(folder, "deploy", f"iris@{spec}", "--dry-run")
    assert f"The gate did not promote {spec}: {reason}." in out.splitlines()


def test_a_canary_that_fails_is_rolled_back_by_who_watches(folder: Path) -> None:
    release_id = released(folder, *CANARY)
    requests(folder, release_id, 12, failing=True)
    done = everloop(folder, "release", "watch", "iris")
    assert done.code == 7
    assert f"{release_id} (iris@2.0.0 to prod) is rolled back: A guardrail was touched" in done.out
    assert "control 12, canary 12" in done.err
    assert current(folder) == "1.0.0"
    shown = said(folder, "release", "show", release_id[-6:])
    assert "! failed: 12 of 12 units (100 %) of the canary failed" in shown
    assert "It is rolled back at once when requests fail or inputs are refused more often" in shown
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d +canary +2\.0\.0 +failed +unavailable\n", shown)
    failures = everloop(folder, "release", "show", release_id, "--json").json["failures"]
    assert len(failures) == 5  # the newest of 12
    assert failures[0].items() >= {"variant": "canary", "kind": "failed", "error": "unavailable"}.items()


def test_a_canary_that_does_well_goes_on_step_by_step(folder: Path) -> None:
    release_id = released(folder, *CANARY, "--dwell", "0s", "--reason", "the spring model")
    out = said(folder, "release", "status", "iris")
    assert "1 of 2" in out
    assert re.search(r"canary +2\.0\.0 +5 %", out)
    assert re.search(r"control +1\.0\.0 +5 %", out)
    assert re.search(r"champion +1\.0\.0 +90 %", out)
    assert "Nobody has looked at it yet" in out

    requests(folder, release_id, 20)
    done = everloop(folder, "release", "watch", release_id, "--once")
    assert (done.code, "advance" in done.err) == (0, True)
    out = said(folder, "release", "status", "iris")
    assert "2 of 2" in out
    assert re.search(r"canary +2\.0\.0 +50 %", out)
    assert "Look 1 at" in out
    assert re.search(r"canary +2\.0\.0 +20 +20 +0 ", out)

    done = everloop(folder, "release", "watch", release_id, "--json")
    assert (done.code, done.json["release"]["status"]) == (0, "promoted")
    assert done.json["look"]["verdict"] == "promote"
    assert current(folder) == "2.0.0"


def test_what_nobody_asks_is_inconclusive(folder: Path) -> None:
    release_id = released(folder, *CANARY, "--traffic", "100000/second", "--dwell", "0s", "--longest", "1s")
    done = everloop(folder, "release", "watch", release_id)
    assert done.code == 8
    assert re.search(r"is inconclusive: After \d(\.\d)? seconds?, the longest it may take", done.out)
    assert current(folder) == "1.0.0"


def test_an_operator_ends_releases_by_hand(folder: Path) -> None:
    first = released(folder, *CANARY)
    out = said(folder, "release", "abort", "iris", "--reason", "the wrong version")
    assert out == f"{first} (iris@2.0.0 to prod) is aborted: the wrong version\n"
    second = released(folder, *CANARY)
    out = said(folder, "release", "promote", second, "--reason", "seen enough")
    assert out == f"{second} (iris@2.0.0 to prod) is promoted: seen enough\n"
    assert current(folder) == "2.0.0"
    assert said(folder, "release", "watch", first, code=7).endswith("is aborted: the wrong version\n")


def test_rollback_ends_a_release_on_its_way(folder: Path) -> None:
    release_id = released(folder, *CANARY)
    out = said(folder, "rollback", "iris")
    assert out == "iris@1.0.0 is current in prod again, after 2.0.0.\n"
    assert "is rolled back: rolled back by hand" in said(folder, "release", "watch", release_id, code=7)


def test_environments_have_rules_and_a_release_waits_for_its_approval(folder: Path) -> None:
    change_settings(folder, environments={**ENVIRONMENTS, "prod": {"after": "lab", "approval": "owner"}})
    out = said(folder, "environments")
    assert re.search(r"staging +it passed the gate +–", out)
    assert re.search(r"prod +it has been current in lab and 'owner' approves +iris@1\.0\.0", out)

    done = everloop(folder, "deploy", "iris@2.0.0", "--env", "staging")
    assert_refused(done, 42, "did not pass the gate (made outside of everloop)", "Deploy one that did")
    done = everloop(folder, "deploy", "iris@2.0.0")
    assert_refused(done, 42, "in lab nothing is current", "everloop deploy iris@2.0.0 --env lab")
    said(folder, "deploy", "iris@2.0.0", "--env", "lab")
    assert current(folder, "lab") == "2.0.0"

    planned = said(folder, "deploy", "iris@2.0.0", "--env", "prod", "--dry-run")
    assert "It begins when 'owner' approves it.\nNothing was released" in planned
    out = said(folder, "deploy", "iris@2.0.0", "--env", "prod")
    assert "It begins when 'owner' approves it." in out
    release_id = re.findall(r"Release (rel_\w+): waiting", out)[0]
    way = f"It waits for the approval of 'owner': everloop release approve {release_id} --role owner"
    assert out.splitlines()[-1] == way
    assert way in said(folder, "release", "status", "iris")
    assert everloop(folder, "release", "status", "iris", "--json").json["waits"] == way
    done = everloop(folder, "release", "promote", "iris")
    assert_refused(done, 40, f"Release {release_id} is waiting", way)
    assert re.search(rf"iris@1\.0\.0 \({release_id} on its way\)", said(folder, "environments"))
    done = everloop(folder, "release", "approve", release_id, "--role", "intern")
    assert_refused(done, 42, "asks for the approval of 'owner', not of 'intern'", "has to approve it")
    out = said(folder, "release", "approve", release_id, "--role", "owner", "--note", "as agreed")
    assert f"{release_id} (iris@2.0.0 to prod) is promoted" in out
    assert re.search(r"Approved .* by .* as owner: as agreed", said(folder, "release", "show", release_id))


def test_a_promotion_by_hand_is_under_the_rules_of_production(folder: Path) -> None:
    change_settings(folder, environments={"prod": {"after": "lab", "approval": "owner"}, "lab": {}})
    done = everloop(folder, "models", "promote", "iris@2.0.0")
    assert_refused(done, 42, "in lab nothing is current", "everloop deploy iris@2.0.0 --env lab")
    said(folder, "deploy", "iris@2.0.0", "--env", "lab")
    out = said(folder, "models", "promote", "iris@2.0.0", "--reason", "seen enough")
    assert out.startswith("iris@2.0.0 is not champion yet. It waits for the approval of 'owner': ")
    assert current(folder) == "1.0.0"
    way = re.findall(r"everloop (release approve rel_\w+ --role owner)", out)[0]
    assert "is promoted: seen enough" in said(folder, *way.split())
    assert current(folder) == "2.0.0"


def test_time_in_another_environment_is_waited_for(folder: Path) -> None:
    change_settings(folder, environments={"prod": {"after": "dev", "time": "2h"}})
    said(folder, "deploy", "iris@2.0.0", "--env", "dev")
    assert "iris@2.0.0 is current in dev: a direct release" in said(folder, "history", "iris")
    done = everloop(folder, "deploy", "iris@2.0.0")
    assert_refused(done, 42, "2 hours are asked for", "Wait for 2 hours")


def test_an_ab_test_with_arms_rules_and_a_tester(folder: Path) -> None:
    out = said(
        folder, "deploy", "iris@2.0.0", "--strategy", "ab", "--traffic", "5000/hour", "--measure",
        "accuracy=0.2", "--arm", "red=2.0.0:0.3", "--unit", "entity", "--rule", "country=DE,AT;plan=pro:red",
        "--override", "user-7=red",
    )  # fmt: skip
    assert out.startswith("The requests in prod are split: control (1.0.0) 70 % and red (2.0.0) 30 %.")
    assert "The arm is promoted of which accuracy is proven better." in out
    release = everloop(folder, "release", "show", "iris", "--json").json["release"]
    assert release["unit"] == "entity"
    assert release["rules"] == [{"when": {"country": ["DE", "AT"], "plan": ["pro"]}, "arm": "red"}]
    assert release["overrides"] == {"user-7": "red"}
    assert re.search(r"red +2\.0\.0 +30 %", said(folder, "release", "status", "iris"))


def test_the_other_strategies_say_what_they_do(folder: Path) -> None:
    shadow = ("deploy", "iris@2.0.0", "--strategy", "shadow", "--traffic", "5000/hour", "--dry-run")
    assert "sees the requests that 1.0.0 answers in prod, and answers nobody." in said(folder, *shadow)
    green = said(folder, "deploy", "iris@2.0.0", "--strategy", "blue-green", "--dwell", "5m")
    assert "takes over every request in prod, at once; 1.0.0 stays loaded for 5 minutes" in green
    status = said(folder, "release", "status", "iris")
    assert re.search(r"green +2\.0\.0 +100 %", status)
    said(folder, "rollback", "iris")
    rolling = said(folder, "deploy", "iris@2.0.0", "--strategy", "rolling", "--dry-run")
    assert "one worker after the other" in rolling


def test_a_bandit_keeps_arms_apart_that_it_never_moves(folder: Path) -> None:
    out = said(
        folder, "deploy", "iris@2.0.0", "--strategy", "ab", "--traffic", "5000/hour", "--measure",
        "accuracy=0.2", "--bandit", "--dry-run",
    )  # fmt: skip
    assert "control/fixed (1.0.0) 10 % and candidate/fixed (2.0.0) 10 %" in out
    assert "Thompson sampling moves the split" in out


def test_a_release_of_another_is_followed_until_it_ends(folder: Path) -> None:
    """Somebody watches, somebody else promotes."""
    release_id = released(folder, *CANARY)

    def promote() -> None:
        time.sleep(1.0)
        project = open_project(folder=folder)
        deploying.promote(project, release_id)
        project.close()

    other = threading.Thread(target=promote)
    other.start()
    done = everloop(folder, "release", "watch", release_id)
    other.join()
    assert (done.code, "is promoted: promoted by hand" in done.out) == (0, True)


def test_who_watches_is_told_what_is_new_and_nothing_twice(folder: Path, capsys: Any) -> None:
    """Looks that differ in what is not shown, such as latencies, say nothing new."""
    release_id = released(folder, *CANARY)
    requests(folder, release_id, 12)
    project = open_project(folder=folder)
    try:
        release = deploying.find(project, release_id)
        serving.recording.record(project)
        _, first = looking.look(project, release_id)
    finally:
        project.close()
    slower = replace(first.seen[0], latency_ms={"p95": 1e6})
    shown = _Shown(Call())
    for look in (first, first, replace(first, seen=(slower, *first.seen[1:])), replace(first, reason="new")):
        shown.tell(release, look)
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith(": new") for line in lines] == [False, True]


def test_that_a_release_waits_is_said_once(folder: Path) -> None:
    change_settings(folder, environments={"prod": {"approval": "owner"}})
    release_id = released(folder, "deploy", "iris@2.0.0")

    def abort() -> None:
        time.sleep(2.5)
        project = open_project(folder=folder)
        deploying.abort(project, release_id)
        project.close()

    other = threading.Thread(target=abort)
    other.start()
    done = everloop(folder, "release", "watch", release_id)
    other.join()
    assert (done.code, done.err.count("It waits for the approval of 'owner'")) == (7, 1)


# -- what is refused -----------------------------------------------------------------------------------------


def assert_refused(done: Said, code: int, message: str, remedy: str) -> None:
    assert (done.code, done.out) == (code, ""), done.err
    said, _, what_to_do = done.err.partition("\n  what to do: ")
    assert message in said
    assert remedy in what_to_do


NO_PLAN = "Leave it away, or choose the strategy"
LIKE = "Write it as"


@pytest.mark.parametrize(
    ("arguments", "code", "message", "remedy"),
    [
        ("deploy nix@1.0.0", 14, "no registered model 'nix'", "Known: 'iris'"),
        ("deploy iris@9.0.0", 13, "no model version '9.0.0'", "Did you mean"),
        ("deploy iris@2.0", 13, "no model version '2.0'", "Did you mean '2.0.0'?"),
        ("deploy iris@1.0.0", 40, "iris@1.0.0 is current in prod already", "Nothing to do"),
        ("deploy iris@2.0.0 --env produktion", 11, "no environment 'produktion'", "'production'"),
        ("deploy iris@2.0.0 --strategy cannary", 20, "no strategy 'cannary'", "'canary'"),
        ("deploy iris@2.0.0 --env dev --strategy canary", 42, "Nothing of iris is in dev", "direct"),
        ("deploy iris@2.0.0 --strategy canary", 42, "no traffic on iris", "--traffic 1000/hour"),
        (
            "deploy iris@2.0.0 --strategy canary --traffic 1/hour --measure accuracy=0.01",
            42, "This plan cannot finish", "more requests",
        ),
        ("deploy iris@2.0.0 --traffic 100/hour", 20, "A direct release has no plan", NO_PLAN),
        ("deploy iris@2.0.0 --dwell 1h", 20, "A direct release has no plan", NO_PLAN),
        ("deploy iris@2.0.0 --measure accuracy=1", 20, "A direct release has no measures", NO_PLAN),
        ("deploy iris@2.0.0 --steps 0.1", 20, "A direct release has no steps", NO_PLAN),
        ("deploy iris@2.0.0 --arm red=2.0.0:0.3", 20, "A direct release has no arms", NO_PLAN),
        ("deploy iris@2.0.0 --bandit", 20, "A direct release has no split to adjust", NO_PLAN),
        ("deploy iris@2.0.0 --label-delay 1d", 20, "A direct release has no label delay", NO_PLAN),
        ("deploy iris@2.0.0 --rule a=b:canary", 20, "A direct release has no arms", "Leave rules away"),
        ("deploy iris@2.0.0 --measure accuracy", 20, "--measure is 'accuracy'", LIKE),
        ("deploy iris@2.0.0 --measure accuracy=x", 20, "--measure: 'x' is no number", LIKE),
        ("deploy iris@2.0.0 --measure accuracy=nan", 20, "'nan' is no number", LIKE),
        ("deploy iris@2.0.0 --steps 0.1,half", 20, "--steps: 'half' is no number", LIKE),
        ("deploy iris@2.0.0 --traffic 100/week", 20, "--traffic is '100/week'", "hour, day"),
        ("deploy iris@2.0.0 --traffic many/hour", 20, "'many' is no number", LIKE),
        ("deploy iris@2.0.0 --traffic -5/hour", 20, "--traffic is '-5/hour'", "above 0"),
        ("deploy iris@2.0.0 --dwell soon", 20, "'soon' is no span of time", "30s, 15m"),
        ("deploy iris@2.0.0 --rule DE:canary", 20, "--rule is 'DE:canary'", LIKE),
        ("deploy iris@2.0.0 --rule country=DE", 20, "--rule is 'country=DE'", LIKE),
        ("deploy iris@2.0.0 --override user=", 20, "--override is 'user='", LIKE),
        ("deploy iris@2.0.0 --override u=canary --override u=control", 20, "names 'u' twice", "Give it once"),
        ("deploy iris@2.0.0 --measure mae=1 --measure mae=2", 20, "names 'mae' twice", "Give it once"),
        ("deploy iris@2.0.0 --arm a=1.0.0:0.1 --arm a=2.0.0:0.2", 20, "names 'a' twice", "Give it once"),
        (
            "deploy iris@2.0.0 --strategy ab --traffic 9/second --arm red=1.0.0:0.3",
            20, "'control' and 'red' are both iris@1.0.0", "a version of its own",
        ),
        (
            "deploy iris@1.0.0 --strategy ab --traffic 9/second",
            20, "'control' and 'candidate' are both iris@1.0.0", "a version of its own",
        ),
        (
            "deploy iris@2.0.0 --strategy ab --arm a=2.0.0:0.3 --arm b=2.0.0:0.3",
            20, "'a' and 'b' are both iris@2.0.0", "a version of its own",
        ),
        (
            "deploy iris@1.0.0 --strategy ab --arm red=2.0.0:0.3",
            20, "to be released, and what is tested is red (2.0.0)", "deploy the version of an arm",
        ),
        ("deploy iris@2.0.0 --arm red=2.0.0", 20, "--arm is 'red=2.0.0'", LIKE),
        ("deploy iris@2.0.0 --goal worse", 20, "--goal is 'worse'", "no_harm or better"),
        ("deploy iris@2.0.0 --unit user", 20, "--unit is 'user'", "request or entity"),
        (
            "deploy iris@2.0.0 --strategy canary --traffic 100/second --steps 0.5,0.1",
            20, "no ramp", "shares that grow",
        ),
        (
            "deploy iris@2.0.0 --strategy canary --traffic 100/second --measure accurcy=0.1",
            20, "'accurcy' is no measure", "'accuracy'",
        ),
        (
            "deploy iris@2.0.0 --strategy canary --traffic 100/second --measure share:rose=0.1",
            20, "no class 'rose'", "'setosa'",
        ),
        (
            "deploy iris@2.0.0 --strategy canary --traffic 100/second --rule country=DE:cnary",
            20, "no arm 'cnary'", "'canary'",
        ),
        (
            "deploy iris@2.0.0 --strategy ab --traffic 100/second --arm red=2.0.0:1",
            20, "leave nothing for the control", "sum to less than 1",
        ),
        ("rollback nix", 14, "no registered model 'nix'", "Known: 'iris'"),
        ("rollback iris", 71, "nothing before iris@1.0.0", "--to VERSION"),
        ("rollback iris --env dev", 71, "Nothing of iris is in dev", "Deploy a version first"),
        ("rollback iris --to 1.0.0", 40, "is current in prod already", "Nothing to do"),
        ("rollback iris --to 7.0.0", 13, "no model version '7.0.0'", "Did you mean"),
        ("rollback iris --at 2020-01-01", 11, "Nothing of iris was in prod at 2020-01-01", "history"),
        ("rollback iris --at someday", 20, "'someday' is no time", "Write it as 2026-03-01"),
        ("rollback iris --to 2.0.0 --at 1h", 20, "Both a version and a moment", "one of the two"),
        ("release status nix", 14, "no model or release 'nix'", "release list"),
        ("release status rel_zzzz", 11, "no release 'rel_zzzz'", "release list"),
        ("release watch nix", 14, "no model or release 'nix'", "release list"),
        ("release promote iris", 40, "is promoted", "Only one that runs"),
        ("release abort iris", 40, "is promoted", "release list"),
        ("release approve iris --role owner", 40, "is promoted", "needs no approval"),
        ("release report zz", 14, "no model or release 'zz'", "'everloop release list' shows all"),
        ("release list nix", 14, "no registered model 'nix'", "Known: 'iris'"),
        ("release list --env produktion", 11, "no environment", "'production'"),
    ],
)  # fmt: skip
def test_what_is_refused(template: Path, arguments: str, code: int, message: str, remedy: str) -> None:
    assert_refused(everloop(template, *arguments.split()), code, message, remedy)
    listed = everloop(template, "release", "list", "--json").json["releases"]
    assert [release["version"] for release in listed] == ["1.0.0"]


def test_a_second_release_is_refused_while_one_is_on_its_way(folder: Path) -> None:
    release_id = released(folder, *CANARY)
    done = everloop(folder, *CANARY)
    assert_refused(done, 40, f"Release {release_id} (iris@2.0.0 by canary) is running", "release abort")
    done = everloop(folder, "models", "promote", "iris@2.0.0")
    assert_refused(done, 40, f"Release {release_id}", "release abort")


def test_an_environment_after_one_that_there_is_not_is_a_mistake_in_the_settings(folder: Path) -> None:
    change_settings(folder, environments={"prod": {"after": "stagging"}})
    done = everloop(folder, "deploy", "iris@2.0.0")
    assert_refused(done, 21, "environments.prod.after is 'stagging'", "'staging'")
