"""Answers that decide over their own labels: which rows they mark, and the few that are held out from it.

A credit that is refused never shows whether it would have been paid back: labels of such rows are missing, or
made by the answer itself (the selective labels problem, Lakkaraju et al., KDD 2017). A row that is held out
is answered as any other, and told to be: who asked acts without the answer, so its label is as it would be.
Its weight is the inverse of the probability that a label like it is seen at all (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Literal, NamedTuple

Selection = Literal["decided", "seen", "hold_out"]
_PERSON = b"hold-out"
_WHOLE = 2**64


class Mark(NamedTuple):
    """How a row's label comes about: ``decided`` by the answer, ``seen`` as the answer let it be seen, or of
    a ``hold_out`` row. ``inclusion``: the probability with which the label of such a row is seen as it would
    be without the model; 0 for one that is decided. Both None: as it would be, like all others."""

    selection: Selection | None
    inclusion: float | None


UNMARKED = Mark(None, None)


class Feedback:
    """Marks the answers of a model.

    Args:
        answers: those that decide over the label, as classes are called; None: each one does.
        hold_out: the share of rows that is held out (0 to 1).
    """

    def __init__(self, answers: Collection[str] | None, hold_out: float) -> None:
        self.answers = None if answers is None else frozenset(answers)
        self.hold_out = hold_out
        self._below = int(hold_out * _WHOLE)

    def held_out(self, prediction_id: str) -> bool:
        """By the BLAKE2b hash (RFC 7693) of the prediction's id, which the server draws: nobody who asks can
        choose."""
        hashed = blake2b(prediction_id.encode(), digest_size=8, person=_PERSON).digest()
        return int.from_bytes(hashed) < self._below

    def mark(self, prediction_id: str, label: str | float) -> Mark:
        """Of the row that was answered so."""
        decides = self.answers is None or label in self.answers
        if self.held_out(prediction_id):
            return Mark("hold_out", self.hold_out if decides else 1.0)
        if decides:
            return Mark("decided", 0.0)
        return Mark("seen", 1.0) if self.hold_out else UNMARKED
