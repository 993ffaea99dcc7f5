"""``everloop dvc init|add|import|export|push|pull|checkout|status``: DVC both ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import late
from .call import Call, command, group
from .errors import EXIT_CODES

if TYPE_CHECKING:
    from everloop.core.dvc import Exported, Import

app = group("Work with DVC: take its files in with their history, give versions to it, and check both.")

_SHOWN = 10

Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="A .dvc file, or the data beside it [all]."),
]
Remote = Annotated[
    str | None, typer.Option(metavar="NAME", help="A remote of DVC [its default].", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what neither DVC nor git keeps.")]
Commit = Annotated[bool, typer.Option("--commit", help="Commit the .dvc file with git.")]


@command(app)
def init(call: Call) -> None:
    """Make the project's folder a DVC project; one that is one already stays as it is.

    \b
    Example:
      git init && everloop dvc init
    """
    with call.project() as project:
        root, new = late.dvc.initialise(project)
    said = "is a DVC project now; commit it with git" if new else "is a DVC project already"
    call.answer({"root": root, "new": new}, lambda: late.output.line(f"{root} {said}"))


@command(app)
def add(
    call: Call,
    file: Annotated[Path, typer.Argument(help="A table, any other file, or a folder.")],
    dataset: Annotated[
        str | None, typer.Option(help="[of the model that reads this file, else its path]")
    ] = None,
    commit: Commit = False,
) -> None:
    """Put a file under DVC and register it as a version that remembers its .dvc file.

    \b
    Example:
      everloop dvc add data/customers.csv --commit
    """
    with call.project() as project:
        added = late.dvc.add(project, Path.cwd() / file.expanduser(), dataset, commit=commit)
    version = added.version
    known = "new version" if added.new else "known already:"
    size = f"{version.rows:,} {'rows' if version.kind == 'table' else 'files'}"
    at = f", commit {added.commit[:10]}" if added.commit else "; commit it with git"
    call.answer(
        {
            "version": version,
            "new": added.new,
            "dvc": added.pointer,
            "md5": added.md5,
            "commit": added.commit,
            "left_out": added.left_out,
        },
        lambda: late.output.line(
            f"{known} {version.dataset}@{version.short}, {size}, in {added.pointer.name}{at}"
        ),
    )
    _note_left_out(call, added.left_out)


@command(app, "import")
def import_(
    call: Call,
    source: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER|URL]", help="A DVC project, or its git URL [this one]."),
    ] = None,
    path: Annotated[
        list[str] | None, typer.Option(help="Only this data file, folder or .dvc file; may be repeated.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="For one file [its path].")] = None,
    rev: Annotated[
        str | None, typer.Option(metavar="RANGE", help="A git revision or A..B [all branches and tags].")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of CSV files [utf-8].")] = None,
) -> int:
    """Register what a DVC project's .dvc files and dvc.lock pointed to, commit by commit, oldest first.

    Each object's md5 is checked. What is missing or damaged is listed and does not stop the rest; called
    again, the command takes up what is new.

    \b
    Example:
      everloop dvc import
      everloop dvc import ../other-repo --path data/x.csv.dvc --dataset market
    """
    given = source
    if source is not None and (Path.cwd() / Path(source).expanduser()).exists():
        given = str((Path.cwd() / Path(source).expanduser()).resolve())
    with call.project() as project, late.progress.counted("import", quiet=call.quiet or call.json) as tell:
        found = late.dvc.import_history(
            project,
            given,
            dataset=dataset,
            paths=path or (),
            revisions=rev,
            encoding=encoding,
            tell=tell,
        )
    call.answer({"import": found, "counts": found.counts}, lambda: _show_import(found))
    if found.shallow:
        call.note(
            f"{found.repository} is a shallow clone: the older commits are not there and were not imported. "
            "Run 'git fetch --unshallow' in it, then import again."
        )
    return EXIT_CODES["corrupt"] if found.counts["corrupt"] else 0


@command(app)
def export(
    call: Call,
    version: Annotated[
        str,
        typer.Argument(metavar="VERSION", help="An id, its first 4 characters or more, or DATASET@latest."),
    ],
    to: Annotated[
        Path,
        typer.Option(help="A file or folder in the DVC project; .parquet, .csv or .feather for a table."),
    ],
    commit: Commit = False,
    force: Force = False,
) -> None:
    """Write a version to a file or folder that DVC tracks; a file that came from DVC comes back byte by byte.

    \b
    Example:
      everloop dvc export flights@latest --to data/flights.parquet --commit
    """
    with call.project() as project:
        found = late.data.find(project, version)
        done = late.dvc.export(project, found, Path.cwd() / to.expanduser(), force=force, commit=commit)
    call.answer({"export": done}, lambda: _show_export(done))
    _note_left_out(call, done.left_out)


@command(app)
def push(call: Call, files: Targets = None, remote: Remote = None) -> None:
    """Bring what DVC tracks to its remote; damaged objects stay here, and what is nowhere is an error.

    \b
    Example:
      everloop dvc push
    """
    with call.project() as project:
        said = late.dvc.push(project, _places(files), remote)
    call.answer({"dvc": said}, lambda: late.output.line(said))


@command(app)
def pull(call: Call, files: Targets = None, remote: Remote = None, force: Force = False) -> None:
    """Get what DVC tracks from its remote, and put it in place once its md5 is right.

    Objects in the cache that are damaged are replaced by the remote's.

    \b
    Example:
      everloop dvc pull data/customers.csv.dvc
    """
    with call.project() as project:
        written = late.dvc.pull(project, _places(files), remote, force=force)
    call.answer({"files": written}, lambda: _show_files(written))


@command(app)
def checkout(
    call: Call,
    files: Targets = None,
    rev: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="As the .dvc file was at this git revision.")
    ] = None,
    force: Force = False,
) -> None:
    """Give files the content that their .dvc files name, and check it; --rev turns a .dvc file back first.

    \b
    Example:
      everloop dvc checkout data/customers.csv.dvc --rev HEAD~3
    """
    with call.project() as project:
        written = late.dvc.checkout(project, _places(files), rev=rev, force=force)
    call.answer({"files": written}, lambda: _show_files(written))


@command(app)
def status(call: Call, files: Targets = None) -> int:
    """Show what is under DVC: changes, objects of the cache (each is hashed), and the version each file is.

    \b
    Example:
      everloop dvc status
    """
    with call.project() as project:
        found = late.dvc.status(project, _places(files))

    def show() -> None:
        if not found:
            late.output.line("Nothing is under DVC yet. 'everloop dvc add FILE' makes the first.")
            return
        rows = [
            (t.path, t.changed or "as tracked", t.cache, _version(t.dataset, t.version_id), t.md5[:10])
            for t in found
            if not t.message
        ]
        if rows:
            columns = ("file", "work tree", "cache", "version", "md5")
            late.output.table(columns, rows, fold=("file", "version"))
        for tracked in found:
            if tracked.message:
                late.output.line(f"unreadable: {tracked.message}")

    call.answer({"files": found}, show)
    if any(tracked.cache in ("damaged", "missing") for tracked in found):
        return EXIT_CODES["corrupt"]
    return EXIT_CODES["unreadable"] if any(tracked.message for tracked in found) else 0


def _places(files: list[str] | None) -> list[Path]:
    return [Path.cwd() / Path(file).expanduser() for file in files or ()]


def _note_left_out(call: Call, left_out: tuple[str, ...]) -> None:
    if left_out:
        shown = ", ".join(f"'{path}'" for path in left_out[:_SHOWN])
        more = f" and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else ""
        call.note(
            f"DVC keeps no empty folders, no links to folders and nothing that .dvcignore names. "
            f"Left out: {shown}{more}."
        )


def _version(dataset: str | None, version_id: str | None) -> str:
    return f"{dataset}@{late.output.short(version_id)}" if version_id else "not registered"


def _show_import(found: Import) -> None:
    out = late.output
    if not found.files:
        out.line(f"No .dvc file and no dvc.lock in the history of {found.repository}.")
        return
    rows = [(f.path, f.commit[:10], f.outcome, _version(f.dataset, f.version_id)) for f in found.files]
    out.table(("file", "commit", "", "version"), rows, fold=("file", "version"))
    for file in found.files:
        if file.message:
            out.line(f"{file.outcome}: {file.commit[:10]} {file.message}")
    for problem in found.problems:
        out.line(f"unreadable: {problem}")
    said = {"done": "imported before", "known": "known by content"}
    counts = [f"{count} {said.get(name, name)}" for name, count in found.counts.items() if count]
    out.line(", ".join(counts))


def _show_export(done: Exported) -> None:
    kept = "the bytes that DVC has of it" if done.source == "dvc" else "written anew"
    late.output.line(f"{done.file}: {kept}, md5 {done.md5}, in {done.pointer.name}")
    if done.first_md5:
        late.output.line(
            f"DVC had this version as md5 {done.first_md5}, which is no longer to be had; "
            "the content is the same, the bytes of the file are not."
        )


def _show_files(files: list[Path]) -> None:
    for file in files:
        late.output.line(f"{file}: as its md5 says")
