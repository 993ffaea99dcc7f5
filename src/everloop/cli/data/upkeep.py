"""``everloop data verify|repair|gc|remove``: upkeep of the store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import errors, late
from everloop.cli.call import Call, command
from everloop.core import spans
from everloop.core.errors import Invalid

from .group import app

if TYPE_CHECKING:
    from everloop.flows.content.collecting import Collection, Item
    from everloop.flows.content.removing import Removed
    from everloop.flows.content.repairing import Repair
    from everloop.flows.content.verifying import Damage, Verification

_SHOWN = 20


@command(app)
def verify(
    call: Call,
    full: Annotated[
        bool, typer.Option("--full", help="Decode every version and compute its id; hash the models.")
    ] = False,
) -> int:
    """Check that everything stored is what was written. Exit code 5: something is damaged or missing.

    \b
    Example:
      everloop data verify
      everloop data verify --full
    """
    with call.project() as project, late.progress.counted("checking", quiet=call.quiet) as tell:
        found = late.upkeep.verify(project, full=full, progress=tell)
    document = {"sound": found.sound, **vars(found)}
    call.answer(document, lambda: _show_verification(found))
    return errors.OK if found.sound else errors.UNHEALTHY


@command(app)
def repair(
    call: Call,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="A folder or s3://… with a copy of the objects."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what could be restored.")] = False,
) -> int:
    """Restore damaged and missing objects from backups, a copy, or the files they were registered from.

    What is restored is checked first, and the damaged bytes are kept aside. Exit code 5: something is lost.

    \b
    Example:
      everloop data repair --dry-run
      everloop data repair --from /mnt/copy/of/the/store
    """
    with call.project() as project, late.progress.counted("repairing", quiet=call.quiet) as tell:
        done = late.upkeep.repair(project, source=source, dry_run=dry_run, progress=tell)
    call.answer({"repair": done}, lambda: _show_repair(done))
    return errors.UNHEALTHY if done.lost or done.lost_versions else errors.OK


@command(app)
def gc(
    call: Call,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, it is only shown.")] = False,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Leave alone what is younger: 90d, 12h, 0.")
    ] = "1d",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for registrations at work.")] = 60.0,
) -> None:
    """Show what no version needs any more, and why; with --yes remove it.

    \b
    Example:
      everloop data gc
      everloop data gc --yes --grace 12h
    """
    age = span(grace)
    with call.project() as project, late.progress.counted("collecting", quiet=call.quiet) as tell:
        done = late.upkeep.collect(project, grace=age, dry_run=not yes, wait=wait, progress=tell)
    call.answer({"collection": done}, lambda: _show_collection(done))


@command(app)
def remove(
    call: Call,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version; with --older-than a dataset's name.")
    ],
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="All of a dataset that are older: 90d, 12h.")
    ] = None,
    keep_last: Annotated[int, typer.Option(min=1, help="With --older-than: never the last N.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Also take its tags away and let its branches step back.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --older-than: only show what would go.")
    ] = False,
) -> None:
    """Remove a version that nothing needs; 'everloop data gc' then frees its bytes.

    Versions that runs and models were trained on always stay.

    \b
    Example:
      everloop data remove 3f2a91
      everloop data remove flights --older-than 90d --keep-last 5
    """
    if older_than is None and (dry_run or keep_last != 1):
        raise Invalid("--keep-last and --dry-run go with --older-than.", remedy="Add --older-than 90d.")
    if older_than is not None and force:
        raise Invalid("--force is for one version.", remedy="Leave it out, or name a version.")
    with call.project() as project:
        if older_than is None:
            done = late.upkeep.remove(project, version, force=force)
        else:
            age = span(older_than)
            done = late.upkeep.remove_old(
                project, version, older_than=age, keep_last=keep_last, dry_run=dry_run
            )
    listed = [{"dataset": v.dataset, "version_id": v.version_id} for v in done.versions]
    kept = [{"dataset": v.dataset, "version_id": v.version_id, "needed_by": why} for v, why in done.kept]
    call.answer(
        {"dry_run": dry_run, "removed": listed, "kept": kept, "left": done.left},
        lambda: _show_removed(done, dry_run=dry_run),
    )


def span(text: str) -> timedelta:
    """A span of time: ``90d``, ``12h``; also ``0``."""
    return timedelta(seconds=0.0 if text.strip() == "0" else spans.seconds(text.strip().lower()))


def _show_verification(found: Verification) -> None:
    out = late.output
    how = "fully" if found.full else "by their hashes"
    looked = f"{found.objects:,} objects ({out.size(found.bytes)}) of {found.versions:,} versions"
    out.line(f"{looked} checked {how} in {out.seconds(found.seconds)}.")
    if found.damages:
        out.line(f"{len(found.damages):,} damaged or missing:", "bold")
        _show_damages(found.damages)
    else:
        out.line("All is as it was written.")
    if found.unneeded:
        out.line(f"{found.unneeded:,} objects that no version needs: 'everloop data gc' tells of them.")
    if found.kept_aside:
        out.line(f"{found.kept_aside:,} damaged objects that a repair has kept aside.")
    if found.foreign:
        shown = ", ".join(found.foreign[:3]) + (" …" if len(found.foreign) > 3 else "")
        out.line(f"{len(found.foreign):,} files there are none of ours: {shown}")


def _show_damages(damages: tuple[Damage, ...]) -> None:
    rows = [(d.where, d.what, [*map(str, d.versions), *d.runs] or "nothing", d.remedy) for d in damages]
    names = ("object", "what is wrong", "touches", "what to do")
    late.output.table(names, rows, fold=names)


def _show_repair(done: Repair) -> None:
    out = late.output
    if not done.damages:
        out.line("No object is damaged. 'everloop data verify --full' also decodes what they hold.")
        return
    would = "could be restored" if done.dry_run else "restored"
    out.line(f"{len(done.damages):,} damaged or missing, {len(done.restored):,} {would}.")
    names = ("object", "from", "the damaged bytes are in")[: 2 if done.dry_run else 3]
    rows = [(each.where, each.source, each.aside)[: len(names)] for each in done.restored]
    if rows:
        out.table(names, rows, fold=names)
    if done.proved:
        out.line(f"{done.proved:,} versions were decoded and have their ids.")
    if done.lost:
        out.line("Not restored:", "bold")
        _show_damages(done.lost)
        out.line("Name a copy with --from, or register the same data again.")
    for each in done.lost_versions:
        out.line(f"{each} cannot be loaded.")


def _show_collection(done: Collection) -> None:
    out = late.output
    would = "would go" if done.dry_run else "removed"
    if done.items:
        _show_items(done.items)
    _show_items(done.rewritten)
    if done.items or done.rewritten or done.drafts:
        out.line(f"{len(done.items):,} objects {would}, {out.size(max(done.freed, 0))} freed.")
    else:
        out.line("There is nothing to remove.")
    if done.drafts:
        out.line(f"{done.drafts:,} drafts of killed writes removed.")
    if done.young:
        size = out.size(sum(item.size for item in done.young))
        out.line(f"{len(done.young):,} objects ({size}) are not needed either, but too young: see --grace.")
    if done.blocked:
        out.line(f"Packs were left alone: {done.blocked}.")
    if done.dry_run and (done.items or done.rewritten):
        out.line("Nothing was removed. 'everloop data gc --yes' does it.")


def _show_items(items: tuple[Item, ...]) -> None:
    out = late.output
    if items:
        rows = [(item.key, out.size(item.size), item.why) for item in items[:_SHOWN]]
        out.table(("object", "size", "why"), rows, right=("size",), fold=("object", "why"))
    if len(items) > _SHOWN:
        out.line(f"… and {len(items) - _SHOWN:,} more; --json tells all.")


def _show_removed(done: Removed, *, dry_run: bool) -> None:
    out = late.output
    for version in done.versions:
        word = "would be removed" if dry_run else "removed"
        what = "files" if version.kind == "files" else "rows"
        out.line(f"{version.dataset}@{version.short} {word} ({version.rows:,} {what}, {version.source})")
    for version, why in done.kept:
        out.line(f"{version.dataset}@{version.short} stays: {', '.join(why)}")
    for reason in done.left:
        out.line(f"A manifest is left in the store, where nothing needs it: {reason}")
    if not done.versions:
        out.line("No version was removed.")
    elif not dry_run:
        out.line("'everloop data gc --yes' frees the bytes that no other version needs.")
