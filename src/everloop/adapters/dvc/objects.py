"""The objects that DVC keeps, by md5, in its cache and remotes. DVC trusts what lies there; we hash it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from everloop.core.dvc import Pointer, State
from everloop.core.errors import Corrupt, NotFound, Unavailable

from . import library

_AGAIN = "'dvc add' the original folder again where it is, and push."


class Objects:
    """The cache and the remotes of the DVC project at ``root``.

    What is fetched goes into the cache, or into the folder ``downloads`` where the cache is not to grow.
    """

    def __init__(self, root: Path, downloads: Path | None = None) -> None:
        self._root = root
        self._downloads = downloads
        self._checked: dict[tuple[str, bool], tuple[int, int]] = {}
        self._unreachable: dict[str, str] = {}  # a remote that did not answer is not asked again

    @cached_property
    def repo(self) -> Any:
        return library.open_repo(self._root)

    def place(self, md5: str, *, legacy: bool) -> Path:
        """Where the cache has, or would have, an object."""
        cache = self.repo.cache.legacy if legacy else self.repo.cache.local
        return Path(cache.oid_to_path(md5))

    def state(self, md5: str, *, legacy: bool) -> State:
        """Whether the cache has an object, by hashing it once."""
        return self._state(self.place(md5, legacy=legacy), md5, legacy)

    def examine(self, pointer: Pointer) -> Iterator[tuple[str, str, State]]:
        """Path, md5 and state of each object that a pointer needs, the list of a folder first."""
        state = self.state(pointer.md5, legacy=pointer.legacy)
        yield pointer.path, pointer.md5, state
        if pointer.is_folder and state == "whole":
            for path, md5 in read_folder(self.place(pointer.md5, legacy=pointer.legacy)):
                yield f"{pointer.path}/{path}", md5, self.state(md5, legacy=pointer.legacy)

    @contextmanager
    def guarded(self, pointers: Sequence[Pointer]) -> Iterator[None]:
        """Keep DVC from deleting objects: it removes a damaged one that can be written to, and trusts one
        that cannot. So the damaged ones are read-only meanwhile."""
        modes: dict[Path, int] = {}
        try:
            for pointer in pointers:
                for _, md5, state in self.examine(pointer):
                    if state == "damaged":
                        place = self.place(md5, legacy=pointer.legacy)
                        modes.setdefault(place, place.stat().st_mode)
                        place.chmod(0o444)
            yield
        finally:
            for place, mode in modes.items():
                place.chmod(mode)

    def obtain(self, md5: str, *, legacy: bool, remote: str | None = None, what: str) -> Path:
        """An object's file, whole: from the cache, else from the remote. ``what`` names it to people.

        Raises NotFound when neither has it, Corrupt when what they have is not what its md5 says.
        """
        place = self.place(md5, legacy=legacy)
        state = self._state(place, md5, legacy)
        if state == "whole":
            return place
        target = self._downloads / md5 if self._downloads else place
        if self._state(target, md5, legacy) == "whole" or self._fetch(md5, legacy, remote, target, what):
            return target
        if state == "damaged":
            raise Corrupt(
                f"{what}: DVC's object {place} is not what its md5 says, and no remote has a whole one.",
                remedy="Remove that file and 'dvc add' the original again, or restore it from backup.",
            )
        raise NotFound(
            f"{what}: neither DVC's cache nor a remote has the object {md5}{self._why(remote)}.",
            remedy="Run 'dvc push' where it was added, or set up the remote that has it, and try again.",
        )

    def release(self) -> None:
        """Remove what was downloaded beside the cache."""
        if self._downloads:
            shutil.rmtree(self._downloads, ignore_errors=True)

    def damaged(self, md5: str, *, legacy: bool, what: str) -> Corrupt:
        place = self.place(md5, legacy=legacy)
        return Corrupt(
            f"{what}: DVC's object {place} is not what its md5 says; nothing was written.",
            remedy="'everloop dvc pull FILE.dvc' replaces it by the remote's, after checking that.",
        )

    def _state(self, place: Path, md5: str, legacy: bool) -> State:
        try:
            now = place.stat()
        except FileNotFoundError:
            return "missing"
        seen = (now.st_mtime_ns, now.st_size)
        if self._checked.get((str(place), legacy)) == seen:
            return "whole"
        if library.md5_of(place, legacy=legacy) != md5.removesuffix(".dir"):
            return "damaged"
        self._checked[str(place), legacy] = seen
        return "whole"

    def _fetch(self, md5: str, legacy: bool, remote: str | None, target: Path, what: str) -> bool:
        """Bring an object from the remote, checked, in one move; whether the remote has it."""
        key = remote or ""
        if key in self._unreachable:
            return False
        config, kind = library.load("dvc.config"), "md5-dos2unix" if legacy else "md5"
        draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            there = self.repo.cloud.get_remote_odb(remote, "fetch", hash_name=kind)
            there.fs.get(there.oid_to_path(md5), str(draft))
        except FileNotFoundError:
            return False
        except config.ConfigError as error:
            self._unreachable[key] = str(error).partition("\n")[0]
            return False
        except Exception as error:  # noqa: BLE001 (each storage has errors of its own)
            self._unreachable[key] = f"{type(error).__name__}: {error}".partition("\n")[0]
            return False
        finally:
            whole = draft.exists() and library.md5_of(draft, legacy=legacy) == md5.removesuffix(".dir")
            if draft.exists() and not whole:
                draft.unlink()
        if not whole:
            raise Corrupt(
                f"{what}: the remote's object {there.oid_to_path(md5)} is not what its md5 says.",
                remedy="Remove it there and run 'dvc push' where the original is, or restore it from backup.",
            )
        draft.chmod(0o444)
        draft.replace(target)
        return True

    def _why(self, remote: str | None) -> str:
        reason = self._unreachable.get(remote or "")
        return f" ({reason})" if reason else ""


def read_folder(place: Path) -> Iterator[tuple[str, str]]:
    """Path and md5 of each file that the list of a folder (a ``.dir`` object) names."""
    try:
        listed = json.loads(place.read_bytes())
        yield from ((str(entry["relpath"]), str(entry["md5"])) for entry in listed)
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"DVC's list of a folder, {place}, cannot be read: {error}.", remedy=_AGAIN) from error
    except OSError as error:
        raise Unavailable(
            f"DVC's object {place} cannot be read: {error.strerror}.", remedy="Check its permissions."
        ) from error
