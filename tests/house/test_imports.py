"""The import contracts of ``.importlinter`` hold, and would notice if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT, SOURCE

CONTRACTS = ROOT / ".importlinter"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())",
            "--no-cache",
            "--config",
            str(CONTRACTS),
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_part_imports_only_what_it_may() -> None:
    result = lint(SOURCE.parent)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_contract_ignores_an_import() -> None:
    text = CONTRACTS.read_text()
    assert "ignore_imports" not in text
    assert "skip_descendants" not in text
    assert "exhaustive = true" in text


@pytest.mark.parametrize(
    ("files", "broken"),
    [
        ({"data/__init__.py": "from everloop import training", "training/__init__.py": ""}, "Doors above"),
        ({"core/upward.py": "from everloop import settings", "settings.py": ""}, "Doors above"),
        ({"store/__init__.py": "from everloop import flows", "flows/__init__.py": ""}, "Doors above"),
        ({"flows/__init__.py": "from everloop import adapters", "adapters/__init__.py": ""}, "Doors above"),
        ({"helpers.py": ""}, "Doors above"),
        (
            {"data/__init__.py": "", "data/a.py": "from . import b", "data/b.py": "from . import a"},
            "No import cycles",
        ),
    ],
    ids=["room-room", "core-settings", "store-flows", "flows-adapters", "unknown-part", "cycle"],
)
def test_a_forbidden_import_is_noticed(tmp_path: Path, files: dict[str, str], broken: str) -> None:
    shutil.copytree(SOURCE / "core", tmp_path / "everloop" / "core")
    (tmp_path / "everloop" / "__init__.py").write_text("")
    assert lint(tmp_path).returncode == 0
    for name, text in files.items():
        path = tmp_path / "everloop" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert broken in result.stdout.partition("Broken contracts")[2]
