"""``everloop alerts …``: what monitors found, who was told, silences, channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core import spans
from everloop.core.errors import Unavailable

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.monitoring import Alert, Silence

app = group("List, show, close and silence alerts; try channels, deliver messages.")
Named = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or the end of it.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="For the history.")]


@command(app, "list")
def list_(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are closed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """List the open alerts, the newest first: what was found, and why somebody was not told.

    \b
    Example:
      everloop alerts list
      everloop alerts list iris --all
    """
    with call.project() as project:
        found = late.alerts.showing.listed(project, model, None if every else "open", limit)
        waiting = late.alerts.showing.undelivered(project)

    def show() -> None:
        if found:
            names = ("opened (UTC)", "alert", "level", "times", "what", "status", "told")
            rows = [
                (
                    each.opened_at,
                    each.alert_id,
                    each.level,
                    each.times,
                    each.title,
                    _status(each),
                    _told(each),
                )
                for each in found
            ]
            late.output.table(names, rows, right=("times",), fold=("alert", "what", "status", "told"))
        else:
            late.output.line("There is no alert." if every else "No alert is open. --all shows past ones.")
        if waiting.waiting:
            because = f": {waiting.problem}" if waiting.problem else ""
            late.output.line(f"Messages that wait to be delivered: {waiting.waiting}{because}")
        for key, error in waiting.given_up:
            late.output.line(f"Given up: {key}: {error}")

    call.answer({"alerts": found, "undelivered": waiting}, show)


@command(app)
def show(call: Call, named: Named) -> None:
    """Show an alert: everything that was found, the expected damage, who was told when.

    \b
    Example:
      everloop alerts show 7gk2m9xa
    """
    with call.project() as project:
        found = late.alerts.showing.find(project, named)
        failed = late.alerts.showing.failed(project, found)
    call.answer({"alert": found, "not_delivered": failed}, lambda: _show(found, failed))


@command(app)
def close(call: Call, named: Named, why: Why) -> None:
    """Close an alert by hand. What is found afterwards opens another: 'silence' keeps that from being told.

    \b
    Example:
      everloop alerts close 7gk2m9xa --why "a known holiday"
    """
    with call.project() as project:
        closed = late.alerts.closing.close(project, named, why)
    call.answer({"alert": closed}, lambda: late.output.line(f"{closed.alert_id} is closed: {why}"))


@command(app)
def silence(
    call: Call,
    why: Why,
    for_: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long: 30m, 2h, 3d; at most 90d.")],
    model: Annotated[str | None, typer.Argument(help="The model [all models].")] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only findings about this feature or metric.")
    ] = None,
) -> None:
    """Tell nobody of a model for a while. Alerts are still opened, and 'list' shows them. A feature or metric
    that no monitor has looked at yet is silenced, too, and told as such: it may be misspelt.

    \b
    Example:
      everloop alerts silence iris --for 2h --why "the feed is repaired at noon"
      everloop alerts silence iris --subject sepal_width --for 3d --why "a new sensor"
    """
    with call.project() as project:
        made = late.alerts.silencing.silence(project, model, spans.seconds(for_), why, subject=subject)
        doubt = late.alerts.silencing.unknown(project, made)
    said = f"{_what(made)} is silenced until {late.output.moment(made.until)} UTC: {made.silence_id}"
    if doubt:
        call.note(doubt)
    call.answer({"silence": made, "doubt": doubt}, lambda: late.output.line(said))


@command(app)
def silences(
    call: Call,
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    end: Annotated[str | None, typer.Option(metavar="SILENCE", help="End this one now.")] = None,
) -> None:
    """List the silences that hold, or end one before its time.

    \b
    Example:
      everloop alerts silences
      everloop alerts silences --end 4h8s1kqv
    """
    with call.project() as project:
        if end is not None:
            ended = late.alerts.silencing.end(project, end)
            call.answer({"silence": ended}, lambda: late.output.line(f"{ended.silence_id} has ended."))
            return
        found = late.alerts.silencing.listed(project, every=every)

    def show() -> None:
        if not found:
            late.output.line("Nothing is silenced.")
            return
        rows = [
            (each.silence_id, _what(each), each.since, each.until, each.by, each.reason) for each in found
        ]
        names = ("silence", "of", "from (UTC)", "until (UTC)", "by", "why")
        late.output.table(names, rows, fold=("silence", "of", "why"))

    call.answer({"silences": found}, show)


@command(app, "test")
def try_out(
    call: Call, channel: Annotated[str | None, typer.Argument(help="Only this channel [all].")] = None
) -> None:
    """Send a test message to the channels of the settings, now. Fails when one cannot be reached.

    \b
    Example:
      everloop alerts test
    """
    with call.project() as project:
        found = late.alerts.delivering.try_out(project, channel)
    wrong = {name: problem for name, problem in found.items() if problem is not None}
    if wrong:
        raise Unavailable(
            " ".join(f"{name}: {problem}" for name, problem in wrong.items()),
            remedy="See docs/how-to/alerts.md for addresses.",
        )
    call.answer({"reached": list(found)}, lambda: late.output.line(f"Reached: {', '.join(found)}"))


@command(app)
def deliver(call: Call) -> None:
    """Deliver the messages that wait, now, also those that were to be tried again later.

    'everloop serve' does this by itself; it is for projects without a server.

    \b
    Example:
      everloop alerts deliver
    """
    with call.project() as project:
        done = late.alerts.delivering.deliver(project, now=True)
    if done.problems:
        said = " ".join(f"{name}: {problem}" for name, problem in done.problems.items())
        raise Unavailable(
            f"{done.waiting} waiting, {done.delivered} delivered. {said}",
            remedy="Nothing is lost: they are tried again. 'everloop alerts test' tries the channels.",
        )

    def show() -> None:
        if done.busy:
            late.output.line("Another process is delivering now.")
        elif done.delivered or done.rejected:
            late.output.line(f"{done.delivered} delivered, {done.rejected} given up.")
        else:
            late.output.line("Nothing waits.")

    call.answer(done, show)


# -- showing -----------------------------------------------------------------------------------------------


def _status(alert: Alert) -> str:
    return "open" if alert.status == "open" else f"closed by {alert.closed_by}: {alert.reason}"


def _told(alert: Alert) -> str:
    if alert.held:
        return f"{', '.join(alert.told)}; newest: {alert.held}" if alert.told else alert.held
    return ", ".join(f"{name} ({level})" for name, level in alert.told.items())


def _what(silence: Silence) -> str:
    return f"{silence.subject or 'everything'} of {silence.model or 'all models'}"


def _show(alert: Alert, failed: list[str]) -> None:
    windows = f"{alert.times} window{'' if alert.times == 1 else 's'}"
    late.output.pairs(
        {
            "alert": alert.alert_id,
            "what": alert.title,
            "level": alert.level,
            "status": _status(alert),
            "opened": f"{late.output.moment(alert.opened_at)} UTC",
            "newest": f"{late.output.moment(alert.updated_at)} UTC, in {windows}",
            "expected damage": alert.damage or "not known",
            "done or proposed": alert.proposal or "nothing yet",
            "told": _told(alert),
            **({"not delivered": "; ".join(failed)} if failed else {}),
        }
    )
    late.output.line("")
    rows = [
        (
            each.result.level, each.result.family, each.result.subject, each.result.message,
            each.result.value, each.result.usual, each.version, each.until, each.times,
        )
        for each in alert.findings
    ]  # fmt: skip
    names = ("level", "family", "about", "what", "value", "usual", "version", "until (UTC)", "times")
    late.output.table(names, rows, right=("value", "usual", "times"), fold=("what",))
