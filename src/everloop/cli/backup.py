"""``everloop backup create|list|show|verify|restore|drill|prune|run``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import Invalid

from . import errors, late
from .call import Call, command, group
from .moments import moment

if TYPE_CHECKING:
    from everloop.flows.backup.schedule import Outcome
    from everloop.flows.saved import Backup

app = group("Make backups, by hand or by the clock; check them; restore to any moment.")

Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="A backup's id or the end of it.")]
To = Annotated[
    str | None, typer.Option("--to", metavar="PLACE", help="A folder or s3://bucket/prefix [backup.to].")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="PLACE", help="A folder or s3://bucket/prefix [backup.to].")
]


@command(app)
def create(
    call: Call,
    to: To = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read and compare everything, and save all rows again.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Go on with the backups of a project in another folder.")
    ] = False,
) -> int:
    """Save what has changed since the last backup: data, models, metadata, registry, settings.

    Turns may run meanwhile. Exit code 4: something in the project is damaged, and all else was saved.

    \b
    Example:
      everloop backup create --to /mnt/backups/shop
    """
    with call.project() as project, _progress(call) as progress:
        made = late.backup.create(project, _place(to), full=full, adopt=adopt, progress=progress)
    call.answer({"backup": made}, lambda: _show_made(made))
    return _code(made)


@command(app, "list")
def list_(call: Call, source: From = None) -> None:
    """List the backups, oldest first, and the spans of time that can be restored.

    \b
    Example:
      everloop backup list
    """
    with call.project() as project:
        target = late.backup.open_target(project, _place(source))
        found = target.found()
    spans = late.backup.windows(found)

    def show() -> None:
        out = late.output
        if not found.backups:
            out.line(f"There is no backup in {target.place} yet. 'everloop backup create' makes one.")
        else:
            names = ("backup", "made (UTC)", "rows", "kind", "objects", "size", "new")
            rows = [(b.id, b.at, *_figures(b)) for b in found.backups]
            out.table(names, rows, right=("rows", "objects", "size", "new"))
        for span in spans:
            out.line(f"Can be restored: {late.backup.spelled(span)} UTC.")
        for key in found.damaged:
            out.line(f"Damaged: {target.blobs.where(key)}")

    windows = [{"from": begin, "to": end} for begin, end in spans]
    call.answer(
        {"place": target.place, "backups": found.backups, "windows": windows, "damaged": found.damaged}, show
    )


@command(app)
def show(
    call: Call,
    backup: Annotated[str, typer.Argument(metavar="ID", help="A backup's id or the end of it.")],
    source: From = None,
) -> None:
    """Show what is in a backup.

    \b
    Example:
      everloop backup show 7b3k9q2m
    """
    with call.project() as project:
        found = late.backup.open_target(project, _place(source)).find(backup)

    def show() -> None:
        rows, kind, objects, size, new = _figures(found)
        late.output.pairs(
            {
                "backup": found.id,
                "made": f"{_said(found.at)} UTC",
                "reaches back to": f"{_said(found.reaches_back_to)} UTC",
                "project": f"{found.project}, tenant {found.tenant}, in {found.folder}",
                "kind": kind,
                "objects": f"{objects:,} of {size}, {new} new",
                "rows": f"{rows:,}",
                "not saved: damaged": found.damaged,
                "from earlier backups": found.kept,
            }
        )
        late.output.table(("table", "rows"), found.counts.items(), right=("rows",))

    call.answer({"backup": found}, show)


@command(app)
def verify(call: Call, backup: Id = None, source: From = None) -> int:
    """Read all of a backup, or of all backups, and compare every hash. Exit code 4: something is damaged.

    \b
    Example:
      everloop backup verify
    """
    with call.project() as project, _progress(call) as progress:
        found = late.backup.verify(project, backup, source=_place(source), progress=progress)

    def show() -> None:
        late.output.line(
            f"{found.backups} backups, {found.objects:,} objects, {late.output.size(found.bytes)} read."
        )
        for one in found.damage:
            late.output.line(f"{one.message} Needed by {', '.join(one.backups)}: {', '.join(one.touches)}")
        if not found.damage:
            late.output.line("All is as it was written.")
        elif not backup:
            late.output.line("'everloop backup create --full' writes again what the project still has whole.")

    call.answer({"verified": found}, show)
    return errors.DIFFERENT if found.damage else errors.OK


@command(app)
def restore(
    call: Call,
    backup: Id = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="2026-03-01T12:00 (UTC where no zone is named), or 2h ago."),
    ] = None,
    into: Annotated[Path | None, typer.Option(help="A new folder, instead of in place.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what is in place; it is backed up first.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Restore what is whole, and tell of the rest.")
    ] = False,
    source: From = None,
) -> int:
    """Restore a backup [the newest], or any moment that the backups cover, after checking all of it.

    In place, what is there now is backed up first; that is restored by its id or --at only. Killed at any
    moment, there is the old state or the new.
    Exit code 4: a newer backup could not be read, or with --keep-going something was not restored.

    \b
    Example:
      everloop backup restore --at 2026-03-01T12:00 --into shop-in-march
    """
    if backup and at:
        raise Invalid("Both a backup and --at were given.", remedy="Give one of the two.")
    with call.project() as project, _progress(call) as progress:
        until = moment(at, project.clock.now())
        done = late.backup.restore(
            project,
            backup,
            at=until,
            source=_place(source),
            into=(Path.cwd() / into.expanduser()) if into else None,
            over=replace,
            keep_going=keep_going,
            progress=progress,
        )

    def show() -> None:
        out = late.output
        out.line(f"{done.place} is as it was at {_said(done.at)} UTC (from {done.backup_id}).")
        out.line(
            f"{done.versions} data versions and {done.runs} runs compared with their hashes, "
            f"{done.rows:,} rows, {done.objects} objects ({out.size(done.bytes)}) brought, "
            f"{out.seconds(done.seconds)}."
        )
        for problem in done.problems:
            out.line(f"Not as it was: {problem}")
        if done.before:
            out.line(f"What was there before: everloop backup restore {done.before} --replace")

    call.answer({"restored": done}, show)
    return errors.DIFFERENT if done.problems else errors.OK


@command(app)
def drill(call: Call, backup: Id = None, source: From = None) -> int:
    """Restore a backup [the newest] to a folder that is removed again; compare every version with its hash.

    The outcome is kept in the history. Exit code 4: something is not as it was.

    \b
    Example:
      everloop backup drill
    """
    with call.project() as project, _progress(call) as progress:
        done = late.backup.drill(project, backup, source=_place(source), progress=progress)

    def show() -> None:
        out = late.output
        out.line(
            f"{done.backup_id}: {done.versions} data versions ({done.rows:,} rows) and {done.runs} runs "
            f"compared, {done.objects:,} objects ({out.size(done.bytes)}), {out.seconds(done.seconds)}."
        )
        for problem in done.problems:
            out.line(problem)
        out.line(f"{len(done.problems)} differ." if done.problems else "All is as it was.")

    call.answer({"drill": done}, show)
    return errors.DIFFERENT if done.problems else errors.OK


@command(app)
def prune(
    call: Call,
    to: To = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> int:
    """Remove the backups that backup.keep does not keep, and what only they needed.

    Exit code 4: a backup that stays is damaged, so objects stay as well.

    \b
    Example:
      everloop backup prune --dry-run
    """
    with call.project() as project:
        done = late.backup.prune(project, _place(to), dry_run=dry_run)

    def show() -> None:
        out = late.output
        out.table(("backup", "stays"), done.kept)
        verb = "would go" if dry_run else "removed"
        out.line(
            f"{len(done.removed)} backups {verb}, and {done.objects:,} objects ({out.size(done.bytes)})."
        )
        for name in done.removed:
            out.line(f"  {name}")
        for name in done.unread:
            out.line(f"Damaged: {name}")
        if done.unread:
            out.line("What these need is not known, so all objects stay until they go or are mended.")

    call.answer({"pruned": done}, show)
    return errors.DIFFERENT if done.unread else errors.OK


@command(app)
def run(
    call: Call,
    to: To = None,
    once: Annotated[bool, typer.Option("--once", help="Make one if it is due, then end.")] = False,
) -> int:
    """Make a backup every backup.every, and prune, until told to stop (Ctrl-C, SIGTERM).

    Times that were missed are made up for by one. Two at once do not get in each other's way.

    \b
    Example:
      everloop backup run --set backup.every=6h
    """
    with call.project() as project:
        if once:
            outcome = late.backup.make_due(project, _place(to))
            said = outcome.backup if outcome else None
            call.answer(
                {"backup": said}, lambda: _show_made(said) if said else late.output.line("None is due.")
            )
            return _code(said) if said else errors.OK
        with _until_told() as stopped:
            late.backup.follow(project, lambda outcome: _tell(call, outcome), stopped, place=_place(to))
    return errors.OK


def _tell(call: Call, outcome: Outcome) -> None:
    if outcome.problem:
        call.note(errors.rendered(outcome.problem))
    elif outcome.backup:
        made = outcome.backup
        call.answer({"backup": made}, lambda: _show_made(made))
        for name in outcome.pruned.unread if outcome.pruned else ():
            call.note(f"Nothing was pruned but backups, since this one is damaged: {name}")


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """An event that the signals to stop set."""
    stopped = threading.Event()
    before = {each: signal.signal(each, lambda *_: stopped.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _progress(call: Call) -> Iterator[Callable[[str, int, int], None]]:
    with late.progress.counted("backup", quiet=call.quiet) as tell:
        yield lambda what, done, total: tell(done, total, what)


def _place(given: str | None) -> str | None:
    """A folder is meant from where the user is, as anywhere on a command line."""
    if given is None or "://" in given or not given.strip():
        return given
    return str(Path.cwd() / Path(given).expanduser())


def _figures(backup: Backup) -> tuple[int, str, int, str, str]:
    out = late.output
    kind = ("all rows" if backup.is_full else "changes") + (", before a restore" if backup.aside else "")
    sizes = out.size(backup.object_bytes), out.size(backup.new_bytes)
    return sum(backup.counts.values()), kind, backup.object_count, *sizes


def _code(made: Backup) -> int:
    return errors.DIFFERENT if made.damaged or made.kept or made.unread else errors.OK


def _show_made(made: Backup) -> None:
    out = late.output
    out.line(
        f"{made.id}: {made.new_objects:,} new objects ({out.size(made.new_bytes)}) of {made.object_count:,}, "
        f"{sum(made.counts.values()):,} rows, as of {_said(made.at)} UTC."
    )
    for name in made.damaged:
        out.line(f"Damaged in the project, so not saved: {name}")
    for name in made.kept:
        out.line(f"Damaged or missing in the project; an earlier backup has it: {name}")
    for name in made.unread:
        out.line(f"Damaged, so not gone on from ('everloop backup verify' tells more): {name}")


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
