"""Requests for predictions -> answers and the lines to log of them. Several that came at once are one batch.

``prepare`` reads and checks, then the model runs (here or elsewhere), then ``finish`` writes. Nothing here
waits or does I/O.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from everloop.core.errors import Invalid, MLOpsError, Unavailable
from everloop.core.serving import Form

from . import openinference, plain, who
from .answers import By, Failed, Logged, Outcome, Reading, RowsFailed, label_of
from .feedback import UNMARKED, Feedback, Mark
from .inputs import HIDDEN, InputPolicy, Inputs, Rejected, Row
from .plain import Question
from .repeated import Reader
from .routing import NOTHING, Split

Protocol = Literal["plain", "v2"]
Scores = npt.NDArray[Any]
Mask = Literal["hide", "hash"]
FALLBACK, CONSTANT = "fallback", "constant"  # the variant, and the version, of what answers for another
_TOLD = 200  # characters of the fields in a failure

_line = msgspec.json.Encoder().encode


class Raised(RowsFailed):
    """A model that runs elsewhere raised an ``error`` of this name. The message may quote what was asked."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message, remedy="Look at the model and its inputs.")
        self.error = error


@dataclass(frozen=True, eq=False)
class Served:
    """A model version that is ready to answer.

    ``run`` takes the tensors of ``Inputs.encode`` and gives scores; None for a model that runs in a process
    of its own, on raw rows. ``masked`` fields are logged hidden, or as a hash keyed with ``salt``. It answers
    under ``release`` with ``probability``; ``base`` is the same version without. ``feedback`` marks answers
    that decide over their labels.
    """

    name: str
    version: str
    variant: str
    form: Form
    run: Callable[[Any], Scores] | None
    policy: InputPolicy = field(default_factory=InputPolicy)
    masked: Mapping[str, Mask] = field(default_factory=dict)
    salt: bytes = b""
    release: str = ""
    probability: float | None = None
    base: Served | None = None
    feedback: Feedback | None = None

    @cached_property
    def inputs(self) -> Inputs:
        return self.base.inputs if self.base else Inputs(self.form, self.policy, self.masked)

    @cached_property
    def requests(self) -> Reader:
        return self.base.requests if self.base else Reader(self.inputs)

    @cached_property
    def reading(self) -> Reading:
        return self.base.reading if self.base else Reading(self.form)

    @cached_property
    def by(self) -> By:
        return By(self.name, self.version, self.variant, self.release, self.probability)

    def under(self, release: str, variant: str, probability: float | None) -> Served:
        """The same version, as one that answers under a release."""
        shown = probability if release else None
        return replace(self, variant=variant, release=release, probability=shown, base=self.base or self)

    @cached_property
    def _object(self) -> Callable[..., msgspec.Struct] | None:
        """Makes an object of values by name, in a quarter of the time that a dict takes."""
        if self.base:
            return self.base._object
        names = {f"f{place}": name for place, name in enumerate(self.inputs.names)}
        try:
            return msgspec.defstruct("Row", [(each, Any) for each in names], rename=names, gc=False)
        except ValueError:  # a name has a quote, a backslash or a control character
            return None

    def logged(self, row: Row) -> msgspec.Struct | dict[str, Any]:
        """A row's values by name, as they are logged."""
        if self._object is not None and not self.masked:
            return self._object(*row)
        values = dict(zip(self.inputs.names, row, strict=True))
        for name, how in self.masked.items():
            if values.get(name) is not None:
                values[name] = HIDDEN if how == "hide" else _hashed(values[name], self.salt)
        return values


@dataclass(frozen=True, eq=False)
class Target:
    """What a path asks for: a model by a protocol. Where a ``split`` chooses who answers, ``choices`` are
    the targets by its names, and ``model`` is the champion. ``named``: it asks for this version, and no other
    may answer."""

    model: Served
    protocol: Protocol = "plain"
    split: Split | None = None
    choices: Mapping[str, Target] = field(default_factory=dict)
    named: bool = False


class Ask:
    """A request for predictions. ``header`` is the length of the JSON in a body with binary tensors.

    ``entity`` is what headers say of who asks. ``unit``: what its arm was chosen for, where it is part of a
    comparison; ``failed``: why the model of that arm could not answer it.
    """

    __slots__ = ("body", "entity", "failed", "header", "received", "reply", "request", "request_id", "unit")

    def __init__(
        self, body: bytes | bytearray, request_id: str, received: float = 0.0, *, header: int | None = None
    ) -> None:
        self.body = body
        self.request_id = request_id
        self.received = received
        self.header = header
        self.request: openinference.Request | None = None
        self.reply: Reply | None = None
        self.entity = b""
        self.unit: str | None = None
        self.failed: MLOpsError | None = None


class Reply(msgspec.Struct, frozen=True):
    """The body of an answer, or the error. ``header``: the length of its JSON where binary tensors follow.
    ``prediction_id`` is what those of several rows begin with."""

    body: bytes = b""
    error: MLOpsError | None = None
    header: int | None = None
    rows: int = 0
    prediction_id: str = ""


class Batch:
    """Requests to one model that were read and checked, and their rows one after the other."""

    __slots__ = ("asks", "questions", "rows", "target", "tensors", "warned")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.asks: list[Ask] = []
        self.questions: list[Question] = []
        self.rows: list[Row] = []
        self.tensors: Any = None
        self.warned: list[list[str]] | None = None

    def add(self, ask: Ask, asked: Question) -> None:
        self.asks.append(ask)
        self.questions.append(asked)
        self.rows += asked.rows

    def halves(self) -> Sequence[Batch]:
        """The same requests in two batches."""
        found = []
        middle = len(self.asks) // 2
        for part in (slice(None, middle), slice(middle, None)):
            half = Batch(self.target)
            for ask, asked in zip(self.asks[part], self.questions[part], strict=True):
                half.add(ask, asked)
            half.encode()
            found.append(half)
        return found

    def encode(self) -> None:
        """Raises Rejected."""
        if self.rows:
            self.tensors, self.warned = self.target.model.inputs.encode(self.rows)


def route(target: Target, ask: Ask) -> str:
    """The name of the choice for a request to a target with a split; its unit is written into it."""
    split = target.split
    assert split is not None  # noqa: S101 (who asks has looked)
    said = NOTHING
    if split.asks(ask.entity):
        if target.protocol == "plain":
            said = who.plain(ask.body, split.by_rules)
        else:
            said = who.v2(ask.body, ask.header, split.by_rules)
    chosen, ask.unit = split.choose(ask.entity, ask.request_id, said)
    return chosen


def prepare(target: Target, asks: Sequence[Ask], most: int) -> Batch:
    """Read and check. An ask that is wrong gets its reply here and is not part of the batch."""
    batch = Batch(target)
    inputs = target.model.inputs
    plainly = target.protocol == "plain"
    for ask in asks:
        try:
            if plainly:
                asked = plain.question(ask.body, inputs, most)
            else:
                ask.request, asked = target.model.requests.read(ask.body, ask.header, most)
        except MLOpsError as error:
            ask.reply = Reply(error=error)
            continue
        batch.add(ask, asked)
    try:
        batch.encode()
    except Rejected:
        return _without_rejected(batch)
    return batch


def _without_rejected(batch: Batch) -> Batch:
    """The batch without the requests whose rows are refused."""
    kept = Batch(batch.target)
    for ask, asked in zip(batch.asks, batch.questions, strict=True):
        try:
            batch.target.model.inputs.encode(asked.rows)
        except Rejected as refused:
            ask.reply = Reply(error=refused)
            continue
        kept.add(ask, asked)
    kept.encode()
    return kept


def rows_for(other: Served, batch: Batch) -> list[Row]:
    """The rows of a batch as another model wants them: its fields by name. Raises Unavailable when it asks
    for one that they do not have."""
    names = batch.target.model.inputs.names
    if other.inputs.names == names:
        return batch.rows
    lacking = [name for name in other.inputs.names if name not in names]
    if lacking:
        raise Unavailable(f"{other.name}@{other.version} needs '{lacking[0]}', which was not sent.")
    places = [names.index(name) for name in other.inputs.names]
    return [[row[at] for at in places] for row in batch.rows]


def run(batch: Batch) -> Scores:
    """The scores of a batch whose model runs here."""
    model = batch.target.model
    if model.run is None:
        raise Unavailable(f"The model {model.name}@{model.version} does not run in this process.")
    return model.run(batch.tensors)


def fail(batch: Batch, error: MLOpsError) -> None:
    """Answer every request of a batch with an error."""
    for ask in batch.asks:
        ask.reply = Reply(error=error)


def finish(
    batch: Batch, scores: Scores, name: Callable[[], str], at: str, now: float, by: Served | None = None
) -> list[bytes]:
    """Write the answers of a batch into its asks; returns the lines to log.

    ``name`` gives prediction ids, ``at`` is the time as text, ``now`` the monotonic clock that ``received``
    was read from. ``by``: who answered, when it was not the target (a fallback). Raises RowsFailed for
    scores that are no numbers.
    """
    model, feedback = by or batch.target.model, batch.target.model.feedback
    outcomes = model.reading.outcomes(scores)
    lines: list[bytes] = []
    start = 0
    for ask, asked in zip(batch.asks, batch.questions, strict=True):
        end = start + len(asked.rows)
        some, base = outcomes[start:end], name()
        names = [base] if asked.single else [f"{base}.{place}" for place in range(end - start)]
        warned = _told(asked, batch.warned[start:end] if batch.warned else None)
        marks = _marks(feedback, names, some) if feedback else ()
        held = [at for at, mark in enumerate(marks) if mark.selection == "hold_out"] if marks else ()
        if ask.request is not None:
            body, header = openinference.response(ask.request, some, model.by, base, warned, held)
            ask.reply = Reply(body, header=header, rows=len(some), prediction_id=base)
        elif asked.single:
            told = warned[0] if warned else ()
            body = plain.answer(some[0], model.by, base, told, bool(held))
            ask.reply = Reply(body, rows=1, prediction_id=base)
        else:
            body = plain.answers(some, model.by, names, warned, {names[at] for at in held})
            ask.reply = Reply(body, rows=len(some), prediction_id=base)
        latency = round((now - ask.received) * 1000, 3)
        unit = ask.unit if by is None else None
        lines += _lines(batch.target.model, model, ask, asked, some, names, warned, at, latency, unit, marks)
        start = end
    return lines


def _marks(feedback: Feedback, names: Sequence[str], outcomes: Sequence[Outcome]) -> Sequence[Mark]:
    return [feedback.mark(name, label_of(one)) for name, one in zip(names, outcomes, strict=True)]


def _told(asked: Question, warned: Sequence[Sequence[str]] | None) -> Sequence[Sequence[str]] | None:
    if asked.warnings is None or warned is None:
        return asked.warnings if warned is None else (warned if any(warned) else None)
    return [[*one, *two] for one, two in zip(asked.warnings, warned, strict=True)]


def _lines(
    target: Served, model: Served, ask: Ask, asked: Question, outcomes: Sequence[Outcome],
    names: Sequence[str], warned: Sequence[Sequence[str]] | None, at: str, latency: float,
    unit: str | None, marks: Sequence[Mark],
) -> list[bytes]:  # fmt: skip
    return [
        _line(
            Logged(
                names[place], at, model.name, model.version, model.variant, ask.request_id or names[place],
                latency, target.logged(asked.rows[place]), label_of(outcome), outcome.confidence,
                outcome.probabilities, warned[place] if warned else (),
                model.release, model.probability, unit,
                *(marks[place] if marks else UNMARKED),
            )
        )
        + b"\n"
        for place, outcome in enumerate(outcomes)
    ]  # fmt: skip


def failure(model: Served, ask: Ask, name: str, at: str) -> bytes | None:
    """The line to log of a request that an arm could not answer, or whose inputs it refused; None of any
    other. ``name`` is the line's id, ``at`` the time as text."""
    refusal = ask.reply.error if ask.reply else None
    error = ask.failed or refusal
    if ask.unit is None or error is None or not (ask.failed or isinstance(error, Invalid)):
        return None
    said = error.code
    if isinstance(error, Rejected):  # names of fields, never a value
        known = {*model.inputs.names, "features"}
        fields = dict.fromkeys(one.field if one.field in known else "(unknown)" for one in error.wrong)
        said += f": {', '.join(fields)}"[:_TOLD]
    elif error.__cause__ is not None:
        cause = error.__cause__
        said += f": {cause.error if isinstance(cause, Raised) else type(cause).__name__}"
    return (
        _line(
            Failed(
                name, at, model.name, model.version, model.variant, model.release, ask.unit,
                "failed" if ask.failed else "refused", ask.request_id, said,
            )
        )
        + b"\n"
    )  # fmt: skip


def constant(form: Form, answer: Sequence[float], rows: int) -> Scores:
    """The scores of a constant for so many rows: probabilities in the order of the classes, or a value."""
    scores = np.tile(np.asarray(answer, dtype=np.float64), (rows, 1))
    return scores[:, 0] if form.task == "regression" else scores


def _hashed(value: Any, salt: bytes) -> str:
    return "sha256:" + hmac.new(salt, msgspec.json.encode(value), sha256).hexdigest()[:32]
