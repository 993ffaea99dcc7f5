"""Rows by an id as people give it: the whole, or a unique ending or beginning of it."""

from __future__ import annotations

from sqlalchemy import Column

from everloop.core.errors import NotFound, close

from .database import Row, Tx

_LEAST = 4  # characters


def is_part(given: str, name: str) -> bool:
    """Whether ``given`` is a beginning or an ending of an id that is long enough to name it."""
    return len(given) >= _LEAST and (name.startswith(given) or name.endswith(given))


def find(
    tx: Tx, column: Column[str], given: str, *, noun: str, listing: str, kind: type[NotFound] = NotFound
) -> Row:
    """The row with this id. Raises ``kind``, which names the ``noun`` and the command that lists them."""
    row = tx.row(column.table, column == given)
    if row is not None:
        return row
    part = given.lower()
    known = tx.distinct(column.table, column.name)  # documents are large: of 30,000 only the names are read
    matching = [name for name in known if is_part(part, name)]
    if len(matching) == 1:
        return find(tx, column, matching[0], noun=noun, listing=listing, kind=kind)
    if matching:
        shown = ", ".join(matching[:5])
        raise kind(f"'{given}' fits several {noun}s: {shown}.", remedy="Give more of it.")
    raise kind(
        f"There is no {noun} '{given}'.",
        remedy=f"{close(given, known[-12:])} '{listing}' shows all.".strip(),
    )
