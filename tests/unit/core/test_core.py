"""Documents, ids, errors and laziness."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from everloop.core import errors, spans
from everloop.core.documents import dump, load
from everloop.core.errors import Corrupt, MissingExtra, MLOpsError, nearest
from everloop.core.ids import new_id
from everloop.core.lazy import attributes, submodules
from everloop.core.runs import Recipe, Split

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def subclasses(kind: type[MLOpsError]) -> list[type[MLOpsError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = re.findall(r"[├└]── (\w+)", str(errors.__doc__))
    assert sorted(drawn) == sorted(
        k.__name__ for k in subclasses(MLOpsError)[1:] if k.__module__ == errors.__name__
    )


def test_codes_are_distinct_and_an_error_says_what_to_do() -> None:
    kinds = [k for k in subclasses(MLOpsError) if k.__module__ == errors.__name__]
    assert len({k.code for k in kinds}) == len(kinds)
    assert str(MissingExtra("lightgbm", "boosting")).endswith("pip install 'everloop[boosting]'")
    assert errors.NotFound("No.", remedy="Look.").message == "No."


def test_nearest_helps() -> None:
    assert nearest("trian", ["train", "test"]) == "Did you mean 'train'?"
    assert nearest("x", ["train", "test"]) == "Known: 'test', 'train'."
    assert nearest("x", []) == "There is none yet."


def test_ids_sort_by_time_and_do_not_meet() -> None:
    ids = [new_id("run", NOW + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert len({new_id("run", NOW) for _ in range(2000)}) == 2000


def test_a_noun_survives_its_document() -> None:
    recipe = Recipe("y", params={"C": 1.0}, features=("a", "b"), split=Split("time", 0.25, "t"))
    document = dump(recipe)
    assert document["format"] == 1
    assert load(Recipe, document) == recipe


def test_a_newer_format_is_refused_and_an_older_one_upgraded() -> None:
    @dataclass(frozen=True)
    class Noun:
        FORMAT: ClassVar[int] = 3
        UPGRADES: ClassVar[Any] = {
            1: lambda d: {"full_name": d["name"]},
            2: lambda d: {**d, "age": 0},
        }
        full_name: str
        age: int

    with pytest.raises(Corrupt, match="format 4"):
        load(Noun, {"format": 4, "full_name": "x", "age": 1})
    with pytest.raises(Corrupt, match="no format number"):
        load(Noun, {"full_name": "x"})
    assert (
        load(Noun, {"format": 1, "name": "x"}) == load(Noun, {"format": 2, "full_name": "x"}) == Noun("x", 0)
    )
    assert dump(Noun("a", 1)) == {"format": 3, "full_name": "a", "age": 1}


def test_lazy_packages_know_only_what_they_name() -> None:
    resolve = submodules("everloop.core", ["ids"])
    assert resolve("ids").new_id is new_id
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        resolve("nothing")
    assert attributes("x", {"new_id": "everloop.core.ids"})("new_id") is new_id


def test_a_span_of_time_is_what_it_says() -> None:
    written = {"30s": 30, "1.5m": 90, "6h": 21_600, "7d": 604_800, "2w": 1_209_600, "0s": 0}
    assert {text: spans.seconds(text) for text in written} == written
    for wrong in ("", "5", "s", "-1d", "1 d", "5x", "30s\n", "٣d", "1e3s"):
        with pytest.raises(errors.Invalid, match="no span of time"):
            spans.seconds(wrong)
    with pytest.raises(errors.Invalid, match="century"):
        spans.seconds("999999999d")
