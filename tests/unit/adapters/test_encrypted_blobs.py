"""Encryption at rest: what was changed, moved, cut or put there by others is never returned as data."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.adapters.blobs import rekeying, sealing
from everloop.adapters.blobs.encrypted import EncryptedBlobs
from everloop.adapters.blobs.keys import PLAIN, Key, Keyring, new_key
from everloop.adapters.blobs.local import LocalBlobs
from everloop.adapters.blobs.sealing import FRAME, HEADER, SEALED
from everloop.core.errors import Corrupt, InvalidSettings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD, NEW = Key(bytes(range(32)), NOW), Key(bytes(range(1, 33)), NOW)
NAME = "t/packs/one.pack"
CONTENT = bytes(range(251)) * (3 * FRAME // 251 + 9)  # three frames and a bit


# Format 1, the key OLD, a salt of zeros, the name t/golden, the content b"golden".
GOLDEN = (
    "894556525345414c016f6532756c3467621000000000000000060000000000000000000000000000000000000000"
    "000000000000000000000000000000000000b19ac93b9a92000f5a67b50328797fcec17d21b62ed3"
)


@pytest.fixture
def inner(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "store", sealed=True)


@pytest.fixture
def blobs(inner: LocalBlobs) -> EncryptedBlobs:
    return EncryptedBlobs(inner, Keyring((OLD,)))


def test_nothing_of_the_content_is_stored_plain(inner: LocalBlobs, blobs: EncryptedBlobs) -> None:
    blobs.put(NAME, b"a secret" * 20_000)
    blobs.put("t/other", b"a secret" * 20_000)
    stored = inner.get(NAME)
    assert b"secret" not in stored
    assert stored[HEADER:] != inner.get("t/other")[HEADER:]  # equal contents cannot be told by equal bytes
    assert len({stored[i : i + 16] for i in range(0, len(stored), 16)}) == -(-len(stored) // 16)
    assert inner.get(NAME)[:HEADER].count(b"secret") == 0
    assert inner.where(NAME) == blobs.where(NAME)


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 5 * FRAME + 3])
def test_sizes_can_be_told_without_the_key(size: int) -> None:
    sealed = sealing.seal(OLD, NAME, bytes(size))
    assert len(sealed) == sealing.sealed_size(size)
    assert sealing.plain_size(len(sealed)) == size


def test_a_size_that_no_sealed_object_has_is_noticed() -> None:
    impossible = [0, HEADER, HEADER + 15, HEADER + SEALED + 1, HEADER + SEALED + 16]
    for stored in impossible:
        with pytest.raises(sealing.Broken):
            sealing.plain_size(stored)


def _flip(at: int) -> bytes:
    stored = bytearray(sealing.seal(OLD, NAME, CONTENT))
    stored[at] ^= 1
    return bytes(stored)


def _frames(*order: int) -> bytes:
    stored = sealing.seal(OLD, NAME, CONTENT)
    frames = [stored[HEADER + i * SEALED : HEADER + (i + 1) * SEALED] for i in range(4)]
    return stored[:HEADER] + b"".join(frames[i] for i in order)


def _resized(size: int, stored: bytes) -> bytes:
    return stored[:18] + struct.pack("!Q", size) + stored[26:]


DAMAGE = {
    "a flipped bit in the salt": _flip(40),
    "in what the header leaves empty": _flip(HEADER - 1),
    "in the size": _flip(25),
    "in the first frame": _flip(HEADER),
    "in a tag": _flip(HEADER + SEALED - 1),
    "in the last frame": _flip(HEADER + 3 * SEALED + 2),
    "frames swapped": _frames(1, 0, 2, 3),
    "a frame twice": _frames(0, 0, 2, 3),
    "a frame left out": _frames(0, 2, 3),
    "the last frame cut off": _frames(0, 1, 2),
    "cut off, and the header says so": _resized(3 * FRAME, _frames(0, 1, 2)),
    "all frames cut off": _frames(),
    "all cut off, and the header says so": _resized(0, _frames()),
    "cut within a frame": _frames(0, 1, 2, 3)[:-1],
    "cut within the header": _frames()[:20],
    "something added": _frames(0, 1, 2, 3) + b"\0",
    "another object": sealing.seal(OLD, "t/packs/two.pack", CONTENT),
    "another tenant's": sealing.seal(OLD, "u/packs/one.pack", CONTENT),
    "not encrypted": CONTENT,
    "empty": b"",
    "of a format to come": b"\x89EVRSEAL\x02" + bytes(100),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_and_never_returned(inner: LocalBlobs, blobs: EncryptedBlobs, damage: str) -> None:
    inner.put(NAME, DAMAGE[damage])
    with pytest.raises(Corrupt) as told:
        blobs.get(NAME)
    assert blobs.where(NAME) in told.value.message
    assert told.value.remedy
    spans = [(0, len(CONTENT)), (len(CONTENT) - 1, 1), (FRAME + 5, 9), (3 * FRAME, 4), (len(CONTENT), 5)]
    noticed = 0
    for start, length in spans:
        try:
            assert blobs.ranges(NAME, [(start, length)]) == [CONTENT[start : start + length]]
        except Corrupt:
            noticed += 1
    assert noticed, "a part that lies in damage must not come back"
    with pytest.raises(Corrupt):
        blobs.ranges(NAME, [(0, len(CONTENT))])
    list(blobs.entries())


def test_a_header_is_not_believed_before_a_frame_has_opened_with_it(
    inner: LocalBlobs, blobs: EncryptedBlobs
) -> None:
    inner.put(NAME, _resized(3, sealing.seal(OLD, NAME, CONTENT)))
    with pytest.raises(Corrupt):
        blobs.ranges(NAME, [(2 * FRAME, 5)])  # "beyond the end", says the header


def test_parts_are_opened_and_read_alone(
    inner: LocalBlobs, blobs: EncryptedBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put(NAME, CONTENT)
    asked: list[list[tuple[int, int]]] = []
    ranges = inner.ranges

    def counted(key: str, spans: list[tuple[int, int]]) -> list[bytes]:
        asked.append(list(spans))
        return ranges(key, spans)

    monkeypatch.setattr(inner, "ranges", counted)
    assert blobs.ranges(NAME, [(5, 3), (FRAME - 1, 2), (20, 4)]) == [
        CONTENT[5:8],
        CONTENT[FRAME - 1 : FRAME + 1],
        CONTENT[20:24],
    ]
    assert asked == [[(0, HEADER), (HEADER, 2 * SEALED)]]


def test_a_key_that_is_not_there_is_named(inner: LocalBlobs, blobs: EncryptedBlobs) -> None:
    blobs.put(NAME, CONTENT)
    other = EncryptedBlobs(inner, Keyring((NEW,)))
    for ask in (lambda: other.get(NAME), lambda: other.ranges(NAME, [(0, 1)])):
        with pytest.raises(InvalidSettings, match=f"needs the key '{OLD.id}'.*not among '{NEW.id}'"):
            ask()
    assert other.key_of(NAME) == OLD.id


def test_whoever_has_no_keys_is_told_that_it_is_encrypted(inner: LocalBlobs, blobs: EncryptedBlobs) -> None:
    blobs.put(NAME, CONTENT)
    with pytest.raises(InvalidSettings, match="is encrypted, and the settings name no keys"):
        LocalBlobs(inner.root).get(NAME)


def test_plain_objects_are_accepted_only_while_plain_is_in_the_ring(inner: LocalBlobs) -> None:
    inner.put(NAME, CONTENT)
    inner.put("t/short", b"x")
    turning = EncryptedBlobs(inner, Keyring((OLD,), plain=True))
    assert turning.get(NAME) == CONTENT
    assert turning.ranges(NAME, [(3, 4)]) == [CONTENT[3:7]]
    assert turning.size("t/short") == 1
    assert {e.key: e.size for e in turning.entries()} == {NAME: len(CONTENT), "t/short": 1}
    strict = EncryptedBlobs(inner, Keyring((OLD,)))
    for ask in (lambda: strict.get(NAME), lambda: strict.ranges(NAME, [(3, 4)])):
        with pytest.raises(Corrupt, match="not encrypted, and such objects are not accepted"):
            ask()


def test_objects_get_the_newest_key_and_those_that_have_it_stay(inner: LocalBlobs) -> None:
    inner.put("t/plain", b"plain")
    EncryptedBlobs(inner, Keyring((OLD,))).put("t/old", b"old")
    ring = Keyring((NEW, OLD), plain=True)
    blobs = EncryptedBlobs(inner, ring)
    blobs.put("t/new", b"new")
    EncryptedBlobs(inner, Keyring((OLD,))).put("u/of another tenant", b"old")
    kept = inner.get("t/new")
    assert rekeying.needed([blobs]) == {PLAIN: 1, OLD.id: 2, NEW.id: 1}
    steps: list[tuple[int, int]] = []
    done = rekeying.rekey([blobs], "t/", lambda count, total, _: steps.append((count, total)))
    assert (done.resealed, done.kept, done.damaged) == (2, 1, ())
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert inner.get("t/new") == kept
    assert rekeying.needed([blobs]) == {NEW.id: 3, OLD.id: 1}
    assert rekeying.beside([blobs], "t") == ["u"]
    strict = EncryptedBlobs(inner, Keyring((NEW,)))
    assert [strict.get(f"t/{name}") for name in ("plain", "old", "new")] == [b"plain", b"old", b"new"]


def test_a_damaged_object_is_told_and_left_and_the_others_get_their_key(
    inner: LocalBlobs, blobs: EncryptedBlobs
) -> None:
    blobs.put("t/a", b"a")
    blobs.put("t/b", b"b")
    blobs.put("t/c", b"c")
    inner.replace("t/b", inner.get("t/b")[:-1])
    newer = replace(blobs.ring, keys=(NEW, OLD))
    done = rekeying.rekey([EncryptedBlobs(inner, newer)], "t/", lambda *_: None)
    assert (done.resealed, len(done.damaged)) == (2, 1)
    assert inner.where("t/b") in str(done.damaged[0])
    inner.replace("t/c", inner.get("t/c")[:20])
    with pytest.raises(Corrupt):
        rekeying.needed([EncryptedBlobs(inner, newer)])


def test_an_interrupted_change_of_keys_goes_on_where_it_was(inner: LocalBlobs, blobs: EncryptedBlobs) -> None:
    for number in range(5):
        blobs.put(f"t/{number}", bytes([number]))
    newer = EncryptedBlobs(inner, Keyring((NEW, OLD)))

    def interrupt(count: int, total: int, name: str) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rekeying.rekey([newer], "t/", interrupt)
    assert all(newer.get(f"t/{number}") == bytes([number]) for number in range(5))
    done = rekeying.rekey([newer], "t/", lambda *_: None)
    assert (done.resealed, done.kept) == (2, 3)


def test_what_was_sealed_in_an_earlier_release_still_opens(inner: LocalBlobs) -> None:
    inner.put("t/golden", bytes.fromhex(GOLDEN))
    assert EncryptedBlobs(inner, Keyring((OLD,))).get("t/golden") == b"golden"
    assert OLD.id == "oe2ul4gb"


def test_new_keys_differ() -> None:
    assert len({new_key(NOW).id for _ in range(20)}) == 20
