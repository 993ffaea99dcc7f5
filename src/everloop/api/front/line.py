"""One HTTP connection. Predictions of models in memory are answered here; all else goes on to ASGI.

uvicorn's protocol does the parsing (llhttp), the pipelining and everything that ASGI needs. What a prediction
does not need of that is left out: measured, it is two thirds of what a request costs.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from everloop.api import problems
from everloop.api.problems import HttpError
from everloop.core.errors import Invalid
from everloop.serving.desk import Ask, Reply, Target

from .front import Front

SMALL = 65_536  # bytes of a body that is answered at once; larger ones are read and run beside the loop
JSON_TYPE = b"application/json"
# What a header asks for that only ASGI's way does.
_ELSEWHERE = frozenset(
    (
        *(b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"),
        *(b"inference-header-content-length", b"authorization"),
    )
)
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_MOST_ID = 128


class Line(HttpToolsProtocol):
    """``front`` answers. ``began`` is when the request now being read began, ``quiet`` since when nothing has
    come (monotonic seconds; 0: not so)."""

    def __init__(self, *, front: Front, **given: Any) -> None:
        super().__init__(**given)
        self.front = front
        self.target: Target | None = None
        self.asked: Ask | None = None  # being answered
        self.content: bytes | bytearray = b""
        self.request_id = b""
        self.began = 0.0
        self.quiet = front.now()
        self.last = False  # close after the next answer

    # -- reading -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self.began:
            self.began = self.front.now()
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.target = None

    def on_headers_complete(self) -> None:
        target = self.front.table.hot.get(self.url)
        if target is not None and self._is_plain():
            self.target = target
            self.content = b""
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _is_plain(self) -> bool:
        """Whether this is a small JSON request that nothing is in front of."""
        if self.asked is not None or (self.cycle is not None and not self.cycle.response_complete):
            return False
        if self.parser.get_method() != b"POST":
            return False
        kind, length, request_id = b"", -1, b""
        for name, value in self.headers:
            if name == b"content-type":
                kind = value
            elif name == b"content-length":
                length = int(value) if value.isdigit() else -1
            elif name == b"x-request-id":
                request_id = value
            elif name in _ELSEWHERE:
                return False
        self.request_id = request_id
        if len(request_id) > _MOST_ID or not 0 < length <= SMALL:
            return False
        return kind == JSON_TYPE or kind.partition(b";")[0].strip().lower() == JSON_TYPE

    def on_body(self, body: bytes) -> None:
        if self.target is None:
            super().on_body(body)
        elif self.content:
            self.content += body
        else:
            self.content = body

    def on_message_complete(self) -> None:
        target = self.target
        self.began = 0.0
        if target is None:
            super().on_message_complete()
            return
        self.target = None
        if not self.parser.should_keep_alive() or self.parser.get_http_version() == "1.0":
            self.last = True
        name = self.request_id.decode("latin-1") if self.request_id else self.front.new_request_id()
        self.asked = Ask(self.content, name)
        self.front.ask(self, target, self.asked)

    # -- answering ---------------------------------------------------------------------------------------

    def reply(self, ask: Ask) -> None:
        self.asked = None
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        self.transport.write(self._answer(ask))
        self.quiet = self.front.now()
        if self.last:
            self.transport.close()

    def _answer(self, ask: Ask) -> bytes:
        answer = ask.reply
        assert answer is not None  # noqa: S101 (the front answers every ask)
        shown = b"x-request-id: %b\r\n" % ask.request_id.encode("latin-1")
        close = b"connection: close\r\n" if self.last else b""
        if answer.error is None:
            body, head, more = answer.body, _OK, b""
        else:
            status = problems.status_of(answer.error)
            body = problems.body(answer.error, ask.request_id)
            head = STATUS_LINE[status] + b"content-type: " + problems.MEDIA_TYPE + b"\r\n"
            more = b"".join(b"%b: %b\r\n" % pair for pair in problems.headers(answer.error))
        date = b"".join([b"%b: %b\r\n" % pair for pair in self.server_state.default_headers])
        return b"%b%b%b%b%bcontent-length: %d\r\n\r\n%b" % (head, date, shown, more, close, len(body), body)

    def send_400_response(self, msg: str) -> None:
        error = Invalid("This is no HTTP request.", remedy="Send HTTP/1.1.")
        self._refuse(error)

    def refuse_slow(self) -> None:
        """Close on a client that has not sent its request in time."""
        self._refuse(
            HttpError(408, "request_timeout", "The request did not arrive in time.", remedy="Send it again.")
        )

    def _refuse(self, error: Any) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.last = True
            ask = Ask(b"", self.front.new_request_id())
            ask.reply = Reply(error=error)
            self.transport.write(self._answer(ask))
        self.transport.close()

    # -- ending ------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Close when nothing is under way; else with the next answer."""
        self.last = True
        if self.is_idle() and not self.began:
            self.transport.close()
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self.asked is None and (self.cycle is None or self.cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        self.asked = None
        super().connection_lost(exc)
