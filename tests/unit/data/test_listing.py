"""Versions of files: their ids, what no listing may name, patterns, and what lies between two of them."""

from __future__ import annotations

from hashlib import sha256

import pyarrow as pa
import pytest

from everloop.core.errors import Corrupt
from everloop.core.files import Renamed
from everloop.data import filediff, listing
from everloop.data.listing import Listed
from everloop.data.patterns import Ignored


def row(path: str, content: bytes = b"x", kind: str = "file") -> Listed:
    return Listed(path, kind, len(content), sha256(content).digest(), b"")


FILES = [
    row("a.txt", b"hello\n"),
    row("bin/run", b"#!/bin/sh\n", "executable"),
    row("data/ä ö.csv", b"a,b\n1,2\n"),
    row("empty", b""),
    row("link", b"data/\xc3\xa4 \xc3\xb6.csv", "link"),
    row("nothing", b"", "folder"),
]


@pytest.mark.parametrize(
    ("rows", "algorithm", "expected"),
    [
        (FILES, "sha256", "8d46ffc5e9e3de8267ce184717852f0c9df0061b9b0f623bf80a398d52da21ed"),
        (FILES, "blake3", "6c5755e4445ebf59c6a6e4bb7a0e8aa07019e967a4884931eff9daf7155ad68b"),
        (FILES[:1], "sha256", "f50ebed48faa270ece5c97e0d20ca54fdaec61dc810bf7a1db289610b5db175c"),
    ],
    ids=["folder", "folder, blake3", "one file"],
)
def test_ids_are_pinned(rows: list[Listed], algorithm: str, expected: str) -> None:
    assert listing.version_id(listing.table(rows), algorithm) == expected


def test_ids_do_not_depend_on_order_or_chunks() -> None:
    cut = [file._replace(chunks=b"\1" * 36) for file in reversed(FILES)]
    assert listing.version_id(listing.table(cut), "sha256") == listing.version_id(
        listing.table(FILES), "sha256"
    )


@pytest.mark.parametrize(
    "other",
    [
        row("b.txt", b"hello\n"),
        row("a.txt", b"hello"),
        row("a.txt", b"hello\n", "executable"),
        row("a.txt", b"hello\n", "link"),
    ],
    ids=["name", "content", "mode", "kind"],
)
def test_ids_depend_on_names_content_and_kind(other: Listed) -> None:
    before = listing.version_id(listing.table(FILES), "sha256")
    assert listing.version_id(listing.table([other, *FILES[1:]]), "sha256") != before


@pytest.mark.parametrize(
    "rows",
    [
        [row("../out")],
        [row("/etc/passwd")],
        [row("a/../../b")],
        [row("a//b")],
        [row("./a")],
        [row("")],
        [row("a\0b")],
        [row("a", kind="link"), row("a/b")],
        [row("a"), row("a-"), row("a/b/c")],
        [row("a"), row("a", b"y")],
        [row("a", kind="socket")],
    ],
    ids=lambda rows: repr(rows[-1].path),
)
def test_a_hostile_listing_is_refused(rows: list[Listed]) -> None:
    with pytest.raises(Corrupt):
        listing.check(listing.table(rows))


def test_a_listing_in_another_order_or_of_other_columns_is_refused() -> None:
    good = listing.table(FILES)
    listing.check(good)
    for bad in (
        good.take([1, 0]),
        good.drop_columns(["kind"]),
        good.set_column(2, "size", pa.nulls(6, pa.int64())),
    ):
        with pytest.raises(Corrupt):
            listing.check(bad)


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [
        ("a", "b", True),
        ("a", "../b", False),
        ("x/a", "../b", True),
        ("x/a", "../../b", False),
        ("x/a", "y/../../../b", False),
        ("x/a", ".", True),
        ("a", "/etc/passwd", False),
        ("a", "", False),
    ],
)
def test_where_links_lead(path: str, target: str, inside: bool) -> None:
    assert listing.leads_inside(path, target) is inside


@pytest.mark.parametrize(
    ("lines", "ignored", "kept"),
    [
        (["*.tmp"], ["a.tmp", "x/y.tmp"], ["a.tmpl", "tmp"]),
        (["/top"], ["top"], ["x/top"]),
        (["x/*.log"], ["x/a.log"], ["x/y/a.log", "y/x/a.log"]),
        (["**/cache"], ["cache", "a/b/cache"], ["caches"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "b"]),
        (["# no", "", "[ab].txt", "?.md"], ["a.txt", "x/b.txt", "r.md"], ["c.txt", "rr.md", "# no"]),
        (["*.txt", "!keep.txt"], ["a.txt"], ["keep.txt", "x/keep.txt"]),
        (["[!a].txt"], ["b.txt"], ["a.txt"]),
        (["a.c"], ["a.c"], ["abc"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_ignored(lines: list[str], ignored: list[str], kept: list[str]) -> None:
    rules = Ignored(lines)
    assert [path for path in ignored if not rules(path, folder=False)] == []
    assert [path for path in kept if rules(path, folder=False)] == []


def test_a_slash_at_the_end_means_folders() -> None:
    rules = Ignored(["build/"])
    assert rules("x/build", folder=True)
    assert not rules("x/build", folder=False)


def test_chosen_by_patterns() -> None:
    table = listing.table(FILES)
    assert listing.matching(table, ["data"])["path"].to_pylist() == ["data/ä ö.csv"]
    assert listing.matching(table, ["*/run", "e*"])["path"].to_pylist() == ["bin/run", "empty"]
    assert listing.matching(table, ["a"]).num_rows == 0


def test_what_lies_between_two() -> None:
    after = [
        row("a.txt", b"hello!\n"),
        row("bin/run", b"#!/bin/sh\n"),
        row("new", b"new"),
        row("moved/ä.csv", b"a,b\n1,2\n"),
        *FILES[3:],
    ]
    found = filediff.compare(listing.table(FILES), listing.table(after), ("v1", "v2"))
    assert [file.path for file in found.added] == ["new"]
    assert found.removed == ()
    assert [file.path for file in found.changed] == ["a.txt", "bin/run"]
    assert found.renamed == (Renamed("data/ä ö.csv", "moved/ä.csv"),)
    assert found.kept == 3
    assert (found.bytes_before, found.bytes_after) == (38, 42)
