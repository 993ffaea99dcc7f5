"""Ports that are to be listened on soon, looked at before anything is started."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from everloop.core.errors import Conflict, Invalid

FREE_WITHIN = 3.0  # seconds to wait for a port that a group which is just ending still has


@dataclass(frozen=True)
class Place:
    """Where a member listens, and the option that names another port."""

    what: str
    host: str
    port: int
    option: str

    @property
    def address(self) -> str:
        """As a client on this machine writes it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 (compared only)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


async def check_soon(places: Sequence[Place]) -> None:
    """The same as ``check``, after a short while where somebody else uses a port."""
    loop = asyncio.get_running_loop()
    until = loop.time() + FREE_WITHIN
    while True:
        try:
            return check(places)
        except Conflict:
            if not _in_use(places):  # by now, or by anybody but them
                return check(places)
            if loop.time() > until:
                raise
            await asyncio.sleep(0.1)


def check(places: Sequence[Place]) -> None:
    """Raises Conflict for a port in use, also by two of them; Invalid for a host that is none."""
    with contextlib.ExitStack() as held:
        for place in places:
            held.enter_context(_bound(place))


def _in_use(places: Sequence[Place]) -> bool:
    """Whether one cannot be listened on, the others apart."""
    try:
        for place in places:
            _bound(place).close()
    except Conflict:
        return True
    return False


def free_port(host: str) -> int:
    """A port that nobody listens on just now."""
    with _bound(Place("the API", host, 0, "--port 8080")) as one:
        port: int = one.getsockname()[1]
        return port


def _bound(place: Place) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((place.host, place.port))
        one.listen(1)
    except socket.gaierror as error:
        one.close()
        raise Invalid(
            f"The host '{place.host}' is none of this machine.", remedy="Use 127.0.0.1 or 0.0.0.0."
        ) from error
    except OSError as error:
        one.close()
        why = (error.strerror or "it is taken").lower()
        raise Conflict(
            f"{place.what} cannot listen on port {place.port} of {place.host}: {why}.",
            remedy=f"Stop what listens there, or choose another port: everloop up {place.option}.",
        ) from error
    return one
