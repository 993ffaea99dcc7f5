"""The one mechanism for loading late: a package resolves its submodules (or names in them) on first use.

``import everloop`` and ``everloop --help`` stay fast because packages name what they have and load nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def submodules(package: str, names: Iterable[str]) -> Callable[[str], Any]:
    """A module ``__getattr__`` (PEP 562) that imports ``package.name`` for each of ``names``."""
    known = frozenset(names)

    def resolve(name: str) -> Any:
        if name in known:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return resolve


def attributes(package: str, sources: Mapping[str, str]) -> Callable[[str], Any]:
    """A module ``__getattr__`` that takes each name from the module that ``sources`` gives for it."""

    def resolve(name: str) -> Any:
        if name in sources:
            return getattr(import_module(sources[name]), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return resolve


def modules(package: str, paths: Mapping[str, str]) -> Callable[[str], Any]:
    """A module ``__getattr__`` that imports, for each name, the module that ``paths`` gives for it."""

    def resolve(name: str) -> Any:
        if name in paths:
            return import_module(paths[name])
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return resolve
