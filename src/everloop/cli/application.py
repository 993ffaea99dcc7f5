"""``everloop`` and the table of its commands. Help and completion read the table and load no command."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from everloop.core.ending import end_quickly

from . import errors, late
from .call import Call, Config, Debug, Flags, Json, Quiet, Tenant
from .completion import Command, Group

_SELDOM = 10_000  # objects between two searches for cycles; with Python's 700 they are an eighth of a command
COMMANDS = {
    "init": ("everloop.cli.init", "Write a sample project that runs at once."),
    "run": ("everloop.cli.run", "Do one turn of the loop for every model."),
    "demo": ("everloop.cli.demo", "Show the whole loop on real data."),
    "up": ("everloop.cli.up", "Start the API, a worker and MLflow's pages, and keep them running."),
    "serve": ("everloop.cli.serve", "Answer predictions over HTTP."),
    "worker": ("everloop.cli.worker", "Do the work beside the API: jobs, releases, checks, messages."),
    "predictions": (
        "everloop.cli.predictions",
        "List, label, export and remove predictions that were served.",
    ),
    "data": ("everloop.cli.data", "Register, list, show, export, compare and keep data versions."),
    "dvc": (
        "everloop.cli.dvc",
        "Work with DVC: take its files in with their history, give versions to it, and check both.",
    ),
    "runs": ("everloop.cli.runs", "List, show, compare and reproduce training runs."),
    "models": ("everloop.cli.models", "List and show model versions, trace and promote them."),
    "retrain": ("everloop.cli.retrain", "Have a retraining considered, and do it where it would help."),
    "loop": ("everloop.cli.loop", "Show, pause and resume the loop that keeps models right."),
    "decisions": (
        "everloop.cli.decisions",
        "List, show, approve and reject what the loop decides about retraining.",
    ),
    "simulate": (
        "everloop.cli.simulate",
        "Simulate the loop: on a model's past, or a year of it from a seed.",
    ),
    "deploy": (
        "everloop.cli.deploy",
        "Release a model version to an environment, at once or step by step.",
    ),
    "release": ("everloop.cli.release", "Plan, follow, approve, promote and abort releases."),
    "rollback": (
        "everloop.cli.rollback",
        "Go back to the last good version of a model, or to a named one.",
    ),
    "environments": (
        "everloop.cli.environments",
        "Show the environments, their rules, and what is current of each model.",
    ),
    "monitor": ("everloop.cli.monitor", "Watch models in production: drift, performance, broken feeds."),
    "model": ("everloop.cli.model", "Show what served at a moment, and where it came from."),
    "explain": ("everloop.cli.explain", "Explain an answer, from its prediction back to the raw data."),
    "alerts": (
        "everloop.cli.alerts",
        "List, show, close and silence alerts; try channels, deliver messages.",
    ),
    "contract": ("everloop.cli.contract", "Show what a model's data must be like, or read it off data anew."),
    "history": ("everloop.cli.history", "Show what happened to a model, oldest first."),
    "report": ("everloop.cli.report", "Write a model's report: one HTML page with plots."),
    "status": ("everloop.cli.status", "Show turns and their steps, running or past, and where the loop is."),
    "deliver": ("everloop.cli.deliver", "Send what waits for MLflow, now."),
    "backup": (
        "everloop.cli.backup",
        "Make backups, by hand or by the clock; check them; restore to any moment.",
    ),
    "settings": ("everloop.cli.settings", "Show each setting and where it came from."),
    "doctor": ("everloop.cli.doctor", "Check what is installed, reachable and healthy."),
}


class LateGroup(Group):
    """A group that lists its commands from the table and imports the module of the one that is used."""

    def __init__(self, **given: Any) -> None:
        listed = {name: Command(name=name, help=said) for name, (_, said) in COMMANDS.items()}
        super().__init__(**{**given, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and loaded(str(name)), rest


def loaded(name: str) -> Any:
    """The real command: a module's ``app``, or its function of the command's name."""
    module = import_module(COMMANDS[name][0])
    command = get_command(getattr(module, "app", None) or _only(getattr(module, name)))
    command.name = name
    return command


def _only(function: Any) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(function)
    return app


app = typer.Typer(
    cls=LateGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""The self-hosted MLOps system that closes the loop: version, validate, decide, train, track, gate,
    promote, remember.

    \b
    Start with:
      everloop demo              the whole loop on real data
      everloop init my-project   a sample project of your own
    """,
    epilog="Each command has --help with an example, and --json for machines.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"everloop {late.metadata.version('everloop')}")
        raise typer.Exit


@app.callback()
def everloop(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    config: Config = None,
    flags: Flags = None,
    tenant: Tenant = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    ctx.obj = Call(config, tuple(flags or ()), tenant, json, quiet, debug)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(_SELDOM)
    end_quickly()
    try:
        get_command(app).main(args=arguments, prog_name="everloop")
    except KeyboardInterrupt:
        sys.exit(errors.interrupted())
