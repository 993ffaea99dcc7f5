"""``everloop data tag|tags|branch|branches|rollback|log|datasets``: names in a dataset's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import late
from everloop.cli.call import Call, command
from everloop.core.errors import Invalid

from . import graph
from .group import app
from .versions import Version, standing

if TYPE_CHECKING:
    from everloop.core.data import DataMove, DataRef
    from everloop.flows.refs import Listed, Moved

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name.")]
OneDataset = Annotated[str | None, typer.Argument(metavar="DATASET", help="Only of this dataset.")]


@command(app)
def tag(
    call: Call,
    version: Version,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What to call it.")] = None,
    move: Annotated[bool, typer.Option("--move", help="Take the tag from where it stands.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take the tag DATASET@NAME away.")] = False,
) -> None:
    """Give a version a name that stays: DATASET@NAME then means this version.

    \b
    Example:
      everloop data tag flights@latest golden
      everloop data tag flights@golden --delete
    """
    if delete == bool(name):
        raise Invalid(
            "A tag needs a version and a name.", remedy="Write VERSION NAME, or DATASET@NAME --delete."
        )
    with call.project() as project:
        if not name:
            gone = late.refs.remove(project, "tag", version)
        else:
            moved = late.refs.tag(project, version, name, move=move)
    if name:
        call.answer(_document(moved), lambda: _show_moved(moved))
    else:
        call.answer({"removed": gone}, lambda: _show_gone(gone))


@command(app)
def tags(call: Call, dataset: OneDataset = None) -> None:
    """List the tags.

    \b
    Example:
      everloop data tags flights
    """
    _list(call, dataset, "tag", "There is no tag yet. 'everloop data tag VERSION NAME' makes one.")


@command(app)
def branch(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The branch, or DATASET@NAME.")],
    start: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="Where it begins [the head of main].")
    ] = None,
    move: Annotated[bool, typer.Option("--move", help="Put a branch that is there at --from.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take the branch away; versions stay.")] = False,
) -> None:
    """Begin a branch: a name that moves with each version registered on it.

    \b
    Example:
      everloop data branch trial --from flights@golden
      everloop data branch trial --delete
    """
    if (delete and (move or start)) or (move and not start):
        raise Invalid("These options do not go together.", remedy="Write --from VERSION --move, or --delete.")
    with call.project() as project:
        if delete:
            gone = late.refs.remove(project, "branch", name)
        else:
            moved = late.refs.branch(project, name, start=start, move=move)
    if delete:
        call.answer({"removed": gone}, lambda: _show_gone(gone))
    else:
        call.answer(_document(moved), lambda: _show_moved(moved))


@command(app)
def branches(call: Call, dataset: OneDataset = None) -> None:
    """List the branches and where they stand.

    \b
    Example:
      everloop data branches flights
    """
    _list(call, dataset, "branch", "There is no data version yet. 'everloop data add FILE' makes the first.")


@command(app)
def rollback(
    call: Call,
    dataset: Dataset,
    version: Version,
    branch: Annotated[str, typer.Option(help="The branch to move.")] = "main",
    reason: Annotated[str, typer.Option(help="For the history.")] = "",
) -> None:
    """Let a dataset stand at an earlier version again: DATASET@latest then means that one.

    No content is touched and nothing is lost: the later versions keep their ids.

    \b
    Example:
      everloop data rollback flights flights@latest~1 --reason "wrong units in May"
    """
    with call.project() as project:
        moved = late.refs.rollback(project, dataset, version, branch=branch, reason=reason)
    call.answer(_document(moved), lambda: _show_moved(moved))


@command(app)
def log(
    call: Call,
    dataset: OneDataset = None,
    branch: Annotated[str | None, typer.Option(help="Only what this branch stands on.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest ones.")] = None,
    moves: Annotated[bool, typer.Option("--moves", help="Each movement of a name instead.")] = False,
) -> None:
    """Show a dataset's history, newest first: which version follows which, and what stands where.

    \b
    Example:
      everloop data log flights
      everloop data log flights --moves
    """
    with call.project() as project:
        of = [dataset] if dataset else [o.dataset for o in late.refs.overview(project)]
        if moves:
            moved = {name: late.refs.list_moves(project, name)[-(limit or 0) :] for name in of}
        else:
            found = {name: late.refs.list_versions(project, name, branch) for name in of}
    if moves:
        call.answer({"moves": moved}, lambda: _show_moves([m for each in moved.values() for m in each]))
        return
    newest = {name: late.refs.newest_first(each)[:limit] for name, each in found.items()}
    call.answer({"log": newest}, lambda: _show_log(newest))


@command(app)
def datasets(call: Call) -> None:
    """List the datasets: how many versions each has, its newest, and what it takes.

    \b
    Example:
      everloop data datasets
    """
    with call.project() as project:
        found = late.refs.overview(project)
    out = late.output
    rows = [
        (o.dataset, o.versions, o.head[:12], o.newest[:12], o.rows, out.size(o.bytes), o.refs, o.newest_at)
        for o in found
    ]
    names = ("dataset", "versions", "latest", "newest", "rows", "size", "names", "registered (UTC)")
    call.answer(
        {"datasets": found}, lambda: out.table(names, rows, right=("versions", "rows", "size", "names"))
    )


def _list(call: Call, dataset: str | None, kind: str, none: str) -> None:
    with call.project() as project:
        found = late.refs.list_refs(project, dataset, kind)

    def show() -> None:
        rows = [(r.dataset, r.name, r.version_id[:12], r.updated_at, r.updated_by) for r in found]
        if rows:
            late.output.table(("dataset", kind, "version", "since (UTC)", "by"), rows)
        else:
            late.output.line(none)

    call.answer({"tags" if kind == "tag" else "branches": found}, show)


def _document(moved: Moved) -> dict[str, object]:
    return {"ref": moved.ref, "before": moved.before}


def _show_moved(moved: Moved) -> None:
    ref = moved.ref
    here = f"{ref.dataset}@{ref.name} is {ref.version_id[:12]}"
    if moved.before == ref.version_id:
        late.output.line(f"{here} already.")
    else:
        late.output.line(f"{here}" + (f"; it was {moved.before[:12]}." if moved.before else "."))


def _show_gone(ref: DataRef) -> None:
    late.output.line(f"{ref.dataset}@{ref.name} is no more; it was {ref.version_id[:12]}, which stays.")


def _show_moves(moves: list[DataMove]) -> None:
    rows = [
        (m.at, m.dataset, m.name, m.kind, m.version_id[:12] if m.version_id else None, m.by, m.reason)
        for m in reversed(moves)
    ]
    names = ("at (UTC)", "dataset", "name", "", "version", "by", "why")
    late.output.table(names, rows, fold=("why",))


def _show_log(found: dict[str, list[Listed]]) -> None:
    out = late.output
    for dataset, listed in found.items():
        if len(found) > 1:
            out.line(dataset, "bold")
        known = {each.version.version_id: each for each in listed}
        rows: list[tuple[object, ...]] = []
        for drawing, version in graph.draw([each.version for each in listed]):
            if version is None:
                rows.append((drawing, *" " * 5))
                continue
            names = standing(known[version.version_id].refs)
            shown = (
                ", ".join(names) or " ",
                f"{version.rows:,}",
                out.moment(version.created_at),
                version.source,
            )
            rows.append((drawing, version.short, *shown))
        out.table(("", "version", "", "rows", "registered (UTC)", "source"), rows, right=("rows",))
    if not any(found.values()):
        out.line("There is no data version yet. 'everloop data add FILE' makes the first.")
