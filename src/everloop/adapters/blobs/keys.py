"""The keys that stored objects are encrypted with, and the file or variable they come from.

A key's id is derived from the key, so one that was mistyped is noticed, and an object can say which key it
needs without telling anything of it. ``plain`` stands for no key at all: objects from before encryption was
turned on are accepted as long as it is in the ring, exactly as those of an older key are.
"""

from __future__ import annotations

import binascii
import json
import os
import stat
from base64 import b32encode, b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from everloop.core.errors import Conflict, FileMissing, InvalidSettings, NotFound, StorageDenied, nearest
from everloop.core.ids import random_bytes
from everloop.settings import Settings

from .local import write_atomically

FORMAT = 1
PLAIN = "plain"
_BYTES = 32


@dataclass(frozen=True)
class Key:
    """256 bits and their 8-character id."""

    secret: bytes = field(repr=False)
    created: datetime

    @property
    def id(self) -> str:
        short = HKDF(SHA256(), 5, None, b"everloop key id").derive(self.secret)
        return b32encode(short).decode().lower()


@dataclass(frozen=True)
class Keyring:
    """Keys, the newest first: it encrypts, all decrypt. With ``plain`` objects that are not encrypted are
    accepted."""

    keys: tuple[Key, ...]
    plain: bool = False

    @property
    def newest(self) -> Key:
        return self.keys[0]

    @property
    def ids(self) -> list[str]:
        return [key.id for key in self.keys] + [PLAIN] * self.plain

    def find(self, key_id: str) -> Key | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def with_new(self, now: datetime) -> Keyring:
        return replace(self, keys=(new_key(now), *self.keys))

    def without(self, key_id: str) -> Keyring:
        """Raises NotFound for a key that is not there, and Conflict for the one that encrypts."""
        if key_id not in self.ids:
            raise NotFound(f"There is no key '{key_id}'.", remedy=nearest(key_id, self.ids))
        if key_id == self.newest.id:
            raise Conflict(
                f"'{key_id}' is the newest key, which encrypts.",
                remedy="Add a newer one first: everloop data keys add.",
            )
        left = tuple(key for key in self.keys if key.id != key_id)
        return Keyring(left, self.plain and key_id != PLAIN)


def new_key(now: datetime) -> Key:
    return Key(random_bytes(_BYTES), now)


def to_text(ring: Keyring) -> str:
    keys = [
        {"id": key.id, "created": key.created.isoformat(), "key": b64encode(key.secret).decode()}
        for key in ring.keys
    ]
    return json.dumps({"format": FORMAT, "keys": keys, "plain": ring.plain}, indent=1) + "\n"


def from_text(text: str, whence: str) -> Keyring:
    """The ring that ``to_text`` has written. Raises InvalidSettings, which shows nothing of the keys."""
    try:
        document = json.loads(text)
        number = document["format"]
        if number != FORMAT:
            raise InvalidSettings(
                f"The keys in {whence} have format {number!r}; this release reads {FORMAT}.",
                remedy="They were written by a newer release: upgrade everloop.",
            )
        keys = tuple(_key(one, whence) for one in document["keys"])
        plain = document["plain"]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise _unreadable(whence) from None
    if not keys or not isinstance(plain, bool):
        raise _unreadable(whence)
    return Keyring(keys, plain)


def _key(one: Mapping[str, str], whence: str) -> Key:
    key = Key(b64decode(one["key"], validate=True), datetime.fromisoformat(one["created"]))
    if len(key.secret) != _BYTES or key.id != one["id"]:
        raise InvalidSettings(
            f"In {whence} the key '{one['id']}' is not that key: it was changed or cut.",
            remedy="Restore the keys from where you keep a copy.",
        )
    return key


def _unreadable(whence: str) -> InvalidSettings:
    return InvalidSettings(
        f"{whence} holds no keys.",
        remedy="Restore it from where you keep a copy; a new file is made by: everloop data keys new",
    )


def read_keys(path: Path) -> Keyring:
    """The keys in a file that nobody else may read."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileMissing(
            f"There is no key file {path}.",
            remedy="Restore it from where you keep a copy: without its keys nothing that is encrypted can be "
            "read. For a new store make one: everloop data keys new.",
        ) from error
    except (PermissionError, IsADirectoryError) as error:
        raise StorageDenied(f"The key file {path} cannot be read.", remedy="Check its owner.") from error
    except UnicodeDecodeError:
        raise _unreadable(str(path)) from None
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        raise InvalidSettings(
            f"The key file {path} can be read by others (mode {stat.S_IMODE(mode):o}).",
            remedy=f"chmod 600 {path}",
        )
    return from_text(text, str(path))


def ring_of(settings: Settings) -> Keyring:
    """The keys that the settings name."""
    chosen = settings.storage.encryption
    if chosen.key_file is not None:
        return read_keys(key_file(settings))
    name = chosen.key_variable or ""
    text = settings.variables.get(name)
    if not text:
        raise InvalidSettings(
            f"The environment variable {name}, which should hold the keys of stored objects, is not set.",
            remedy="Set it to what 'everloop data keys new' has shown, or correct storage.encryption.",
        )
    return from_text(text, f"the environment variable {name}")


def key_file(settings: Settings) -> Path:
    given = Path(settings.storage.encryption.key_file or "").expanduser()
    return Path(os.path.normpath(settings.root / given))


def write_keys(path: Path, ring: Keyring, *, new: bool = False) -> None:
    """Only its owner may read the file. With ``new`` one that is there is never overwritten."""
    text = to_text(ring).encode()
    if not (new and path.exists()):
        write_atomically(path, text, new=new, mode=0o600)
    if new and path.read_bytes() != text:
        raise Conflict(
            f"There is a key file {path} already.",
            remedy="Without its keys nothing can be read. To add a key to it: everloop data keys add",
        )
