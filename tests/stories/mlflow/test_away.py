"""A tracker that is away, slow or refuses holds nobody up; a courier writes only where it was told."""

from __future__ import annotations

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
from tests.servers import free_port
from tests.stories.mlflow.deliveries import run_document

from everloop.core.errors import ExperimentError, Unavailable


def test_nobody_there_is_known_within_three_seconds(
    open_tracker: Any, tmp_path: Path, model: tuple[bytes, str]
) -> None:
    port = free_port()
    (tmp_path / "file").write_text("")
    for uri in (
        f"http://127.0.0.1:{port}",
        f"postgresql+psycopg://u:secret@127.0.0.1:{port}/m",
        f"sqlite:///{tmp_path}/file/x.db",
    ):
        tracker = open_tracker(uri, artifact_root=str(tmp_path))
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            tracker.record_run(*run_document("nobody", model))
        assert time.monotonic() - started < 30, "MLflow alone tries for minutes"
        assert "secret" not in str(caught.value)
        if "sqlite" not in uri:
            with pytest.raises(Unavailable):
                tracker.check()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{}", "postgresql+psycopg://u@127.0.0.1:{}/m"])
def test_a_server_that_never_answers_is_given_up_in_time(
    uri: str, open_tracker: Any, model: tuple[bytes, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = open_tracker(uri.format(silent.getsockname()[1]), artifact_root="/none", timeout=1)
        for ask in (tracker.check, lambda: tracker.record_run(*run_document("silent", model))):
            started = time.monotonic()
            with pytest.raises(Unavailable):
                ask()
            assert time.monotonic() - started < 30


def test_a_server_that_falls_silent_in_the_middle_is_given_up_in_time(
    open_tracker: Any, server: str, model: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = open_tracker(server, timeout=1)
    tracker.check()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker.uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker.connection.uri = tracker.uri
        tracker.connection._client = None
        monkeypatch.setattr(tracker.connection, "_reach", lambda: None)
        started = time.monotonic()
        with pytest.raises(Unavailable, match="ReadTimeout"):
            tracker.record_run(*run_document("silent", model))
        assert time.monotonic() - started < 30


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server whose only answer is this one, except that it calls itself healthy."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            healthy = self.path == "/health"
            self.send_response(200 if healthy else status)
            self.end_headers()
            self.wfile.write(b"OK" if healthy else body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


REFUSAL = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}'


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>another site</html>", Unavailable),
        (401, b"who are you?", Unavailable),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "not you"}', Unavailable),
        (404, b"<html>wrong address</html>", Unavailable),
        (429, b"slower", Unavailable),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "oops"}', Unavailable),
        (503, b"soon", Unavailable),
        (400, REFUSAL, ExperimentError),
    ],
)
def test_only_a_refusal_of_the_document_is_for_good(
    open_tracker: Any, status: int, body: bytes, error: type[Exception]
) -> None:
    with answering(status, body) as uri:
        started = time.monotonic()
        with pytest.raises(error):
            open_tracker(uri, timeout=2).create_experiment("x")
        assert time.monotonic() - started < 30, "nothing is tried again here: the outbox does that"


COURIER = """
import json, sys
from everloop.adapters.mlflow import address, experiments
assert "mlflow" not in sys.modules, "addresses and filters are read without loading MLflow"
from everloop.adapters.mlflow.tracker import MlflowTracker
document, name = json.loads(sys.argv[2]), json.loads(sys.argv[2])["model"]["file"]
files = {"roc.png": b"PNG", name: open(sys.argv[3], "rb").read()}
tracker = MlflowTracker(sys.argv[1])
assert "made by the first record" in tracker.check()
tracker.record_run(document, files)
tracker.record_version({"model": "quiet", "version": "1.0.0", "run_id": document["run_id"]})
"""


def test_a_courier_is_silent_and_writes_only_where_it_was_told(
    tmp_path: Path, model: tuple[bytes, str]
) -> None:
    document, files = run_document("quiet", model)
    (tmp_path / "work").mkdir()
    (tmp_path / "model").write_bytes(files[document["model"]["file"]])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            COURIER,
            str(tmp_path / "mlruns"),
            json.dumps(document),
            str(tmp_path / "model"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path / "work",
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "work").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "mlruns").iterdir()) == ["artifacts", "mlflow.db"]
