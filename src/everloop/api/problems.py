"""Errors as HTTP answers: RFC 9457 problem documents that satisfy the Open Inference Protocol, too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from everloop.core.errors import (
    Conflict,
    Corrupt,
    DeploymentError,
    Invalid,
    MLOpsError,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
    nearest,
)
from everloop.serving.inputs import Rejected

MEDIA_TYPE = b"application/problem+json"
RETRY_AFTER = 1  # seconds
_SEE = "See /docs for what there is, and what it takes."

STATUS: tuple[tuple[type[MLOpsError], int], ...] = (
    (Rejected, 422),
    (NotFound, 404),
    (Invalid, 400),
    (Conflict, 409),
    (DeploymentError, 409),
    (Refused, 403),
    (TimedOut, 504),
    (Unavailable, 503),
    (Corrupt, 503),
)


class HttpError(MLOpsError):
    """What only HTTP knows of: a wrong method, a body too large, too many requests."""

    def __init__(
        self, status: int, code: str, message: str, *, remedy: str = "", retry: int = 0, allow: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code
        self.retry = retry
        self.allow = allow


class BadRequest(HttpError):
    """A request whose parts are not as described; ``errors`` names each, ``known`` the fields there are where
    the first has one that there is not."""

    def __init__(self, errors: list[dict[str, str]], known: Iterable[str] = (), *, remedy: str = "") -> None:
        first = errors[0]
        value = "" if first["reason"] == "is missing" else f"is {first['value']}: "
        more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
        remedy = nearest(first["field"].rpartition(".")[2], known) if known else remedy or _SEE
        super().__init__(
            422, "invalid_request", f"'{first['field']}' {value}{first['reason']}.{more}",
            remedy=remedy,
        )  # fmt: skip
        self.errors = errors


def unexpected() -> Unavailable:
    """What is told of a failure that nobody foresaw: its cause is in the log."""
    return Unavailable(
        "The server could not answer this request.",
        remedy="Try again; what went wrong is in the server's log, under the request's id.",
    )


def status_of(error: MLOpsError) -> int:
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in STATUS if isinstance(error, kind)), 503)


def document(error: MLOpsError, request_id: str) -> dict[str, Any]:
    """``error`` is what the inference protocol asks for; ``errors`` names each wrong input."""
    status = status_of(error)
    told: dict[str, Any] = {
        "type": f"urn:everloop:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "remedy": error.remedy,
        "error": str(error),
        "request_id": request_id,
    }
    if isinstance(error, Rejected):
        told["errors"] = [
            {"field": one.field, "value": one.value, "reason": one.reason, "allowed": one.allowed}
            | ({} if one.row is None else {"row": one.row})
            for one in error.wrong
        ]
    elif isinstance(error, BadRequest):
        told["errors"] = error.errors
    return told


def body(error: MLOpsError, request_id: str) -> bytes:
    return json.dumps(document(error, request_id)).encode()


def headers(error: MLOpsError) -> list[tuple[bytes, bytes]]:
    """Those of the answer beyond its type and length."""
    status = status_of(error)
    found = []
    if status in (429, 503):
        retry = error.retry if isinstance(error, HttpError) and error.retry else RETRY_AFTER
        found.append((b"retry-after", str(retry).encode()))
    if isinstance(error, HttpError) and error.allow:
        found.append((b"allow", error.allow.encode()))
    return found


def unforeseen(error: Exception) -> Unavailable:
    """What is told of a failure that nobody foresaw, with its cause."""
    told = unexpected()
    told.__cause__ = error
    return told


def not_logged() -> HttpError:
    return HttpError(
        503, "log_unavailable", "Predictions cannot be logged now, so none are made.",
        remedy="Try again later; serving.log.when_full: shed answers without logging.",
    )  # fmt: skip


def unlogged(error: MLOpsError, *, refused: bool) -> str:
    """What the server's log is told when predictions cannot be logged."""
    instead = "refused" if refused else "answered all the same"
    return f"Predictions cannot be logged, and are {instead}: {error}"


def overloaded() -> HttpError:
    return HttpError(
        503, "overloaded", "More requests wait than this worker may hold.", remedy="Try again soon."
    )
