"""``everloop demo``."""

from __future__ import annotations

import webbrowser
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everloop.flows.demo_folder import MODEL

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.project import Project
    from everloop.flows.report import Report

app = group("Show the whole loop on real data.")
_FOUR_WEEKS = 28


@command(app)
def demo(
    call: Call,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the project is made.")] = Path(
        "everloop-demo"
    ),
    weeks: Annotated[int, typer.Option(min=1, max=40, help="How many weeks arrive.")] = 40,
    fast: Annotated[bool, typer.Option("--fast", help="Four weeks arrive at a time.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; what a demo left in DIR is removed.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Show the whole loop on real data: the flights that left New York in 2013.

    A first model learns from January to March whether a flight will be late. Then week after week arrives,
    and each is one turn: version, validate, decide, train, track, gate, register, record. It ends with a
    summary and a report, and leaves a project to go on with. Called again it goes on where it was.

    \b
    Example:
      everloop demo
      everloop demo --fast --dir /tmp/flights
    """
    place = (Path.cwd() / folder).resolve()
    going_on, project = late.wiring.create_demo(place, fresh=fresh, flags=call.flags)
    try:
        if not call.quiet and not call.json:
            late.output.line(f"{'Going on with' if going_on else 'A new project in'} {place}", "bold")
        undelivered = _play(call, project, weeks, _FOUR_WEEKS if fast else 7)
        found = late.report.gather(project, MODEL)
        path = place / "report.html"
        project.write_file(path, late.dashboard.report.render(found).encode())
    finally:
        project.close()
    call.answer(_document(found, place, path, undelivered), lambda: _show(found, project, path, undelivered))
    if show:
        webbrowser.open(path.as_uri())


def _play(call: Call, project: Project, weeks: int, days: int) -> int:
    """Let the weeks arrive; how many records MLflow has not got in the end."""
    tracked = project.settings.tracking
    with late.weeks.watching(quiet=call.quiet or call.json) as watched:
        story = late.demo.tell(weeks, days)
        with late.wiring.start_courier(project) if tracked.enabled else nullcontext() as courier:
            chosen = late.demo.left(project, story)
            watched.begin(len(chosen))
            for week in late.demo.replay(project, story, chosen, watched.hear):
                watched.add(week)
            waiting = late.status.undelivered(project)
            watched.delivering(waiting)
            if courier is not None:
                courier.finish(tracked.wait if waiting else 0)
    left: int = late.status.undelivered(project)
    return left


def _show(found: Report, project: Project, path: Path, undelivered: int) -> None:
    out, page = late.output, late.dashboard.report
    trained = [point for point in found.points if point.run_id]
    rows = [
        (
            page.when(found, point),
            point.metrics.get(found.metric),
            point.registered,
            page.did(point),
            point.verdict.reason if point.verdict else None,
        )
        for point in trained
    ]
    names = ("data until", page.name_of(found.metric), "trained", "", "the gate")
    out.table(names, rows, right=names[1:2], fold=names[-1:])
    out.line("")
    out.line(page.tell(found), "bold")
    for line in page.gain_in_words(found):
        out.line(line)
    if undelivered:
        out.line(f"{undelivered} records are still on the way to MLflow; 'everloop deliver' sends them.")
    where = out.without_password(project.settings.tracking_uri)
    out.line("")
    out.line("What to try next:", "bold")
    for shown, what in {
        f"cd {_short(project.settings.root)}": "an ordinary project, set by its everloop.yaml",
        f"everloop history {found.model}": "everything that happened",
        f"everloop models lineage {found.model}": "where the champion comes from",
        f"everloop runs reproduce {trained[0].run_id if trained else 'RUN'}": "train the first again",
        f"mlflow ui --backend-store-uri {where}": "",
    }.items():
        out.line(f"  {shown:<47}  {what}".rstrip())
    out.line("")
    out.line(f"Report: {path}", "bold")


def _short(root: Path) -> Path:
    here = Path.cwd()
    return root.relative_to(here) if root.is_relative_to(here) else root


def _document(found: Report, place: Path, path: Path, undelivered: int) -> dict[str, Any]:
    compared = [
        {"until": p.until, "served": p.metrics[found.metric], "first": p.first[found.metric]}
        for p in found.compared
    ]
    trained = [point for point in found.points if point.run_id]
    return {
        "folder": place,
        "report": path,
        "turns": len(found.points),
        "trained": len(trained),
        "promoted": [point.registered for point in trained if point.promoted],
        "refused": {
            point.registered: point.verdict.reason if point.verdict else None
            for point in trained
            if not point.promoted
        },
        "champion": found.champion.version.version if found.champion else None,
        "metric": found.metric,
        "compared": compared,
        "undelivered": undelivered,
    }
