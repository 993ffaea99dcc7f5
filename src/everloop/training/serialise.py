"""Fitted pipelines to bytes and back: skops where it can, which runs no code on loading, else cloudpickle."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import joblib  # type: ignore[import-untyped]

from everloop import training
from everloop.core.errors import Corrupt, Invalid, MLOpsError, Refused


def dumps(pipeline: Any) -> tuple[bytes, str]:
    """The bytes and their format: ``skops``, or ``cloudpickle`` when skops cannot hold the pipeline or it has
    types that would not be trusted on loading. Two calls may give different bytes for the same pipeline."""
    safe = training.skopsfile.dumps(pipeline)
    return (cloudpickle.dumps(pipeline), "cloudpickle") if safe is None else (safe, "skops")


def loads(data: bytes, format: str, *, trust_pickle: bool = False) -> Any:  # noqa: A002
    """The pipeline. Raises Refused for types outside the allow-list, and for pickles unless trusted."""
    if format == "skops":
        return _read(lambda: training.skopsfile.loads(data))
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


def _read(reading: Callable[[], Any]) -> Any:
    try:
        return reading()
    except MLOpsError:
        raise
    except Exception as error:
        raise Corrupt(
            f"The model file cannot be read ({type(error).__name__}: {error}).",
            remedy="Restore it from a copy, or train again.",
        ) from error
