"""How long a group waits until it starts a member again, and what it says of ports."""

from __future__ import annotations

import asyncio
import socket

import pytest

from everloop.adapters.group.group import LONGEST_PAUSE, pause_after
from everloop.adapters.group.places import Place, check, check_soon, free_port
from everloop.core.errors import Conflict, Invalid


def test_the_first_time_at_once_then_ever_later() -> None:
    assert [pause_after(ends) for ends in (1, 2, 3, 4, 5)] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert pause_after(100) == LONGEST_PAUSE


def test_a_port_in_use_is_named_with_what_wants_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"MLflow cannot listen on port {port}") as caught:
            check([Place("MLflow", "127.0.0.1", port, "--mlflow-port 5002")])
        assert "everloop up --mlflow-port 5002" in caught.value.remedy
    check([Place("MLflow", "127.0.0.1", port, "")])


def test_two_do_not_share_a_port() -> None:
    port = free_port("127.0.0.1")
    one, other = (Place(name, "127.0.0.1", port, "") for name in ("The API", "MLflow"))
    with pytest.raises(Conflict, match="MLflow"):
        check([one, other])


def test_both_on_one_port_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has it: waiting frees it for neither."""
    monkeypatch.setattr("everloop.adapters.group.places.FREE_WITHIN", float("inf"))
    port = free_port("127.0.0.1")
    with pytest.raises(Conflict, match=f"MLflow cannot listen on port {port}"):
        asyncio.run(check_soon([Place(name, "127.0.0.1", port, "") for name in ("The API", "MLflow")]))


def test_a_port_that_somebody_else_has_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def freed() -> None:
            waiting = asyncio.create_task(check_soon([Place("The API", "127.0.0.1", port, "")]))
            await asyncio.sleep(0)
            taken.close()
            await waiting

        asyncio.run(freed())


def test_a_host_that_is_none() -> None:
    with pytest.raises(Invalid, match="nowhere"):
        check([Place("The API", "nowhere.invalid", 0, "")])


def test_an_address_is_one_that_a_client_here_can_use() -> None:
    assert Place("", "0.0.0.0", 5000, "").address == "http://127.0.0.1:5000"
    assert Place("", "::", 5000, "").address == "http://[::1]:5000"
