"""Plain ``git`` and ``dvc``, and a project that people made with them alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from everloop.cli import main


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def everloop(folder: Path, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, the JSON answer, and what was said on stderr. It runs in this process, to save its start."""
    out, err = StringIO(), StringIO()
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(err):
            main([*arguments, "--json"])
    except SystemExit as ended:
        return int(ended.code or 0), json.loads(out.getvalue() or "null"), err.getvalue()
    raise AssertionError("main always leaves")


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def sales(*prices: object) -> bytes:
    """CSV as no writer of ours would write it: one heading quoted, line ends of Windows, none at the end."""
    lines = ['"day",price', *(f"{day},{price}" for day, price in enumerate(prices))]
    return "\r\n".join(lines).encode()


def damage(path: Path) -> None:
    """Flip the last byte of a read-only file; its size and time stay."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def md5_in(folder: Path, file: str) -> str:
    text = (folder / file).read_text()
    return next(line.split()[-1] for line in text.splitlines() if "md5:" in line)


def in_cache(folder: Path, md5: str) -> Path:
    return folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


@dataclass(frozen=True)
class Theirs:
    """``commits`` by name; ``remote`` is DVC's, a folder."""

    folder: Path
    remote: Path
    commits: dict[str, str]

    def object(self, md5: str) -> Path:
        return self.remote / "files" / "md5" / md5[:2] / md5[2:]


def copied(theirs: Theirs, place: Path) -> Theirs:
    """The same project elsewhere, for a test that breaks something in it."""
    folder, remote = place / "theirs", place / "remote"
    shutil.copytree(theirs.folder, folder, symlinks=True)
    shutil.copytree(theirs.remote, remote)
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(theirs.remote), str(remote)))
    git(folder, "commit", "--quiet", "--all", "--message", "the remote has moved")
    return Theirs(folder, remote, theirs.commits)


SALES = "data/ventas año 1.csv"
PIPELINE = """\
stages:
  double:
    wdir: work
    cmd: python double.py
    deps: [double.py, "../data/ventas año 1.csv"]
    outs: [doubled.csv]
    metrics:
      - rows.json: {cache: false}
"""
DOUBLE = """\
import json, pathlib
lines = pathlib.Path("../data/ventas año 1.csv").read_text().splitlines()
pathlib.Path("doubled.csv").write_text("\\n".join([lines[0], *lines[1:], *lines[1:]]) + "\\n")
pathlib.Path("rows.json").write_text(json.dumps({"rows": 2 * len(lines) - 2}))
"""


def make_theirs(place: Path) -> Theirs:
    """Six commits and a merge on main, one on a branch; a pipeline; a file that is gone in the end."""
    folder, remote = place / "theirs", place / "remote"
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")
    (folder / ".dvc" / "config").write_text(f"[core]\nremote = store\n['remote \"store\"']\nurl = {remote}\n")
    (folder / "data").mkdir()
    commits = {}

    (folder / SALES).write_bytes(sales(1, 2, 3))
    (folder / "data" / "old.csv").write_text("x\n1\n")
    dvc(folder, "add", "--quiet", SALES, "data/old.csv")
    commits["first"] = commit(folder, "first")

    git(folder, "switch", "--quiet", "--create", "correction")
    (folder / SALES).write_bytes(sales(1, 2, 99))
    dvc(folder, "add", "--quiet", SALES)
    commits["side"] = commit(folder, "a price corrected")

    git(folder, "switch", "--quiet", "main")
    (folder / SALES).write_bytes(sales(1, 2, 3, 4))
    (folder / "work").mkdir()
    (folder / "work" / "double.py").write_text(DOUBLE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    dvc(folder, "add", "--quiet", SALES)
    dvc(folder, "repro", "--quiet")
    commits["second"] = commit(folder, "a fourth day, and a pipeline")
    git(folder, "tag", "v2")

    git(folder, "merge", "--quiet", "--strategy=ours", "--no-commit", "correction")
    git(folder, "checkout", "--quiet", "correction", "--", f"{SALES}.dvc")
    commits["merge"] = commit(folder, "the correction is right")
    (folder / "README").write_text("nothing of data\n")
    commit(folder, "no pointer changes here")
    git(folder, "rm", "--quiet", "data/old.csv.dvc")
    commits["gone"] = commit(folder, "old is gone")

    (folder / SALES).write_bytes(sales(1, 2, 99, 5))
    dvc(folder, "add", "--quiet", SALES)
    commits["third"] = commit(folder, "and a fourth day")

    git(folder, "checkout", "--quiet", commits["first"], "--", f"{SALES}.dvc")
    commits["back"] = commit(folder, "back to the first")
    dvc(folder, "push", "--quiet", "--all-commits")
    return Theirs(folder, remote, commits)
