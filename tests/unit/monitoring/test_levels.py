"""Columns of more levels than are kept by name: which are new is known all the same."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from everloop.monitoring import checks, reference, windows
from everloop.monitoring.columns import Coded
from everloop.monitoring.levels import LISTED, levels_of

EARLIER = Path(__file__).parent / "golden" / "levels_by_name.json"
MANY = 2_000


def shops(rows, seed, new=0.0, name="a new one"):
    rng = np.random.default_rng([31, seed])
    chosen = [f"shop {number}" for number in rng.integers(MANY, size=rows)]
    return pa.table({"shop": np.where(rng.random(rows) < new, name, chosen)})


KNOWN = reference.build(shops(50_000, 0))


def new_levels(table, known=KNOWN, alpha=0.01):
    results = checks.check(known, windows.summarise(known, table), alpha=alpha)
    return [each for each in results if each.statistic == "new_level" and each.fired]


@pytest.mark.parametrize("name", [f"new {number}" for number in range(20)])
def test_a_new_level_is_found_among_thousands_whatever_its_hash(name):
    (found,) = new_levels(shops(1_000, 1, 0.015, name))
    assert found.details["levels"].keys() == {name}
    assert "never seen in the reference" in found.message


def test_levels_that_are_rare_but_were_seen_are_not_new():
    rare = KNOWN.features["shop"].levels
    unlisted = next(f"shop {number}" for number in range(MANY) if f"shop {number}" not in rare.places)
    assert not new_levels(shops(1_000, 1, 0.05, unlisted))


def test_quiet_windows_have_no_new_levels():
    """A hundred windows at 1 %: of tests of counts so small far fewer than one in a hundred fire."""
    assert sum(bool(new_levels(shops(1_000, seed))) for seed in range(2, 102)) <= 3


def test_levels_that_come_once_make_new_ones_usual():
    rng = np.random.default_rng(3)
    draw = lambda rows: pa.table({"id": [f"n{number}" for number in rng.integers(6_000, size=rows)]})  # noqa: E731 - one line says it
    known = reference.build(draw(12_000))
    assert known.features["id"].levels.singles > 1_000
    later = draw(1_000)
    assert windows.summarise(known, later).features["id"].new > 80
    assert not new_levels(later, known)


def test_counts_of_new_levels_add_up_and_are_read_back():
    parts = [windows.summarise(KNOWN, shops(500, seed, 0.1)) for seed in (5, 6)]
    whole = windows.merge(parts)
    new = [each.features["shop"].new for each in (*parts, whole)]
    assert new[0] + new[1] == new[2] == whole.features["shop"].named["a new one"] > 50

    again = reference.Reference.from_document(KNOWN.to_document())
    assert again.to_document() == KNOWN.to_document()
    assert again.features["shop"].levels.others.size == MANY - LISTED
    assert windows.Window.from_document(again, whole.to_document()).to_document() == whole.to_document()


def test_all_levels_of_the_reference_are_known_and_none_else():
    names = [f"shop {number}" for number in range(MANY)]
    levels = levels_of(Coded(np.arange(MANY), names))
    assert len(levels.names) == LISTED
    assert levels.singles == MANY
    assert not any(levels.is_new(name) for name in names)
    assert sum(levels.is_other(name) for name in names) == MANY - LISTED
    assert all(levels.is_new(f"{name}!") for name in names)


@pytest.mark.parametrize("name", ["usual", "changed"])
def test_a_reference_of_an_earlier_release_is_judged_as_before(name):
    """It was written, and its windows judged, before the levels beyond the listed ones were kept."""
    document = json.loads(EARLIER.read_text())
    known = reference.Reference.from_document(document["reference"])
    window = windows.Window.from_document(known, document[name]["window"])
    fired = [[each.subject, each.statistic] for each in checks.check(known, window, alpha=0.01) if each.fired]
    assert sorted(fired) == document[name]["fired"]
    assert known.to_document()["rows"] == document["reference"]["rows"]


def test_new_windows_of_an_earlier_reference_are_judged_by_what_it_lists():
    known = reference.Reference.from_document(json.loads(EARLIER.read_text())["reference"])
    rng = np.random.default_rng(7)
    table = pa.table(
        {
            "shop": np.where(rng.random(500) < 0.1, "never seen", "s000"),
            "size": rng.choice(["s", "m", "l"], 500),
            "price": rng.normal(10, 2, 500),
        }
    )
    (found,) = new_levels(table, known)
    assert "not among its 256 most frequent levels" in found.message
