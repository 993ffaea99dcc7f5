"""V2 requests that differ only in their values, read in a third of the time.

A client writes the same JSON again and again, with other values in it. What stands around them is learnt, and
one regular expression takes the next request apart. It fits only where the values are numbers and texts
without escapes, so that the whole reader would have found the same; all else goes to the whole reader.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from typing import Any

import msgspec

from everloop.core.errors import Invalid

from . import openinference
from .inputs import Inputs
from .openinference import Request
from .plain import Question

KEPT = 4  # kinds of request to one model
LONGEST = 8_000  # bytes of one: a longer one takes long to learn
RAREST = 100_000  # requests of no known kind until the next is learnt, at most
_TEXT = rb'"[^"\\\x00-\x1f]*"'
_NUMBERS = rb"[-+0-9.eEnul, \t\r\n]*"  # or nulls; what else it fits is no JSON
_DATA = re.compile(rb'"data"\s*:\s*\[\s*(%b|%b)\s*\]' % (_TEXT, _NUMBERS))
_ID = re.compile(rb'"id"\s*:\s*(%b)' % _TEXT)
_values = msgspec.json.Decoder(list[Any]).decode


class Reader:
    """Reads requests to one model."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._kinds: list[Kind] = []
        self._others = 0
        self._patience = 2

    def read(self, body: bytes | bytearray, header: int | None, most: int) -> tuple[Request, Question]:
        """A request and its rows, as ``openinference.read`` gives them. Raises Invalid, Rejected."""
        if header is not None:
            return openinference.read(body, header, self._inputs, most)
        for kind in self._kinds:
            found = kind.read(body)
            if found is not None:
                asked, row = found
                return asked, openinference.question_of([row], self._inputs, asked)
        asked, question = openinference.read(body, header, self._inputs, most)
        if len(body) <= LONGEST:
            self._learn(body, asked)
        return asked, question

    def _learn(self, body: bytes | bytearray, asked: Request) -> None:
        """Ever more rarely: each client may write as it likes, and learning is slow."""
        self._others += 1
        if self._others < self._patience:
            return
        self._others, self._patience = 0, min(2 * self._patience, RAREST)
        kind = learnt(bytes(body), asked, self._inputs)
        if kind is not None:
            self._kinds = [kind, *self._kinds][:KEPT]


class Kind:
    """Requests of one row that are alike but for their values, and for their id where it is at ``id_at``
    among them. ``places`` says at which of them each field of the model stands; None: in their order."""

    def __init__(
        self, around: re.Pattern[bytes], asked: Request, places: Sequence[int] | None, id_at: int | None,
        width: int,
    ) -> None:  # fmt: skip
        self._around = around
        self._asked = asked
        self._places = places
        self._id_at = id_at
        self._count = width + (id_at is not None)

    def read(self, body: bytes | bytearray) -> tuple[Request, list[Any]] | None:
        """The request and its row; None of another kind."""
        found = self._around.fullmatch(body)
        if found is None:
            return None
        try:
            values = _values(b"[" + b",".join(found.groups()) + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError):  # a text that is no UTF-8
            return None
        if len(values) != self._count:
            return None
        asked = self._asked
        if self._id_at is not None:
            asked = Request([], f"{values.pop(self._id_at)}", asked.parameters, asked.outputs)
        return asked, values if self._places is None else [values[at] for at in self._places]


def learnt(body: bytes, asked: Request, inputs: Inputs) -> Kind | None:
    """The kind of a request that was read whole; None where it is neither one plain value for each field nor
    one tensor of numbers for all of them."""
    tensors, width = asked.inputs, len(inputs.names)
    spans = [found.span(1) for found in _DATA.finditer(body)]
    if len(spans) != len(tensors):
        return None
    row = len(tensors) == 1 and tensors[0].shape == [1, width] != [1, 1]
    if row:
        if tensors[0].datatype not in openinference.FLOATS:
            return None
        fits, marks, places = [b"(%b)" % _NUMBERS], [b",".join(b"%d" % at for at in range(width))], None
    else:
        if openinference.single(tensors, inputs) is None or len(tensors) != width:
            return None
        texts = [tensor.datatype == "BYTES" for tensor in tensors]
        fits = [b"(%b|null)" % _TEXT if text else b"(%b)" % _NUMBERS for text in texts]
        marks = [b'"%d"' % at if text else b"%d" % at for at, text in enumerate(texts)]
        names = [tensor.name for tensor in tensors]
        places = [names.index(name) for name in inputs.names]
    id_at = None
    if asked.id is not None:
        found = _ID.search(body)
        if found is None:
            return None
        at = bisect(spans, found.span(1))
        id_at = width if row and at else at  # among the values
        spans.insert(at, found.span(1))
        fits.insert(at, b"(%b)" % _TEXT)
        marks.insert(at, b'"id"')
    edges = [0, *(edge for span in spans for edge in span), len(body)]
    around = [body[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    kind = Kind(
        re.compile(_woven([re.escape(text) for text in around], fits)),
        Request([], None, asked.parameters, asked.outputs),
        places,
        id_at,
        width,
    )
    return kind if _is_read_alike(kind, _woven(around, marks), inputs) else None


def _woven(around: Sequence[bytes], between: Sequence[bytes]) -> bytes:
    return b"".join(part for pair in zip(around, [*between, b""], strict=True) for part in pair)


def _is_read_alike(kind: Kind, body: bytes, inputs: Inputs) -> bool:
    """Whether a body with another value in each place is read as the whole reader reads it: then these are
    the places of the values, and nothing else is."""
    quick = kind.read(body)
    try:
        asked, question = openinference.read(body, None, inputs, 1)
    except Invalid:
        return False
    whole = (asked.id, asked.parameters, asked.outputs, question.rows)
    return quick is not None and (quick[0].id, quick[0].parameters, quick[0].outputs, [quick[1]]) == whole
