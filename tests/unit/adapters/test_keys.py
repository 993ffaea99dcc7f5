"""The file with keys: read whole or not at all, by its owner only, and never overwritten."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.adapters.blobs.keys import (
    PLAIN,
    Key,
    Keyring,
    from_text,
    new_key,
    read_keys,
    ring_of,
    to_text,
    write_keys,
)
from everloop.core.errors import Conflict, FileMissing, InvalidSettings, NotFound, StorageDenied
from everloop.settings import Settings, load_settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key(bytes(range(32)), NOW)


def settings_of(folder: Path, variables: dict[str, str] | None = None, **encryption: str) -> Settings:
    flags = [f"storage.encryption.{name}={value}" for name, value in encryption.items()]
    return load_settings(folder=folder, flags=flags, variables=variables or {})


def test_keys_survive_their_file(tmp_path: Path) -> None:
    ring = Keyring((KEY,), plain=True).with_new(NOW)
    path = tmp_path / "folder" / "keys.json"
    write_keys(path, ring, new=True)
    assert read_keys(path) == ring
    assert ring_of(settings_of(tmp_path, key_file="folder/keys.json")) == ring
    assert ring.newest != KEY
    assert ring.ids == [ring.newest.id, KEY.id, PLAIN]


def test_only_its_owner_can_read_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, Keyring((KEY,)), new=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_keys(path, Keyring((new_key(NOW), KEY)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(InvalidSettings, match=f"mode {mode:o}") as told:
            read_keys(path)
        assert told.value.remedy == f"chmod 600 {path}"


def test_a_key_file_is_never_overwritten_by_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, Keyring((KEY,)), new=True)
    for look in (Path.exists, lambda _: False):  # also when it comes between looking and writing
        monkeypatch.setattr(Path, "exists", look)
        with pytest.raises(Conflict, match="already"):
            write_keys(path, Keyring((new_key(NOW),)), new=True)
    monkeypatch.undo()
    assert read_keys(path).keys == (KEY,)
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


def test_keys_come_from_a_variable_as_well(tmp_path: Path) -> None:
    text = to_text(Keyring((KEY,)))
    found = ring_of(settings_of(tmp_path, {"OUR_KEYS": text}, key_variable="OUR_KEYS"))
    assert found == Keyring((KEY,))
    (tmp_path / ".env").write_text(f"OUR_KEYS='{json.dumps(json.loads(text))}'\n")
    assert ring_of(settings_of(tmp_path, key_variable="OUR_KEYS")) == found
    with pytest.raises(InvalidSettings, match="variable OTHER, which should hold the keys"):
        ring_of(settings_of(tmp_path, key_variable="OTHER"))


def test_a_key_that_was_changed_is_noticed() -> None:
    document = json.loads(to_text(Keyring((KEY, new_key(NOW)))))
    document["keys"][0]["key"] = document["keys"][1]["key"]
    with pytest.raises(InvalidSettings, match=f"the key '{KEY.id}' is not that key"):
        from_text(json.dumps(document), "keys.json")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "keys": [], "plain": false}',
     '{"format": 1, "keys": [{"id": "a", "key": "###", "created": "2026-01-01"}], "plain": false}',
     '{"format": 1, "keys": [{"id": "a"}], "plain": false}'],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_what_is_no_key_file_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"keys\.json holds no keys"):
        from_text(text, "keys.json")


def test_a_file_of_a_later_release_is_said_to_be_one() -> None:
    with pytest.raises(InvalidSettings, match="format 2; this release reads 1"):
        from_text('{"format": 2}', "keys.json")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="no key file"):
        ring_of(settings_of(tmp_path, key_file="~/nowhere/of/ours.json"))


def test_a_folder_in_its_place_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(StorageDenied, match="cannot be read"):
        read_keys(tmp_path)


def test_an_error_shows_nothing_of_a_key() -> None:
    secret = json.loads(to_text(Keyring((KEY,))))["keys"][0]["key"]
    assert secret not in repr(KEY)
    assert repr(KEY.secret) not in repr(Keyring((KEY,)))
    broken = to_text(Keyring((KEY,))).replace(KEY.id, "aaaaaaaa")
    with pytest.raises(InvalidSettings) as told:
        from_text(broken, "keys.json")
    assert secret not in str(told.value)


def test_the_key_that_encrypts_is_not_dropped() -> None:
    ring = Keyring((new_key(NOW), KEY), plain=True)
    assert ring.without(KEY.id).ids == [ring.newest.id, PLAIN]
    assert ring.without(PLAIN).ids == [ring.newest.id, KEY.id]
    with pytest.raises(Conflict, match="newest"):
        ring.without(ring.newest.id)
    with pytest.raises(NotFound, match="no key 'plane'") as told:
        ring.without("plane")
    assert "Did you mean 'plain'?" in told.value.remedy
