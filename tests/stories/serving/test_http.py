"""Whatever a client sends, it gets an answer that says what was wrong."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from typing import Any

import pytest

from .server import (
    BODY,
    COLD,
    FLOWER,
    HOT,
    JSON,
    NAMES,
    V2_BODY,
    V2_COLD,
    V2_HOT,
    Server,
    check_problem,
    request,
)

BATCH = {"instances": [FLOWER] * 10}


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
    for body in (BODY, large):
        told = check_problem(server.predict(body, COLD, request_timeout="1e-9"), 504)
    assert "1e-09 s" in told["detail"]


# -- what the office is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/predictions/history?sinc=2h", "/metrics?limit=1", "/releases?x=1"])
def test_a_parameter_that_there_is_not_is_refused(server: Server, path: str) -> None:
    told = check_problem(server.ask("GET", path), 422)
    assert told["errors"][0]["reason"] == "is no parameter of this path"
    if "sinc" in path:
        assert "since" in told["remedy"]


def test_each_wrong_part_is_named_once(server: Server) -> None:
    labels = [{"prediction_id": "p", "label": {}}, {"prediction_id": "p", "label": [1]}]
    told = check_problem(server.ask("POST", "/labels", {"labels": labels}), 422)
    assert [(one["field"], one["value"]) for one in told["errors"]] == [
        ("labels.0", "{}"),
        ("labels.1", "[1]"),
    ]
    assert "neither text nor number" in told["errors"][0]["reason"]
    assert told["detail"].endswith("And 1 more.")
    said = "input should be a valid boolean or integer or number or string"
    told = check_problem(server.ask("POST", "/add_training_data", {"features": [1], "target": None}), 422)
    assert told["errors"][0]["value"] == "null"
    assert told["detail"] == f"'target' is null: {said}."
    told = check_problem(server.ask("POST", "/add_training_data", {"features": {"a": 1}}), 422)
    assert told["errors"] == [{"field": "target", "value": "nothing", "reason": "is missing"}]
    assert told["detail"] == "'target' is missing."
    told = check_problem(
        server.ask("POST", "/add_training_data", {"features": [1, "x", 1], "target": 9}), 422
    )
    assert (told["code"], told["errors"][0]["field"]) == ("input_rejected", "features")
    sample = {"features": [1, "x", 1, 1], "target": 9}
    told = check_problem(server.ask("POST", "/add_training_data", sample), 422)
    assert [(one["field"], one["value"]) for one in told["errors"]] == [
        ("sepal_width", "'x'"),
        ("target", "9"),
    ]
    assert told["errors"][1]["allowed"] == "a class of 'species': setosa, versicolor, virginica"
    told = check_problem(server.predict({"features": [{}, 1, 1, 1]}), 422)
    assert "an object is no number" in told["detail"]


def test_a_label_that_is_none_is_invalid_and_the_others_are_kept(server: Server) -> None:
    known = server.predict({"features": FLOWER}).json["prediction_id"]
    labels = [
        {"prediction_id": known, "label": None},
        {"prediction_id": "p" * 201, "label": "setosa"},
        {"prediction_id": known, "label": "setosa", "at": "2999-01-01T00:00:00Z"},
        {"prediction_id": known, "label": ["setosa"]},
        {"prediction_id": {"a": 1}, "label": "setosa"},
        {"prediction_id": known, "label": "setosa"},
    ]
    told = server.ask("POST", "/labels", {"labels": labels})
    assert told.status == 200
    *wrong, kept = told.json["results"]
    assert [one["status"] for one in wrong] == ["invalid"] * 5
    assert "null" in wrong[0]["error"]
    assert "no prediction id" in wrong[1]["error"]
    assert "in the future" in wrong[2]["error"]
    assert "neither text nor number" in wrong[3]["error"]
    assert "no prediction id" in wrong[4]["error"]
    assert kept["status"] in ("new", "unmatched")


@pytest.mark.parametrize("name", ["observed_at", "wrong"])
def test_a_field_that_a_label_has_not_is_refused(server: Server, name: str) -> None:
    label = {"prediction_id": "pred_1", "label": "setosa"}
    told = check_problem(server.ask("POST", "/labels", {"labels": [label, {**label, name: "x"}]}), 422)
    assert told["errors"][0]["field"] == f"labels.1.{name}"
    assert "'at'" in told["remedy"]


def test_too_many_labels_are_counted_and_not_shown(server: Server) -> None:
    labels = [{"prediction_id": "p", "label": 1}] * 10_001
    told = check_problem(server.ask("POST", "/labels", {"labels": labels}), 422)
    assert told["detail"] == "'labels' is 10,001 items: list should have at most 10000 items."
    assert told["remedy"] == "Send several requests of fewer items."


@pytest.mark.parametrize("path", ["/predictions/history", "/labels/maturity", "/jobs"])
def test_of_an_unknown_model_nothing_is_shown(server: Server, path: str) -> None:
    told = check_problem(server.ask("GET", f"{path}?model=irsi"), 404)
    assert "Did you mean 'iris'" in told["remedy"]
    assert server.ask("GET", f"{path}?model=iris").status == 200


# -- compression ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_compressed_both_ways(server: Server, how: str) -> None:
    pack, unpack = (gzip.compress, gzip.decompress) if how == "gzip" else (zlib.compress, zlib.decompress)
    rows = {"instances": [FLOWER] * 100}
    answer = server.predict(pack(json.dumps(rows).encode()), content_encoding=how, accept_encoding=how)
    assert answer.headers["content-encoding"] == how
    assert answer.headers["vary"] == "accept-encoding"
    assert len(json.loads(unpack(answer.body))["predictions"]) == 100


@pytest.mark.parametrize("path", [HOT, COLD])
@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_a_large_answer_to_a_plain_request_is_compressed_where_asked_for(
    server: Server, path: str, how: str
) -> None:
    unpack = gzip.decompress if how == "gzip" else zlib.decompress
    rows = {"instances": [FLOWER] * 100}
    with contextlib.closing(server.connect()) as wire:
        asked = {"Accept-Encoding": how}
        wire.send(request("POST", path, rows, asked) + request("POST", path, BODY, asked))
        answer, small = wire.answer(), wire.answer()
    assert answer.headers["content-encoding"] == how
    assert answer.headers["vary"] == "accept-encoding"
    plain = server.predict(rows, path)
    assert plain.headers["vary"] == "accept-encoding"
    assert len(answer.body) * 5 < len(plain.body)
    shown = [
        [one["prediction"] for one in json.loads(body)["predictions"]]
        for body in (unpack(answer.body), plain.body)
    ]
    assert shown[0] == shown[1]
    assert "content-encoding" not in small.headers
    assert "prediction" in small.json


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", "*;q=0", ""])
def test_an_answer_is_not_compressed_unasked(server: Server, accepted: str) -> None:
    for path in (HOT, COLD):
        answer = server.predict({"instances": [FLOWER] * 100}, path, accept_encoding=accepted)
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
