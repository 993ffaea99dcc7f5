"""The user's own functions, named ``file.py:function``. Their source is kept with the run that used it."""

from __future__ import annotations

from hashlib import sha256
from types import ModuleType
from typing import Any

from everloop.core.errors import FileMissing, Invalid, InvalidSettings, nearest

from . import artifacts
from .project import Project


def is_user_code(name: object) -> bool:
    return isinstance(name, str) and ".py:" in name


def keep_source(project: Project, spec: str) -> str:
    """Store the source of the file that ``spec`` names; returns its address."""
    return artifacts.keep(project, _source(project, spec), "py")


def read(project: Project, spec: str) -> Any:
    """The object that ``spec`` names as it is now, without keeping its source."""
    return _made(project, spec, _source(project, spec))


def _source(project: Project, spec: str) -> bytes:
    file, _ = _parts(spec)
    path = project.settings.root / file
    if not path.is_file():
        raise FileMissing(
            f"There is no file '{file}' in {project.settings.root} (for '{spec}').", remedy="Check the name."
        )
    return path.read_bytes()


def load(project: Project, spec: str, address: str) -> Any:
    """The object that ``spec`` names, from the stored source at ``address``.

    The module stays out of ``sys.modules``, so that classes it defines are pickled whole, with their code.
    """
    return _made(project, spec, artifacts.fetch(project, address))


def _made(project: Project, spec: str, source: bytes) -> Any:
    file, name = _parts(spec)
    module = ModuleType(f"everloop_user_{sha256(source).hexdigest()[:12]}")
    module.__file__ = str(project.settings.root / file)
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 (running the user's code is the feature)
    except Exception as error:
        raise Invalid(
            f"'{file}' cannot be loaded: {type(error).__name__}: {error}.",
            remedy="Run it with python to see where.",
        ) from error
    if not hasattr(module, name):
        found = [n for n in vars(module) if not n.startswith("_")]
        raise InvalidSettings(f"'{file}' has no '{name}'.", remedy=nearest(name, found))
    return getattr(module, name)


def _parts(spec: str) -> tuple[str, str]:
    file, _, name = spec.rpartition(":")
    if not file or not name:
        raise InvalidSettings(f"'{spec}' names no function.", remedy="Write it as file.py:function.")
    return file, name
