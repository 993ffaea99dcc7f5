"""One HTTP connection. Predictions of models in memory are answered here; all else goes on to ASGI.

uvicorn's protocol does the parsing (llhttp), the pipelining and everything that ASGI needs. What a prediction
does not need of that is left out: measured, it is two thirds of what a request costs.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from everloop.api import problems
from everloop.api.media import COMPRESSED_FROM, JSON_TYPE, accepted, is_json, packed
from everloop.api.problems import HttpError
from everloop.api.rates import Rates
from everloop.core.errors import Invalid, MLOpsError
from everloop.serving.desk import Ask, Reply, Target

from .front import Front

SMALL = 65_536  # bytes of a body that is answered at once; larger ones are read and run beside the loop
# What a header asks for that only ASGI's way does.
_ELSEWHERE = frozenset(
    (
        *(b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"),
        *(b"inference-header-content-length", b"authorization", b"request-timeout"),
    )
)
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_OK_BINARY = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
_OFFERS = frozenset((b"upgrade", b"connection", b"http2-settings"))
MOST_HEAD = 65_536  # bytes of a request line and headers
MOST_HEADERS = 100
LINGER = 1.0  # seconds in which what a refused client still sends is dropped
_REQUEST_ID = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?")


class Line(HttpToolsProtocol):
    """``front`` answers. ``began`` is when the request now being read began, ``quiet`` since when nothing has
    come (monotonic seconds; 0: not so)."""

    def __init__(self, *, front: Front, **given: Any) -> None:
        super().__init__(**given)
        self.front = front
        self.target: Target | None = None
        self.asked: Ask | None = None  # being answered
        self.running: RequestResponseCycle | None = None  # the same, of those that ASGI answers
        self.reading: RequestResponseCycle | None = None  # its body is arriving
        self.content: bytes | bytearray = b""
        self.request_id = b""
        self.key = b""  # that the client is counted by
        self.rated = b""  # headers that tell it how many requests are left
        self.began = 0.0
        self.quiet = front.now()
        self.given: list[tuple[bytes, bytes]] = []  # headers of the request that is being answered
        self.size = 0  # bytes of what is being read
        self.seen = 0  # bytes, at most, of a head that is not complete
        self.head = 0  # the same, at least; -1 when it is complete
        self.offered = False  # another protocol, by the request now being read
        self.ready = b""  # the answer to send
        self.final = False  # and whether it is the last
        self.last = False  # close after the next answer
        self.ended = False  # the client said that nothing follows
        self.refusal: MLOpsError | None = None  # of what cannot be read on: the last answer

    # -- reading -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        began, self.size = self.began, len(data)
        while data and self.refusal is None:
            try:
                self.parser.feed_data(data)
                break
            except HttpParserUpgrade as upgrade:
                data = self._without_offer() + data[upgrade.args[0] :]
            except HttpParserError:
                self._refuse(Invalid("This is no HTTP request.", remedy="Send HTTP/1.1."))
                return
        if self.began and self.head >= 0:
            self.seen += self.size
            if began == self.began:  # all of it is part of one head
                self.head += self.size
                if self.head > MOST_HEAD:
                    self._refuse(_head_too_large(self.url))

    def _without_offer(self) -> bytes:
        """The head of a request that offers another protocol, without the offer: it is not taken up, and the
        parser, which believes it was, begins anew."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(
                HttpError(
                    405, "method_not_allowed", "This is no proxy.", remedy="Use GET.", allow="GET, POST"
                )
            )
        kept = [pair for pair in self.headers if pair[0] not in _OFFERS]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append((b"connection", b"close"))
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        lines = [b"%b %b HTTP/%b" % (method, self.url, version), *(b"%b: %b" % pair for pair in kept)]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.target = None
        self.head = self.seen = 0
        self.began = self.front.now()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head >= 0:  # trailers are no headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.head = -1
        self.offered = self.parser.should_upgrade()
        large = self.seen + self.size > MOST_HEAD and self._head_size() > MOST_HEAD
        if large or len(self.headers) > MOST_HEADERS:
            self._refuse(_head_too_large(self.url))
            return
        if not self._names_host():
            self._refuse(Invalid("The request does not name one Host.", remedy="Send one Host header."))
            return
        if self.offered:
            return
        target = self.front.table.hot.get(self.url) if self.front.direct else None
        if target is not None and self._is_plain(target):
            self.target = target
            self.content = b""
            return
        if self.ended or self.refusal is not None:
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        self.reading = self.cycle
        if self.last:
            self.cycle.keep_alive = False

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _names_host(self) -> bool:
        """Whether it names one, as HTTP/1.1 asks (RFC 9112, 3.2)."""
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        return hosts == 1 or (hosts == 0 and self.parser.get_http_version() == "1.0")

    def _is_plain(self, target: Target) -> bool:
        """Whether this is a small JSON request that nothing is in front of."""
        if self.asked is not None or self.running is not None or self.flow.write_paused:
            return False
        if self.ended or self.refusal is not None:
            return False
        if self.parser.get_method() != b"POST":
            return False
        kind, length, request_id, self.key = b"", -1, b"", b""
        for name, value in self.headers:
            if name == b"content-type":
                kind = value
            elif name == b"content-length":
                length = int(value) if value.isdigit() else -1
            elif name == b"x-request-id":
                request_id = value
            elif name == b"x-api-key":
                self.key = value
            elif name in _ELSEWHERE:
                return False
        self.request_id = request_id
        if (request_id and not is_request_id(request_id)) or not 0 < length <= SMALL:
            return False
        if not kind:
            return target.protocol == "v2"  # its clients do not tell
        return kind == JSON_TYPE or is_json(kind)

    def on_body(self, body: bytes) -> None:
        if self.target is None:
            if self.reading is not None:
                super().on_body(body)
        elif self.content:
            self.content += body
        else:
            self.content = body

    def on_message_complete(self) -> None:
        if self.offered:
            return
        target = self.target
        self.began = 0.0
        self.head = 0
        if target is None:
            if self.reading is not None:
                self.reading = None
                super().on_message_complete()
            return
        self.target = None
        if not self.parser.should_keep_alive() or self.parser.get_http_version() == "1.0":
            self.last = self.ended = True
        name = self.request_id.decode("ascii") if self.request_id else self.front.new_request_id()
        self.asked = ask = Ask(self.content, name)
        self.given = self.headers
        if target.split is not None:
            ask.entity = next((value for name, value in self.headers if name == b"x-entity-id"), b"")
        if self.front.rates is None or self._within_rate(self.front.rates, target, ask):
            self.front.ask(self, target, ask)

    def _within_rate(self, rates: Rates, target: Target, ask: Ask) -> bool:
        verdict = rates.ask(self.client[0] if self.client else "", self.key or None)
        self.rated = b"".join([b"%b: %b\r\n" % pair for pair in verdict.headers])
        if (refusal := verdict.refusal) is None:
            return True
        ask.received = self.front.now()
        ask.reply = Reply(error=refusal)
        self.front.count(target, ask, ask.received)
        self.reply(ask)
        self.send()
        return False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Not before what came earlier is answered: answers come in the order of their requests."""
        if self.asked is not None:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
            return
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.running = None
        self.quiet = self.front.now()
        super().on_response_complete()
        if self.refusal is not None:
            self._tell_refusal()

    # -- answering ---------------------------------------------------------------------------------------

    def reply(self, ask: Ask, content: bytes = b"", how: bytes = b"") -> None:
        """Make the answer ready to be sent. A large one is compressed first, beside the loop, where the
        client asks for it: then it comes here once more, with that ``content``, and is sent."""
        if not how and ask.reply is not None and len(ask.reply.body) >= COMPRESSED_FROM:
            how = accepted(next((value for name, value in self.given if name == b"accept-encoding"), b""))
            if how:
                packing = self.loop.run_in_executor(None, packed, ask.reply.body, how)
                packing.add_done_callback(lambda done: self.reply(ask, done.result(), how))
                return
        self.final = self.ended or (self.last and not self.pipeline)
        self.ready = self._answer(ask, self.final, content, how)
        if content:
            self.send()

    def send(self) -> None:
        """Send the answer that is ready, if one is."""
        ready, self.ready = self.ready, b""
        if not ready:
            return
        self.asked = None
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        self.transport.write(ready)
        self.quiet = self.front.now()
        if self.final:
            self.transport.close()
        elif self.pipeline:
            self.flow.resume_reading()
            self._start_asgi_task(*self.pipeline.pop())
        elif self.refusal is not None:
            self._tell_refusal()

    def _answer(self, ask: Ask, final: bool, content: bytes = b"", how: bytes = b"") -> bytes:
        """Of the body, or of this ``content``, which is the body compressed."""
        answer = ask.reply
        assert answer is not None  # noqa: S101 (the front answers every ask)
        shown = b"x-request-id: %b\r\n%b" % (ask.request_id.encode("latin-1"), self.rated)
        close = b"connection: close\r\n" if final else b""
        if answer.error is None:
            body, head, more = answer.body, _OK, b""
            if answer.header is not None:
                head, more = _OK_BINARY, b"inference-header-content-length: %d\r\n" % answer.header
            if len(body) >= COMPRESSED_FROM:
                more += b"vary: accept-encoding\r\n"
            if how:
                body = content
                more += b"content-encoding: %b\r\n" % how
        else:
            status = problems.status_of(answer.error)
            body = problems.body(answer.error, ask.request_id)
            head = STATUS_LINE[status] + b"content-type: " + problems.MEDIA_TYPE + b"\r\n"
            more = b"".join(b"%b: %b\r\n" % pair for pair in problems.headers(answer.error))
        date = b"".join([b"%b: %b\r\n" % pair for pair in self.server_state.default_headers])
        return b"%b%b%b%b%bcontent-length: %d\r\n\r\n%b" % (head, date, shown, more, close, len(body), body)

    def refuse_slow(self) -> None:
        """Close on a client that has not sent its request in time."""
        self._refuse(
            HttpError(408, "request_timeout", "The request did not arrive in time.", remedy="Send it again.")
        )

    def _refuse(self, error: MLOpsError) -> None:
        """Read no more. What came before is answered first, then this, then the connection closes."""
        if self.transport.is_closing() or self.refusal is not None:
            return
        self.refusal, self.rated = error, b""
        broken, self.reading, self.target = self.reading, None, None
        if broken is not None:
            if broken is self.running and broken.response_started:
                self.transport.close()  # it has its answer
                return
            if broken is self.running:
                self.running = None
            broken.disconnected = True  # it has nothing to say any more
            broken.message_event.set()
            self.pipeline = deque(one for one in self.pipeline if one[0] is not broken)
        self._tell_refusal()

    def _tell_refusal(self) -> None:
        if self.refusal is None or self.transport.is_closing() or not self.is_idle():
            return
        ask = Ask(b"", self.front.new_request_id())
        ask.reply = Reply(error=self.refusal)
        self.transport.write(self._answer(ask, final=True))
        self.transport.write_eof()  # closing while more comes would reset what was written
        self.loop.call_later(LINGER, self.transport.close)

    # -- ending ------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Close when nothing is under way; else with the next answer."""
        self.last = True
        if self.is_idle() and not self.began:
            self.transport.close()
        elif self.running is not None and not self.pipeline:
            self.running.keep_alive = False

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self.asked is None and self.running is None and not self.pipeline

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells only the request that came last; those before it would go on to write."""
        self.asked = None
        self.pipeline.clear()
        if self.running is not None:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)


def is_request_id(given: bytes) -> bool:
    """Whether an ``X-Request-ID`` can be taken as it is: printable ASCII, not too long."""
    return _REQUEST_ID.fullmatch(given) is not None


def _head_too_large(url: bytes) -> HttpError:
    if len(url) > MOST_HEAD // 2:
        return HttpError(
            414, "address_too_long", f"The address has {len(url):,} bytes.", remedy="Send it as a body."
        )
    return HttpError(
        431, "headers_too_large",
        f"The request has more than {MOST_HEADERS} headers, or more than {MOST_HEAD:,} bytes of them.",
        remedy="Send fewer headers.",
    )  # fmt: skip
