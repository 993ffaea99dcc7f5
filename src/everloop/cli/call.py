"""One call of a command: the options that all commands share, and where its answer goes.

A command is a function whose first parameter is the Call; ``command`` adds the shared options to it and turns
what it returns or raises into an exit code. Options may stand before the command's name or after it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from everloop.core.errors import Invalid

from . import errors, late, plain
from .completion import Command, Group

if TYPE_CHECKING:
    from everloop.flows.project import Project
    from everloop.settings import Settings

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", show_default=False),
]
Flags = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="Override a setting; may be repeated.", show_default=False
    ),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME", help="Whose data and models.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

SHARED = {
    "config": (Config, None),
    "flags": (Flags, None),
    "tenant": (Tenant, None),
    "json": (Json, False),
    "quiet": (Quiet, False),
    "debug": (Debug, False),
}


@dataclass(frozen=True)
class Call:
    config: str | None = None
    flags: tuple[str, ...] = ()
    tenant: str | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False

    def under(self, outer: Call | None) -> Call:
        """These options over those that stood before the command's name."""
        if outer is None:
            return self
        return Call(
            self.config or outer.config,
            (*outer.flags, *self.flags),
            outer.tenant if self.tenant is None else self.tenant,
            self.json or outer.json,
            self.quiet or outer.quiet,
            self.debug or outer.debug,
        )

    def settings(self) -> Settings:
        flags = (
            self.flags if self.tenant is None else [*self.flags, late.settings.flag("tenant", self.tenant)]
        )
        return late.settings.load_settings(self.config, flags=flags)

    @contextmanager
    def project(self) -> Iterator[Project]:
        project = late.wiring.connect(self.settings())
        try:
            yield project
        finally:
            project.close()

    def answer(self, document: object, show: Callable[[], object]) -> None:
        """The command's one answer on stdout: the document as JSON, or what ``show`` prints for people. Where
        nobody reads it to its end the command goes on, to its exit code."""
        try:
            if self.json:
                typer.echo(late.output.to_json(document))
            else:
                show()
        except BrokenPipeError:
            errors.reader_left()

    def note(self, text: str) -> None:
        """A remark beside the answer, on stderr."""
        if not self.quiet:
            typer.echo(plain.text(text), err=True)


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., int | None]], Any]:
    """Register ``work(call, …)`` with the shared options. It returns an exit code, or None for 0."""

    def register(work: Callable[..., int | None]) -> Callable[..., int | None]:
        app.command(name, cls=Command)(_with_shared_options(work))
        return work

    return register


def _with_shared_options(work: Callable[..., int | None]) -> Callable[..., None]:
    hints = get_type_hints(work, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(work).parameters.values())[1:]
    ]

    def run(**given: Any) -> None:
        outer = given.pop("ctx").obj
        shared = {name: given.pop(name) for name in SHARED}
        shared["flags"] = tuple(shared["flags"] or ())
        call = Call(**shared).under(outer if isinstance(outer, Call) else None)
        raise typer.Exit(errors.guard(lambda: work(call, **given), json=call.json, debug=call.debug))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("ctx", kind, annotation=typer.Context),
        *own,
        *(inspect.Parameter(n, kind, annotation=hint, default=d) for n, (hint, d) in SHARED.items()),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__, run.__doc__ = work.__name__, work.__doc__
    return run


def group(help_: str) -> typer.Typer:
    """An app for the commands of one noun (``everloop data …``) or for a single command."""
    return typer.Typer(
        cls=Group,
        help=help_,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def filled(option: str, given: str | None) -> str:
    """What an option says; empty where it is not given. Raises Invalid for one that says nothing."""
    if given is not None and not given.strip():
        raise Invalid(f"{option} is empty.", remedy="Say what it is, or leave it out.")
    return given or ""


def on_terminal() -> bool:
    """Whether progress goes to a person."""
    return sys.stderr.isatty()
