"""A table -> segments and a manifest, storing what the version before does not have already.

Rows are recognised by their key in the version before and keep their place there; rows that are new get new
strips at the end (``planning``). Of each column the values that may have changed are compared with what they
were, and what differs becomes a patch, or new segments if it is much (``drafts``).
"""

from __future__ import annotations

from dataclasses import dataclass

import blake3
import pyarrow as pa
import pyarrow.types as kinds

from . import canonical, planning, rows, values
from .drafts import Draft, Known, Part, Slot, encoded, slot
from .manifest import Manifest, StoredColumn, refs
from .packs import Builder, Pack, Ref
from .planning import Plan
from .stored import Stored, encode_runs, runs_of
from .summaries import LARGE, Summary, encode, mark_of, summarise
from .survey import Survey
from .values import Values
from .workers import workers


@dataclass(frozen=True)
class Revision:
    """A manifest, the packs it needs that are not stored yet, and the summaries of the blocks of columns that
    are new or changed, of a large table."""

    manifest: Manifest
    packs: tuple[tuple[Pack, bytes], ...]
    summaries: dict[str, list[Summary]]


def revise(new: Survey, before: Stored | None, known: Known) -> Revision:
    """The manifest of a table as a successor of ``before`` (None: of nothing).

    ``known`` gives the stored segment with a fingerprint, if there is one in the packs of ``before``.
    """
    plan = planning.plan(new, before)
    builder = Builder()
    with workers() as pool:
        found = pool.map(lambda name: _draft(name, new, plan, before), new.columns)
        summed = pool.map(lambda name: _summarised(name, new, plan, before), new.columns)
        drafts, told = list(found), list(summed)
    slots = [draft.placed(builder, known) for draft in drafts]
    levels = [_levels(column, builder, known) for column in new.table.columns]
    summaries = [[slot(part, builder, known) for part, _ in column] for column in told]
    order = _order(plan, builder, known)
    builder.seal()
    columns = tuple(
        StoredColumn(
            new.digests[name],
            tuple(None if s is None else _ref(s, builder) for s in segments),
            tuple(_ref(s, builder) for s in patches),
            None if dictionary is None else tuple(_ref(s, builder) for s in dictionary),
            new.marks[name],
            tuple(_ref(s, builder) for s in known_of),
            new.leaves[name],
        )
        for name, (segments, patches), dictionary, known_of in zip(
            new.columns, slots, levels, summaries, strict=True
        )
    )
    ordered = None if order is None else _ref(order, builder)
    packs = {pack.id: pack for pack in before.manifest.packs} if before else {}
    packs |= {pack.id: pack for pack, _ in builder.sealed}
    needed = {ref.pack: None for ref in refs(columns, ordered)}
    manifest = Manifest(
        version_id=new.version_id,
        algorithm=new.algorithm,
        rows=new.table.num_rows,
        schema=new.table.schema,
        columns=columns,
        strips=plan.strips,
        order=ordered,
        key=new.key,
        blocks=new.ends,
        packs=tuple(packs[name] for name in needed),
    )
    fresh = tuple((pack, data) for pack, data in builder.sealed if pack.id in needed)
    blocks = {
        name: [summary for _, summary in column if summary is not None]
        for name, column in zip(new.columns, told, strict=True)
    }
    return Revision(manifest, fresh, {name: found for name, found in blocks.items() if found})


def _draft(name: str, new: Survey, plan: Plan, before: Stored | None) -> Draft:
    draft = Draft(name, new.columns[name], dict(zip(new.blocks, new.pieces[name], strict=True)), plan)
    # where nothing is built upon, no patch of then may meet the rows of now
    unknown = before is None or not plan.alive or name not in before.manifest.schema.names
    if before is None or unknown or _retyped(name, new, before):
        draft.write()
    elif plan.same and before.manifest.column(name).digest == new.digests[name]:
        draft.keep(before.manifest.column(name))
    else:
        draft.change(before, new.ends, new.marks[name])
    return draft


def _summarised(
    name: str, new: Survey, plan: Plan, before: Stored | None
) -> list[tuple[Part, Summary | None]]:
    """What the statistics of a large table's column are made of, block by block: kept where the block is, and
    not even read where the whole column is as it was."""
    if new.table.num_rows <= LARGE:
        return []
    refs: list[Ref | None] = [None] * len(new.ends)
    if before is not None and name in before.manifest.schema.names and not _retyped(name, new, before):
        stored = before.manifest.column(name)
        if stored.summaries:
            refs = [
                stored.summaries[block] if block >= 0 and stored.marks[block] == mark else None
                for block, mark in zip(plan.blocks, new.marks[name], strict=True)
            ]
    if before is None or not any(refs):
        return [_summary(piece) for piece in new.pieces[name]]
    if all(refs) and before.manifest.column(name).digest == new.digests[name]:
        return [(ref, None) for ref in refs if ref is not None]
    found = iter(before.summaries([ref for ref in refs if ref is not None]))
    return [
        (ref, next(found)) if ref is not None else _summary(piece)
        for ref, piece in zip(refs, new.pieces[name], strict=True)
    ]


def _summary(found: Values) -> tuple[Part, Summary | None]:
    summary = summarise(found)
    segment = encode(summary)
    return (segment, mark_of(segment)), summary


def _retyped(name: str, new: Survey, before: Stored) -> bool:
    now, then = (schema.field(name).type for schema in (new.table.schema, before.manifest.schema))
    return not values.stored_kind(now).equals(values.stored_kind(then))


def _levels(column: pa.ChunkedArray, builder: Builder, known: Known) -> list[Slot] | None:
    """A dictionary's values, in strips of their own."""
    array = canonical.joined(column)
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return store_levels(array.dictionary, builder, known) if kinds.is_dictionary(array.type) else None


def store_levels(levels: pa.Array, builder: Builder, known: Known) -> list[Slot]:
    """The values of a dictionary, in strips."""
    found = values.of(pa.chunked_array([levels]))
    starts = range(0, len(found), rows.AVERAGE)
    cut = (found.cut(start, min(start + rows.AVERAGE, len(found))) for start in starts)
    return [slot(encoded(some), builder, known) for some in cut]


def _order(plan: Plan, builder: Builder, known: Known) -> Slot | None:
    """Which stored rows the version has, in its order, where that is not simply all of them."""
    runs = runs_of(plan.places)
    if len(runs.starts) == 0 or (len(runs.starts) == 1 and runs.starts[0] == 0):
        return None
    order = encode_runs(runs)
    return slot((order, blake3.blake3(order).digest()), builder, known)


def _ref(where: Slot, builder: Builder) -> Ref:
    return where if isinstance(where, Ref) else builder.ref(where)
