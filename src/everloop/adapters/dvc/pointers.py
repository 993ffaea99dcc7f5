"""What ``.dvc`` files and ``dvc.lock`` say: which data, under which md5."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from everloop.core.dvc import Pointer
from everloop.core.errors import Unreadable

from .library import read_yaml, unreadable

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def is_pointer(path: str) -> bool:
    """Whether a path is of a ``.dvc`` file or a ``dvc.lock``."""
    name = posixpath.basename(path)
    return name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")


Resolve = Callable[[], Mapping[str, str]]
"""The folder in which each stage works, from DVC's root, as DVC itself resolves its templates."""


def read_pointers(
    file: str, text: str, pipeline: str | None = None, resolve: Resolve = dict
) -> list[Pointer]:
    """The outputs that a pointer file names. ``pipeline`` is the ``dvc.yaml`` beside a ``dvc.lock``, which
    alone knows in which folder a stage works; ``resolve`` is asked where that is a template. Raises
    Unreadable, also for data outside of the project."""
    document = _mapping(file, read_yaml(text, file))
    folder = posixpath.dirname(file)
    if posixpath.basename(file) == "dvc.lock":
        stages = read_yaml(pipeline, posixpath.join(folder, "dvc.yaml")) if pipeline else {}
        return list(_of_lock(file, folder, document, stages, resolve))
    return list(_of_outs(file, posixpath.join(folder, str(document.get("wdir") or ".")), document))


def _of_lock(
    file: str, folder: str, lock: Mapping[str, Any], pipeline: Any, resolve: Resolve
) -> Iterator[Pointer]:
    stages = _mapping(file, lock.get("stages") or {}) if "schema" in lock else lock
    known = pipeline.get("stages") if isinstance(pipeline, Mapping) else {}
    known = known if isinstance(known, Mapping) else {}
    folders: Mapping[str, str] = {}
    for name, stage in stages.items():
        if isinstance(stage, Mapping):
            written = known.get(name) or known.get(str(name).partition("@")[0]) or {}
            written = written.get("do", written) if isinstance(written, Mapping) else {}
            place = posixpath.join(folder, str(written.get("wdir") or "."))
            if "${" in place:
                folders = folders or resolve()
                place = folders.get(str(name), "")
                if not place:
                    continue  # the dvc.yaml has this one no more, and DVC leaves it alone
            yield from _of_outs(file, place, stage)


def _of_outs(file: str, folder: str, document: Mapping[str, Any]) -> Iterator[Pointer]:
    outs: Any = document.get("outs") or []
    for out in outs if isinstance(outs, list) else [outs]:
        md5, path = _mapping(file, out).get("md5"), str(out.get("path") or "")
        if not isinstance(md5, str) or not _MD5.fullmatch(md5) or not path or "://" in path:
            continue  # never made, kept by a cloud's own versions, or outside of DVC's cache
        if out.get("cache") is False:
            continue  # git has it
        place = posixpath.normpath(posixpath.join(folder, path))
        if place.startswith(("/", "../")) or place == "..":
            raise Unreadable(
                f"{file} names '{place}', which lies outside of the DVC project.",
                remedy="Ask whoever made it; 'everloop dvc add' takes a copy inside of the project.",
            )
        yield Pointer(
            file=file,
            path=place,
            md5=md5,
            legacy=out.get("hash") is None,
            remote=out.get("remote"),
        )


def _mapping(file: str, given: Any) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    raise unreadable(f"{file} is not a file of DVC.")
