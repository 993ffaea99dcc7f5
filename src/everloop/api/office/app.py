"""The HTTP application of the office: history, labels, training data, retraining, metrics, pages.

Predictions are answered by the workers; they stand here for the description of the API only.
"""

from __future__ import annotations

import logging
import re
import reprlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, get_args

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from everloop.api import problems
from everloop.api.problems import BadRequest, HttpError
from everloop.core.errors import Invalid, MLOpsError

from . import alerting, descriptions, looping, memory, pages, releasing, routes, watching
from .board import Board
from .metrics import Host
from .monitored import Monitored

if TYPE_CHECKING:
    from .office import Office

_MEDIA = problems.MEDIA_TYPE.decode()
_SEE = "See /docs for what there is, and what it takes."
_log = logging.getLogger("everloop.office")
_ROOMS = (routes, looping, releasing, watching, alerting, memory, pages, descriptions)
_ROUTERS = tuple(each.router for each in _ROOMS)
_BRANCH = re.compile(r"bool|int|float|str|(list|dict)\[.*")
_VALID = "input should be a valid "
_shown = reprlib.Repr()
_shown.maxlevel, _shown.maxstring, _shown.maxother = 2, 80, 80


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
    app.state.monitored = Monitored(office.project)
    for router in _ROUTERS:
        described = router.include_in_schema  # pages read their addresses themselves
        app.include_router(router, dependencies=[Depends(_known_parameters)] if described else [])
    app.add_exception_handler(MLOpsError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_middleware(_Unexpected)
    app.openapi_schema = _with_problems(app.openapi())
    return app


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The description with errors under the media type that they have."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    answer["content"] = {_MEDIA: next(iter(answer["content"].values()))}
    return document


class _Unexpected:
    """Failures that nobody foresaw: the cause goes to the log, a problem document to the client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:  # noqa: BLE001 (whatever it was, the client gets an answer)
            request = Request(scope)
            _log.exception(
                "request %s failed: %s %.200r",
                request.headers.get("x-request-id", ""), request.method, request.url.path,
            )  # fmt: skip
            await problem(problems.unexpected(), request)(scope, receive, send)


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
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return problem(Invalid(f"The body is no JSON: {found[0]['ctx']['error']}.", remedy=_SEE), request)
    remedy = "Send several requests of fewer items." if found[0]["type"] == "too_long" else ""
    return problem(BadRequest(_wrong(found), _known(request, found[0]), remedy=remedy), request)


async def _known_parameters(request: Request) -> None:
    """A filter that is misspelled would be none: it is refused. Raises BadRequest."""
    if not request.query_params:
        return
    paths = request.app.openapi()["paths"]
    described = paths.get(request.scope["route"].path, {}).get(request.method.lower(), {})
    known = [each["name"] for each in described.get("parameters", ()) if each["in"] == "query"]
    wrong = [
        {"field": name[:80], "value": _shown.repr(value), "reason": "is no parameter of this path"}
        for name, value in request.query_params.multi_items()
        if name not in known
    ]
    if wrong:
        raise BadRequest(wrong, known)


def _known(request: Request, wrong: Mapping[str, Any]) -> Sequence[str]:
    """The fields that there are, where the body or an item of one of its lists has one that there is not."""
    body = getattr(request.scope.get("route"), "body_field", None)
    if wrong["type"] != "extra_forbidden" or body is None:
        return ()
    shape = body.field_info.annotation
    for part in wrong["loc"][1:-1]:
        if isinstance(part, str):
            held = getattr(shape, "model_fields", {}).get(part)
            shape = held and next(iter(get_args(held.annotation)), None)
    fields = getattr(shape, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _wrong(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Each wrong part once, with its value and what is wrong: of what may be several things pydantic tells
    each for itself, with its name at the end of the place."""
    places: dict[str, tuple[str, list[str]]] = {}
    for one in found:
        place = one["loc"][1:6] or one["loc"]
        if len(place) > 1 and _BRANCH.fullmatch(str(place[-1])):
            place = place[:-1]
        told = one["msg"].removeprefix("Value error, ")
        said = f"{told[0].lower()}{told[1:]}".partition(" after validation")[0][:300]
        where = ".".join(str(part)[:80] for part in place)
        if one["type"] == "missing":
            said = "is missing"
        elif one.get("ctx", {}).get("pattern") == descriptions.SAYS:
            said = "is blank"
        places.setdefault(where, (_value(one), []))[1].append(said)
    return [
        {
            "field": where,
            "value": value,
            "reason": " or ".join([said[0], *(other.removeprefix(_VALID) for other in said[1:])]),
        }
        for where, (value, said) in places.items()
    ]


def _value(wrong: Mapping[str, Any]) -> str:
    """What was given; of what is too long, how long it is."""
    given: Any = wrong.get("input")
    if wrong["type"] == "missing":
        return "nothing"
    if wrong["type"] == "too_long":
        return f"{len(given):,} items"
    return "null" if given is None else _shown.repr(given)


def _methods(request: Request) -> list[str]:
    """What the path can be asked: Starlette tells the methods of its first route only."""
    known = [*request.app.routes, *(route for router in _ROUTERS for route in router.routes)]
    there = [
        each for each in known if isinstance(each, Route) and each.matches(request.scope)[0] != Match.NONE
    ]
    return sorted({method for route in there for method in route.methods or ()})


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (the only kind that comes here)
    told = HttpError(
        error.status_code,
        {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error"),
        f"There is no {request.method} {request.url.path}."
        if error.status_code in (404, 405)
        else error.detail,
        remedy=_SEE,
        allow=", ".join(_methods(request)) if error.status_code == 405 else "",
    )
    return problem(told, request)
