"""A reference of any table, its documents, and windows over it."""

import json

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.errors import Corrupt, EmptyTable, Invalid
from everloop.monitoring import checks, reference, windows

RNG = np.random.default_rng(0)


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "age": rng.normal(40, 10, rows),
            "job": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]),
            "paid": rng.random(rows) < 0.4,
            "day": pa.array(rng.integers(0, 300, rows), pa.int32()).cast(pa.date32()),
            "note": [f"{'x' * int(size)}{row}" for row, size in enumerate(rng.integers(0, 30, rows))],
        }
    )


def test_each_kind_is_known():
    built = reference.build(table(500))
    kinds = {name: feature.kind for name, feature in built.features.items()}
    assert kinds == {"age": "number", "job": "category", "paid": "boolean", "day": "date", "note": "text"}


def test_documents_are_read_back_without_loss():
    built = reference.build(table(500), phases=[row % 7 for row in range(500)])
    document = json.loads(json.dumps(built.to_document()))
    again = reference.Reference.from_document(document)
    assert again.to_document() == document
    window = windows.summarise(built, table(300, seed=1), phases="3")
    stored = json.loads(json.dumps(window.to_document()))
    assert windows.Window.from_document(again, stored).to_document() == stored
    one, two = (
        checks.check(each, one, alpha=0.01)
        for each, one in ((built, window), (again, windows.Window.from_document(again, stored)))
    )
    assert one == two


def test_a_damaged_document_is_refused():
    document = reference.build(table(50)).to_document()
    with pytest.raises(Corrupt, match="format 9"):
        reference.Reference.from_document({**document, "format": 9})
    with pytest.raises(Corrupt, match="damaged"):
        reference.Reference.from_document({**document, "packed": document["packed"][:-40]})


def test_nothing_makes_no_reference():
    with pytest.raises(EmptyTable):
        reference.build(table(0))
    with pytest.raises(Invalid, match="'phases' has 2 values"):
        reference.build(table(10), phases=[1, 2])
