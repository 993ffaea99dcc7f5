"""``everloop environments``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.releases.showing import Place

app = group("Show the environments, their rules, and what is current of each model.")


@command(app)
def environments(call: Call) -> None:
    """Show the environments, what a version needs to come there, and what is current of each model.

    \b
    Example:
      everloop environments
    """
    with call.project() as project:
        found = late.showing.places(project)
    document = [asdict(place.environment) | {"current": place.current} for place in found]
    call.answer({"environments": document}, lambda: _show(found))


def _show(found: list[Place]) -> None:
    rows = [
        (
            place.environment.name,
            late.showing.rules_words(place.environment),
            [
                f"{model}@{each.version}" + (f" ({each.on_its_way} on its way)" if each.on_its_way else "")
                for model, each in place.current.items()
            ],
        )
        for place in found
    ]
    late.output.table(("environment", "a version may come when", "current"), rows, fold=("current",))
