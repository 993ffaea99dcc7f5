"""One request to the ASGI side of a worker, and its answer: headers, body, compression, refusal."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from everloop.api import problems
from everloop.api.media import COMPRESSED_FROM, JSON_TYPE, accepted, is_json, packed, unsupported
from everloop.api.problems import HttpError
from everloop.core.errors import Invalid, MLOpsError
from everloop.serving.desk import Target

from .front import Front
from .line import LINGER, is_request_id

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_encode = msgspec.json.Encoder().encode


class Gone(Exception):
    """The client went away."""


class Call:
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
        self.began = front.now()

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
                raise Gone
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
        how = accepted(self.headers.get(b"accept-encoding", b"")) if len(body) >= COMPRESSED_FROM else b""
        if len(body) >= COMPRESSED_FROM:
            headers = [*headers, (b"vary", b"accept-encoding")]
        if how and not any(name.lower() == b"content-encoding" for name, _ in headers):
            body = await asyncio.get_running_loop().run_in_executor(None, packed, body, how)
            headers = [*headers, (b"content-encoding", how)]
        headers = [
            *((name, value) for name, value in headers if name.lower() != b"content-length"),
            (b"x-request-id", self.request_id.encode()),
            *self.rated,
            (b"content-length", str(len(body)).encode()),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _too_large(most: int) -> HttpError:
    return HttpError(
        413, "body_too_large", f"The body has more than {most:,} bytes.",
        remedy="Send less, or raise serving.limits.body.",
    )  # fmt: skip


def _shown(value: bytes) -> str:
    text = value.decode("latin-1")
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
