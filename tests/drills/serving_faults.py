"""Faults of a running server under load. Each drill takes a project's folder and how often (or how
long), checks that nothing was lost, and returns figures. Times are in seconds; none of them is asserted."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from everloop.api.office.office import SILENT

from .serving_deeds import (
    NATIVE,
    PATIENCE,
    WORKER,
    Figures,
    Serving,
    all_kept,
    damaged_logs,
    database,
    gap,
    kept,
    nothing_lost,
    wait_for,
)
from .serving_load import BODY, Account, Load


def killed_worker(folder: Path, times: int) -> Figures:
    """kill -9 of a worker: only what it was answering fails, the other goes on, and another one comes."""
    took, lost = [], 0
    with Serving(folder, workers=2) as server:
        with Load(server.port, BODY, clients=16, pause=0.02) as load:
            for _ in range(times):
                load.wait(200)
                one = server.children(WORKER)[0]
                before, account = len(load.account.lost), load.account
                one.kill()
                took.append(wait_for(partial(_replaced, server, one.pid)))
                lost = max(lost, len(account.lost) - before)
                assert len(account.lost) - before <= load.clients
            load.wait(200)
            account = load.end()
        assert not account.others(), account.others()
        assert server.get("/metrics")[1]["workers"]["restarts"] == times
        server.stop()
    all_kept(folder, account)
    return {
        "kills": times,
        "answers": len(account.answers),
        "lost at once, most": lost,
        "back after, median": statistics.median(took),
        "most": max(took),
    } | gap(account)


def _replaced(server: Serving, dead: int) -> bool:
    workers = server.children(WORKER)
    if len(workers) != 2 or any(one.pid == dead for one in workers):
        return False
    told = server.get("/metrics")[1]  # None where the worker that died had the connection
    return bool(told and told["workers"]["ready"] == 2)


def killed_office(folder: Path, times: int) -> Figures:
    """kill -9 of the office: its workers answer what they have and end; the next server records it all."""
    took, ids = [], []
    for _ in range(times):
        with Serving(folder, workers=2) as server:
            workers = server.children(WORKER)
            with Load(server.port, BODY, clients=8, pause=0.02) as load:
                load.wait(200)
                server.process.kill()
                took.append(wait_for(partial(_ended, workers)))
                account = load.end()
            nothing_lost(account)
            ids += account.ids()
            with socket.socket() as free:  # nobody has the port
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind(("127.0.0.1", server.port))
    with Serving(folder) as server:
        wait_for(lambda: kept(folder, ids).missing == 0)
    found = kept(folder, ids)
    assert found.twice == 0
    return {"kills": times, "answers": len(ids), "workers ended after": max(took)}


def _grows(account: Account, before: int) -> bool:
    return account.status[503] > before


def _ended(processes: list[Any]) -> bool:
    return not any(_lives(one) for one in processes)


def _lives(process: Any) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def killed_native(folder: Path, times: int) -> Figures:
    """kill -9 of the process of models that are not compiled: 503, then it answers again; others never
    notice."""
    took = []
    with Serving(folder) as server:
        wait_for(lambda: server.predict("/models/slow/predict")[0] == 200)
        slow = Load(server.port, BODY, clients=4, pause=0.02, path="/models/slow/predict")
        with slow, Load(server.port, BODY, clients=4, pause=0.02) as load:
            for _ in range(times):
                slow.wait(50)
                server.children(NATIVE)[0].kill()
                took.append(wait_for(lambda: server.predict("/models/slow/predict")[0] == 200))
            slow.wait(50)
            account, other = slow.end(), load.end()
        nothing_lost(other)
        assert set(account.status) <= {200, 503}, account.status
        assert not account.lost, account.lost
    return {
        "kills": times,
        "503": account.status[503],
        "back after": max(took),
        "answers": len(other.answers),
    }


def overload(folder: Path, times: int) -> Figures:
    """So many times more connections than may wait, and clients that never finish: 503 with Retry-After,
    health at once, and then all is well."""
    flags = [f"serving.limits.{each}" for each in ("waiting=8", "read=2", "keep_alive=2")]
    with Serving(folder, *flags) as server:
        worker = server.children(WORKER)[0]
        memory = worker.memory_info().rss
        with Load(server.port, BODY, clients=8 * times) as load, _tricklers(server.port, 20) as slow:
            checks = []
            for _ in range(30):
                begin = time.monotonic()
                assert server.get("/health")[0] == 200
                checks.append(time.monotonic() - begin)
                time.sleep(0.05)
            account = load.end()
            closed = [_last_words(one) for one in slow]
        grown = (worker.memory_info().rss - memory) / 1e6
        assert not account.lost, account.lost[:3]
        assert set(account.status) == {200, 503}, account.status
        assert account.without_hint == 0
        assert all(b" 408 " in said for said in closed), closed[:3]
        with Load(server.port, BODY, clients=4) as load:
            load.wait(200)
            assert not load.end().others()
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as quiet:
            assert quiet.recv(1) == b""  # closed after keep_alive
    return {
        "answered": account.status[200],
        "503": account.status[503],
        "health, median": statistics.median(checks),
        "most": max(checks),
        "memory grown, MB": grown,
    }


@contextlib.contextmanager
def _tricklers(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Clients that have sent a part of a request."""
    made = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(count)]
    try:
        for number, one in enumerate(made):
            head = b"POST /predict HTTP/1.1\r\nHost: drill\r\nContent-Type: application/json\r\n"
            one.sendall(head[:-2] if number % 2 else head + b"Content-Length: 40\r\n\r\n{")
        yield made
    finally:
        for one in made:
            one.close()


def _last_words(one: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := one.recv(4096):
            said += part
    return said


def full_disk(folder: Path, times: int, policies: Sequence[str] = ("refuse", "shed")) -> Figures:
    """The log cannot be written, again and again: refused with 503, or answered and counted, as is set; no
    line is torn, and when there is space again all is well."""
    figures: Figures = {}
    for policy in policies:
        with Serving(folder, f"serving.log.when_full={policy}") as server:
            worker = server.children(WORKER)[0]
            with Load(server.port, BODY, clients=8) as load:
                for _ in range(times):
                    load.wait(100)
                    size = max(path.stat().st_size for path in _logs(folder))
                    before = load.account.status.copy()
                    resource.prlimit(
                        worker.pid, resource.RLIMIT_FSIZE, (size + 5_000, resource.RLIM_INFINITY)
                    )
                    event = "log_refused" if policy == "refuse" else "log_shed"
                    wait_for(partial(server.event, event))
                    if policy == "refuse":
                        wait_for(partial(_grows, load.account, before[503]))
                        wait_for(lambda: server.predict()[1].get("code") == "log_unavailable")
                    ready, status = (503, "unavailable") if policy == "refuse" else (200, "degraded")
                    wait_for(partial(_is_told, server, ready, status))
                    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                load.wait(200)
                account = load.end()
            assert not account.lost
            assert set(account.status) <= ({200, 503} if policy == "refuse" else {200})
            shed = server.event("log_shed")
            server.stop()
        found = kept(folder, account.ids())
        assert found.missing <= shed, (found, shed)
        assert not damaged_logs(folder), damaged_logs(folder)[:3]
        figures |= {f"{policy}: answered": account.status[200], f"{policy}: 503": account.status[503]}
        figures |= {f"{policy}: not logged": shed}
    return figures


def _is_told(server: Serving, ready: int, status: str) -> bool:
    return server.get("/ready")[0] == ready and server.get("/health")[1]["status"] == status


def _logs(folder: Path) -> list[Path]:
    return [*(folder / ".everloop" / "predictions" / "default").glob("*.jsonl")]


def locked_database(folder: Path, seconds: int) -> Figures:
    """Another process holds the database so long: predictions go on, and all are recorded afterwards; what
    waits is bounded."""
    flags = ("serving.log.backlog=3000000",)
    with Serving(folder, *flags) as server, database(folder) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with Load(server.port, BODY, clients=8, pause=0.01) as load:
            time.sleep(seconds)
            load.wait(100)
            account = load.end()
        nothing_lost(account)
        with Load(server.port, BODY, clients=8) as load:
            full = wait_for(lambda: load.account.status[503] > 20)
            second = load.end()
        assert server.predict()[1]["code"] == "log_unavailable"
        waiting = sum(path.stat().st_size for path in _logs(folder))
        other.execute("ROLLBACK")
        again = wait_for(lambda: server.predict()[0] == 200)
        ids = account.ids() + second.ids()
        caught = wait_for(lambda: kept(folder, ids).missing == 0)
    found = kept(folder, ids)
    assert found.twice == 0
    return {
        "answered while it was locked": len(account.answers),
        "full after": full,
        "waiting then, MB": waiting / 1e6,
        "answers again after": again,
        "caught up after": caught,
    }


def crash_loop(folder: Path) -> Figures:
    """Workers that cannot work: a server that begins says why and ends; one that serves tries ever later, and
    serves again when it can."""
    logs = folder / ".everloop" / "predictions"
    logs.write_text("no folder")
    begin = time.monotonic()
    first = Serving(folder)
    assert first.process.wait(PATIENCE) != 0
    took = time.monotonic() - begin
    first.__exit__()
    assert first.said("No worker could be started") == 1, first.errors()
    assert str(logs) in first.errors()
    assert "Traceback" not in first.errors()
    logs.unlink()
    with Serving(folder) as server:
        logs.rename(folder / "away")
        logs.write_text("no folder")
        server.children(WORKER)[0].kill()
        time.sleep(3)
        tries = server.said("Another one starts")
        assert 2 <= tries <= 8, server.errors()
        assert server.said("Another one starts in ") > 0, server.errors()  # and not now
        logs.unlink()
        (folder / "away").rename(logs)
        back = wait_for(lambda: server.predict()[0] == 200)
    return {"gave up after": took, "tries in 3 s": tries, "back after": back}


def hung_worker(folder: Path) -> Figures:
    """A worker that stands still: the others answer, it is killed and replaced."""
    with Serving(folder, workers=2) as server, Load(server.port, BODY, clients=8, pause=0.01) as load:
        load.wait(100)
        one = server.children(WORKER)[0]
        one.suspend()
        took = wait_for(lambda: not _lives(one), seconds=60)
        back = wait_for(lambda: server.get("/metrics")[1]["workers"]["ready"] == 2)
        load.wait(500)
        account = load.end()
        assert len(account.lost) <= load.clients
        assert not account.others()
    return {"killed after": took, "back after": back, "lost": len(account.lost)} | gap(account)


def held_up_office(folder: Path, silent: float = SILENT) -> Figures:
    """An office that stands still for longer than a worker may be silent: no worker is taken for hung."""
    with Serving(folder, workers=2, silent=silent) as server:
        before = {one.pid for one in server.children(WORKER)}
        with Load(server.port, BODY, clients=4, pause=0.05) as load:
            server.signal(signal.SIGSTOP)
            time.sleep(silent + 2)
            server.signal(signal.SIGCONT)
            wait_for(lambda: server.get("/metrics")[0] == 200)
            load.wait(100)
            account = load.end()
        nothing_lost(account)
        assert {one.pid for one in server.children(WORKER)} == before, server.errors()
        server.stop()
    all_kept(folder, account)
    return {"answers": len(account.answers)} | gap(account)
