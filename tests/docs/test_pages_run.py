"""Every command and snippet of the documentation runs: page by page, in order, in a fresh folder per page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from everloop.settings import load_settings
from tests.docs.nursery import write_command
from tests.docs.pages import ROOT, RUN, SHOWN, Block, blocks, pages

NEEDS_MAKE = "make "  # set-up and the whole test suite: not from inside of a test
DELIVERING = {"docs/how-to/tracking.md"}  # pages that talk to MLflow, which takes seconds
IN_S3 = {"docs/how-to/store-data-in-s3.md"}  # pages that need a server with a bucket "everloop"
WITH = [page for page in pages() if any(block.language in RUN for block in blocks(page))]


@pytest.fixture(scope="session")
def command() -> Iterator[Path]:
    """A folder for PATH with an ``everloop`` that answers without importing everything anew."""
    with tempfile.TemporaryDirectory(prefix="everloop-") as short:  # a socket's path may have 100 characters
        yield from _nursery(Path(short))


def _nursery(folder: Path) -> Iterator[Path]:
    address = str(folder / "socket")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.nursery", address], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    write_command(folder, address)
    yield folder
    process.kill()
    process.communicate()


@pytest.mark.parametrize("page", WITH, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_runs(
    page: Path,
    command: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    home = tmp_path / "page"
    home.mkdir()
    monkeypatch.chdir(home)
    places = [command, Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    if page.relative_to(ROOT).as_posix() not in DELIVERING:
        monkeypatch.setenv("EVERLOOP_TRACKING__ENABLED", "false")
    if page.relative_to(ROOT).as_posix() in IN_S3:
        for name, value in request.getfixturevalue("s3").environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))  # keys go there
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        for block in blocks(page):
            if "no-run" not in block.options and block.language in RUN:
                _do(block, names, tmp_path)
    finally:
        for started in home.rglob("serve.pid"):  # a page that failed has not come to where it ends its server
            with suppress(ProcessLookupError):
                os.kill(int(started.read_text()), signal.SIGTERM)


def _do(block: Block, names: dict[str, object], beside: Path) -> None:
    written = block.options.get("file")
    if block.language == "bash":
        _run_shell(block, beside / "shell")
    elif block.language == "python" and not written:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reader's Python makes no errors of what libraries deprecate
            exec(compile(block.code, block.where, "exec"), names)
    else:
        path = Path(written) if written else beside / "example.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code)
    if block.language == "yaml":
        load_settings(path)


def _run_shell(block: Block, state: Path) -> None:
    """The block as one script; the next one begins in the folder and with the variables that it leaves."""
    script = "\n".join(line for line in block.code.splitlines() if not line.startswith(NEEDS_MAKE))
    before = f"[ ! -f {state} ] || source {state}\nset -aeo pipefail"
    after = f"trap 'export -p > {state}; pwd > {state}.folder' EXIT"
    done = subprocess.run(
        ["bash", "-c", f"{before}\n{after}\n{script}\n"], capture_output=True, text=True, timeout=120
    )
    expected = int(block.options.get("exit", 0))
    assert done.returncode == expected, (
        f"{block.where} left with {done.returncode}, not {expected}\n{script}\n{done.stdout}\n{done.stderr}"
    )
    assert "Traceback" not in done.stderr, f"{block.where}\n{done.stderr}"
    os.chdir(state.with_name(state.name + ".folder").read_text().strip())


def test_every_block_says_what_it_is() -> None:
    unknown = [
        block.where for page in pages() for block in blocks(page) if block.language not in (*RUN, *SHOWN)
    ]
    assert not unknown, "a block of these languages only: " + ", ".join((*RUN, *SHOWN))


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [block for page in pages() for block in blocks(page) if "no-run" in block.options]
    assert all(len(block.options["no-run"]) > 10 for block in left_out)
    assert len(left_out) <= 6, [block.where for block in left_out]


def test_a_page_with_a_mistake_is_noticed(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{command}{os.pathsep}{os.environ['PATH']}")
    home = tmp_path / "page"
    home.mkdir()
    monkeypatch.chdir(home)
    page = ROOT / "docs" / "example.md"
    with pytest.raises(AssertionError, match="left with 2"):
        _do(Block(page, 1, "bash", {}, "everloop runn\n"), {}, tmp_path)
    with pytest.raises(ZeroDivisionError):
        _do(Block(page, 1, "python", {}, "1 / 0\n"), {}, tmp_path)
    with pytest.raises(Exception, match="Did you mean"):
        _do(Block(page, 1, "yaml", {}, "trainin: {}\n"), {}, tmp_path)
