"""A line to a real S3 server that fails as lines and servers do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[["Request"], bool]


class Request(BaseHTTPRequestHandler):
    """One request on its way. A fault answers it itself (and says so), or lets it pass."""

    protocol_version = "HTTP/1.1"
    server: Line

    def answer(self, status: int, code: str = "") -> bool:
        body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
        self._reply(status, {}, body)
        return True

    def forward(self) -> tuple[int, dict[str, str], bytes]:
        """What the real server answers. Its name stays in the request: it is part of the signature."""
        line = http.client.HTTPConnection(self.server.target, timeout=20)
        line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            line.putheader(name, value)
        line.endheaders(self.body)
        answer = line.getresponse()
        body = answer.read()
        line.close()
        return answer.status, dict(answer.getheaders()), body

    def drop(self) -> bool:
        """End the line without an answer."""
        self.close_connection = True
        self.connection.close()
        return True

    def _do(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(f"{self.command} {urlsplit(self.path).path}")
        if not any(fault(self) for fault in list(self.server.faults)):
            self._reply(*self.forward())

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _do  # noqa: N815 (as http.server wants them)

    def log_message(self, *args: object) -> None:
        """Nobody looks."""


class Line(ThreadingHTTPServer):
    """``faults`` are asked in turn, ``seen`` is what came."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.target = urlsplit(endpoint).netloc
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[Fault] = []
        self.seen: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away."""


@contextmanager
def line_to(endpoint: str) -> Iterator[Line]:
    line = Line(endpoint)
    thread = threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.shutdown()
        line.server_close()
        thread.join()


def first(times: int, fault: Fault) -> Fault:
    """The fault, but only so often."""
    left = [times]

    def limited(request: Request) -> bool:
        if left[0] == 0:
            return False
        done = fault(request)
        left[0] -= done
        return done

    return limited
