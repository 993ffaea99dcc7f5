"""Drift for Python: of data, of measured performance, of the errors, and detectors of one's own."""

from __future__ import annotations

import copy
import math
import reprlib
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from everloop import dashboard
from everloop.adapters.blobs.local import write_atomically
from everloop.adapters.river import DETECTORS
from everloop.core.errors import DriftDetectionError, Invalid, WrongType, nearest
from everloop.core.monitoring import Result
from everloop.flows.monitoring import comparing

from .refusals import errors_as
from .shown import shown

_OWN = ("drift_detected", "unable", "reason", "data_drift", "model_drift", "custom")  # keys of the answer
LOWER_IS_BETTER = ("loss", "error", "rmse", "mae", "mse", "brier", "latency", "mape", "median_ae")


class DataDrift(TypedDict):
    """``p_value``: that chance alone makes the strongest change there is, of those that are large enough to
    count, corrected for everything that was tested: drift is detected just where it is up to the threshold.
    0 where something is certain, such as another type; 1 where no change is large enough. The p-values of
    single ``results`` are not corrected. ``features``: those that drifted, each with what was found in
    words. ``unable``: nothing could be compared, and ``reason`` says why; ``p_value`` is None then."""

    drift_detected: bool
    unable: bool
    reason: str | None
    p_value: float | None
    features: dict[str, list[str]]
    results: list[Result]


class ModelDrift(TypedDict):
    """``degradation``: the largest loss of a metric, as a share of its reference (0.1: a tenth); ``metric``
    which one it was; ``degradations`` of all, negative where it got better."""

    drift_detected: bool
    degradation: float
    metric: str | None
    degradations: dict[str, float]


class ConceptDrift(TypedDict):
    """``alarms``: positions in the current losses at which they were too large to be as before."""

    drift_detected: bool
    alarms: list[int]
    detector: str


Custom = Callable[[Any, Any], Any]


class DriftDetector:
    """Compares what is with what was. It needs no project: what it is given is all it looks at.

    A subclass may add methods of its own; functions are registered by name and asked with ``detect``.

    Args:
        tenant_id: kept for those who have several; nothing is stored here.
    """

    _registered: dict[str, Custom]

    def __init__(self, tenant_id: str | None = None) -> None:
        self.tenant_id = tenant_id
        self._registered = {}

    @errors_as(DriftDetectionError)
    def detect_data_drift(
        self,
        reference_data: object,
        current_data: object,
        threshold: float = 0.05,
        *,
        to: str | Path | None = None,
    ) -> DataDrift:
        """Whether current data look other than the reference: numbers, categories, booleans, dates, texts,
        missing values, new and vanished categories, columns, and how they go together.

        ``threshold`` is the probability of finding drift where there is none, over all that is looked at; a
        change must also be large enough to count. Data are tables (pandas, Polars, Arrow, a file), lists of
        dicts, or arrays of (rows,) or (rows, features), whose columns are then ``feature_0``, ``feature_1`` …
        ``to`` is a file that gets a page of HTML with both distributions of each feature that drifted. Raises
        DriftDetectionError.
        """
        level = _number("The threshold", threshold)
        if not 0 < level < 1:
            raise Invalid(f"The threshold is {threshold!r}.", remedy="Give a probability, 0.05.")
        if to is not None and not isinstance(to, (str, PathLike)):
            raise WrongType(f"The page's file is {reprlib.repr(to)}.", remedy="Give a path: to='page.html'.")
        found = comparing.beside(reference_data, current_data, level)
        if to is not None:
            names = _name(reference_data, "reference data"), _name(current_data, "current data")
            page = dashboard.comparison.render(found, *names)
            write_atomically(Path(to).absolute(), page.encode())
        results = list(found.results)
        fired = [each for each in results if each.fired]
        features: dict[str, list[str]] = {}
        for each in fired:
            features.setdefault(each.subject, []).append(each.message)
        return shown(
            DataDrift(
                drift_detected=bool(fired),
                unable=found.reason is not None,
                reason=found.reason,
                p_value=found.p_value,
                features=features,
                results=results,
            )
        )

    @errors_as(DriftDetectionError)
    def detect_model_drift(
        self,
        reference_metrics: Mapping[str, float],
        current_metrics: Mapping[str, float],
        threshold: float = 0.1,
    ) -> ModelDrift:
        """Whether a metric lost more than ``threshold`` of its reference. Of losses, errors and latencies (by
        their names) less is better, of all others more. Raises DriftDetectionError."""
        for what, given in (("The reference", reference_metrics), ("The current metrics", current_metrics)):
            if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
                raise WrongType(
                    f"{what}: {reprlib.repr(given)}.", remedy='Give numbers by name: {"f1": 0.9}.'
                )
        limit = _number("The threshold", threshold)
        if not 0 <= limit < math.inf:
            raise Invalid(f"The threshold is {threshold!r}.", remedy="Give a share of 0 or more, 0.1.")
        shared = [name for name in reference_metrics if name in current_metrics]
        if not shared:
            raise DriftDetectionError(
                "No metric is in both.",
                remedy=f"The reference has {', '.join(map(repr, reference_metrics)) or 'none'}.",
            )
        lost = {name: _lost(name, reference_metrics[name], current_metrics[name]) for name in shared}
        worst = max(lost, key=lambda name: lost[name])
        return shown(
            ModelDrift(
                drift_detected=lost[worst] > limit,
                degradation=max(0.0, lost[worst]),
                metric=worst,
                degradations=lost,
            )
        )

    @errors_as(DriftDetectionError)
    def detect_concept_drift(
        self, reference_losses: object, current_losses: object, detector: str | None = None, **options: Any
    ) -> ConceptDrift:
        """Whether errors rose: losses (0 for right and 1 for wrong, or any loss) in the order of time. NaN
        and infinite ones are refused.

        ``detector``: ours, which may look as often as it likes [that], or one of the library river (adwin,
        ddm, eddm, page_hinkley, kswin; pip install 'everloop[river]'), which reads the reference first.
        Raises DriftDetectionError.
        """
        name, alarms = comparing.errors(reference_losses, current_losses, detector, options, DETECTORS)
        return shown(ConceptDrift(drift_detected=bool(alarms), alarms=alarms, detector=name))

    def check_drift(
        self,
        reference_data: object = None,
        current_data: object = None,
        reference_metrics: Mapping[str, float] | None = None,
        current_metrics: Mapping[str, float] | None = None,
        *,
        data_threshold: float = 0.05,
        model_threshold: float = 0.1,
    ) -> dict[str, Any]:
        """Both at once: ``data_drift``, ``model_drift`` (None without anything given for it), what registered
        detectors say (``custom``), and ``drift_detected`` for any of them. A registered detector that raises
        or says neither yes nor no is told as ``unable``, with the ``reason``. So is the whole, where a part
        of it could not be checked. Raises DriftDetectionError."""
        data = model = None
        custom: dict[str, Any] = {}
        if reference_data is not None or current_data is not None:
            data = self.detect_data_drift(reference_data, current_data, data_threshold)
            custom = {name: self._ask(name, reference_data, current_data) for name in self._registered}
        if reference_metrics is not None or current_metrics is not None:
            usual = {} if reference_metrics is None else reference_metrics
            current = {} if current_metrics is None else current_metrics
            model = self.detect_model_drift(usual, current, model_threshold)
        if data is None and model is None:
            raise DriftDetectionError("There is nothing to check.", remedy="Give data, metrics or both.")
        said = [each for each in (data, model, *custom.values()) if each is not None]
        silent = [each for each in said if isinstance(each, Mapping) and each.get("unable")]
        return shown(
            {
                "drift_detected": any(bool(_verdict(each)) for each in said),
                "unable": bool(silent),
                "reason": " ".join(str(each.get("reason")) for each in silent) or None,
                "data_drift": data,
                "model_drift": model,
                "custom": custom,
            }
        )

    def register(self, name: str, detector: Custom) -> None:
        """A function of (reference_data, current_data), under a name. It gets copies of tables, which it may
        change. What it returns is its answer: a bool, or a mapping with ``drift_detected``, a bool, and
        whatever else it tells (``p_value`` …). Raises DriftDetectionError."""
        if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
            raise DriftDetectionError(
                f"{name!r} is no name of a detector.", remedy="Use letters, digits, - and _."
            )
        if name in _OWN:
            raise DriftDetectionError(
                f"'{name}' is a key of check_drift's own answer.", remedy="Choose another name."
            )
        if not callable(detector):
            raise DriftDetectionError(
                f"{detector!r} is no function.", remedy="Register one of two arguments."
            )
        if name in self._registered:
            raise DriftDetectionError(f"'{name}' is registered already.", remedy="Choose another name.")
        self._registered[name] = detector

    def detect(self, name: str, reference_data: object, current_data: object) -> Any:
        """What the registered detector of this name says. Raises DriftDetectionError, also for one that
        raises itself or says neither yes nor no."""
        if not isinstance(name, str) or name not in self._registered:
            raise DriftDetectionError(
                f"No detector is called '{name}'.", remedy=nearest(str(name), self._registered)
            )
        try:
            said = self._registered[name](_own(reference_data), _own(current_data))
            is_answer = isinstance(_verdict(said), (bool, np.bool_))
        except (Exception, SystemExit) as error:
            why = ": ".join(filter(None, [type(error).__name__, str(error).rstrip(".")]))
            raise DriftDetectionError(
                f"The detector '{name}' could not check: {why}.",
                remedy="Correct it, or give it data that it takes.",
            ) from error
        if not is_answer:
            raise DriftDetectionError(
                f"The detector '{name}' could not check: it returned {' '.join(reprlib.repr(said).split())}.",
                remedy='Return a bool, or a mapping with one: {"drift_detected": True, "p_value": 0.01}.',
            )
        return said

    def _ask(self, name: str, reference_data: object, current_data: object) -> Any:
        try:
            return self.detect(name, reference_data, current_data)
        except DriftDetectionError as error:
            return {"drift_detected": False, "unable": True, "reason": error.message}


def _own(data: object) -> object:
    """A copy of what could be changed in its place: tables of pandas and Polars, arrays, rows in a list."""
    if isinstance(data, (list, dict)):
        return copy.deepcopy(data)
    made = getattr(data, "copy", None) or getattr(data, "clone", None)
    return made() if callable(made) and not isinstance(data, type) else data


def _name(source: object, otherwise: str) -> str:
    """What a page calls a table: the name of its file."""
    return Path(source).name if isinstance(source, (str, Path)) else otherwise


def _number(what: str, value: Any) -> float:
    try:
        if not isinstance(value, (bool, str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise WrongType(f"{what} is {reprlib.repr(value)}.", remedy="Give a number.")


def _lost(name: str, before: float, now: float) -> float:
    try:
        was, is_now = float(before), float(now)
    except (TypeError, ValueError) as error:
        raise DriftDetectionError(
            f"The metric '{name}' is {before!r} and {now!r}.", remedy="Give two numbers."
        ) from error
    if not math.isfinite(was) or not math.isfinite(is_now):
        raise DriftDetectionError(
            f"The metric '{name}' is {was} and {is_now}.", remedy="Give two finite numbers."
        )
    worse = is_now - was if any(part in name.lower() for part in LOWER_IS_BETTER) else was - is_now
    if worse == 0:
        return 0.0
    return worse / abs(was) if was else math.copysign(math.inf, worse)


def _verdict(found: Any) -> Any:
    return found.get("drift_detected") if isinstance(found, Mapping) else found
