"""Whether MLflow's place answers, asked in a moment and without loading MLflow."""

from __future__ import annotations

import socket
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from .address import is_server, sqlite_file

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def ping(uri: str, timeout: float = 2.0) -> str | None:
    """None when ``uri`` answers, else why not. A SQLite file that is not there yet will be made."""
    if is_server(uri):
        return _ask(f"{uri.rstrip('/')}/health", timeout)
    if sqlite_file(uri) is not None:
        return None
    parts = urlsplit(uri)
    port = parts.port or _PORTS.get(parts.scheme.partition("+")[0], 0)
    try:
        with socket.create_connection((parts.hostname or "localhost", port), timeout=timeout):
            return None
    except OSError as error:
        return f"{parts.hostname}:{port} does not answer: {error}"


def _ask(address: str, timeout: float) -> str | None:
    try:
        with urlopen(Request(address), timeout=timeout):  # noqa: S310 (http or https: is_server has looked)
            return None
    except HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except (URLError, TimeoutError, OSError) as error:
        return str(getattr(error, "reason", error))
