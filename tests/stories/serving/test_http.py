"""Whatever a client sends, it gets an answer that says what was wrong, and the connection stays in step."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from .server import FLOWER, JSON, NAMES, PROBLEM, Answer, Server, iris_project, request, running

HOT, COLD = "/predict", "/predict?way=asgi"
V2_HOT, V2_COLD = "/v2/models/iris/infer", "/v2/models/iris/infer?way=asgi"
BODY = {"features": FLOWER}
BATCH = {"instances": [FLOWER] * 10}
V2_BODY = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP64", "data": FLOWER}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http")
    iris_project(folder, serving={"limits": {"body": 1_000_000, "rows": 100}})
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors


def check_problem(answer: Answer, status: int) -> Any:
    """It is a problem document that both RFC 9457 and the inference protocol know; returns it."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == PROBLEM
    told = answer.json
    assert told["status"] == status
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["title"]
    assert told["detail"]
    assert told["error"].startswith(told["detail"])
    assert len(answer.body) < 10_000
    assert "Traceback" not in told["error"]
    return told


def both(
    server: Server, body: Any, paths: tuple[str, ...] = (HOT, COLD, "/models/iris/predict"), **headers: str
) -> Any:
    """The problem that every way of asking tells alike."""
    answers = [server.predict(body, path, **headers) for path in paths]
    told = [check_problem(answer, answers[0].status) for answer in answers]
    for one in told:
        del one["request_id"]
    assert all(one == told[0] for one in told)
    return told[0]


def v2(value: str) -> bytes:
    return json.dumps(V2_BODY).replace("5.1", value, 1).encode()


POST = b"POST /predict HTTP/1.1\r\nHost: e\r\n"
VALUES = [
    ("NaN", "no number a model can take"), ("Infinity", "no number a model can take"),
    ("-Infinity", "no number a model can take"), ("1e999", "no number a model can take"),
    ("1e39", "no number a model can take"), ("9" * 300, "no number a model can take"),
    ("9" * 5000, "no number a model can take"), ("null", "is missing"), ('"abc"', "is no number"),
    ('"5.1"', "is no number"), ("true", "is no number"), ("[5.1]", "is no number"), ("{}", "is no number"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "said"), VALUES, ids=[value[:12] for value, _ in VALUES])
def test_a_value_that_no_model_takes_is_named(server: Server, value: str, said: str) -> None:
    for body in (
        f'{{"features": [{value}, 3.5, 1.4, 0.2]}}',
        f'{{"features":{{"sepal_length": {value}, "petal_width":0, "sepal_width":3, "petal_length":1}}}}',
    ):
        told = both(server, body.encode())
        assert told["status"] == 422
        (wrong,) = told["errors"]
        assert wrong["field"] == "sepal_length"
        assert said in wrong["reason"]
        assert wrong["allowed"].startswith("a number from")
        assert told["detail"].startswith("sepal_length: ")


@pytest.mark.parametrize(("value", "said"), VALUES, ids=[value[:12] for value, _ in VALUES])
def test_a_tensor_with_it_is_refused(server: Server, value: str, said: str) -> None:
    told = both(server, v2(value), (V2_HOT, V2_COLD, "/v2/models/iris/versions/1.0.0/infer"))
    if value == "[5.1]":
        assert told["status"] == 400
        return
    assert told["status"] == 422
    assert told["errors"][0]["field"] == "sepal_length"
    assert said in told["errors"][0]["reason"]


@pytest.mark.parametrize("count", [0, 1, 3, 5, 500])
def test_a_wrong_number_of_values(server: Server, count: int) -> None:
    told = both(server, {"features": [1.0] * count})
    assert told["detail"].startswith(f"features: {count} values do not fit")
    assert all(name in told["detail"] for name in NAMES)
    tensor = {"name": "X", "shape": [1, count], "datatype": "FP64", "data": [1.0] * count}
    both(server, {"inputs": [tensor]}, (V2_HOT, V2_COLD))


def test_a_batch_names_the_row(server: Server) -> None:
    told = both(server, {"instances": [FLOWER, FLOWER, [5.1, "x", 1.4, 0.2], FLOWER]})
    assert told["errors"] == [
        {
            "field": "sepal_width",
            "value": "'x'",
            "reason": "is no number",
            "allowed": "a number from -0.4 to 6.8",
            "row": 2,
        }
    ]
    ragged = both(server, {"instances": [FLOWER, FLOWER[:2]]})
    assert ragged["errors"][0]["row"] == 1


def test_names_that_are_missing_or_unknown(server: Server) -> None:
    told = both(server, {"features": dict(zip(NAMES[:3], FLOWER[:3], strict=True))})
    assert told["detail"].startswith("petal_width: null is missing")
    told = both(server, {"features": {**dict(zip(NAMES, FLOWER, strict=True)), "petal_widht": 1}})
    assert told["errors"][0]["field"] == "petal_widht"
    assert "petal_width" in told["errors"][0]["allowed"]


TWICE = '{"features": {"sepal_length": 1, KEY: 2, "sepal_width": 1, "petal_length": 1, "petal_width": 1}}'
BROKEN = {
    "nothing": b"",
    "an object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "half": b'{"features": [5.1',
    "more after it": b'{"features": [5.1, 3.5, 1.4, 0.2]} 1',
    "no UTF-8": b'{"features": ["\xff"]}',
    "UTF-16": '{"features": []}'.encode("utf-16"),
    "a mark": b'\xef\xbb\xbf{"features": [5.1, 3.5, 1.4, 0.2]}',
    "half a pair": b'{"\\ud800": [5.1, 3.5, 1.4, 0.2]}',
    "brackets": b'{"features": ' + b"[" * 100_000,
    "braces": b'{"a":' * 20_000,
    "both keys": json.dumps({**BODY, **BATCH}).encode(),
    "unknown key": json.dumps({**BODY, "model": "other"}).encode(),
    "no rows": b'{"instances": []}',
    "a key twice": b'{"features": [1, 2, 3, 4], "features": [5.1, 3.5, 1.4, 0.2]}',
    "a name twice": TWICE.replace("KEY:", '"sepal_length":').encode(),
    "a name twice, with spaces": TWICE.replace("KEY:", '"sepal_length"  :').encode(),
    "a name twice, in other letters": TWICE.replace("KEY:", '"sepal_\\u006cength":').encode(),
    "a name twice, in both ways": TWICE.replace("KEY:", '"sepal_\\u006cength"\t:').encode(),
    "too many rows": json.dumps({"instances": [FLOWER] * 101}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_as_expected(server: Server, body: bytes) -> None:
    told = both(server, body)
    assert told["status"] == 400
    assert told["remedy"]


def tensors(**changed: Any) -> dict[str, Any]:
    return {"inputs": [V2_BODY["inputs"][0] | changed]}


def columns(*names: str) -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [1]} for name in names]}


V2_BROKEN: dict[str, Any] = {
    "nothing": b"",
    "an object": {},
    "no inputs": {"inputs": []},
    "no data": tensors(data=None),
    "too little data": tensors(shape=[2, 4]),
    "a shape below nothing": tensors(shape=[-1, -4]),
    "no shape": tensors(shape=[]),
    "a long shape": tensors(shape=[1] * 5000),
    "a huge shape": tensors(shape=[1, 10**30]),
    "an unknown datatype": tensors(datatype="FP128"),
    "no whole numbers": tensors(datatype="INT64"),
    "texts": tensors(datatype="BYTES"),
    "beyond the datatype": tensors(datatype="UINT8", data=[1, 2, 3, 256]),
    "an unknown input": columns("a", "b"),
    "an input twice": columns(*NAMES, "sepal_length"),
    "an unknown output": {**V2_BODY, "outputs": [{"name": "logits"}]},
    "an output twice": {**V2_BODY, "outputs": [{"name": "predict"}] * 2},
    "classification": {**V2_BODY, "outputs": [{"name": "predict", "parameters": {"classification": 2}}]},
    "binary without a header": tensors(data=None, parameters={"binary_data_size": 32}),
    "a key twice": json.dumps(V2_BODY).replace('"data"', '"data": [9, 9, 9, 9], "data"').encode(),
    "a long name": tensors(name="x" * 50_000, datatype="y" * 10_000),
}  # fmt: skip


@pytest.mark.parametrize("body", V2_BROKEN.values(), ids=V2_BROKEN)
def test_an_inference_request_that_is_not_as_expected(server: Server, body: Any) -> None:
    assert both(server, body, (V2_HOT, V2_COLD))["status"] == 400


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/x",
    ],
)
def test_what_is_no_json_by_its_type(server: Server, kind: str) -> None:
    assert both(server, BODY, content_type=kind)["status"] == 415
    told = check_problem(server.predict({"labels": []}, "/labels", content_type=kind), 415)
    assert told["remedy"].endswith("application/json'.")


@pytest.mark.parametrize(
    "kind", [JSON, "APPLICATION/JSON", 'application/json; charset="UTF-8"', "application/json;"]
)
def test_json_by_its_type(server: Server, kind: str) -> None:
    for path in (HOT, COLD):
        assert server.predict(BODY, path, content_type=kind).json["prediction_name"] == "setosa"


def test_one_answer_both_ways(server: Server) -> None:
    for hot, cold, body in ((HOT, COLD, BODY), (V2_HOT, V2_COLD, V2_BODY), (HOT, COLD, BATCH)):
        answers = [server.predict(body, path).json for path in (hot, cold)]
        for answer in answers:
            answer.pop("prediction_id", None)
            answer.get("parameters", {}).pop("prediction_id", None)
            for one in answer.get("predictions", ()):
                one.pop("prediction_id")
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/models/rose/predict", "no model 'rose'"),
        ("/models/iris/versions/9.9.9/predict", "no version '9.9.9'"),
        ("/v2/models/rose/infer", "no model 'rose'"),
        ("/v2/models/iris/versions/9/infer", "no version '9'"),
        ("/models//predict", "no POST"),
        ("/models/iris/predict/more", "no POST"),
        ("/models/%00/predict", "no model"),
        ("/v2/models/iris/generate", "no POST"),
        ("/nowhere", "no POST"),
        ("//predict", "no POST"),
    ],
)
def test_what_is_not_there(server: Server, path: str, said: str) -> None:
    told = check_problem(server.predict(BODY, path), 404)
    assert said in told["detail"]


@pytest.mark.parametrize(
    "path", ["/predict/", "/%70redict", "/predict?a=b&c", "http://everloop/predict", "/models/ir%69s/predict"]
)
def test_other_ways_to_write_an_address(server: Server, path: str) -> None:
    assert server.predict(BODY, path).json["prediction_name"] == "setosa"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("PUT", "/predict", "POST"),
        ("DELETE", V2_HOT, "POST"),
        ("HEAD", "/predict", "POST"),
        ("OPTIONS", "/predict", "POST"),
        ("POST", "/health", "GET"),
        ("POST", "/v2", "GET"),
        ("PUT", "/labels", "POST"),
        ("PATCH", "/jobs", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(server: Server, method: str, path: str, allowed: str) -> None:
    answer = server.ask(method, path)
    assert answer.status == 405
    assert allowed in answer.headers["allow"]
    if method != "HEAD":
        check_problem(answer, 405)


def test_head_is_get_without_a_body(server: Server) -> None:
    for path in ("/health", "/ready", "/v2", "/v2/models/iris", "/metrics", "/openapi.json", "/docs"):
        answer = server.ask("HEAD", path)
        assert answer.status == 200, path
        assert int(answer.headers["content-length"]) > 0


def test_request_ids_go_in_and_out(server: Server) -> None:
    for path in (HOT, COLD, "/v2/models/rose/infer", "/nowhere", "/jobs/none"):
        answer = server.predict(BODY, path, x_request_id="order 66/a")
        assert answer.headers["x-request-id"] == "order 66/a", path
        if answer.status != 200:
            assert answer.json["request_id"] == "order 66/a"


@pytest.mark.parametrize("given", ["x" * 129, "a\tb", "é", " ", "", "x" * 5000])
def test_a_request_id_that_cannot_be_taken_is_replaced(server: Server, given: str) -> None:
    for path in (HOT, COLD, "/jobs/none"):
        answer = server.predict(BODY, path, x_request_id=given)
        assert answer.headers["x-request-id"].startswith("req_"), path
        if path == "/jobs/none":
            assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_a_request_id_brings_no_header_with_it(server: Server) -> None:
    answer = server.predict(BODY, HOT, x_request_id="a\rSet-Cookie: b")
    check_problem(answer, 400)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf"])
def test_a_deadline_that_is_none(server: Server, given: str) -> None:
    assert both(server, BODY, (HOT, COLD), request_timeout=given)["status"] == 400


def test_a_deadline_that_is_kept(server: Server) -> None:
    assert server.predict(BODY, HOT, request_timeout="5").status == 200
    large = json.dumps(BATCH).encode() + b" " * 100_000  # read beside the loop
    told = check_problem(server.predict(large, COLD, request_timeout="1e-9"), 504)
    assert "1e-09 s" in told["detail"]


# -- compression ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_compressed_both_ways(server: Server, how: str) -> None:
    pack, unpack = (gzip.compress, gzip.decompress) if how == "gzip" else (zlib.compress, zlib.decompress)
    rows = {"instances": [FLOWER] * 100}
    answer = server.predict(pack(json.dumps(rows).encode()), content_encoding=how, accept_encoding=how)
    assert answer.headers["content-encoding"] == how
    assert answer.headers["vary"] == "accept-encoding"
    assert len(json.loads(unpack(answer.body))["predictions"]) == 100


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", "*;q=0", ""])
def test_an_answer_is_not_compressed_unasked(server: Server, accepted: str) -> None:
    answer = server.predict({"instances": [FLOWER] * 100}, COLD, accept_encoding=accepted)
    assert "content-encoding" not in answer.headers
    assert len(answer.json["predictions"]) == 100


def test_compressed_badly(server: Server) -> None:
    packed = gzip.compress(json.dumps(BODY).encode())
    for body in (b"plain", packed[:-5], packed + packed, packed + b"more"):
        check_problem(server.predict(body, content_encoding="gzip"), 400)
    check_problem(server.predict(BODY, content_encoding="br"), 415)
    check_problem(server.predict(BODY, content_encoding="gzip, gzip"), 415)


def test_a_bomb_does_not_go_off(server: Server) -> None:
    bomb = gzip.compress(b"[" * 300_000_000, 1)[:900_000]
    check_problem(server.predict(bomb, content_encoding="gzip"), 413)
    check_problem(server.predict(zlib.compress(b" " * 300_000_000, 1), content_encoding="deflate"), 413)


# -- connections ---------------------------------------------------------------------------------------------


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


def test_too_many_headers(server: Server) -> None:
    many = {f"X-{number}": "a" for number in range(200)}
    check_problem(server.ask("GET", "/health", headers=many), 431)
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
        b"Host: everloop\r\n", b"Host: a\r\nHost: b\r\nX-Request-ID: 1\r\nX-Request-ID: 2\r\n"
    )
    for path in (b"/predict", b"/predict?x"):
        with contextlib.closing(server.connect()) as wire:
            wire.send(sent.replace(b"/predict", path))
            answer = wire.answer()
            assert answer.status == 200
            assert answer.headers["x-request-id"] == "2"
