"""``everloop deploy MODEL@VERSION``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from everloop.core import spans
from everloop.core.errors import Invalid
from everloop.core.releases import Rule

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.releases import Release

app = group("Release a model version to an environment, at once or step by step.")
Environment = Annotated[
    str, typer.Option("--env", metavar="NAME", help="dev, staging, prod, or one of yours.")
]
V = TypeVar("V")
_PER = {"second": 3_600.0, "minute": 60.0, "hour": 1.0, "day": 1 / 24}


@command(app)
def deploy(
    call: Call,
    model: Annotated[str, typer.Argument(metavar="MODEL@VERSION")],
    environment: Environment = "prod",
    strategy: Annotated[
        str, typer.Option(help="direct, blue-green, canary, rolling, shadow or ab.")
    ] = "direct",
    reason: Annotated[str, typer.Option(help="For the history.")] = "",
    steps: Annotated[
        str | None, typer.Option(metavar="SHARES", help="Of a canary: 0.05,0.25,0.5 [the settings'].")
    ] = None,
    dwell: Annotated[
        str | None, typer.Option(metavar="SPAN", help="At least so long per step: 10m, 1h.")
    ] = None,
    longest: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Inconclusive after so long: 7d.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MARGIN", help="What is compared, and the harm put up with: accuracy=0.01."
        ),
    ] = None,
    goal: Annotated[str | None, typer.Option(help="To prove: no_harm or better.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Probability of a false verdict, at most: 0.05.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(metavar="RATE", help="Units expected: 1000/hour [what was seen].")
    ] = None,
    label_delay: Annotated[
        str | None, typer.Option(metavar="SPAN", help="When labels count as there: 1d [learnt].")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(metavar="UNITS", help="Of an arm, agreed on: it ends with them, and needs fewer."),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What an arm is chosen for: request or entity (sticky).")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VERSION:SHARE", help="Of an A/B test: red=1.2.0:0.3; the rest is control."
        ),
    ] = None,
    bandit: Annotated[bool, typer.Option("--bandit", help="Move the split of an A/B test.")] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUES:ARM", help="Who gets which arm: country=DE,AT:canary."),
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option(metavar="ENTITY=ARM", help="A tester's arm: user-7=canary.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and release nothing.")] = False,
) -> None:
    """Release a model version to an environment. The plan is shown first: steps, guardrails, and what it can
    detect by when; one that cannot finish is refused.

    \b
    Example:
      everloop deploy iris@1.0.1
      everloop deploy iris@1.0.1 --env staging
      everloop deploy iris@1.0.1 --strategy canary --measure accuracy=0.02 --traffic 2000/hour --dry-run
    """
    request = late.deploying.Request(
        spec=model,
        environment=environment,
        strategy=strategy,
        reason=reason,
        arms=_named("--arm", [_arm(each) for each in arm or ()]),
        unit=_one_of("--unit", unit, ("request", "entity")),
        rules=tuple(_rule(each) for each in rule or ()),
        overrides=_named(
            "--override", [_pair("--override", each, "user-7=canary") for each in override or ()]
        ),
        wishes=late.planning.Wishes(
            measures=_named("--measure", [_measure(each) for each in measure]) if measure else None,
            goal=_one_of("--goal", goal, ("no_harm", "better")),
            steps=_steps(steps),
            dwell=_span(dwell),
            longest=_span(longest),
            alpha=alpha,
            hourly=per_hour("--traffic", traffic),
            label_delay=_span(label_delay),
            size=size,
            bandit=bandit,
        ),
    )
    with call.project() as project:
        late.serving.recording.record(project)
        release = (late.deploying.prepare if dry_run else late.deploying.deploy)(project, request)
        plan, waits = late.showing.plan(project, release), late.deploying.waits_for(project, release)
    document = {"release": release, "plan": plan, "dry_run": dry_run}
    call.answer(document, lambda: _show(release, plan, waits))


def _show(release: Release, plan: tuple[str, ...], waits: str) -> None:
    for words in plan:
        late.output.line(words)
    if release.status == "planned":
        late.output.line("Nothing was released: this was a dry run.")
        return
    late.output.line(f"Release {release.release_id}: {release.status.replace('_', ' ')}")
    late.output.line(waits or _next(release))


def _next(release: Release) -> str:
    """What to do with it now."""
    if release.status == "running":
        return (
            f"Follow it: everloop release watch {release.release_id}\n"
            f"End it:    everloop release abort {release.release_id}"
        )
    return f"Go back: everloop rollback {release.model} --env {release.environment}"


# -- what is written on the command line -------------------------------------------------------------------


def _pair(option: str, text: str, example: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name.strip() or not value.strip():
        raise Invalid(f"{option} is '{text}'.", remedy=f"Write it as {example}.")
    return name.strip(), value.strip()


def _named(option: str, given: list[tuple[str, V]]) -> dict[str, V]:
    """What each name gets. A name that is given twice is refused: one of the two would be lost."""
    found: dict[str, V] = {}
    for name, value in given:
        if name in found:
            raise Invalid(f"{option} names '{name}' twice.", remedy="Give it once.")
        found[name] = value
    return found


def _number(option: str, text: str, example: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Invalid(f"{option}: '{text}' is no number.", remedy=f"Write it as {example}.")
    return number


def _measure(text: str) -> tuple[str, float]:
    name, margin = _pair("--measure", text, "accuracy=0.01")
    return name, _number("--measure", margin, "accuracy=0.01")


def _override(text: str) -> tuple[str, str]:
    return _pair("--override", text, "user-7=canary")


def _arm(text: str) -> tuple[str, tuple[str, float]]:
    example = "red=1.2.0:0.3"
    name, value = _pair("--arm", text, example)
    version, _, share = value.rpartition(":")
    if not version:
        raise Invalid(f"--arm is '{text}'.", remedy=f"Write it as {example}.")
    return name, (version, _number("--arm", share, example))


def _rule(text: str) -> Rule:
    """``country=DE,AT:canary``; further fields after a semicolon: ``country=DE;plan=pro:canary``."""
    fields, _, arm = text.rpartition(":")
    example = "country=DE,AT:canary"
    if not fields or not arm.strip():
        raise Invalid(f"--rule is '{text}'.", remedy=f"Write it as {example}.")
    when: dict[str, Any] = {}
    for field in fields.split(";"):
        name, found, values = field.partition("=")
        if not found or not name.strip() or not values.strip():
            raise Invalid(f"--rule is '{text}'.", remedy=f"Write it as {example}.")
        when[name.strip()] = tuple(value.strip() for value in values.split(","))
    return Rule(when, arm.strip())


def _steps(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(_number("--steps", s, "0.05,0.25,0.5") for s in text.split(","))


def _span(text: str | None) -> float | None:
    return None if text is None else spans.seconds(text)


def per_hour(option: str, text: str | None) -> float | None:
    """Units an hour."""
    if text is None:
        return None
    given, _, per = text.partition("/")
    number = _number(option, given, "1000/hour")
    if per not in _PER or number <= 0:
        raise Invalid(
            f"{option} is '{text}'.",
            remedy=f"Write it as 1000/hour: a number above 0 per {', '.join(_PER)}.",
        )
    return number * _PER[per]


def _one_of(option: str, value: str | None, known: tuple[str, ...]) -> Any:
    if value is not None and value not in known:
        raise Invalid(f"{option} is '{value}'.", remedy=f"Say {' or '.join(known)}.")
    return value
