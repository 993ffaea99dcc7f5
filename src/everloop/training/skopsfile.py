"""Fitted pipelines as skops files, which run no code on loading. Importing skops costs as much as
scikit-learn does, so ``serialise`` loads this module only for a model that needs it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from everloop.core.errors import Refused

TRUSTED_PREFIXES = ("sklearn.", "numpy.", "scipy.", "xgboost.", "lightgbm.", "everloop.training.")
TRUSTED_NAMES = ("collections.OrderedDict",)


def dumps(pipeline: Any) -> bytes | None:
    """None for a pipeline that skops cannot hold, or that has types that would not be trusted on loading."""
    try:
        data: bytes = skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    except (UnsupportedTypeException, TypeError, ValueError, AttributeError, NotImplementedError):
        return None  # a type that skops cannot hold
    return None if _refused(_types(data)) else data


def loads(data: bytes) -> Any:
    """Raises Refused for types outside the allow-list."""
    return skops.io.loads(data, trusted=trusted_types(data))


def trusted_types(data: bytes) -> list[str]:
    """The types in a skops file beyond skops' own list, all on ours. Raises Refused for any other."""
    types = _types(data)
    refused = _refused(types)
    if refused:
        raise Refused(
            f"The model file holds types that are not trusted: {', '.join(refused)}.",
            remedy="Do not load it unless you know who made it; train the model again instead.",
        )
    return types


def _refused(types: Iterable[str]) -> list[str]:
    return [name for name in types if not _is_trusted(name)]


def _types(data: bytes) -> list[str]:
    return sorted(skops.io.get_untrusted_types(data=data))


def _is_trusted(name: str) -> bool:
    """Listed, and a class or a numpy function of arrays: other functions of these libraries can run code."""
    if name in TRUSTED_NAMES:
        return True
    if not name.startswith(TRUSTED_PREFIXES):
        return False
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, (type, np.ufunc))
