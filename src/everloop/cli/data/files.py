"""What the commands of data versions say and do about versions of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.cli import late
from everloop.cli.call import Call
from everloop.core.errors import Invalid

if TYPE_CHECKING:
    from everloop.core.data import DatasetVersion
    from everloop.core.files import File, FilesDiff
    from everloop.flows.content.registered import Registered
    from everloop.flows.project import Project

_SHOWN = 20
_MB = 1e6


def register(
    call: Call,
    project: Project,
    path: str,
    dataset: str,
    *,
    tags: dict[str, str],
    branch: str,
    reread: bool,
) -> Registered:
    """Register a file or folder as it is, with a bar that counts megabytes."""
    with late.progress.counted("Reading, MB", quiet=call.quiet or call.json) as tell:
        return late.files.register_files(
            project,
            path,
            dataset,
            tags=tags,
            branch=branch,
            reread=reread,
            tell=lambda done, total, text: tell(round(done / _MB), round(total / _MB), text),
        )


def restore(
    call: Call,
    project: Project,
    version: DatasetVersion,
    to: Path | None,
    paths: Sequence[str],
    *,
    force: bool,
) -> None:
    """Write a version's files into a folder, and say so."""
    folder = Path.cwd() / (to or late.names.file_name(version))
    with late.progress.counted("Writing, MB", quiet=call.quiet or call.json) as tell:
        done = late.files.restore(
            project,
            version,
            folder,
            paths=paths,
            force=force,
            tell=lambda done, total, text: tell(round(done / _MB), round(total / _MB), text),
        )
    kept = f", {done.kept:,} there already" if done.kept else ""
    call.answer(
        {"version_id": version.version_id, "restored": done},
        lambda: late.output.line(
            f"{version.dataset}@{version.short}: {done.written:,} file{'' if done.written == 1 else 's'} "
            f"({late.output.size(done.bytes)}) written to {folder}{kept}"
        ),
    )


def refuse_paths(version: DatasetVersion, paths: Sequence[str]) -> None:
    """--path only makes sense for files."""
    if paths:
        raise Invalid(
            f"{version.dataset}@{version.short} is a table: --path is for versions of files.",
            remedy="--columns and --where choose a part of a table.",
        )


def describe(version: DatasetVersion) -> str:
    """As in ``3 files (1.2 MB)``."""
    sizes = version.statistics.get("size")
    total = round((sizes.mean or 0.0) * sizes.count) if sizes else 0
    return f"{version.rows:,} file{'' if version.rows == 1 else 's'} ({late.output.size(total)})"


def show(files: Sequence[File]) -> None:
    """The files of a version, the first ones of many."""
    rows = [
        (f.path, "" if f.kind == "file" else f.kind, late.output.size(f.size), f.digest[:12]) for f in files
    ]
    names = ("path", "kind", "size", "digest")
    late.output.table(names, rows[:_SHOWN], right=("size",), fold=("path",))
    if len(files) > _SHOWN:
        late.output.line(f"… and {len(files) - _SHOWN:,} more files; --json has all.")


def show_diff(diff: FilesDiff) -> None:
    """What lies between two versions of files."""
    out = late.output
    kinds = ("added", "removed", "changed", "renamed")
    counts = [f"{len(getattr(diff, kind)):,} {kind}" for kind in kinds]
    out.pairs(
        {
            "files": ", ".join([*counts, f"{diff.kept:,} kept"]),
            "size": f"{out.size(diff.bytes_before)} -> {out.size(diff.bytes_after)}",
        }
    )
    rows: list[tuple[object, ...]] = [
        *(("added", f.path, out.size(f.size)) for f in diff.added),
        *(("removed", f.path, out.size(f.size)) for f in diff.removed),
        *(("changed", f.path, out.size(f.size)) for f in diff.changed),
        *(("renamed", f"{r.before} -> {r.after}", "") for r in diff.renamed),
    ]
    if rows:
        out.table(("what", "path", "size"), rows[:_SHOWN], right=("size",), fold=("path",))
    if len(rows) > _SHOWN:
        out.line(f"… and {len(rows) - _SHOWN:,} more; --json has all.")
