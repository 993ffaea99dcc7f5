"""``everloop model …``: what served when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import InvalidSettings

from . import late
from .call import Call, command, group
from .moments import moment

if TYPE_CHECKING:
    from everloop.flows.releases.memory import Then

app = group("Show what served at a moment, and where it came from.")
app.callback()(lambda: None)  # else the only command would take the group's name


@command(app)
def at(
    call: Call,
    time: Annotated[
        str, typer.Argument(metavar="TIME", help="2026-03-01T12:00 (in UTC), 2h ago, yesterday, now.")
    ],
    model: Annotated[str | None, typer.Option(help="The model's name [the only one].")] = None,
    environment: Annotated[str, typer.Option("--env", metavar="NAME", help="Where.")] = "prod",
) -> None:
    """Show what served at a moment: each version with its share, its data, run, commit and gate result, and
    what was known of it then.

    \b
    Example:
      everloop model at 2026-03-01T12:00
      everloop model at 2h --model iris --env staging
    """
    with call.project() as project:
        names = list(project.settings.models)
        if model is None and len(names) != 1:
            raise InvalidSettings(
                f"This project has {len(names)} models: {', '.join(names)}.", remedy="Name one: --model."
            )
        asked = moment(time, project.clock.now())
        assert asked is not None  # noqa: S101 (only without a text)
        found = late.memory.at(project, model or names[0], asked, environment)
    call.answer(found, lambda: _show(found))


def _show(then: Then) -> None:
    by = then.strategy and f"{then.release_id} ({then.strategy})"
    shown = late.output.moment
    late.output.pairs(
        {
            "model": f"{then.model} in {then.environment} at {shown(then.at)} UTC",
            "champion": then.champion,
            "since": f"{shown(then.since)} UTC, by {then.by}: {then.reason}",
            "release": by,
            "reference": late.output.short(then.reference),
        }
    )
    rows = [
        (
            each.arm,
            each.version,
            each.share,
            f"{each.dataset}@{late.output.short(each.data_version)}" if each.data_version else None,
            late.output.short_run(each.run_id) if each.run_id else None,
            late.output.short(each.git_commit),
            each.gate,
        )
        for each in (*then.arms, *then.shadows)
    ]
    names = ("arm", "version", "share", "data", "run", "commit", "gate")
    late.output.table(names, rows, right=("share",), fold=("gate",))
    _show_known(then)
    if then.look:
        late.output.line(
            f"Look {then.look.sequence} at the release, {shown(then.look.at)} UTC: {then.look.reason}"
        )


def _show_known(then: Then) -> None:
    """How good what served was: when it was trained, by labels, by what was recorded, by its monitors."""
    held_out = {each.version: each.held_out for each in (*then.arms, *then.shadows)}
    rows: list[tuple[object, ...]] = [
        (version, "held out when trained", name, value, None, None)
        for version, metrics in held_out.items()
        for name, value in sorted(metrics.items())
    ]
    rows += [
        (
            each.version,
            f"labels of answers since {each.since:%Y-%m-%d}",
            each.metric,
            each.score,
            each.labelled,
            None,
        )
        for each in then.live
    ]
    rows += [
        (each.model_version, "recorded", each.name, each.value, each.rows, each.at) for each in then.metrics
    ]
    if rows:
        names = ("version", "known then from", "metric", "value", "rows", "at (UTC)")
        late.output.table(names, rows, right=("value", "rows"))
    for check in then.checks:
        fired = "; ".join(each.message for each in check.results if each.fired)
        span = f"{late.output.moment(check.since)} to {late.output.moment(check.until)} UTC"
        told = fired or f"nothing in {len(check.results)} checks"
        late.output.line(f"The monitor of the {check.kind} of {check.version}, {span}, found: {told}")
