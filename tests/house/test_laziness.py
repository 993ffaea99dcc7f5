"""``import everloop``, help and tab completion load no heavy library. (How fast they are: ``make bench``.)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# The command line itself; rich is left out on purpose: it is for commands that draw.
LIGHT = {"everloop", "typer", "click", "shellingham", "typing_extensions", "annotated_doc"}

_PROBE = """
import json, os, sys
before = set(sys.modules)
code = 0
try:
    {action}
except SystemExit as end:
    code = end.code
sys.stdout.flush()
installed = set()
for name in set(sys.modules) - before:
    file = getattr(sys.modules[name], "__file__", None) or ""
    if "site-packages" in file or name.partition(".")[0] == "everloop":
        installed.add(name.partition(".")[0])
with open(os.environ["PROBE"], "w") as out:
    json.dump({{"code": code, "installed": sorted(installed)}}, out)
"""
_COMMAND = "from everloop.cli import main; sys.argv = ['everloop', *{arguments!r}]; main()"


def loaded(tmp_path: Path, action: str, **environment: str) -> tuple[set[str], str]:
    """Top-level packages outside the standard library that ``action`` loads, and what it printed."""
    report = tmp_path / "loaded.json"
    result = subprocess.run(
        [sys.executable, "-c", _PROBE.format(action=action)],
        env={**os.environ, **environment, "PROBE": str(report)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(report.read_text())
    assert found["code"] in (0, None), result.stdout + result.stderr
    return set(found["installed"]), result.stdout


def test_importing_everloop_loads_nothing_else(tmp_path: Path) -> None:
    packages, _ = loaded(tmp_path, "import everloop")
    assert packages == {"everloop"}


def test_the_probe_sees_a_heavy_library(tmp_path: Path) -> None:
    packages, _ = loaded(tmp_path, "import numpy")
    assert "numpy" in packages


@pytest.mark.parametrize(
    "module",
    [
        "everloop.api.office.office",
        "everloop.api.office.app",
        "everloop.api.office.working",
        "everloop.cli.loop",
    ],
)
def test_what_trains_nothing_loads_nothing_that_trains(tmp_path: Path, module: str) -> None:
    packages, _ = loaded(tmp_path, f"import {module}")
    assert not packages & {"sklearn", "matplotlib", "skops", "onnx", "mlflow", "pandas", "pandera"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_only_the_command_line(tmp_path: Path, arguments: list[str]) -> None:
    packages, output = loaded(tmp_path, _COMMAND.format(arguments=arguments))
    assert output
    assert packages <= LIGHT, f"heavy: {sorted(packages - LIGHT)}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_loads_only_the_command_line(tmp_path: Path, shell: str) -> None:
    packages, output = loaded(
        tmp_path,
        _COMMAND.format(arguments=[]),
        _EVERLOOP_COMPLETE=f"complete_{shell}",
        COMP_WORDS="everloop ru",
        COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="everloop ru",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "run" in output
    assert packages <= LIGHT, f"heavy: {sorted(packages - LIGHT)}"
