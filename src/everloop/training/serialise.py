"""Fitted pipelines to bytes and back: skops where it can, which runs no code on loading, else cloudpickle."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import joblib  # type: ignore[import-untyped]
import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from everloop.core.errors import Corrupt, Invalid, Refused

TRUSTED_PREFIXES = ("sklearn.", "numpy.", "scipy.", "xgboost.", "lightgbm.", "everloop.training.")
TRUSTED_NAMES = ("collections.OrderedDict",)


def dumps(pipeline: Any) -> tuple[bytes, str]:
    """The bytes and their format: ``skops``, or ``cloudpickle`` when skops cannot hold the pipeline or it has
    types that would not be trusted on loading. Two calls may give different bytes for the same pipeline."""
    try:
        data = skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        if not _untrusted(data):
            return data, "skops"
    except (UnsupportedTypeException, TypeError, ValueError, AttributeError, NotImplementedError):
        pass  # a type that skops cannot hold
    return cloudpickle.dumps(pipeline), "cloudpickle"


def loads(data: bytes, format: str, *, trust_pickle: bool = False) -> Any:  # noqa: A002
    """The pipeline. Raises Refused for types outside the allow-list, and for pickles unless trusted."""
    if format == "skops":
        trusted = trusted_types(data)
        return _read(lambda: skops.io.loads(data, trusted=trusted))
    if format not in ("cloudpickle", "joblib"):
        raise Invalid(
            f"Model format '{format}' is not known.", remedy="Known: 'skops', 'cloudpickle', 'joblib'."
        )
    if not trust_pickle:
        raise Refused(
            "This model is a pickle, and loading a pickle runs whatever code is inside it.",
            remedy="Load it with trust_pickle only if you trust who made it.",
        )
    return _read(lambda: joblib.load(BytesIO(data)) if format == "joblib" else cloudpickle.loads(data))


def trusted_types(data: bytes) -> list[str]:
    """The types in a skops file beyond skops' own list, all on ours.

    Raises Refused for any other, Corrupt for bytes that are no skops file.
    """
    refused = _untrusted(data)
    if refused:
        raise Refused(
            f"The model file holds types that are not trusted: {', '.join(refused)}.",
            remedy="Do not load it unless you know who made it; train the model again instead.",
        )
    return _types(data)


def _untrusted(data: bytes) -> list[str]:
    return [name for name in _types(data) if not _is_trusted(name)]


def _types(data: bytes) -> list[str]:
    return sorted(_read(lambda: skops.io.get_untrusted_types(data=data)))


def _read(reading: Callable[[], Any]) -> Any:
    try:
        return reading()
    except Exception as error:
        raise Corrupt(
            f"The model file cannot be read ({type(error).__name__}: {error}).",
            remedy="Restore it from a copy, or train again.",
        ) from error


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
