"""The HTTP application of the office: history, labels, training data, retraining, metrics, pages.

Predictions are answered by the workers; they stand here for the description of the API only.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from everloop.api import problems
from everloop.api.problems import HttpError
from everloop.core.errors import MLOpsError

from . import descriptions, pages, routes
from .board import Board
from .metrics import Host

if TYPE_CHECKING:
    from .office import Office

_MEDIA = problems.MEDIA_TYPE.decode()


def make_app(office: Office) -> FastAPI:
    app: FastAPI = FastAPIOffline(
        title="Everloop",
        version=version("everloop"),
        description=descriptions.ABOUT,
        static_url="/docs/static",
    )
    app.state.office = office
    app.state.host = Host(office)
    app.state.board = Board(office, app.state.host)
    app.include_router(routes.router)
    app.include_router(pages.router)
    app.include_router(descriptions.router)
    app.add_exception_handler(MLOpsError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    return app


def problem(error: MLOpsError, request: Request) -> JSONResponse:
    """An error as a problem document."""
    request_id = request.headers.get("x-request-id", "")
    headers = {name.decode(): value.decode() for name, value in problems.headers(error)}
    return JSONResponse(
        problems.document(error, request_id), problems.status_of(error), headers=headers, media_type=_MEDIA
    )


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, MLOpsError)  # noqa: S101 (the only kind that comes here)
    return problem(error, request)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong with a request's parts, field by field."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (the only kind that comes here)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    shown = repr(first.get("input"))
    value = shown if len(shown) <= 80 else f"{shown[:80]}…"
    more = len(error.errors()) - 1
    told = HttpError(
        400 if first["type"] == "json_invalid" else 422,
        "invalid_request",
        f"'{field}' is {value}: {first['msg'][0].lower()}{first['msg'][1:]}."
        + (f" And {more} more." if more else ""),
        remedy="See /docs for what this takes.",
    )
    return problem(told, request)


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (the only kind that comes here)
    headers: Any = error.headers or {}
    told = HttpError(
        error.status_code,
        {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error"),
        f"There is no {request.method} {request.url.path}."
        if error.status_code in (404, 405)
        else error.detail,
        remedy="See /docs for what there is.",
        allow=headers.get("Allow", ""),
    )
    return problem(told, request)
