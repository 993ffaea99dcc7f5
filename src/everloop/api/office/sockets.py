"""The sockets that workers accept on. The office keeps them, so what waits on one outlives its worker."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Iterable

from everloop.core.errors import Conflict, Invalid

BACKLOG = 2_048
PORT_WITHIN = 1.5  # seconds to wait for a port that a server which is just ending still has
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER
# A program for the system's packet filter: drop what begins a connection (SYN), let all else pass.
_FLAGS_AT, _SYN = 13, 0x02
_NO_NEW = (
    *((0x30, 0, 0, _FLAGS_AT), (0x45, 0, 1, _SYN)),  # load the TCP flags; is it a SYN?
    *((0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)),  # yes: drop; no: keep
)


async def listen_soon(host: str, port: int, count: int) -> list[socket.socket]:
    """The same as ``listen``, after a short while where the port is in use."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PORT_WITHIN
    while True:
        try:
            return listen(host, port, count)
        except Conflict:
            if loop.time() > until:
                raise
            await asyncio.sleep(0.1)


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """One socket per worker on one address, among which the system spreads connections (``SO_REUSEPORT``).
    Port 0: a free one. Raises Invalid for a host that is none, Conflict for a port in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made: list[socket.socket] = []
    try:
        _check_free(family, host, port)
        for _ in range(count):
            one = socket.socket(family, socket.SOCK_STREAM)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if count > 1:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
            port = one.getsockname()[1]
            one.listen(BACKLOG)
            one.setblocking(False)
    except socket.gaierror as error:
        close(made)
        raise Invalid(
            f"The host '{host}' is none of this machine.", remedy="Use 127.0.0.1 or 0.0.0.0."
        ) from error
    except OSError as error:
        close(made)
        raise Conflict(
            f"Port {port} of {host} cannot be used: {error.strerror}.",
            remedy="Stop what listens there, or choose another: everloop serve --port 5001.",
        ) from error
    return made


def _check_free(family: int, host: str, port: int) -> None:
    """A socket that shares its port would also share it with another server's: see that there is none."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def refuse_new(sockets: Iterable[socket.socket]) -> None:
    """Let no new connection begin on them; those that have begun can still be accepted.

    What has not been accepted when the last owner closes a socket is reset, even where its request was sent
    already. With this and a moment of accepting before the end there is nothing left to reset. Elsewhere
    than on Linux nothing is done: what arrives in the very last moment may be reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_NEW))
    given = struct.pack("HL", len(_NO_NEW), ctypes.addressof(program))
    for one in sockets:
        with contextlib.suppress(OSError):  # a system that forbids it
            one.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, given)


def close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()
