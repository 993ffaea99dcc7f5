"""Errors of the deployment objects of the Python API: each is a DeploymentError and what it is by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from everloop.core.errors import DeploymentError, MLOpsError

P = ParamSpec("P")
R = TypeVar("R")


def as_deployment_errors(method: Callable[P, R]) -> Callable[P, R]:
    """Whatever a method refuses can be caught as DeploymentError, and as UnknownVersion, Conflict and so on.
    Message, remedy and code stay as they are."""

    @wraps(method)
    def refusing(*given: P.args, **named: P.kwargs) -> R:
        try:
            return method(*given, **named)
        except DeploymentError:
            raise
        except MLOpsError as error:
            raise _both(error) from error

    return refusing


def _both(error: MLOpsError) -> MLOpsError:
    kind = type(error)
    both: type[MLOpsError] = type(kind.__name__, (kind, DeploymentError), {"__module__": kind.__module__})
    made = both.__new__(both)
    MLOpsError.__init__(made, error.message, remedy=error.remedy)
    return made
