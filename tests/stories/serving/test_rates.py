"""A client has so many requests, and is told how many are left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers.redis import Redis, redis_server
from tests.stories.serving.server import FLOWER, PATIENCE, Server, iris_project, request, running

HOUR = "serving.limits.rate=6/hour"  # no test is so slow that the window ends, or it begins anew


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("rates")
    iris_project(made)
    return made


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as started:
        yield started


def asked(server: Server, times: int, path: str = "/predict", **headers: str) -> list[int]:
    return [server.predict({"features": FLOWER}, path, **headers).status for _ in range(times)]


def test_over_the_rate_is_429_and_says_when_to_come_again(folder: Path) -> None:
    with running(folder, "--set", HOUR) as server:
        first = server.predict({"features": FLOWER})
        assert first.headers["ratelimit-limit"] == "6"
        assert first.headers["ratelimit-remaining"] == "5"
        assert 3_600 <= int(first.headers["ratelimit-reset"]) <= 7_200
        assert first.headers["ratelimit-policy"] == '"default";q=6;w=3600'
        assert server.ask("GET", "/labels/maturity").headers["ratelimit-remaining"] == "4"
        assert asked(server, 5) == [200] * 4 + [429]
        refused = server.predict({"features": FLOWER}, x_request_id="mine")
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-remaining"] == "0"
        assert refused.json["code"] == "too_many_requests"
        assert refused.json["request_id"] == "mine"
        assert server.ask("POST", "/labels", {"labels": []}).status == 429
        assert server.predict({"instances": [FLOWER] * 9}, content_encoding="identity").status == 429
        for path in (
            "/health",
            "/ready",
            "/v2/health/live",
            "/v2/health/ready",
            "/metrics",
            "/prometheus_metrics",
        ):
            answer = server.ask("GET", path)
            assert answer.status == 200, path
            assert "ratelimit-limit" not in answer.headers
        assert asked(server, 8, x_api_key="a customer") == [429] * 8  # the address cannot pay for a new key
        assert server.ask("GET", "/metrics").json["models"]["iris"]["status"]["429"] >= 3


def test_keys_count_for_themselves(folder: Path) -> None:
    with running(folder, "--set", HOUR) as server:
        assert asked(server, 8, x_api_key="one") == [200] * 6 + [429] * 2
        assert asked(server, 8, x_api_key="two") == [200] * 6 + [429] * 2
        assert asked(server, 6) == [200] * 4 + [429] * 2  # each of the keys was new once


def test_refused_on_a_connection_that_stays_open(folder: Path) -> None:
    with running(folder, "--set", HOUR) as server:
        wire = server.connect()
        body = json.dumps({"features": FLOWER}).encode()
        wire.send(request("POST", "/predict", body) * 9)
        assert [wire.answer().status for _ in range(9)] == [200] * 6 + [429] * 3
        wire.close()


def test_several_servers_and_workers_share_a_rate_through_redis(folder: Path, redis: Redis) -> None:
    shared = ("--set", HOUR, "--set", f"serving.limits.rate_store={redis.url}/1", "--workers", "2")
    with running(folder, *shared) as server:
        first = server.predict({"features": FLOWER})
        assert (first.status, first.headers["ratelimit-remaining"]) == (200, "5")
        assert asked(server, 3) == [200] * 3
    with running(folder, *shared) as server:
        assert asked(server, 4) == [200] * 2 + [429] * 2
        assert asked(server, 2, x_api_key="another") == [429] * 2  # its address cannot pay for a new key


def test_keys_count_for_themselves_in_redis_and_their_address_pays_once(folder: Path, redis: Redis) -> None:
    shared = ("--set", HOUR, "--set", f"serving.limits.rate_store={redis.url}/2", "--workers", "1")
    with running(folder, *shared) as server:
        assert asked(server, 8, x_api_key="one") == [200] * 6 + [429] * 2
        assert asked(server, 8, x_api_key="two") == [200] * 6 + [429] * 2
        assert asked(server, 6) == [200] * 4 + [429] * 2
        assert [asked(server, 1, x_api_key=f"invented {n}") for n in range(5)] == [[429]] * 5


def test_without_its_store_predictions_go_on_and_it_is_told(folder: Path) -> None:
    with redis_server() as gone:
        address = gone.url
    flags = ("--set", HOUR, "--set", f"serving.limits.rate_store={address}")
    with running(folder, *flags) as server:
        assert "serving.limits.rate_store does not answer" in server.errors
        assert asked(server, 8) == [200] * 8
        assert "serving.limits.rate" in server.ask("GET", "/health").json["last_problem"]
        assert b'event="rate_unknown"' in server.ask("GET", "/prometheus_metrics").body
        while not (notices := server.ask("GET", "/dashboard/data").json["notices"]):
            pass
        assert re.match(r"At \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ in worker 0: The store of", notices[0])


def test_a_store_that_hangs_lets_requests_pass_and_is_taken_up_again(folder: Path) -> None:
    with redis_server() as store:
        flags = ("--set", HOUR, "--set", f"serving.limits.rate_store={store.url}", "--workers", "1")
        with running(folder, *flags) as server:
            assert asked(server, 2) == [200] * 2
            os.kill(store.process.pid, signal.SIGSTOP)
            try:
                assert asked(server, 30) == [200] * 30
                gone = "The store of serving.limits.rate_store does not answer"
                wait_for(lambda: gone in server.errors)
            finally:
                os.kill(store.process.pid, signal.SIGCONT)
            back = "The store of serving.limits.rate_store answers again"
            wait_for(lambda: bool(asked(server, 1)) and back in server.errors)
            assert "ratelimit-limit" in server.predict({"features": FLOWER}).headers
            assert (server.errors.count(gone), server.errors.count(back)) == (1, 1)


def wait_for(there: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("serving.limits.rate=fast", "serving.limits.rate is 'fast'"),
        ("serving.limits.rate=0/second", "serving.limits.rate is '0/second'"),
    ],
)
def test_a_rate_that_is_none_is_refused_at_start(folder: Path, setting: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "everloop", "serve", "--port", "0", "--set", setting],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr
    assert "100/second" in done.stderr
    assert "Traceback" not in done.stderr
