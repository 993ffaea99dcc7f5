"""The ASGI side of a worker: health, the inference protocol, predictions that are not answered in one turn of
the loop (large, binary, compressed, or of models in another process), and all that the office does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from everloop.api import problems
from everloop.api.media import JSON_TYPE, is_json, unsupported
from everloop.api.problems import HttpError
from everloop.api.rates import EXEMPT
from everloop.core.errors import Invalid, MLOpsError, NotFound, TimedOut, Unavailable, nearest
from everloop.serving import bodies, desk, openinference
from everloop.serving.desk import Ask, Batch, Target

from .front import Front, Shown, overloaded
from .line import LINGER, SMALL, is_request_id

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Forward = Callable[[Scope, bytes, str], Awaitable[tuple[int, Headers, bytes]]]

COMPRESSED_FROM = 1_024  # bytes
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("everloop.worker")


class _IndexRequest(msgspec.Struct):
    ready: bool | None = None


_index_decoder = msgspec.json.Decoder(_IndexRequest)


class App:
    """An ASGI application. ``forward`` asks the office."""

    def __init__(self, front: Front, forward: Forward, server: Mapping[str, str]) -> None:
        self._front = front
        self._forward = forward
        self._server = server
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = _Call(scope, receive, send, self._front)
        try:
            await self._limit(call)
            await self._answer(call)
        except MLOpsError as error:
            if not call.counted:
                self._front.refused(call.path, call.request_id, error)
            await call.refuse(error)
        except _Gone:
            return
        except Exception:  # noqa: BLE001 (nobody shall see more of it than that it happened)
            _log.exception("request %s failed: %s %.200r", call.request_id, call.method, call.path)
            await call.refuse(problems.unexpected())

    async def _limit(self, call: _Call) -> None:
        """Refuse what is over the rate of its client."""
        rates = self._front.rates
        if rates is None or call.path in EXEMPT:
            return
        client = call.scope["client"]
        verdict = await rates.ask_store(client[0] if client else "", call.api_key)
        if verdict is None:
            self._front.counts.events["rate_unknown", "", ""] += 1
            self._front.problem = "The store of serving.limits.rate does not answer: no rate is limited."
            return
        call.rated = verdict.headers
        if refusal := verdict.refusal:
            raise refusal

    async def _answer(self, call: _Call) -> None:
        path, method = call.path, call.method
        if path == "/health":
            call.only("GET", "HEAD")
            await call.json(self._health())
        elif path in ("/ready", "/v2/health/ready"):
            call.only("GET", "HEAD")
            await call.json(self._ready() if path == "/ready" else {"ready": self._check_ready()})
        elif path == "/v2/health/live":
            call.only("GET", "HEAD")
            await call.json({"live": True})
        elif path == "/predict":
            call.only("POST")
            await self._predict(call, self._target(self._front.table.default, None, "plain"))
        elif path == "/v2":
            call.only("GET", "HEAD")
            await call.json({**self._server, "extensions": ["binary_tensor_data", "model_repository(index)"]})
        elif path == "/v2/repository/index":
            call.only("POST")
            body = await call.body(SMALL, any_type=True)
            if body:
                bodies.decode(_index_decoder, body, 'Send {}, or {"ready": true}.')
            await call.json(self._index())
        elif path.startswith(("/v2/models/", "/models/")) and (found := _model_path(path)):
            await self._of_model(call, method, *found)
        else:
            await self._from_office(call)

    # -- models ----------------------------------------------------------------------------------------------

    async def _of_model(self, call: _Call, method: str, v2: bool, name: str, version: str, act: str) -> None:
        if (v2, act) == (True, "infer") or (v2, act) == (False, "predict"):
            call.only("POST")
            await self._predict(call, self._target(name, version or None, "v2" if v2 else "plain"))
        elif v2 and act in ("", "ready"):
            call.only("GET", "HEAD")
            served = self._target(name, version or None, "v2").model
            if act == "ready":
                await call.json({"name": name, "ready": True})
                return
            versions = [version] if version else list(self._front.table.models[name].versions)
            await call.json(openinference.metadata(name, versions, served.form))
        else:
            await self._from_office(call)

    def _target(self, name: str, version: str | None, protocol: desk.Protocol) -> Target:
        models = self._front.table.models
        if not models:
            raise Unavailable(
                "No model is loaded.", remedy="Train one with 'everloop run', or wait a moment."
            )
        shown = models.get(name)
        if shown is None:
            raise NotFound(f"There is no model '{name}'.", remedy=nearest(name, models))
        served = shown.versions.get(version or shown.default)
        if served is None:
            raise NotFound(
                f"There is no version '{version}' of '{name}'.", remedy=nearest(version or "", shown.versions)
            )
        return Target(served, protocol)

    def _index(self) -> list[dict[str, str]]:
        return [
            {"name": shown.name, "version": version, "state": "READY", "reason": ""}
            for shown in self._front.table.models.values()
            for version in shown.versions
        ]

    def _health(self) -> dict[str, Any]:
        front = self._front
        shown = {name: _told(one) for name, one in front.table.models.items()}
        problem = self._not_ready()
        return {
            "status": "healthy" if problem is None else "unavailable",
            "timestamp": front.moment(),
            "ready": problem is None,
            **({"problem": problem} if problem else {}),
            **({"last_problem": front.problem} if front.problem else {}),
            "default_model": front.table.default,
            "models": shown,
            "version": self._server["version"],
        }

    def _not_ready(self) -> str | None:
        """Why a prediction would not succeed now."""
        front = self._front
        if front.draining:
            return "this worker is shutting down"
        if front.table.default not in front.table.models:
            return "no model is loaded"
        if front.log_full:
            return "the prediction log is further ahead of the database than allowed"
        return None

    def _check_ready(self) -> bool:
        problem = self._not_ready()
        if problem:
            raise Unavailable(f"Not ready: {problem}.", remedy="Try again soon.")
        return True

    def _ready(self) -> dict[str, Any]:
        return {"ready": self._check_ready(), "default_model": self._front.table.default}

    # -- predicting ------------------------------------------------------------------------------------------

    async def _predict(self, call: _Call, target: Target) -> None:
        front = self._front
        received, ask = front.now(), Ask(b"", call.request_id)
        call.counted, call.scope["target"] = True, target
        try:
            if self._running >= front.limits.waiting:
                raise overloaded()
            self._running += 1
            try:
                await self._predict_now(call, target, ask)
            finally:
                self._running -= 1
        except MLOpsError as error:
            ask.reply = desk.Reply(error=error)
        ask.received = received
        front.count(target, ask, front.now())
        reply = ask.reply
        if reply is None or reply.error is not None:
            raise (reply.error if reply and reply.error else problems.unexpected())
        if reply.header is not None:
            kind = [(b"content-type", b"application/octet-stream")]
            length = [(b"inference-header-content-length", str(reply.header).encode())]
            await call.send(200, kind + length, reply.body)
        else:
            await call.send(200, [(b"content-type", JSON_TYPE)], reply.body)

    async def _predict_now(self, call: _Call, target: Target, ask: Ask) -> None:
        front = self._front
        deadline = call.deadline(front.limits.deadline)
        ask.header = call.inference_header(target)
        untold = target.protocol == "v2" and b"content-type" not in call.headers  # as tritonclient does it
        ask.body = await call.body(front.limits.body, any_type=untold)
        ask.received = front.now()
        large = len(ask.body) > SMALL
        try:
            async with asyncio.timeout(deadline):
                if large:
                    loop = asyncio.get_running_loop()
                    batch = await loop.run_in_executor(None, desk.prepare, target, [ask], front.limits.rows)
                else:
                    batch = desk.prepare(target, [ask], front.limits.rows)
                lines = await self._run(batch, deadline, large) if batch.asks else []
        except TimeoutError:
            raise TimedOut(
                f"No answer within {deadline:g} s.",
                remedy="Send fewer rows, or raise serving.limits.deadline.",
            ) from None
        if front.log(lines, batch.asks):
            await front.synced()

    async def _run(self, batch: Batch, deadline: float, large: bool) -> list[bytes]:
        front, model = self._front, batch.target.model
        if model.run is not None:
            if large:
                return await asyncio.get_running_loop().run_in_executor(None, front.run, batch)
            return front.run(batch)
        return await front.run_native(batch, deadline)

    # -- the office ------------------------------------------------------------------------------------------

    async def _from_office(self, call: _Call) -> None:
        began = self._front.now()
        if b"%00" in call.scope["query_string"] or "\0" in call.path:
            raise Invalid("The address holds a NUL character.", remedy="Leave it out.")
        body = await call.body(self._front.limits.body, any_type=True)
        if b"\\u0000" in body:
            raise Invalid("The body holds a NUL character.", remedy="Leave it out: no database keeps it.")
        status, headers, answer = await self._forward(call.for_office(), body, call.request_id)
        self._front.events.request(call.request_id, status, self._front.now() - began, path=call.path)
        await call.send(status, headers, answer)


class _Gone(Exception):
    """The client went away."""


class _Call:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, front: Front) -> None:
        self.scope = scope
        self.path: str = scope["path"].rstrip("/") or "/"
        self.method: str = scope["method"]
        self._receive = receive
        self._send = send
        self.headers = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode("ascii") if is_request_id(given) else front.new_request_id()
        self._most = front.limits.body
        self._unread = True
        self.api_key = self.headers.get(b"x-api-key")
        self.rated: tuple[tuple[bytes, bytes], ...] = ()
        self.counted = False

    def only(self, *methods: str) -> None:
        if self.method not in methods:
            raise HttpError(
                405, "method_not_allowed", f"{self.path} does not take {self.method}.",
                remedy=f"Use {methods[0]}.", allow=", ".join(methods),
            )  # fmt: skip

    def for_office(self) -> Scope:
        """What the office is asked: HEAD as GET, with the request's id as it is known here."""
        headers = [pair for pair in self.scope["headers"] if pair[0] != b"x-request-id"]
        return {**self.scope, "headers": headers, "method": "GET" if self.method == "HEAD" else self.method}

    def deadline(self, most: float) -> float:
        """Seconds this request may take: the server's limit, or less where the client asks for it."""
        given = self.headers.get(b"request-timeout")
        if given is None:
            return most
        try:
            wanted = float(given)
        except ValueError:
            wanted = 0.0
        if not 0 < wanted < float("inf"):
            raise Invalid(
                f"Request-Timeout is {_shown(given)}.", remedy="Send seconds, such as 'Request-Timeout: 2.5'."
            )
        return min(wanted, most)

    def inference_header(self, target: Target) -> int | None:
        given = self.headers.get(b"inference-header-content-length")
        if given is None or target.protocol != "v2":
            return None
        if not given.isdigit() or len(given) > 12:
            raise Invalid(
                f"Inference-Header-Content-Length is {_shown(given)}.", remedy="Send a whole number of bytes."
            )
        return int(given)

    async def body(self, most: int, *, any_type: bool = False) -> bytes:
        """The body, decompressed. Raises what is wrong with its type, size or encoding."""
        kind = self.headers.get(b"content-type", b"").strip()
        binary = b"inference-header-content-length" in self.headers and kind.startswith(b"application/octet")
        if not any_type and not is_json(kind) and not binary:
            raise unsupported(kind)
        told = self.headers.get(b"content-length", b"0")
        if told.isdigit() and int(told) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            size += len(message["body"])
            if size > most:
                raise _too_large(most)
            parts.append(message["body"])
            if not message.get("more_body"):
                break
        self._unread = False
        return self._unpacked(b"".join(parts), most)

    def _unpacked(self, body: bytes, most: int) -> bytes:
        how = self.headers.get(b"content-encoding", b"").strip().lower()
        if how in (b"", b"identity"):
            return body
        if how not in (b"gzip", b"x-gzip", b"deflate"):
            raise HttpError(
                415, "unsupported_encoding", f"The content encoding is {_shown(how)}.",
                remedy="Send gzip, deflate or none.",
            )  # fmt: skip
        opener = zlib.decompressobj(15 if how == b"deflate" else 31)
        try:
            found = opener.decompress(body, most + 1)
        except zlib.error:
            raise Invalid(f"The body is no {how.decode()}.", remedy="Send it as the header says.") from None
        if len(found) > most:
            raise _too_large(most)
        if not opener.eof or opener.unused_data:
            how_wrong = "has more after its end" if opener.eof else "ends early"
            raise Invalid(f"The {how.decode()} body {how_wrong}.", remedy="Send one whole body.")
        return found

    async def json(self, found: Any, status: int = 200) -> None:
        await self.send(status, [(b"content-type", JSON_TYPE)], _encode(found))

    async def refuse(self, error: MLOpsError) -> None:
        """Answer with an error. What was not read of the request is dropped while it comes, up to a limit:
        closing at once would reset the connection before the client has read why."""
        headers = [(b"content-type", problems.MEDIA_TYPE), *problems.headers(error)]
        told = self.headers.get(b"content-length", b"0")
        long = b"transfer-encoding" in self.headers or not told.isdigit() or int(told) > self._most
        ends = self._unread and long
        if self._unread and (long or b"expect" in self.headers):
            headers.append((b"connection", b"close"))
        await self.send(problems.status_of(error), headers, problems.body(error, self.request_id), more=ends)
        if ends:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._drop()
            await self._send({"type": "http.response.body", "body": b""})

    async def _drop(self) -> None:
        message: dict[str, Any] = {"more_body": True}
        while message.get("more_body"):
            message = await self._receive()

    async def send(self, status: int, headers: Headers, body: bytes, *, more: bool = False) -> None:
        how = _accepted(self.headers.get(b"accept-encoding", b"")) if len(body) >= COMPRESSED_FROM else b""
        if len(body) >= COMPRESSED_FROM:
            headers = [*headers, (b"vary", b"accept-encoding")]
        if how and not any(name.lower() == b"content-encoding" for name, _ in headers):
            pack: Callable[[bytes, int], bytes] = gzip.compress if how == b"gzip" else zlib.compress
            body = await asyncio.get_running_loop().run_in_executor(None, pack, body, 1)
            headers = [*headers, (b"content-encoding", how)]
        headers = [
            *((name, value) for name, value in headers if name.lower() != b"content-length"),
            (b"x-request-id", self.request_id.encode()),
            *self.rated,
            (b"content-length", str(len(body)).encode()),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _accepted(header: bytes) -> bytes:
    """The compression that an ``Accept-Encoding`` asks for; empty: none."""
    weights: dict[bytes, bool] = {}
    for part in header.lower().split(b","):
        name, _, parameters = part.partition(b";")
        weights[name.strip()] = re.fullmatch(rb"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    anything = weights.get(b"*", False)
    return next((how for how in (b"gzip", b"deflate") if weights.get(how, anything)), b"")


def _model_path(path: str) -> tuple[bool, str, str, str] | None:
    """``/v2/models/NAME[/versions/VERSION][/ACT]`` -> is it V2, name, version, act."""
    parts = path.strip("/").split("/")
    v2 = parts[0] == "v2"
    parts = parts[2:] if v2 else parts[1:]
    name, version = parts[0], ""
    rest = parts[1:]
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if not name or len(rest) > 1:
        return None
    return v2, name, version, rest[0] if rest else ""


def _told(shown: Shown) -> dict[str, Any]:
    served = shown.versions[shown.default]
    return {
        "version": shown.default,
        "versions": list(shown.versions),
        "route": served.form.route,
        **({"fallback": shown.fallback} if shown.fallback else {}),
    }


def _too_large(most: int) -> HttpError:
    return HttpError(
        413, "body_too_large", f"The body has more than {most:,} bytes.",
        remedy="Send less, or raise serving.limits.body.",
    )  # fmt: skip


def _shown(value: bytes) -> str:
    text = value.decode("latin-1")
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
