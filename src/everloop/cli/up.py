"""``everloop up``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import errors, late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.adapters.group.member import Member
    from everloop.adapters.group.places import Place
    from everloop.settings import Settings

app = group("Start the API, a worker and MLflow's pages, and keep them running.")
MARGIN = 10.0  # seconds for the end of a member, over what the settings give
COLOURS = ("cyan", "green", "magenta")


@command(app)
def up(
    call: Call,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address the API listens on.")] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port of the API; 0 for a free one.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port of MLflow's pages; 0 for none.")
    ] = None,
) -> int:
    """Start the API, a worker and MLflow's pages on this machine, and keep them running.

    What dies is started again, at once and then ever later; the others go on meanwhile. Each line that one of
    them writes is shown with its name in front. SIGTERM and Ctrl-C end them in order: the API answers what is
    under way, the worker finishes its job or gives it back, then MLflow; a second Ctrl-C ends all at once.

    \b
    Example:
      everloop up
      everloop up --port 8080 --mlflow-port 0
    """
    given = {"serving.host": host, "serving.port": port, "up.mlflow_port": mlflow_port}
    flags = (*call.flags, *(f"{name}={value}" for name, value in given.items() if value is not None))
    settings = Call(call.config, flags, call.tenant, call.json, call.quiet, call.debug).settings()
    late.wiring.connect(settings).close()  # the database is brought to its schema once, before they share it
    places = _places(settings)
    members = _members(settings, places)
    told = {member.name: _told(settings, places["serve"].port) for member in members}
    starting = " and ".join([", ".join(member.what for member in members[:-1]), members[-1].what])
    call.note(f"Starting {starting} …")
    kept = late.group.Group(members, told, _speaker(call, [member.name for member in members]))
    in_order = asyncio.run(kept.run(list(places.values()), lambda: _ready(call, settings, places)))
    call.note("All have ended." if in_order else "All are ended; not each of them in order.")
    return errors.OK if in_order else errors.INTERRUPTED


def _places(settings: Settings) -> dict[str, Place]:
    """Who listens where. Any free port of the API is chosen here: it stays when it starts anew."""
    place = late.places.Place
    serving, shown = settings.serving, settings.up
    port = serving.port or late.places.free_port(serving.host)
    found = {"serve": place("The API", serving.host, port, "--port 8080")}
    if late.wiring.shows_mlflow(settings):
        option = "--mlflow-port 5002, or 0 for none"
        found["mlflow"] = place("MLflow", shown.mlflow_host, shown.mlflow_port, option)
    return found


def _members(settings: Settings, places: Mapping[str, Place]) -> list[Member]:
    """In the order in which they end."""
    member = late.member.Member
    found = [
        member("serve", "the API", settings.serving.drain + MARGIN, places["serve"].address),
        member("worker", "a worker", settings.worker.finish + MARGIN),
    ]
    if "mlflow" in places:
        found.append(member("mlflow", "MLflow's pages", MARGIN, places["mlflow"].address))
    return found


def _told(settings: Settings, port: int) -> dict[str, Any]:
    told: dict[str, Any] = late.courier.describe(settings)
    told["settings"]["serving"] |= {"port": port, "work": False}
    return told


def _speaker(call: Call, names: list[str]) -> Callable[[str, str], None]:
    """One line of a member, its name in front, on stderr: stdout has the one answer."""
    width = max(len(name) for name in names)
    colours = dict(zip(names, COLOURS, strict=False))

    def say(name: str, text: str) -> None:
        if not call.quiet:
            typer.echo(f"{typer.style(f'{name:<{width}} |', fg=colours[name])} {text}", err=True)
            sys.stderr.flush()

    return say


def _ready(call: Call, settings: Settings, places: Mapping[str, Place]) -> None:
    api = places["serve"].address
    addresses = {"predictions": f"{api}/predict", "dashboard": f"{api}/dashboard", "api": f"{api}/docs"}
    if "mlflow" in places:
        addresses["mlflow"] = places["mlflow"].address
    elif settings.tracking.enabled and late.wiring.tracked_by_server(settings):
        addresses["mlflow"] = late.output.without_password(settings.tracking_uri)
    call.answer({"addresses": addresses}, lambda: late.output.pairs(addresses))
    sys.stdout.flush()
