"""Errors of the Python API: each is a DeploymentError, MonitoringError … and what it is by itself."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from everloop.core.errors import DeploymentError, MLOpsError, MonitoringError, WrongType

P = ParamSpec("P")
R = TypeVar("R")
_CONFIG = ConfigDict(allow_inf_nan=False)


def as_deployment_errors(method: Callable[P, R]) -> Callable[P, R]:
    """Whatever a method refuses can be caught as DeploymentError, and as UnknownVersion, Conflict and so on.
    Message, remedy and code stay as they are. A value of another type than the method's hints say is refused
    as WrongType."""
    return _typed(method, DeploymentError)


def as_monitoring_errors(method: Callable[P, R]) -> Callable[P, R]:
    """The same of MonitoringError."""
    return _typed(method, MonitoringError)


def _typed(method: Callable[P, R], base: type[MLOpsError]) -> Callable[P, R]:
    signature = inspect.signature(method)

    @wraps(method)
    def refusing(*given: P.args, **named: P.kwargs) -> R:
        asked = signature.bind(*given, **named)
        with errors_as(base):
            for name, fits in _types(method).items():
                if name in asked.arguments:
                    asked.arguments[name] = _fitting(method, name, fits, asked.arguments[name])
            return method(*asked.args, **asked.kwargs)

    return refusing


@contextmanager
def errors_as(base: type[MLOpsError]) -> Iterator[None]:
    """Whatever is refused within can be caught as ``base``, too; also a decorator."""
    try:
        yield
    except base:
        raise
    except MLOpsError as error:
        raise _both(error, base) from error


@cache
def _types(method: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    hints = {name: hint for name, hint in get_type_hints(method).items() if name != "return"}
    return {name: TypeAdapter(hint, config=_CONFIG) for name, hint in hints.items()}


def _fitting(method: Callable[..., Any], name: str, fits: TypeAdapter[Any], value: Any) -> Any:
    try:
        return fits.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place, said = (
            ".".join([name, *_place(first["loc"], value)]),
            first["msg"].removeprefix("Value error, "),
        )
        raise WrongType(
            f"{place} is {reprlib.repr(first['input'])}: {said[0].lower()}{said[1:]}.",
            remedy=f"See help({method.__qualname__}).",
        ) from error


def _place(path: tuple[str | int, ...], value: Any) -> Iterator[str]:
    """Where in a value something is: the path without the names of types that end it."""
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return
        yield str(part)


def _both(error: MLOpsError, base: type[MLOpsError]) -> MLOpsError:
    kind = type(error)
    both: type[MLOpsError] = type(kind.__name__, (kind, base), {"__module__": kind.__module__})
    made = both.__new__(both)
    MLOpsError.__init__(made, error.message, remedy=error.remedy)
    return made
