"""The unmodified client of the Open Inference Protocol asks, and schemathesis asks what nobody would."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)
from tritonclient.utils import InferenceServerException

from everloop.data import writing
from everloop.flows import models, turn
from everloop.flows.project import Project

from .server import FLOWER, NAMES, Server, iris_project, running, write_project
from .test_http_parity import SHOPS, table_of, visits

MIXED = ["at", "opened", "member", "shop", "basket", "items"]


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    iris_project(folder, serving={"retrain": False})
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors


@pytest.fixture
def client(iris: Server) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(iris.address) as client:
        yield client


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Project]]:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "visits.parquet").write_bytes(writing.to_bytes(table_of(visits(1000, 1)), ".parquet"))
    model: dict[str, Any] = {
        "data": {"path": "visits.parquet"}, "target": "kind", "exclude": ["value"],
        "training": {"model_type": "hist_gradient_boosting"},
        "serving": {"inputs": {"missing": "allow", "range": "allow", "category": "allow"}},
    }  # fmt: skip
    project = write_project(folder, models={"visits": model})
    try:
        turn.run(project, "visits")
        with running(folder) as server:
            yield server, project
    finally:
        project.close()


def _tensor(name: str, values: Any, datatype: str, *, binary: bool) -> InferInput:
    given = np.asarray(values)
    tensor = InferInput(name, list(given.shape), datatype)
    tensor.set_data_from_numpy(given, binary_data=binary)
    return tensor


def test_health_and_metadata(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris")
    assert client.is_model_ready("iris", "1.0.0")
    assert not client.is_model_ready("rose")
    server = client.get_server_metadata()
    assert server["name"] == "everloop"
    assert re.match(r"\d+\.\d+", server["version"])
    assert "binary_tensor_data" in server["extensions"]
    told = client.get_model_metadata("iris")
    assert told["name"] == "iris"
    assert told["versions"] == ["1.0.0"]
    assert told["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in NAMES]
    assert told["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
    ]
    assert client.get_model_repository_index() == [
        {"name": "iris", "version": "1.0.0", "state": "READY", "reason": ""}
    ]


def test_what_is_not_offered_is_told_so(client: InferenceServerClient) -> None:
    for ask in (client.get_model_config, client.get_model_metadata, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="There is no") as caught:
            ask("rose")
        assert caught.value.status() == "404"


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_one_tensor(client: InferenceServerClient, sent: bool, asked: bool, datatype: str) -> None:
    if datatype == "FP16" and not sent:
        return  # it exists in binary only
    kind = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}[datatype]
    rows = np.array([FLOWER, [6.7, 3.0, 5.2, 2.3]] * 20, dtype=kind)
    outputs = [InferRequestedOutput(name, binary_data=asked) for name in ("predict_proba", "predict")]
    answer = client.infer(
        "iris", [_tensor("X", rows, datatype, binary=sent)], outputs=outputs, request_id="7"
    )
    told = answer.get_response()
    assert (told["id"], told["model_name"], told["model_version"]) == ("7", "iris", "1.0.0")
    assert [output["name"] for output in told["outputs"]] == ["predict_proba", "predict"]
    labels = answer.as_numpy("predict")
    assert labels is not None
    assert [_text(label) for label in labels] == ["setosa", "virginica"] * 20
    shares = answer.as_numpy("predict_proba")
    assert shares is not None
    assert shares.shape == (40, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def _text(label: Any) -> str:
    return label.decode() if isinstance(label, bytes) else str(label)


@pytest.mark.parametrize("binary", [True, False])
def test_one_tensor_per_field_in_any_order(client: InferenceServerClient, binary: bool) -> None:
    order = [2, 0, 3, 1]
    tensors = [_tensor(NAMES[at], [[FLOWER[at]]] * 3, "FP64", binary=binary) for at in order]
    answer = client.infer("iris", tensors, model_version="1.0.0").as_numpy("predict")
    assert answer is not None
    assert [_text(label) for label in answer] == ["setosa"] * 3
    whole = np.array([[7, 3, 6, 2]])
    kinds = [_tensor("X", whole.astype(np.int64), "INT64", binary=binary)]
    answer = client.infer("iris", kinds).as_numpy("predict")
    assert answer is not None
    assert _text(answer[0]) == "virginica"


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_compression(client: InferenceServerClient, how: str) -> None:
    rows = np.array([FLOWER] * 500)
    answer = client.infer(
        "iris", [_tensor("X", rows, "FP64", binary=True)],
        request_compression_algorithm=how, response_compression_algorithm=how,
    )  # fmt: skip
    shares = answer.as_numpy("predict_proba")
    assert shares is not None
    assert shares.shape == (500, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[5.1, 3.5, np.inf, 0.2]], "petal_length: inf is no number a model can take"),
        ([[5.1, 3.5, np.nan, 0.2]], "petal_length: null is missing"),
        ([[5.1, 3.5, 1.4]], "3 values do not fit this model"),
        ([[[5.1, 3.5, 1.4, 0.2]]], "has the shape"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_errors_are_raised_with_what_was_wrong(
    client: InferenceServerClient, values: Any, said: str, binary: bool
) -> None:
    if not binary and not np.isfinite(np.asarray(values)).all():
        return  # the client itself cannot write it as JSON
    with pytest.raises(InferenceServerException, match=re.escape(said)):
        client.infer("iris", [_tensor("X", values, "FP64", binary=binary)])


def test_texts_times_and_missing_values(mixed: tuple[Server, Project]) -> None:
    server, project = mixed
    frame = visits(40, 3)[MIXED]
    frame = frame[frame.notna().all(axis=1)].reset_index(drop=True)
    frame.loc[3, "shop"] = "never seen"
    member = frame["member"].to_numpy(dtype=bool)
    told = {
        "at": (np.array([[one.isoformat()] for one in frame["at"]], dtype=object), "BYTES"),
        "opened": (np.array([[one.isoformat()] for one in frame["opened"]], dtype=object), "BYTES"),
        "member": (member.reshape(-1, 1), "BOOL"),
        "shop": (frame[["shop"]].to_numpy(dtype=object), "BYTES"),
        "basket": (frame[["basket"]].to_numpy(copy=True), "FP64"),
        "items": (frame[["items"]].to_numpy(), "FP64"),
    }
    told["basket"][0][5, 0] = np.nan
    frame.loc[5, "basket"] = np.nan
    model = models.load(project, "visits")
    expected = model.predict_proba(frame)
    assert set(SHOPS) & set(frame["shop"])
    with InferenceServerClient(server.address) as client:
        kinds = {one["name"]: one["datatype"] for one in client.get_model_metadata("visits")["inputs"]}
        assert kinds == {name: datatype for name, (_, datatype) in told.items()}
        tensors = [_tensor(name, *given, binary=True) for name, given in told.items()]
        shares = client.infer("visits", tensors).as_numpy("predict_proba")
    assert shares is not None
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert isinstance(frame, pd.DataFrame)


def test_schemathesis_finds_nothing(iris: Server, tmp_path: Path) -> None:
    """It asks for what is described and for what is not; what a model's contract refuses is not described."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://{iris.address}/openapi.json",
        "--max-examples", "20", "--checks", "all", "--exclude-checks", "positive_data_acceptance",
        "--seed", "1", "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " 0 passed" not in done.stdout


def _examples(document: Any, schema: Any) -> Iterator[Any]:
    """Those of a body's schema and of the schemas that it names."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("examples", ())
    for one in schema.get("anyOf", ()):
        yield from _examples(document, one)


def test_the_examples_of_the_description_work(iris: Server) -> None:
    document = iris.ask("GET", "/openapi.json").json
    sent = 0
    for path, operations in document["paths"].items():
        body = operations.get("post", {}).get("requestBody")
        if body is None or operations["post"]["tags"][0] in ("alerts", "releases"):  # their stories try those
            continue
        if "{decision_id}" in path:  # there is none that waits
            continue
        place = path.replace("{name}", "iris").replace("{model}", "iris").replace("{version}", "1.0.0")
        for example in _examples(document, body["content"]["application/json"]["schema"]):
            answer = iris.predict(example, place)
            assert answer.status in (200, 202), (place, example, answer.body)
            sent += 1
    assert sent >= 15


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_of_the_description_need_no_other_server(iris: Server, path: str) -> None:
    page = iris.ask("GET", path)
    assert page.status == 200
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert linked
    for link in linked:
        assert link.startswith("/"), link
        assert iris.ask("GET", link).status == 200, link
