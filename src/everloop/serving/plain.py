"""The plain protocol: ``{"features": [5.1, …]}`` or by name, or ``{"instances": […]}``, and its answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from everloop.core.errors import Invalid

from . import bodies
from .answers import By, Outcome
from .inputs import Inputs, Row
from .routing import check_entity

EXAMPLE = 'Send {"features": [5.1, 3.5, 1.4, 0.2]}, or a batch as {"instances": [[…], […]]}.'


class Question(msgspec.Struct):
    """Rows in the order of the model's fields, and what was warned of already; ``single``: not a batch."""

    rows: Sequence[Row]
    single: bool = True
    id: str = ""
    warnings: Sequence[Sequence[str]] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    features: list[Any] | dict[str, Any] | None = None
    instances: list[list[Any] | dict[str, Any]] | None = None
    entity_id: str | int | None = None
    context: dict[str, str | int | float | bool | None] | None = None


class Answer(Outcome, omit_defaults=True):
    """An outcome with where it comes from. ``hold_out``: act without it (feedback.py)."""

    model: str = ""
    model_version: str = ""
    variant: str = ""
    release: str = ""
    probability: float | None = None
    prediction_id: str = ""
    warnings: Sequence[str] = ()
    hold_out: bool = False


_decoder = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


def question(body: bytes | bytearray, inputs: Inputs, most: int) -> Question:
    """Raises Invalid for what is not JSON of this form, Rejected for names the model does not have."""
    try:
        asked = bodies.decode(_decoder, body, EXAMPLE)
    except Invalid:
        found = bodies.leniently(_Body, body)
        if found is not None:
            inputs.encode(_rows(found, inputs, most).rows)  # raises what names the field
        raise
    keys = _keys(asked.features) + sum(map(_keys, asked.instances or ()))
    if asked.entity_id is not None:
        check_entity(asked.entity_id)
        keys += 1
    if asked.context is not None:
        keys += 1 + len(asked.context)
    if bodies.count_keys(body) != 1 + keys:
        bodies.refuse_duplicates(body, EXAMPLE)
    return _rows(asked, inputs, most)


def _keys(row: Any) -> int:
    return len(row) if type(row) is dict else 0


def _rows(asked: _Body, inputs: Inputs, most: int) -> Question:
    if asked.features is not None and asked.instances is None:
        if isinstance(asked.features, list):
            return Question((asked.features,))
        row, warned = inputs.ordered(asked.features)
        return Question((row,), warnings=[warned] if warned else None)
    if asked.features is not None:
        raise Invalid(
            "The body has both 'features' and 'instances'.",
            remedy="Send 'features' for one row, or 'instances' for several.",
        )
    if asked.instances is None:
        raise Invalid("The body has neither 'features' nor 'instances'.", remedy=EXAMPLE)
    if not asked.instances:
        raise Invalid("'instances' is empty.", remedy="Send at least one row.")
    if len(asked.instances) > most:
        raise Invalid(
            f"{len(asked.instances):,} rows are more than the {most:,} that one request may have.",
            remedy="Send them in several requests, or raise serving.limits.rows.",
        )
    rows: list[Row] = []
    warnings: list[Sequence[str]] = []
    for number, one in enumerate(asked.instances):
        row, warned = (one, []) if isinstance(one, list) else inputs.ordered(one, number)
        rows.append(row)
        warnings.append(warned)
    return Question(rows, single=False, warnings=warnings if any(warnings) else None)


def answer(outcome: Outcome, by: By, name: str, warned: Sequence[str], held_out: bool = False) -> bytes:
    """The answer to a single row."""
    return _encode(_answered(outcome, by, name, warned, held_out))


def answers(
    outcomes: Sequence[Outcome], by: By, names: Sequence[str], warned: Sequence[Sequence[str]] | None,
    held_out: Collection[str] = (),
) -> bytes:  # fmt: skip
    """The answer to a batch. ``held_out``: the names of rows that are."""
    said = warned or [()] * len(outcomes)
    every = zip(outcomes, names, said, strict=True)
    predictions = [_answered(one, by, name, told, name in held_out) for one, name, told in every]
    whole: dict[str, Any] = {
        "predictions": predictions, "model": by.model, "model_version": by.version, "variant": by.variant,
    }  # fmt: skip
    if by.release:
        whole |= {"release": by.release, "probability": by.probability}
    return _encode(whole)


def _answered(outcome: Outcome, by: By, name: str, warned: Sequence[str], held_out: bool) -> Answer:
    return Answer(
        outcome.prediction,
        outcome.prediction_name,
        outcome.confidence,
        outcome.probabilities,
        by.model,
        by.version,
        by.variant,
        by.release,
        by.probability,
        name,
        warned,
        held_out,
    )
