"""Changes to a running server under load. Each drill takes a project's folder and how often (or how
long), checks that nothing was lost, and returns figures. Times are in seconds; none of them is asserted."""

from __future__ import annotations

import signal
import statistics
import time
from functools import partial
from pathlib import Path

from everloop.flows import models
from everloop.flows.releases import deploying

from .serving_deeds import WORKER, Figures, Serving, all_kept, gap, kept, nothing_lost, opened, wait_for
from .serving_load import BODY, Load

OTHER = {"1.0.0": "1.1.0", "1.1.0": "1.0.0"}


def swaps(folder: Path, times: int, workers: int = 2) -> Figures:
    """Promote two versions back and forth: every answer is by one of them and says what that one says, and
    the change is seen on every connection."""
    took: list[float] = []
    with Serving(folder, workers=workers) as server, opened(folder) as project:
        says = {v: server.predict(f"/models/iris/versions/{v}/predict")[1]["probabilities"] for v in OTHER}
        assert says["1.0.0"] != says["1.1.0"]
        with Load(server.port, BODY, clients=8, pause=0.02) as load:
            load.wait(50)
            version = "1.0.0"
            for _ in range(times):
                version = OTHER[version]
                deploying.deploy(project, deploying.Request(f"iris@{version}", reason="a drill"))
                took.append(_seen(load, version))
            account = load.end()
        nothing_lost(account)
        wrong = [one for one in account.answers if says.get(one[3]) != one[4]]
        assert not wrong, wrong[:3]
        assert server.event("model_failed") == 0
        spread = _spread(server)
    return {
        "swaps": times,
        "answers": len(account.answers),
        "seen after, median": statistics.median(took),
        "most": max(took),
        "longest gap": account.longest_gap(),
        "workers that answered": spread,
    }


def _seen(load: Load, version: str) -> float:
    """Until every connection has been answered by a version, three times."""
    begin = time.monotonic()
    start, clients = len(load.account.answers), load.clients

    def everywhere() -> bool:
        since: dict[int, int] = dict.fromkeys(range(clients), 0)
        for _, client, _, found, _ in load.account.answers[start:]:
            since[client] = since[client] + 1 if found == version else 0
        return all(n >= 3 for n in since.values())

    wait_for(everywhere, every=0.005)
    last = [one[0] for one in load.account.answers[start:] if one[3] != version]
    return max(last, default=begin) - begin


def _spread(server: Serving) -> int:
    """How many workers have used more CPU than one that only waits."""
    used = [sum(one.cpu_times()[:2]) for one in server.children(WORKER)]
    return sum(each > max(used) / 5 for each in used)


def damaged_version(folder: Path) -> Figures:
    """Promote a version whose files are damaged, then one whose compiled file is gone: what serves goes on,
    and it is told; when the file is back, it serves. The original is damaged all the time: it would serve."""
    with opened(folder) as project:
        found = models.find(project, "iris@1.1.0")
        form = found.version.form
        assert form is not None
        original = Path(project.artifacts.where(found.run.artifact))
        original.chmod(0o600)
        original.write_bytes(b"damaged")
        path = Path(project.artifacts.where(form.artifact))
        good = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(good[:-10] + b"damaged!!!")
        with Serving(folder, workers=2) as server:
            with Load(server.port, BODY, clients=4, pause=0.02) as load:
                deploying.deploy(project, deploying.Request("iris@1.1.0", reason="a drill"))
                wait_for(lambda: server.said("iris@1.1.0 is not served"))
                load.wait(100)
                path.unlink()
                for one in server.children(WORKER):  # one that begins anew does not know what served before
                    one.kill()
                    wait_for(lambda: len(server.children(WORKER)) == 2 and _answers(server))
                    load.wait(100)
                assert {answer[3] for answer in load.account.answers} == {"1.0.0"}
                wait_for(lambda: "iris@1.1.0" in str(server.get("/health")[1].get("last_problem")))
                assert server.get("/health")[1]["ready"]
                assert server.event("load_failed") > 0
                path.write_bytes(good)
                back = wait_for(lambda: {one[3] for one in load.account.answers[-20:]} == {"1.1.0"})
                account = load.end()
            wait_for(lambda: "last_problem" not in server.get("/health")[1])
        assert not account.others(), account.others()
    return {"answers": len(account.answers), "served after its file was back": back}


def _answers(server: Serving) -> bool:
    return server.predict()[0] == 200


def restarts(folder: Path, times: int) -> Figures:
    """SIGHUP again and again: no request fails, and all of them are recorded."""
    took = []
    with Serving(folder, workers=2) as server:
        before = {one.pid for one in server.children(WORKER)}
        with Load(server.port, BODY, clients=8, pause=0.02) as load:
            load.wait(100)
            for number in range(1, times + 1):
                server.signal(signal.SIGHUP)
                took.append(wait_for(partial(_said, server, "All workers were replaced.", number)))
                now = {one.pid for one in server.children(WORKER)}
                assert len(now) == 2, now
                assert not now & before
                before = now
            load.wait(100)
            account = load.end()
        assert not account.refused, account.refused[:3]
        nothing_lost(account)
        server.stop()
    all_kept(folder, account)
    return {"restarts": times, "answers": len(account.answers), "each": statistics.median(took)} | gap(
        account
    )


def _said(server: Serving, words: str, times: int) -> bool:
    return server.said(words) == times


def terms(folder: Path, times: int) -> Figures:
    """SIGTERM under load: what was sent is answered, what was answered is recorded once."""
    took, ids, answers = [], [], 0
    for number in range(times):
        with Serving(folder, workers=1 + number % 2) as server:
            with Load(
                server.port, BODY, clients=8 if number % 4 < 2 else 32, pause=0.01 * (number % 3)
            ) as load:
                load.wait(100)
                took.append(server.stop())
                account = load.end()
            nothing_lost(account)
            answers += len(account.answers)
            ids += account.ids()
    found = kept(folder, ids)
    assert (found.missing, found.twice) == (0, 0), found
    assert len(set(ids)) == len(ids)
    return {
        "terms": times,
        "answers": answers,
        "stopped in, median": statistics.median(took),
        "most": max(took),
    }


def start(folder: Path, times: int) -> Figures:
    """How long it takes until a server answers, and until it has stopped."""
    begun, ended = [], []
    for _ in range(times):
        with Serving(folder) as server:
            assert server.predict()[0] == 200
            begun.append(server.started)
            ended.append(server.stop())
    return {"ready after, median": statistics.median(begun), "least": min(begun), "most": max(begun)} | {
        "stopped after, median": statistics.median(ended)
    }
