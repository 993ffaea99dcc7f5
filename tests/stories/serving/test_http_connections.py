"""Whatever a client does with its connection, answers come in order, and nothing is read in two ways."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time

import pytest

from .server import BODY, COLD, HOT, V2_BODY, V2_COLD, V2_HOT, Server, check_problem, request

POST = b"POST /predict HTTP/1.1\r\nHost: e\r\n"


def test_a_large_body_is_refused_and_its_sender_is_told(server: Server) -> None:
    for path in (HOT, COLD, "/labels"):
        told = check_problem(server.predict(b'{"features": [' + b"1," * 5_000_000 + b"1]}", path), 413)
        assert "1,000,000 bytes" in told["detail"]


def test_a_body_without_end_is_refused(server: Server) -> None:
    head = request("POST", HOT, b"", {"Transfer-Encoding": "chunked", "Content-Length": ""})
    head = head.replace(b"Content-Length: \r\n", b"")
    with contextlib.closing(server.connect()) as wire:
        wire.send(head)
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                wire.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        answer = wire.answer()
        check_problem(answer, 413)
        assert answer.headers["connection"] == "close"


def test_chunked_bodies(server: Server) -> None:
    content = json.dumps(BODY).encode()
    head = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = b"".join(
        b"%x\r\n%b\r\n" % (len(content[at : at + 7]), content[at : at + 7])
        for at in range(0, len(content), 7)
    )
    with contextlib.closing(server.connect()) as wire:
        for _ in range(3):
            wire.send(head + pieces + b"0\r\nContent-Type: text/plain\r\nX-Request-ID: trailer\r\n\r\n")
            answer = wire.answer()
            assert answer.status == 200
            assert answer.headers["x-request-id"].startswith("req_")


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    paths = [HOT, COLD, HOT, "/health", HOT, HOT, "/metrics", V2_HOT, "/nowhere", HOT, COLD, V2_COLD] * 3
    sent = b""
    for number, path in enumerate(paths):
        body = None if path in ("/health", "/metrics") else V2_BODY if path.startswith("/v2") else BODY
        method = "POST" if body else "GET"
        sent += request(method, path, body, {"X-Request-ID": f"number {number}"})
    with contextlib.closing(server.connect()) as wire:
        wire.send(sent)
        answers = [wire.answer() for _ in paths]
    assert [answer.headers["x-request-id"] for answer in answers] == [
        f"number {at}" for at in range(len(paths))
    ]
    expected = [404 if path == "/nowhere" else 200 for path in paths]
    assert [answer.status for answer in answers] == expected


def test_a_request_in_pieces(server: Server) -> None:
    sent = request("POST", HOT, BODY) + request("POST", COLD, BODY)
    with contextlib.closing(server.connect()) as wire:
        for at in range(len(sent)):
            wire.send(sent[at : at + 1])
        assert [wire.answer().status for _ in range(2)] == [200, 200]


def test_a_refused_request_leaves_the_connection_in_step(server: Server) -> None:
    with contextlib.closing(server.connect()) as wire:
        for path, headers, status in (
            ("/predict", {"Content-Type": "text/plain"}, 415), ("/nowhere", {}, 404), ("/health", {}, 405),
            ("/predict", {"Content-Encoding": "br"}, 415), ("/predict", {}, 200),
        ):  # fmt: skip
            wire.send(request("POST", path, BODY, headers))
            assert wire.answer().status == status


def test_what_is_broken_after_a_request_does_not_take_its_answer(server: Server) -> None:
    for path in (HOT, COLD, "/metrics"):
        with contextlib.closing(server.connect()) as wire:
            body = None if path == "/metrics" else BODY
            wire.send(request("POST" if body else "GET", path, body) + b"\x00 this is no HTTP\r\n\r\n")
            assert wire.answer().status == 200
            check_problem(wire.answer(), 400)
            assert wire.is_closed()


SMUGGLED = {
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    "a length that is none": POST + b"Content-Length: 5x\r\n\r\n12345",
    "a length below nothing": POST + b"Content-Length: -5\r\n\r\n12345",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 5\r\n\r\n12345",
    "a header over two lines": POST + b"A: b\r\n c\r\n\r\n",
    "a bad chunk": POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a NUL": POST + b"A: \x00\r\n\r\n",
    "another version": b"POST /predict HTTP/3.7\r\nHost: e\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}  # fmt: skip


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_what_could_be_read_in_two_ways_is_refused(server: Server, sent: bytes) -> None:
    with contextlib.closing(server.connect()) as wire:
        wire.send(sent + request("GET", "/health"))
        check_problem(wire.answer(), 400)
        assert wire.is_closed()


@pytest.mark.parametrize("path", [HOT, COLD])
@pytest.mark.parametrize("count", [101, 20_000])
def test_more_headers_than_are_read(server: Server, path: str, count: int) -> None:
    many = {f"X-{number}": "a" for number in range(count - 3)}  # three are sent anyway
    check_problem(server.predict(BODY, path, **many), 431)
    few = {f"X-{number}": "a" for number in range(97)}
    assert server.predict(BODY, path, **few).status == 200


@pytest.mark.parametrize("path", [HOT, COLD])
@pytest.mark.parametrize("size", [66_000, 200_000])
def test_a_header_that_is_too_large_whether_it_comes_at_once_or_in_parts(
    server: Server, path: str, size: int
) -> None:
    sent = request("POST", path, BODY, {"A": "b" * size})
    for parts in (1, 2, 7):
        with contextlib.closing(server.connect()) as wire:
            step = len(sent) // parts + 1
            with contextlib.suppress(ConnectionError):
                for at in range(0, len(sent), step):
                    wire.send(sent[at : at + step])
                    time.sleep(0.02 if parts > 1 else 0)
            check_problem(wire.answer(), 431)
            assert wire.is_closed()
    large = {"A": "b" * 60_000}
    assert server.predict(BODY, path, **large).status == 200


def test_small_requests_in_one_large_piece_are_all_answered(server: Server) -> None:
    with contextlib.closing(server.connect()) as wire:
        wire.send(request("POST", HOT, BODY) * 1_000)
        assert {wire.answer().status for _ in range(1_000)} == {200}


def test_an_address_that_is_too_long_is_called_so(server: Server) -> None:
    told = check_problem(server.ask("GET", "/predictions/history?model=" + "a" * 100_000), 414)
    assert "bytes" in told["detail"]


def test_a_head_that_does_not_end(server: Server) -> None:
    with contextlib.closing(server.connect()) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: e\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                wire.send(b"A: " + b"b" * 10_000)
        check_problem(wire.answer(), 431)


def test_older_http_and_closing(server: Server) -> None:
    for path in (HOT, COLD):
        with contextlib.closing(server.connect()) as wire:
            wire.send(request("POST", path, BODY, version="1.0"))
            assert wire.answer().status == 200
            assert wire.is_closed()
        with contextlib.closing(server.connect()) as wire:
            last = request("POST", path, BODY, {"Connection": "close"})
            wire.send(last + request("POST", "/labels", {"labels": []}))
            answer = wire.answer()
            assert answer.headers["connection"] == "close"
            assert wire.is_closed()


@pytest.mark.parametrize("path", [HOT, COLD])
@pytest.mark.parametrize("hosts", [0, 2])
def test_a_request_names_one_host(server: Server, path: str, hosts: int) -> None:
    with contextlib.closing(server.connect()) as wire:
        wire.send(request("POST", path, BODY).replace(b"Host: everloop\r\n", b"Host: everloop\r\n" * hosts))
        told = check_problem(wire.answer(), 400)
        assert "Send one Host header" in told["remedy"]
        assert wire.is_closed()
    with contextlib.closing(server.connect()) as wire:
        older = request("POST", path, BODY, version="1.0").replace(b"Host: everloop\r\n", b"")
        wire.send(older)
        assert wire.answer().status == 200


def test_a_client_that_waits_to_be_asked(server: Server) -> None:
    with contextlib.closing(server.connect()) as wire:
        head, body = request("POST", HOT, BODY, {"Expect": "100-continue"}).split(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        assert wire.answer().status == 100
        wire.send(body)
        assert wire.answer().status == 200
    with contextlib.closing(server.connect()) as wire:
        wire.send(head.replace(b"application/json", b"text/plain") + b"\r\n\r\n")
        check_problem(wire.answer(), 415)


def test_an_offer_to_change_the_protocol_is_not_taken_up(server: Server) -> None:
    """Java's client sends it with its first request."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    with contextlib.closing(server.connect()) as wire:
        wire.send(
            request("POST", HOT, BODY, offer) + request("POST", COLD, BODY, offer) + request("GET", "/health")
        )
        assert [wire.answer().status for _ in range(3)] == [200, 200, 200]


def test_headers_that_are_there_twice(server: Server) -> None:
    sent = request("POST", HOT, BODY).replace(
        b"Host: everloop\r\n", b"Host: a\r\nX-Request-ID: 1\r\nX-Request-ID: 2\r\n"
    )
    for path in (b"/predict", b"/predict?x"):
        with contextlib.closing(server.connect()) as wire:
            wire.send(sent.replace(b"/predict", path))
            answer = wire.answer()
            assert answer.status == 200
            assert answer.headers["x-request-id"] == "2"


@pytest.mark.parametrize("resets", [False, True])
def test_a_client_that_hangs_up_with_requests_in_line_leaves_no_trace_in_the_log(
    server: Server, resets: bool
) -> None:
    pages = request("GET", "/predictions/history?limit=1000")
    for sent in (pages * 3, pages + request("POST", HOT, BODY), request("POST", HOT, BODY) + pages * 2):
        for _ in range(4):
            with socket.create_connection((server.host, server.port)) as gone:
                if resets:
                    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(sent)
                server.ask("GET", "/health")
        for _ in range(4):  # by then those are answered
            assert server.ask("GET", "/predictions/history?limit=1000").status == 200
    server.ask("GET", "/nowhere-at-the-end")
    assert "Traceback" not in server.errors
