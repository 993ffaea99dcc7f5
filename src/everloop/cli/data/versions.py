"""``everloop data add|list|show|get``: versions of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import late, plain
from everloop.cli.call import Call, command
from everloop.core.errors import FileMissing, Invalid, InvalidSettings

from . import files
from .group import app

if TYPE_CHECKING:
    from everloop.core.data import ColumnStatistics, DataRef, DatasetVersion
    from everloop.core.files import File
    from everloop.flows.project import Project
    from everloop.flows.refs import Listed

Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="An id or its first 4 characters or more; DATASET@latest, @TAG, @BRANCH, @TIME; ~2: 2 before.",
    ),
]

_LONGEST = 40  # characters of a value


@command(app)
def add(
    call: Call,
    file: Annotated[Path, typer.Argument(help="A CSV, Parquet or Feather file; or any file or folder.")],
    dataset: Annotated[
        str | None, typer.Option(help="[the dataset of the model that reads this file]")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be repeated.")] = None,
    branch: Annotated[
        str, typer.Option(help="The branch that then stands at it; a new one begins at main.")
    ] = "main",
    as_files: Annotated[bool, typer.Option("--as-files", help="Keep a table's file as it is too.")] = False,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read files again that did not change, and what is stored.")
    ] = False,
) -> None:
    """Register a file as a data version; the same content twice is one version.

    CSV, Parquet and Feather files become tables; any other file, and a folder, is kept as it is.

    \b
    Example:
      everloop data add data/may.csv --dataset flights --tag source=billing
      everloop data add data/may.csv --dataset flights --branch trial
      everloop data add images/ --dataset images
    """
    tags = dict(_tag(text) for text in tag or ())
    with call.project() as project:
        path = within(project, file)
        chosen, encoding = _dataset(project, file, dataset)
        if as_files or late.data.is_of_files(project, path):
            if not as_files:
                call.note(f"{file} is not a table; it is kept as it is.")
            registered = files.register(call, project, path, chosen, tags=tags, branch=branch, reread=reread)
        else:
            with late.progress.counted("registering", quiet=call.quiet) as tell:
                registered = late.data.register(
                    project, path, chosen, encoding_name=encoding, tags=tags, branch=branch, tell=tell
                )
    version = registered.version
    known = "new version" if registered.new else "known already:"
    content = files.describe(version) if version.kind == "files" else f"{version.rows:,} rows"
    call.answer(
        {"version": version, "new": registered.new},
        lambda: late.output.line(f"{known} {version.dataset}@{version.short}, {content}"),
    )


@command(app, "list")
def list_(
    call: Call,
    dataset: Annotated[str | None, typer.Argument(help="Only of this dataset.")] = None,
    branch: Annotated[str | None, typer.Option(help="Only what this branch stands on.")] = None,
) -> None:
    """List data versions, oldest first, with the tags (#) and branches that stand there.

    \b
    Example:
      everloop data list flights
      everloop data list flights --branch main
    """
    with call.project() as project:
        listed = late.refs.list_versions(project, dataset, branch)

    def show() -> None:
        if not listed:
            late.output.line("There is no data version yet. 'everloop data add FILE' makes the first.")
            return
        rows = [_listed(each) for each in listed]
        names = ("dataset", "version", "no", "kind", "rows", "columns", "size", "names", "registered (UTC)")
        late.output.table((*names, "source"), rows, right=("no", "rows", "columns", "size"), fold=("source",))

    call.answer({"versions": [_document(each) for each in listed]}, show)


@command(app)
def show(call: Call, version: Version) -> None:
    """Show a version: where it came from, its schema, and statistics of each column; or its files.

    \b
    Example:
      everloop data show flights@latest
    """
    with call.project() as project:
        found = late.data.find(project, version)
        listed = late.data.list_files(project, found) if found.kind == "files" else None
    document = {"version": found} if listed is None else {"version": found, "files": listed}
    call.answer(document, lambda: _show_version(found, listed))


@command(app)
def get(
    call: Call,
    version: Version,
    to: Annotated[
        Path | None,
        typer.Option(help="A .parquet, .csv or .feather file [DATASET-ID.parquet]; of files, a folder."),
    ] = None,
    path: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only these files; may be repeated.")
    ] = None,
    columns: Annotated[str | None, typer.Option(metavar="A,B", help="Only these columns of a table.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only rows such as 'amount>=100'; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a version's content to a file (or its files to a folder), after checking it against its hash.

    \b
    Example:
      everloop data get 3f2a91 --to may.csv
      everloop data get flights@latest --columns origin,dep_delay --where 'dep_delay>60' --to late.parquet
      everloop data get images@latest --to images --path 'cats/*'
    """
    with call.project() as project:
        found = late.data.find(project, version)
        conditions = [late.conditions.parse(text) for text in where or ()]
        if found.kind == "files":
            if columns or where:
                raise Invalid(f"{found.short} is a version of files.", remedy="--path chooses among them.")
            files.restore(call, project, found, to, path or (), force=force)
            return
        files.refuse_paths(found, path or ())
        target = Path.cwd() / (to or f"{late.names.file_name(found)}.parquet")
        names = [name.strip() for name in columns.split(",")] if columns else None
        with late.progress.counted("writing", quiet=call.quiet) as tell:
            rows = late.data.export(project, found, target, names, where=conditions, force=force, tell=tell)
    call.answer(
        {"version_id": found.version_id, "file": target, "rows": rows},
        lambda: late.output.line(f"{found.dataset}@{found.short}: {rows:,} rows written to {target}"),
    )


def within(project: Project, file: Path) -> str:
    """A path that the user gave from where they are, as the project writes it: from its folder if inside."""
    path = late.origins.straight(Path.cwd() / file.expanduser())
    root = project.settings.root
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _dataset(project: Project, file: Path, given: str | None) -> tuple[str, str]:
    """The dataset's name and the file's encoding."""
    models = project.settings.models.values()
    root, path = project.settings.root, (Path.cwd() / file.expanduser()).resolve()
    reading = [m for m in models if m.data.path and (root / m.data.path).resolve() == path]
    if given is not None:
        late.data.check_name(project, given)
        same = [m for m in models if m.dataset == given]
        return given, same[0].data.encoding if same else "utf-8"
    chosen = reading or [m for m in models if len(models) == 1 and not m.data.path]
    if not chosen and not path.exists():
        raise FileMissing(f"There is no file '{path}'.", remedy="Check the path.")
    if not chosen:
        names = ", ".join(sorted({m.dataset for m in models}))
        raise InvalidSettings(
            f"It is not clear to which dataset {file} belongs: no model reads it.",
            remedy=f"Say --dataset NAME. Known: {names}.",
        )
    return chosen[0].dataset, chosen[0].data.encoding


def _listed(each: Listed) -> tuple[object, ...]:
    v = each.version
    names, size = standing(each.refs), late.output.size(v.bytes)
    return v.dataset, v.short, v.sequence, v.kind, v.rows, len(v.columns), size, names, v.created_at, v.source


def standing(refs: Sequence[DataRef]) -> list[str]:
    """Names as they are shown beside a version: branches as they are, tags with a sign."""
    return [ref.name if ref.kind == "branch" else f"#{ref.name}" for ref in refs]


def _document(each: Listed) -> dict[str, object]:
    """All that is known of a version but its statistics, which 'data show' tells."""
    known = {name: value for name, value in vars(each.version).items() if name != "statistics"}
    return {**known, "refs": each.refs}


def _tag(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise Invalid(f"--tag '{text}' has no value.", remedy="Write it as --tag NAME=VALUE.")
    return name, value


def _show_version(version: DatasetVersion, listed: Sequence[File] | None) -> None:
    out = late.output
    out.pairs(
        {
            "dataset": version.dataset,
            "version": version.version_id,
            **({"rows": version.rows} if listed is None else {"content": files.describe(version)}),
            "size": out.size(version.bytes),
            "source": version.source,
            "origin": ", ".join(f"{name} {value}" for name, value in version.origin.items()),
            "parent": out.short(version.parent),
            "registered": f"{out.moment(version.created_at)} UTC by {version.created_by}",
            "tags": ", ".join(f"{name}={value}" for name, value in version.tags.items()),
        }
    )
    if listed is not None:
        files.show(listed)
        return
    rows = [
        (plain.name(c.name), c.type, *_figures(version, version.statistics[c.name])) for c in version.columns
    ]
    names = ("column", "type", "missing", "distinct", "mean", "std", "min", "median", "max", "most frequent")
    out.table(names, rows, right=names[2:9], fold=names[9:])


def _figures(version: DatasetVersion, known: ColumnStatistics) -> tuple[object, ...]:
    share = known.missing / max(known.count + known.missing, 1)
    most = list(known.levels.items())[:3]
    levels = ", ".join(f"{plain.cut(plain.inline(name), _LONGEST)} ({count:,})" for name, count in most)
    missing = f"{share:.1%}" if known.missing else None
    median = known.quantiles.get("0.5")
    distinct = f"about {known.distinct:,}" if late.data.is_estimate(version, known) else known.distinct
    return missing, distinct, known.mean, known.std, known.minimum, median, known.maximum, levels
