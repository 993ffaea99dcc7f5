"""Objects in S3 when the server, the line or the settings are not as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from tests.servers.s3 import S3
from tests.servers.s3_faults import Line, Request, first, line_to

from everloop.adapters.blobs.s3 import S3Blobs
from everloop.core.errors import (
    InvalidSettings,
    MLOpsError,
    NotFound,
    StorageDenied,
    StorageFull,
    TimedOut,
    Unavailable,
)
from everloop.settings.storage import S3Access

_NUMBERS = count(1)


def access(server: S3, endpoint: str | None = None, **changes: Any) -> S3Access:
    found = S3Access(
        bucket=server.bucket,
        prefix=f"objects/{next(_NUMBERS)}/",
        endpoint=endpoint or server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        allow_http=True,
        timeout=10,
        retries=2,
    )
    return replace(found, **changes)


@pytest.fixture
def line(s3: S3) -> Iterator[Line]:
    with line_to(s3.endpoint) as line:
        yield line


@pytest.fixture
def blobs(s3: S3, line: Line) -> S3Blobs:
    return S3Blobs(access(s3, line.endpoint))


def test_of_many_writers_of_one_key_one_wins_and_none_fails(s3: S3) -> None:
    place = access(s3)
    contents = [bytes([n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: S3Blobs(place).put("one", content), contents))
    won = S3Blobs(place).get("one")
    assert won in contents
    for content in contents:
        S3Blobs(place).put("one", content)
    assert S3Blobs(place).get("one") == won
    stored = s3.client().get_object(Bucket=place.bucket, Key=f"{place.prefix}one")["Body"].read()
    assert stored == won


def test_a_store_without_conditional_writes_is_asked_first(blobs: S3Blobs, line: Line) -> None:
    def unknown(request: Request) -> bool:
        return bool(request.headers.get("If-None-Match")) and request.answer(501, "NotImplemented")

    line.faults.append(unknown)
    blobs.put("one", b"first")
    blobs.put("one", b"second")
    blobs.put("two", b"third")
    assert (blobs.get("one"), blobs.get("two")) == (b"first", b"third")
    assert blobs.probe() == "readable, writable, no conditional writes"


def test_a_store_with_conditional_writes_is_written_to_in_one_request(blobs: S3Blobs, line: Line) -> None:
    blobs.put("one", b"first")
    assert line.seen == [f"PUT /everloop/{blobs.place.prefix}one"]
    assert blobs.probe() == "readable, writable, conditional writes"
    assert [entry.key for entry in blobs.entries()] == ["one"]


@pytest.mark.parametrize("writing", ["put", "replace"])
def test_a_write_whose_answer_is_lost_is_done_once_and_found(
    blobs: S3Blobs, line: Line, writing: str
) -> None:
    line.faults.append(first(1, lambda r: r.command == "PUT" and bool(r.forward()) and r.drop()))
    getattr(blobs, writing)("one", b"content")
    assert blobs.get("one") == b"content"


@pytest.mark.parametrize("trouble", [500, 503, "drop"])
def test_a_trouble_that_passes_is_waited_for(blobs: S3Blobs, line: Line, trouble: int | str) -> None:
    blobs.put("one", b"content")

    def fail(request: Request) -> bool:
        return request.drop() if trouble == "drop" else request.answer(int(trouble), "SlowDown")

    line.faults.append(first(2, fail))
    assert blobs.get("one") == b"content"
    line.faults[:] = [first(2, fail)]
    assert blobs.ranges("one", [(0, 3)]) == [b"con"]
    line.faults[:] = [first(2, fail)]
    blobs.put("two", b"2")
    line.faults[:] = [first(2, fail)]
    assert [entry.key for entry in blobs.entries()] == ["one", "two"]


def test_a_trouble_that_stays_ends_after_so_many_requests(blobs: S3Blobs, line: Line) -> None:
    line.faults.append(lambda request: request.answer(503, "SlowDown"))
    with pytest.raises(Unavailable, match="answers 503 SlowDown for the bucket 'everloop'") as told:
        blobs.get("one")
    assert blobs.place.endpoint
    assert blobs.place.endpoint in told.value.message
    assert len(line.seen) == 1 + blobs.place.retries


def test_a_server_that_says_nothing_is_given_up_in_time(s3: S3, line: Line) -> None:
    import threading

    over = threading.Event()
    line.faults.append(lambda request: over.wait(20) and request.drop())
    try:
        with pytest.raises(TimedOut, match="did not answer in time"):
            S3Blobs(access(s3, line.endpoint, timeout=0.2, retries=1)).get("one")
    finally:
        over.set()


@pytest.mark.parametrize(
    ("status", "code", "expected", "match"),
    [
        (403, "AccessDenied", StorageDenied, "AccessDenied"),
        (403, "RequestTimeTooSkewed", StorageDenied, "clock"),
        (301, "PermanentRedirect", InvalidSettings, "storage.region"),
        (400, "AuthorizationHeaderMalformed", InvalidSettings, "storage.region"),
        (403, "QuotaExceeded", StorageFull, "no space"),
        (507, "XMinioStorageFull", StorageFull, "no space"),
        (404, "", Unavailable, "answers 404"),
        (418, "Teapot", Unavailable, "answers 418 Teapot"),
    ],
)
def test_what_a_server_refuses_is_said_in_our_words(
    blobs: S3Blobs, line: Line, status: int, code: str, expected: type[MLOpsError], match: str
) -> None:
    line.faults.append(lambda request: request.answer(status, code))
    for write in (blobs.put, blobs.replace):
        with pytest.raises(expected, match=match) as told:
            write("one", b"")
        assert line.endpoint in str(told.value)
        assert told.value.remedy


@pytest.mark.parametrize("ask", ["size", "get", "put", "entries", "remove", "exists", "ranges", "probe"])
@pytest.mark.parametrize(
    ("changes", "expected", "match"),
    [
        ({"bucket": "nowhere"}, InvalidSettings, "no bucket 'nowhere'"),
        ({"access_key": "nobody"}, StorageDenied, "refuses s3://everloop/"),
        ({"secret_key": "wrong"}, StorageDenied, "refuses s3://everloop/"),
        ({"access_key": None, "secret_key": None}, StorageDenied, "no credentials|refuses"),
        ({"endpoint": "http://127.0.0.1:1"}, Unavailable, "http://127.0.0.1:1 cannot be reached"),
    ],
    ids=["bucket", "key", "secret", "no credentials", "endpoint"],
)
def test_a_wrong_setting_is_said_whatever_is_asked(
    s3: S3, ask: str, changes: dict[str, Any], expected: type[MLOpsError], match: str
) -> None:
    blobs = S3Blobs(access(s3, retries=0, **changes))
    questions: dict[str, Any] = {
        "put": lambda: blobs.put("one", b""),
        "entries": lambda: list(blobs.entries()),
        "ranges": lambda: blobs.ranges("one", [(0, 1)]),
        "probe": blobs.probe,
    }
    with pytest.raises(expected, match=match) as told:
        questions.get(ask, lambda: getattr(blobs, ask)("one"))()
    assert told.value.remedy
    assert "wrong" not in str(told.value)
    assert "Debug" not in str(told.value)


def test_far_parts_are_fetched_apart_and_near_ones_together(blobs: S3Blobs, line: Line) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB
    blobs.put("one", content)
    line.seen.clear()
    near = [(10, 5), (300_000, 5), (900_000, 5)]
    assert blobs.ranges("one", near) == [content[start : start + length] for start, length in near]
    assert len(line.seen) == 1
    spans = [*near, (4_500_000, 5), (len(content) - 2, 9), (len(content), 1), (9_000_000, 1)]
    assert blobs.ranges("one", spans) == [content[start : start + length] for start, length in spans]
    assert len(line.seen) == 3


def test_a_missing_object_in_a_bucket_that_is_there_is_only_missing(blobs: S3Blobs) -> None:
    assert blobs.size("one") is None
    with pytest.raises(NotFound, match=r"s3://everloop/.* is missing"):
        blobs.get("one")
