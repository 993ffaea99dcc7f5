"""Real receivers of messages on loopback: HTTP ones that behave as told, and an SMTP server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Http:
    """``status`` is what it answers, ``location`` where it points, ``pause`` the seconds it takes;
    ``on_request`` is called before that."""

    port: int = 0
    status: int = 200
    location: str | None = None
    pause: float = 0.0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def http(port: int = 0) -> Iterator[Http]:
    told = Http()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.requests.append((self.path, headers, body))
            told.on_request()
            time.sleep(told.pause)
            try:
                self.send_response(told.status)
                self.send_header("Content-Length", "0")
                if told.location is not None:
                    self.send_header("Location", told.location)
                self.end_headers()
            except OSError:
                pass  # who asked has gone

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Smtp:
    port: int
    folder: Path

    @property
    def letters(self) -> list[tuple[str, list[str], Message]]:
        """Sender, recipients and letter, in the order they came."""
        found = []
        for path in sorted(self.folder.iterdir()):
            sender, *recipients = path.with_suffix("").name.split(" ")[1:]
            found.append((sender, recipients, message_from_bytes(path.read_bytes())))
        return found


@contextmanager
def smtp(folder: Path, user: str, password: str, answer: str = "250 OK") -> Iterator[Smtp]:
    """A process, which takes letters only of who gives the password, and puts them into a folder. ``answer``
    is what it says of a letter."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.smtpd", str(port), user, password, str(folder), answer]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield Smtp(port, folder)
    finally:
        process.kill()
        process.communicate()
