"""The rules of the house, checked by machine: imports, laziness, one way in, text and habits."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "everloop"


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is or would be committed, relative to the root: what git ignores is left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()))


def source_files() -> list[Path]:
    """The product's Python files, relative to the package."""
    return [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py"))]
