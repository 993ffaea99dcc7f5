"""``everloop contract …``: what a model's data must be like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import late, plain
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.contracts import Asked

app = group("Show what a model's data must be like, or read it off data anew.")
Model = Annotated[str, typer.Argument(help="The model's name.")]


@command(app)
def show(call: Call, model: Model) -> None:
    """Show the contract that the next turn checks a model's data against.

    \b
    Example:
      everloop contract show churn
    """
    with call.project() as project:
        found = late.contracts.show(project, model)

    def draw() -> None:
        if found.contract is None:
            late.output.line(f"'{model}' has its contract in Python: {found.origin.removeprefix('python:')}")
            return
        late.output.line(f"Contract of '{model}', {_origin(found)}")
        rows = [
            (
                plain.name(rule.name),
                rule.type,
                None if rule.max_missing is None else f"{rule.max_missing:.1%}",
                rule.minimum,
                rule.maximum,
                rule.allowed,
                rule.severity,
            )
            for rule in found.contract.columns
        ]
        names = ("column", "type", "missing at most", "min", "max", "allowed", "if values break it")
        late.output.table(names, rows, right=names[2:5], fold=("allowed",))
        for rule in found.contract.expressions:
            late.output.line(f"  {rule}")

    call.answer(_document(model, found), draw)


@command(app)
def infer(
    call: Call,
    model: Model,
    data: Annotated[str | None, typer.Option(metavar="VERSION", help="[the newest data version]")] = None,
    only_yaml: Annotated[
        bool, typer.Option("--yaml", help="Only print it, to be pasted into everloop.yaml.")
    ] = False,
) -> None:
    """Read the contract off data anew and use it from now on: when the data have changed on purpose.

    \b
    Example:
      everloop contract infer churn
      everloop contract infer churn --data 3f2a91 --yaml
    """
    with call.project() as project:
        read = late.contracts.infer if only_yaml else late.contracts.adopt
        found = read(project, model, data)

    def draw() -> None:
        if only_yaml:
            typer.echo(found.yaml().rstrip())  # whole, as it is to be read again
        else:
            late.output.line(
                f"The data of '{model}' are checked against the contract {_origin(found)} from now on."
            )

    call.answer(_document(model, found), draw)


def _document(model: str, found: Asked) -> dict[str, object]:
    return {"model": model, "origin": found.origin, "contract": found.mapping}


def _origin(found: Asked) -> str:
    source, _, version = found.origin.partition(":")
    return f"read off data version {late.output.short(version)}" if source == "inferred" else f"from {source}"
