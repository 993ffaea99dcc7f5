"""Predictions from the workers' log files into the database, each exactly once; and how long both are kept.

A worker writes each prediction to its log file before it answers (``STATE/predictions/TENANT/``, one JSON
line a row), so a prediction that was acknowledged is on disk whatever happens to the database. Here complete
lines are read and inserted in batches. How far a file was read is written in the same transaction, so that a
process that is killed at any moment has recorded a batch wholly or not at all, and the next one goes on
there. Several processes may record at once: each batch counts for one of them.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from everloop.core.moments import ago
from everloop.flows.project import Project
from everloop.store import failures, predictions

from . import lines
from .summing import ModelSummary

BATCH = 2_000  # rows in one transaction: it holds SQLite's lock for some 50 ms
_CHUNK = 1 << 20
_JUST_NOW = timedelta(minutes=1)
_LONGEST = 64 << 20  # bytes without a line end, after which a file counts as damaged


@dataclass
class Recorded:
    """What one call of ``record`` did. ``rows`` predictions are new in the database, ``known`` were in it
    already; ``failures`` of arms of releases are new; ``damaged`` lines are in files that end in ``.bad``.
    ``backlog`` is in bytes, of files with complete lines that are not recorded yet. ``summaries`` are of all
    predictions read, by model."""

    rows: int = 0
    known: int = 0
    failures: int = 0
    damaged: int = 0
    bytes: int = 0
    backlog: int = 0
    files: int = 0
    errors: list[str] = field(default_factory=list)
    summaries: dict[str, ModelSummary] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """How many were read and understood, about."""
        return self.rows + self.known + self.failures


@dataclass(frozen=True)
class Cleaned:
    """Log files that were deleted (or would be), and their bytes."""

    files: tuple[str, ...]
    bytes: int


def log_folder(project: Project) -> Path:
    """Where the workers write their log files."""
    return project.settings.state / "predictions" / project.tenant


def record(project: Project, *, limit: int | None = None) -> Recorded:
    """Record what is new in all log files, at most about ``limit`` rows [all].

    Lines that are no prediction are counted in ``damaged``, told in ``errors`` (the first ten), and kept with
    the reason in a file beside that ends in ``.bad``. A line that was begun and never finished was never
    acknowledged; where the next one was written behind it, that one is recorded.
    """
    done = Recorded()
    with project.store.reading() as tx:
        known = predictions.offsets(tx)
    paths = _log_files(project)
    for path in paths:
        if limit is None or done.lines < limit:
            _record_file(project, path, known.get(path.name, 0), limit, done)
    _finish(project, paths, done)
    return done


def clean(
    project: Project, *, keep_days: float, keep_bytes: int | None = None, dry_run: bool = False
) -> Cleaned:
    """Delete log files that are wholly recorded and older than ``keep_days``, and the oldest of those wholly
    recorded until all take ``keep_bytes`` at most.

    A file that a worker has open (it is locked) stays. Files with damaged lines stay until they are older
    than ``keep_days``, and their ``.bad`` file goes with them.
    """
    with project.store.reading() as tx:
        offsets = predictions.offsets(tx)
    now = project.clock.now()
    found = [(path, stat) for path in _log_files(project) if (stat := _stat(path)) is not None]
    total = sum(stat.st_size for _, stat in found)
    gone: list[str] = []
    freed = 0
    for path, stat in sorted(found, key=lambda one: (one[1].st_mtime, one[0].name)):
        old = now.timestamp() - stat.st_mtime > keep_days * 86_400
        many = keep_bytes is not None and total - freed > keep_bytes and not _bad(path).exists()
        if not (old or many) or not _is_whole(path, offsets.get(path.name, 0), stat.st_size):
            continue
        if _is_open(path, stat, now):
            continue
        gone.append(path.name)
        freed += stat.st_size
        if not dry_run:
            path.unlink(missing_ok=True)
            _bad(path).unlink(missing_ok=True)
    if not dry_run:
        _forget_gone(project, _log_files(project))
    return Cleaned(tuple(gone), freed)


def retain(
    project: Project, *, days: float, limit: int | None = None, batch: int = 1_000, dry_run: bool = False
) -> dict[str, int]:
    """Delete predictions older than ``days``, in small transactions; returns how many, by model.

    At most ``limit`` in one call [all], and all failures as old. Labelled ones go too, while their labels
    stay, as they do in a backup; what is worth keeping for longer is exported before. With ``dry_run`` they
    are only counted.
    """
    before = ago(project.clock.now(), days=days)
    with project.store.reading() as tx:
        names = predictions.models(tx)
        if dry_run:
            wanted = {name: predictions.Wanted(model=name, until=before) for name in names}
            return {name: predictions.count(tx, one) for name, one in wanted.items()}
    removed = dict.fromkeys(names, 0)
    left = limit
    for name in names:
        while left is None or left > 0:
            with project.store.writing() as tx:
                gone = predictions.prune(tx, name, before, batch if left is None else min(batch, left))
            removed[name] += gone
            left = None if left is None else left - gone
            if not gone:
                break
    gone = 1
    while gone:
        with project.store.writing() as tx:
            gone = failures.prune(tx, before, batch)
    return removed


# -- one file ----------------------------------------------------------------------------------------------


def _record_file(project: Project, path: Path, start: int, limit: int | None, done: Recorded) -> None:
    stat = _stat(path)
    if stat is None or stat.st_size == start:
        return
    try:
        with path.open("rb") as file:
            if start and not _continues(project, file, path.name, start):
                start = _begin_again(project, path.name, start)
            done.files += 1
            file.seek(start)
            for lines, end in _batches(file, start):
                if not _record_batch(project, path, lines, start, end, done):
                    return
                start = end
                if limit is not None and done.lines >= limit:
                    return
    except FileNotFoundError:
        return


def _batches(file: BinaryIO, at: int) -> Iterator[tuple[list[bytes], int]]:
    """The complete lines from ``at`` on, some at a time, and where in the file they end."""
    rest = b""
    while chunk := file.read(_CHUNK):
        rest += chunk
        complete = rest.rfind(b"\n", max(0, len(rest) - len(chunk))) + 1
        if not complete:
            if len(rest) >= _LONGEST:
                at += len(rest)
                yield [rest], at
                rest = b""
            continue
        lines = rest[: complete - 1].split(b"\n")
        rest = rest[complete:]
        for start in range(0, len(lines), BATCH):
            some = lines[start : start + BATCH]
            at += sum(map(len, some)) + len(some)
            yield some, at


def _record_batch(
    project: Project, path: Path, written: list[bytes], start: int, end: int, done: Recorded
) -> bool:
    """Record some lines; False where somebody else has recorded them meanwhile."""
    read = lines.Read()
    damaged: list[tuple[int, bytes, str]] = []
    at = start
    for line in written:
        try:
            if line:
                lines.take(line, read)
        except lines.DAMAGE as error:
            damaged.append((at, line, str(error)))
            lines.take_last(line, read)
        at += len(line) + 1
    if damaged:
        _keep_damaged(path, damaged)
    with project.store.writing() as tx:
        if predictions.offset(tx, path.name) != start:
            return False
        new = predictions.add(tx, read.predictions)
        fallen = failures.add(tx, read.failures)
        predictions.reach(tx, path.name, end, lines.digest(written[-1]))
    done.rows += new
    done.known += len(read.predictions) - new
    done.failures += fallen
    done.damaged += len(damaged)
    done.bytes += end - start
    told = [f"{path.name} at byte {where}: {why}" for where, _, why in damaged]
    done.errors += told[: max(0, 10 - len(done.errors))]
    for model, (inputs, answers) in read.values.items():
        done.summaries.setdefault(model, ModelSummary()).add(inputs, answers)
    return True


def _keep_damaged(path: Path, damaged: list[tuple[int, bytes, str]]) -> None:
    """Lines that are no prediction, once each, also when their batch is recorded again."""
    bad = _bad(path)
    before = bad.read_bytes() if bad.exists() else b""
    known = set()
    for line in before.splitlines():
        try:
            known.add(json.loads(line)["offset"])
        except (ValueError, KeyError, TypeError):  # cut when a process was killed
            continue
    with bad.open("ab") as file:
        if before and not before.endswith(b"\n"):
            file.write(b"\n")
        for where, line, why in damaged:
            if where not in known:
                entry = {"offset": where, "error": why, "line": base64.b64encode(line).decode()}
                file.write(json.dumps(entry).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _continues(project: Project, file: BinaryIO, name: str, start: int) -> bool:
    """Whether what stands before ``start`` is what was recorded, though it may have been removed since: a
    worker without space on its disk takes back what it could not write whole."""
    file.seek(max(0, start - _CHUNK))
    before = file.read(start - file.tell())
    if file.tell() < start or not before.endswith(b"\n"):
        return False
    line = before[before.rfind(b"\n", 0, -1) + 1 : -1]
    try:
        with project.store.reading() as tx:
            last = predictions.last_line(tx, name)
            return lines.is_recorded(tx, line) if last is None else lines.digest(line) == last
    except lines.DAMAGE:
        return True  # damaged, and told so already


def _begin_again(project: Project, name: str, start: int) -> int:
    """Read a file from its beginning once more: what is recorded stays there once."""
    with project.store.writing() as tx:
        if predictions.offset(tx, name) == start:
            predictions.reach(tx, name, 0, None)
            return 0
        return predictions.offset(tx, name)


# -- all files ---------------------------------------------------------------------------------------------


def _log_files(project: Project) -> list[Path]:
    return sorted(log_folder(project).glob("*.jsonl"))


def _finish(project: Project, paths: list[Path], done: Recorded) -> None:
    """What is left to record; files that are gone are forgotten."""
    with project.store.reading() as tx:
        offsets = predictions.offsets(tx)
    for path in paths:
        stat, offset = _stat(path), offsets.get(path.name, 0)
        if stat is not None and not _is_whole(path, offset, stat.st_size):
            done.backlog += stat.st_size - offset
    if offsets.keys() - {path.name for path in paths}:
        _forget_gone(project, _log_files(project))


def _is_open(path: Path, stat: os.stat_result, now: datetime) -> bool:
    """Whether a worker has a file open: it locks it. One that is new and empty may not be locked yet, and a
    look at its lock would be in the worker's way."""
    if not stat.st_size and now - datetime.fromtimestamp(stat.st_mtime, UTC) < _JUST_NOW:
        return True
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _forget_gone(project: Project, paths: list[Path]) -> None:
    there = {path.name for path in paths}
    with project.store.writing() as tx:
        for name in predictions.offsets(tx).keys() - there:
            predictions.forget(tx, name)


def _is_whole(path: Path, offset: int, size: int) -> bool:
    """Whether all complete lines of a file that nobody writes any more are recorded."""
    if offset >= size:
        return True
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                if b"\n" in chunk:
                    return False
    except FileNotFoundError:
        return False
    return True


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _bad(path: Path) -> Path:
    return path.with_suffix(".bad")
