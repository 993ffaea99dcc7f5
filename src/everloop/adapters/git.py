"""What code and which packages are running here: git by its own command, packages by their metadata."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from everloop.core.runs import Environment

_SECONDS = 5


def describe_environment(folder: Path) -> Environment:
    """Python, platform, installed packages, and the commit of ``folder`` where it lies in a git work tree."""
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = bool(commit and _git(folder, "status", "--porcelain", "--untracked-files=no"))
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=_packages(),
        git_commit=commit or None,
        git_dirty=dirty,
    )


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        # S603: git itself, and arguments that no shell reads
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def _packages() -> dict[str, str]:
    found = ((d.metadata["Name"], d.version) for d in distributions())
    return {name.lower(): version for name, version in sorted(found) if name}
