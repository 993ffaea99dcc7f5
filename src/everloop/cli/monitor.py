"""``everloop monitor …``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import Invalid

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.monitoring import Checked, Result
    from everloop.flows.monitoring.showing import Watched

app = group("Watch models in production: drift, performance, broken feeds.")
Model = Annotated[str, typer.Argument(metavar="MODEL[@VERSION]", help="The champion, or this version.")]
MOST = 12  # results that are shown of a check


@command(app, "list")
def list_(call: Call) -> None:
    """List the models: when each was checked last, what was found, and its open alerts.

    \b
    Example:
      everloop monitor list
    """
    with call.project() as project:
        found = late.monitoring.showing.overview(project)

    def show() -> None:
        if not found:
            late.output.line("There is no model yet. 'everloop run' trains one.")
            return
        rows = [row for one in found for row in _rows(one)]
        names = ("model", "checked (UTC)", "window", "rows", "found", "open alerts")
        late.output.table(names, rows, right=("rows",), fold=("found",))

    call.answer({"models": found}, show)


@command(app)
def check(
    call: Call,
    model: Model,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A table to check instead of production.")
    ] = None,
) -> None:
    """Check the windows of production that are over, or a table, against what the version was trained on.

    Each window is checked once: its answers as soon as it is over, its labels when they have come. A server
    does so by itself. Without @VERSION the windows of all versions are checked. A table is only looked at, by
    default beside the champion: nothing is recorded.

    \b
    Example:
      everloop monitor check flights
      everloop monitor check flights@2.0.0 new.parquet
    """
    name, _, version = model.partition("@")
    with call.project() as project:
        if file is not None:
            at = late.monitoring.showing.version_of(project, name, version or None)
            results = late.monitoring.showing.against(project, name, at, str(file))
            call.answer({"model": name, "version": at, "results": results}, lambda: _show_results(results))
            return
        late.serving.recording.record(project)
        at = late.monitoring.showing.version_of(project, name, version or None)
        made = late.monitoring.checking.look(project, name, version=at if version else None)

    def show() -> None:
        if not made:
            late.output.line("No window is over that was not checked yet.")
        for one in made:
            _show_check(one)

    call.answer({"checks": made}, show)


@command(app)
def show(
    call: Call,
    model: Model,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many checks.")] = 10,
    everything: Annotated[bool, typer.Option("--all", help="Also what did not fire.")] = False,
) -> None:
    """Show the checks of a model, the newest window first, and what fired.

    \b
    Example:
      everloop monitor show flights
      everloop monitor show flights --all --limit 1
    """
    name, _, version = model.partition("@")
    with call.project() as project:
        found = late.monitoring.showing.history(project, name, version or None, limit)

    def show_all() -> None:
        for one in found:
            _show_check(one, everything=everything)

    call.answer({"checks": found}, show_all)


@command(app)
def report(
    call: Call,
    model: Model,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it [monitor-MODEL.html].")
    ] = None,
) -> None:
    """Write what the monitors of a model found: one HTML page with the newest window beside the reference,
    what drift does to the answers, performance over time and alerts. With --json the numbers.

    \b
    Example:
      everloop monitor report flights --to flights.html
    """
    name, _, version = model.partition("@")
    with call.project() as project:
        found = late.monitoring.reporting.document(project, name, version or None)
        path = (Path.cwd() / (to or f"monitor-{name}.html")).resolve()
        project.write_file(path, late.dashboard.monitoring.render(found).encode())
    call.answer({"report": path, "results": found}, lambda: late.output.line(f"Report: {path}"))


@command(app)
def plan(
    call: Call,
    model: Model,
    hourly: Annotated[
        float | None, typer.Option(min=0, metavar="ROWS", help="Rows an hour [as in the last week].")
    ] = None,
) -> None:
    """Say what the monitors of a version will find, by when, and how often they will be wrong.

    \b
    Example:
      everloop monitor plan flights
      everloop monitor plan flights --hourly 500
    """
    name, _, version = model.partition("@")
    with call.project() as project:
        at = late.monitoring.showing.version_of(project, name, version or None)
        found = late.monitoring.showing.plan(project, name, at, hourly)

    def show_plan() -> None:
        for each in found.words:
            late.output.line(each)

    call.answer(found, show_plan)


@command(app)
def reference(
    call: Call,
    model: Model,
    file: Annotated[Path, typer.Argument(help="A CSV, Parquet or Feather file.")],
) -> None:
    """Give a table as what a version is compared with, instead of the data it was trained on.

    With the target as a column it also tells how good the version usually is: then it should hold rows that
    the version was not trained on.

    \b
    Example:
      everloop monitor reference flights@2.0.0 usual.parquet
    """
    name, _, version = model.partition("@")
    with call.project() as project:
        at = late.monitoring.showing.version_of(project, name, version or None)
        made = late.monitoring.referring.give(project, name, at, str(file))

    def show_it() -> None:
        late.output.line(f"{name}@{at} is compared with {made.inputs.rows:,} rows of {file} from now on.")
        for each in made.without:
            late.output.line(f"  {each}")

    told = {"model": name, "version": at, "rows": made.inputs.rows, "without": list(made.without)}
    call.answer(told, show_it)


@command(app)
def profile(
    call: Call,
    file: Annotated[Path, typer.Argument(help="A CSV, Parquet or Feather file.")],
    to: Annotated[Path, typer.Option(metavar="JSON", help="Where to write the profile.")],
    like: Annotated[
        Path | None, typer.Option(metavar="JSON", help="A profile that this one is to be compared with.")
    ] = None,
) -> None:
    """Write a profile of a table: a summary that tables are compared with, without any of its rows.

    \b
    Example:
      everloop monitor profile usual.parquet --to usual.json
      everloop monitor profile new.parquet --like usual.json --to new.json
      everloop monitor compare usual.json new.json
    """
    _not_one_of(to, file, like)
    comparing = late.monitoring.comparing
    made = comparing.profile(str(file), comparing.read_profile(like) if like else None)
    with call.project() as project:
        project.write_file(to.absolute(), late.output.to_json(made).encode())
    call.answer({"profile": str(to)}, lambda: late.output.line(f"The profile of {file} is in {to}."))


@command(app)
def compare(
    call: Call,
    before: Annotated[Path, typer.Argument(help="A table, or a profile.")],
    now: Annotated[Path, typer.Argument(help="A table, or a profile made like the first.")],
    alpha: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="Probability of finding something where nothing changed.")
    ] = 0.05,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write it as an HTML page, too.")
    ] = None,
) -> None:
    """Compare two tables, or their profiles, without a model. The page that --to writes shows what drifted,
    both distributions side by side, the largest effect first.

    \b
    Example:
      everloop monitor compare january.csv february.csv
      everloop monitor compare january.csv february.csv --to compared.html
    """
    _not_one_of(to, before, now)
    comparing = late.monitoring.comparing
    found = comparing.beside(comparing.read_profile(before), comparing.read_profile(now), alpha)
    path = to.absolute() if to else None
    if path is not None:
        with call.project() as project:
            content = late.dashboard.comparison.render(found, before.name, now.name)
            project.write_file(path, content.encode())

    def show_both() -> None:
        _show_results(found.results)
        if path is not None:
            late.output.line(f"Page: {path}")

    call.answer({"results": found.results, **({"page": path} if path else {})}, show_both)


def _rows(one: Watched) -> list[tuple[object, ...]]:
    alerts = len(one.alerts) or None
    champion = f"{one.model}@{one.champion}" if one.champion else one.model
    if not one.checks:
        return [(champion, None, None, None, "no window is over yet", alerts)]
    return [
        (f"{one.model}@{each.version}", each.at, _window(each), each.rows, _found(each), alerts)
        for each in one.checks
    ]


def _window(checked: Checked) -> str:
    return f"{late.output.moment(checked.since)} – {late.output.moment(checked.until)}, {checked.kind}"


def _found(checked: Checked) -> str:
    fired = [each for each in checked.results if each.fired]
    unable = [each for each in checked.results if each.unable]
    told = ", ".join(f"{each.family} {each.subject}" for each in fired[:4])
    more = f" and {len(fired) - 4} more" if len(fired) > 4 else ""
    silent = f"{len(unable)} could not be checked" if unable else ""
    return "; ".join(filter(None, [f"{told}{more}", silent])) or "nothing"


def _show_check(checked: Checked, *, everything: bool = False) -> None:
    said = f"{checked.model}@{checked.version}, {_window(checked)}: {checked.rows:,} rows"
    many = sum(not each.unable for each in checked.results)
    found = late.output.shown(_found(checked))
    late.output.line(f"{said}, {many} things checked; {found if checked.findings else 'nothing fired'}.")
    _show_each(checked.results if everything else checked.findings)


def _show_results(results: Sequence[Result]) -> None:
    if not any(each.fired for each in results):
        many = sum(not each.unable for each in results)
        late.output.line(f"Nothing fired, of {many} things that were checked.")
    _show_each([each for each in results if each.fired or each.unable])


def _show_each(results: Sequence[Result]) -> None:
    for each in sorted(results, key=lambda each: (not each.fired, not each.unable)):
        mark = each.level if each.fired else "not checked" if each.unable else "as usual"
        late.output.line(f"  {mark}: {late.output.shown(each.message)}")


def _not_one_of(to: Path | None, *read: Path | None) -> None:
    """What is written must not replace what it is made of."""
    for each in read:
        if to is not None and each is not None and to.exists() and each.exists() and to.samefile(each):
            raise Invalid(f"{to} is what is read, and would be replaced.", remedy="Name another file.")
