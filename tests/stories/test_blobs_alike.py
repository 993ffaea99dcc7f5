"""Wherever objects live, and encrypted or not, they behave alike: one body of tests for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.s3 import S3

from everloop.adapters.blobs.encrypted import EncryptedBlobs
from everloop.adapters.blobs.keys import Keyring, new_key
from everloop.adapters.blobs.local import LocalBlobs
from everloop.adapters.blobs.s3 import S3Blobs
from everloop.core.errors import NotFound
from everloop.core.ports import Blobs
from everloop.settings.storage import S3Access

FRAME = 1 << 16
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_PREFIXES = count(1)
Maker = Callable[[], Blobs]


@pytest.fixture(params=["folder", "s3", "encrypted folder", "encrypted s3", "turning encrypted"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """Makes empty stores of one kind. The last kind is encrypted and accepts plain objects as well."""
    kind = str(request.param)
    server: S3 | None = request.getfixturevalue("s3") if "s3" in kind else None
    key = new_key(NOW)

    def make() -> Blobs:
        number = next(_PREFIXES)
        sealed = "encrypted" in kind
        inner: Blobs = LocalBlobs(tmp_path / str(number), sealed=sealed)
        if server is not None:
            inner = S3Blobs(s3_access(server, f"alike/{number}/"), sealed=sealed)
        if sealed:
            return EncryptedBlobs(inner, Keyring((key,), plain="turning" in kind))
        return inner

    return make


def s3_access(server: S3, prefix: str = "", **changes: Any) -> S3Access:
    access = S3Access(
        server.bucket,
        prefix,
        server.endpoint,
        server.region,
        server.access_key,
        server.secret_key,
        allow_http=True,
        timeout=10,
        retries=2,
    )
    return replace(access, **changes)


def test_an_object_is_put_once_and_replaced_when_asked(make: Maker) -> None:
    blobs = make()
    blobs.put("t/packs/ab.pack", b"first")
    blobs.put("t/packs/ab.pack", b"second, and longer")
    assert blobs.get("t/packs/ab.pack") == b"first"
    assert blobs.size("t/packs/ab.pack") == 5
    blobs.replace("t/packs/ab.pack", b"third")
    blobs.replace("t/new", b"")
    assert blobs.get("t/packs/ab.pack") == b"third"
    assert blobs.get("t/new") == b""
    assert blobs.size("t/new") == 0
    assert blobs.exists("t/new")


def test_what_is_not_there_is_said_to_be_missing(make: Maker) -> None:
    blobs = make()
    blobs.put("t/here", b"1")
    assert blobs.size("t/absent") is None
    assert not blobs.exists("t/absent")
    assert not blobs.exists("t")
    for ask in (
        lambda: blobs.get("t/absent"),
        lambda: blobs.get("t"),
        lambda: blobs.ranges("t/absent", [(0, 4)]),
        lambda: blobs.ranges("t/absent", []),
    ):
        with pytest.raises(NotFound, match="missing"):
            ask()
    blobs.remove("t/absent")
    blobs.remove("t/here")
    assert not blobs.exists("t/here")
    assert list(blobs.entries()) == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a//b", "a/./b", "", "a\\b", "C:/x"])
def test_a_key_that_is_no_relative_path_is_refused(make: Maker, key: str) -> None:
    blobs = make()
    for ask in (
        lambda: blobs.put(key, b""),
        lambda: blobs.get(key),
        lambda: blobs.remove(key),
        lambda: blobs.ranges(key, [(0, 1)]),
    ):
        with pytest.raises(NotFound, match="is no object of"):
            ask()


def test_entries_are_those_that_begin_alike_with_their_sizes_and_times(make: Maker) -> None:
    blobs = make()
    before = datetime.now(UTC) - timedelta(seconds=2)
    sizes = {"a/x1": 0, "a/x2": 1, "a/y/z": FRAME, "ab/c": FRAME + 1, "b": 3 * FRAME, "a/ü 1%2F+#.bin": 7}
    for key, size in sizes.items():
        blobs.put(key, b"x" * size)
    for prefix in ("", "a", "a/", "a/x", "ab/", "a/y/z", "a/ü", "nothing", "no/thing/"):
        found = {entry.key: entry.size for entry in blobs.entries(prefix)}
        assert found == {key: size for key, size in sizes.items() if key.startswith(prefix)}, prefix
    assert all(before <= e.modified <= before + timedelta(minutes=5) for e in blobs.entries())
    assert blobs.sweep_drafts(datetime.now(UTC) + timedelta(days=1)) == 0
    assert len(list(blobs.entries())) == len(sizes)


def test_where_an_object_is_can_be_told(make: Maker) -> None:
    assert make().where("a/b").endswith("a/b")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_parts_are_what_slices_of_the_whole_would_be(make: Maker, data: st.DataObject) -> None:
    size = data.draw(
        st.sampled_from([0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME + 17, 40 * FRAME + 5])
    )
    content = (bytes(range(256)) * (size // 251 + 1))[: size - size // 7] + b"\xff" * (size // 7)
    edges = [0, 1, FRAME - 1, FRAME, FRAME + 1, size - 1, size, size + 1, size + 30 * FRAME]
    places = st.one_of(st.integers(0, size + FRAME), st.sampled_from([max(edge, 0) for edge in edges]))
    lengths = st.one_of(st.integers(0, 2 * FRAME), st.sampled_from([0, 1, FRAME, size, size + 1]))
    spans = data.draw(st.lists(st.tuples(places, lengths), max_size=12))
    blobs = make()
    blobs.put("t/object", content)
    assert blobs.get("t/object") == content
    assert blobs.size("t/object") == size
    assert blobs.ranges("t/object", spans) == [content[start : start + length] for start, length in spans]
