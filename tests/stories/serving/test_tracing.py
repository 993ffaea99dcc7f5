"""Requests appear in the traces of those who ask, in a receiver of OpenTelemetry's own protocol."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.stories.serving.server import FLOWER, PATIENCE, iris_project, running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """The address of an OTLP/HTTP receiver, and the spans it gets, each with its resource."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in group.scope_spans:
                    spans.extend((_values(group.resource.attributes), span) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("traces")
    iris_project(made)
    return made


def test_a_prediction_is_a_span_of_its_callers_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (address, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with running(folder) as server:
            caller = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x_request_id": "traced-1"}
            answer = server.predict({"features": FLOWER}, **caller)
            assert answer.status == 200
            until = time.monotonic() + PATIENCE
            while not spans:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert server.predict({"features": ["x"] * 4}, "/models/iris/predict").status == 422
            assert server.ask("GET", "/health").status == 200
            assert server.ask("GET", "/jobs").status == 200
        resource, span = spans[0]
        assert resource["service.name"] == "everloop"
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id.hex() == PARENT
        assert (span.name, span.kind) == ("predict iris", span.SPAN_KIND_SERVER)
        assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 30e9
        told = _values(span.attributes)
        assert told["everloop.model"] == "iris"
        assert told["everloop.model.version"] == "1.0.0"
        assert told["everloop.request_id"] == "traced-1"
        assert told["everloop.prediction_id"] == answer.json["prediction_id"]
        assert told["http.response.status_code"] == 200
        others = [(one.name, _values(one.attributes)["http.response.status_code"]) for _, one in spans[1:]]
        assert sorted(others) == [("GET", 200), ("predict iris", 422)]  # sent when the server ended
        assert all(one.trace_id.hex() != TRACE for _, one in spans[1:])


def test_the_log_names_the_trace_and_the_prediction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (address, _):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        flags = ("--set", "logging.file=logs/traced.log", "--set", "logging.level=DEBUG")
        with running(folder, *flags) as server:
            caller = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            answer = server.predict({"features": FLOWER}, x_request_id="fine", **caller)
            assert server.predict({"features": ["x"] * 4}, x_request_id="wrong", **caller).status == 422
    lines = map(json.loads, (folder / "logs" / "traced.log").read_text().splitlines())
    events = {one["request_id"]: one for one in lines if one.get("event") == "request"}
    assert events["fine"]["prediction_id"] == answer.json["prediction_id"]
    assert "prediction_id" not in events["wrong"]
    assert [events[name]["trace_id"] for name in ("fine", "wrong")] == [TRACE, TRACE]


def test_a_receiver_that_is_gone_costs_no_prediction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (address, _):
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with running(folder) as server:
        assert server.predict({"features": FLOWER}).status == 200


def test_a_receiver_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and never answers; the exporter alone would wait for ten seconds, twice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = (
            "import asyncio, everloop.api.tracing as t\n"
            "async def app(scope, receive, send): pass\n"
            "scope = {'type': 'http', 'path': '/predict', 'method': 'POST', 'headers': [], 'scheme': 'http',"
            " 'http_version': '1.1'}\n"
            "tracing = t.Tracing(app, '1')\n"
            "asyncio.run(tracing(scope, None, None))\n"
            "tracing.close()\n"
        )
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


def test_nothing_of_it_is_imported_where_no_traces_are_wanted() -> None:
    code = (
        "import sys, everloop.api.front.worker, everloop.api.office.office, everloop.api.office.extras as e;"
        "from everloop.settings.loading import folder_settings;"
        "assert not e.told(folder_settings('.', {}), print)['traces'];"
        "sys.exit(any(name.startswith('opentelemetry.') and 'sdk' in name for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
