"""Whether a server answers what scikit-learn answers, asked by several clients at once."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

from .calls import Call
from .load import MANY
from .models import Model
from .processes import NotServing, Processes, clock

CLIENTS = 16
PAUSE = 0.005
SETTLED = 0.5


def _ask(connection: HTTPConnection, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def await_first_answer(
    server: Processes, begun: float, port: int, model: Model, call: Call, *, bound: bool, patience: float
) -> float:
    """Seconds from ``begun`` to the first answer, a right one. Raises NotServing."""
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=patience)
        try:
            status, told = _ask(connection, call.path_for(model), call.body(model, model.rows[:1]))
        except (OSError, HTTPException) as error:
            status, told = 0, str(error).encode()
        finally:
            connection.close()
        seconds = clock() - begun
        if status == 200:
            if not bound:
                _compare(model, call, [0], told)
            return seconds
        if server.ended():
            raise NotServing(f"ended by itself: {server.last_words()}")
        if seconds > patience:
            said = told.decode(errors="replace")[:300]
            raise NotServing(
                f"no answer after {patience:.0f} s: {status or ''} {said}; {server.last_words()}"
            )
        time.sleep(PAUSE)


def check(port: int, model: Model, call: Call) -> None:
    """Every row by itself and in groups, from several connections at once: an answer that belongs to another
    request is a wrong one. Raises NotServing."""
    singles = [[at] for at in range(len(model.rows))]
    groups = [[(at + i) % len(model.rows) for i in range(MANY)] for at in range(0, len(model.rows), 7)]
    questions = [*singles, *groups]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for each in [
            pool.submit(_check_some, port, model, call, questions[at::CLIENTS]) for at in range(CLIENTS)
        ]:
            each.result()


@contextmanager
def connected(port: int, count: int) -> Iterator[None]:
    """So many quiet connections, which are there when the block begins."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(SETTLED)
        yield


def _check_some(port: int, model: Model, call: Call, questions: Sequence[Sequence[int]]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for chosen in questions:
            body = call.body(model, [model.rows[at] for at in chosen])
            try:
                status, told = _ask(connection, call.path_for(model), body)
            except (OSError, HTTPException) as error:
                raise NotServing(f"rows {list(chosen)[:3]}: {type(error).__name__}: {error}") from error
            if status != 200:
                raise NotServing(f"rows {list(chosen)[:3]}: {status} {told.decode(errors='replace')[:300]}")
            _compare(model, call, chosen, told)
    finally:
        connection.close()


def _compare(model: Model, call: Call, chosen: Sequence[int], told: bytes) -> None:
    wanted = [model.labels[at] for at in chosen]
    try:
        found = call.read(model, json.loads(told))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        said = told.decode(errors="replace")[:300]
        raise NotServing(
            f"an answer that cannot be read ({type(error).__name__}: {error}): {said}"
        ) from error
    if found != wanted:
        wrong = [each for each in zip(chosen, found, wanted, strict=False) if each[1] != each[2]]
        shown = ", ".join(f"row {at} is '{said}', not '{right}'" for at, right, said in wrong[:3])
        raise NotServing(
            f"{len(found)} answers for {len(wanted)} rows; scikit-learn says that {shown or '-'}"
        )
