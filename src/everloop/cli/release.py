"""``everloop release …``: releases on their way, and those that were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.releases import OPEN

from . import errors, late, sizing
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.releases import Look, Release, Traffic
    from everloop.flows.project import Project
    from everloop.flows.releases.showing import Failed, Instead, View

app = group("Plan, follow, approve, promote and abort releases.")
Named = Annotated[str, typer.Argument(metavar="RELEASE|MODEL", help="A model means its open or newest one.")]
Environment = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Where, if a model is named [anywhere].")
]
Reason = Annotated[str | None, typer.Option(help="For the history.")]
_NEWEST = 5  # requests that failed
_ENDED = {
    "rolled_back": errors.ROLLED_BACK,
    "aborted": errors.ROLLED_BACK,
    "inconclusive": errors.INCONCLUSIVE,
}


@command(app, "list")
def list_(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    environment: Environment = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> None:
    """List releases, the newest first.

    \b
    Example:
      everloop release list iris --env prod
    """
    with call.project() as project:
        found = late.deploying.list_releases(project, model, environment, limit)

    def show() -> None:
        if not found:
            late.output.line("There is no release yet. 'everloop deploy MODEL@VERSION' makes one.")
            return
        _show_list(found)

    call.answer({"releases": found}, show)


@command(app)
def status(
    call: Call,
    named: Annotated[
        str | None, typer.Argument(metavar="[RELEASE|MODEL]", help="[those on their way]")
    ] = None,
    environment: Environment = None,
) -> None:
    """Show where a release is: who answers which share, its step, and its newest look in words.

    \b
    Example:
      everloop release status iris
    """
    with call.project() as project:
        if named is None:
            found = late.deploying.list_releases(project, None, environment)
            running = [release for release in found if release.status in OPEN]
            call.answer({"releases": running}, lambda: _show_open(running))
            return
        view = late.showing.view(project, late.showing.named(project, named, environment))
    call.answer(_document(view), lambda: _show_status(view))


@command(app)
def show(call: Call, named: Named, environment: Environment = None) -> None:
    """Show a release: its plan, approvals, outcome, every look that was kept, and the newest requests that
    failed.

    \b
    Example:
      everloop release show iris
    """
    with call.project() as project:
        view = late.showing.view(project, late.showing.named(project, named, environment))
        looks = late.deploying.looks(project, view.release.release_id)
        failures = late.showing.failures(project, view.release, _NEWEST)
    document = _document(view) | {"looks": looks, "failures": failures}
    call.answer(document, lambda: _show_all(view, looks, failures))


@command(app)
def report(
    call: Call,
    named: Named,
    environment: Environment = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it [release-ID.html].")
    ] = None,
) -> None:
    """Write what came of a release, or comes so far: one HTML page with intervals over time, shares and
    segments; of a shadow, how its answers differ. With --json the numbers.

    \b
    Example:
      everloop release report iris --to release.html
    """
    with call.project() as project:
        release = late.showing.named(project, named, environment)
        found = late.results.document(project, release)
        path = (Path.cwd() / (to or f"release-{release.release_id}.html")).resolve()
        project.write_file(path, late.dashboard.release.render(found).encode())
    call.answer({"report": path, "results": found}, lambda: late.output.line(f"Report: {path}"))


@command(app)
def watch(
    call: Call,
    named: Named,
    environment: Environment = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> int:
    """Follow a release until it ends, look by look; needs no server. Leaves with 0 when it was promoted or
    concluded, with 7 when it was rolled back or aborted, with 8 when it is inconclusive.

    \b
    Example:
      everloop release watch iris --once
    """
    with call.project() as project:
        release = late.showing.named(project, named, environment)
        _follow(call, project, release, once=once)
        view = late.showing.view(project, late.deploying.find(project, release.release_id))
    ended = view.release

    def tell() -> None:
        late.output.line(f"{_titled(ended)} is {_words(ended.status)}" + _because(ended.outcome))

    call.answer(_document(view), tell)
    return _ENDED.get(ended.status, errors.OK)


@command(app)
def promote(call: Call, named: Named, environment: Environment = None, reason: Reason = None) -> None:
    """End a running release by taking its version, whatever its verdict is so far.

    \b
    Example:
      everloop release promote iris --reason "seen enough"
    """
    with call.project() as project:
        found = late.showing.named(project, named, environment)
        done = late.deploying.promote(project, found.release_id, reason or "promoted by hand")
    _told(call, done)


@command(app)
def abort(call: Call, named: Named, environment: Environment = None, reason: Reason = None) -> None:
    """End a release without taking its version: what was current before answers everything again.

    \b
    Example:
      everloop release abort iris --reason "the wrong version"
    """
    with call.project() as project:
        found = late.showing.named(project, named, environment)
        done = late.deploying.abort(project, found.release_id, reason or "aborted by hand")
    _told(call, done)


@command(app)
def approve(
    call: Call,
    named: Named,
    role: Annotated[str, typer.Option(metavar="ROLE", help="The role that the environment asks for.")],
    note: Annotated[str, typer.Option(help="For the history.")] = "",
    environment: Environment = None,
) -> None:
    """Approve a release that waits for it; it begins then.

    \b
    Example:
      everloop release approve iris --role owner --note "as agreed on Monday"
    """
    with call.project() as project:
        found = late.showing.named(project, named, environment)
        done = late.deploying.approve(project, found.release_id, role, note)
    _told(call, done)


command(app)(sizing.size)


# -- following ---------------------------------------------------------------------------------------------


def _follow(call: Call, project: Project, release: Release, *, once: bool) -> None:
    """Make looks, beside those that a server's own process makes, until the release has ended."""
    clock, shown = project.clock, _Shown(call)
    if release.status == "waiting":
        call.note(f"{_titled(release)}: {late.deploying.waits_for(project, release)}")
    while release.status in OPEN:
        begun = clock.monotonic()
        if release.status == "running":
            late.serving.recording.record(project)
            late.keeping.turn(project, release, shown.tell)
        release = late.deploying.find(project, release.release_id)
        if once or release.status not in OPEN:
            return
        clock.sleep(max(late.keeping.EVERY, late.keeping.GENTLE * (clock.monotonic() - begun)))


class _Shown:
    """A line for each look that says something new."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._last = ""

    def tell(self, release: Release, look: Look) -> None:
        units = ", ".join(f"{seen.arm} {seen.units:,}" for seen in look.seen)
        said = f"{units or 'nothing yet'}  {_words(look.verdict)}: {look.reason}"
        if said != self._last:
            self._call.note(f"{look.at.strftime('%H:%M:%S')}  {said}")
        self._last = said


# -- showing -----------------------------------------------------------------------------------------------


def _document(view: View) -> dict[str, object]:
    told = {"release": view.release, "plan": view.plan, "answers": view.answers, "look": view.look}
    return told | {"waits": view.waits} if view.waits else told


def _told(call: Call, release: Release) -> None:
    said = f"{_titled(release)} is {_words(release.status)}" + _because(release.outcome)
    call.answer({"release": release}, lambda: late.output.line(said))


def _titled(release: Release) -> str:
    return f"{release.release_id} ({release.model}@{release.version} to {release.environment})"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _because(outcome: str) -> str:
    return f": {outcome}" if outcome else "."


def _show_list(found: list[Release]) -> None:
    rows = [
        (
            r.created_at, r.release_id, f"{r.model}@{r.version}", r.environment, r.strategy, _words(r.status),
            r.by, r.outcome or r.reason,
        )
        for r in found
    ]  # fmt: skip
    names = ("at (UTC)", "release", "version", "to", "strategy", "status", "by", "why")
    late.output.table(names, rows, fold=("release", "why"))


def _show_open(running: list[Release]) -> None:
    if running:
        _show_list(running)
    else:
        late.output.line("No release is on its way. 'everloop environments' shows what is current where.")


def _show_status(view: View) -> None:
    release = view.release
    steps = len(release.plan.steps)
    reason = "" if release.reason == release.outcome else release.reason
    told = {
        "release": _titled(release),
        "strategy": release.strategy,
        "status": _words(release.status) + (f": {release.outcome}" if release.outcome else ""),
        "against": release.against,
        "begun": f"{late.output.moment(release.created_at)} UTC by {release.by}" + _because(reason),
        "step": f"{release.step + 1} of {steps}" if steps and release.status == "running" else None,
    }
    late.output.pairs({name: value for name, value in told.items() if value is not None})
    if view.waits:
        late.output.line(view.waits)
    if view.answers is not None:
        _show_answers(release, view.answers)
    for arm, failed in view.failed.items():
        late.output.line(
            f"{_counted(failed.requests)} that {arm} could not answer; the fallback answered "
            f"{failed.answered:,} of them{_rest(failed)}."
        )
    if view.look is not None:
        _show_look(release, view.look)
    elif release.status == "running":
        late.output.line("Nobody has looked at it yet: everloop release watch " + release.release_id)


def _show_answers(release: Release, answers: Traffic) -> None:
    late.output.line(f"\nWho answers {release.model} in {release.environment} now:")
    rows = [(arm, version, f"{100 * share:g} %") for arm, version, share in late.showing.shares(answers)]
    late.output.table(("arm", "version", "share"), rows, right=("share",))
    for version in answers.shadows:
        late.output.line(f"{version} sees the requests and answers nobody.")


def _counted(requests: int) -> str:
    return "1 request" if requests == 1 else f"{requests:,} requests"


def _rest(failed: Instead) -> str:
    return f", {failed.requests - failed.answered:,} got an error" * (failed.requests > failed.answered)


def _show_look(release: Release, look: Look) -> None:
    late.output.line(f"\nLook {look.sequence} at {late.output.moment(look.at)} UTC: {_words(look.verdict)}.")
    late.output.line(look.reason)
    if look.seen:
        rows = [
            (s.arm, s.version, s.units, s.rows, s.events.get("failed", 0), s.latency_ms.get("p95"))
            for s in look.seen
        ]
        names = ("arm", "version", "units", "rows", "failed", "95 % within (ms)")
        late.output.table(names, rows, right=names[2:])
    if look.intervals:
        measures = [
            (
                i.measure, i.arm, i.control, i.candidate, i.difference,
                f"{i.low:+.4g} to {i.high:+.4g}", i.margin, late.showing.proven_words(release, i),
            )
            for i in look.intervals
        ]  # fmt: skip
        heads = ("measure", "arm", "control", "new", "difference", "at all looks", "margin", "proven")
        late.output.table(heads, measures, right=heads[2:7])
        if turned := late.showing.turned(look):
            late.output.line(turned)
    for check in look.checks:
        late.output.line(f"{'! ' if check.vetoes else '  '}{check.name}: {check.message}.")
    if look.checks:
        late.output.line(late.showing.EVIDENCE)


def _show_all(view: View, looks: list[Look], failures: list[Failed]) -> None:
    _show_status(view)
    late.output.line("\nThe plan:")
    for words in view.plan:
        late.output.line(f"  {words}")
    for given in view.release.approvals:
        note = f": {given.note}" if given.note else ""
        late.output.line(f"Approved {late.output.moment(given.at)} UTC by {given.by} as {given.role}{note}")
    if looks:
        rows = [(look.at, look.step + 1, _words(look.verdict), look.reason) for look in looks]
        late.output.table(("look (UTC)", "step", "verdict", "why"), rows, fold=("why",))
    if failures:
        late.output.line("\nThe newest requests that failed or were refused:")
        told = [(each.at, each.variant, each.version, each.kind, each.error) for each in failures]
        late.output.table(("at (UTC)", "arm", "version", "kind", "error"), told, fold=("error",))
