"""The unmodified client of KServe asks, from an environment of its own: its requirements are not ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .server import iris_project, running

ASKS = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address = sys.argv[1]

def tensor(name, values, datatype, binary):
    made = InferInput(name=name, shape=list(np.shape(values)), datatype=datatype)
    made.set_data_from_numpy(np.array(values, dtype=np.float64), binary_data=binary)
    return made

async def infer(client, *tensors):
    asked = InferRequest(model_name="iris", infer_inputs=list(tensors), request_id="7")
    answer = await client.infer(address, asked, model_name="iris")
    return [answer.id, *[output.as_numpy().tolist() for output in answer.outputs]]

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    told = [await client.is_server_live(address), await client.is_server_ready(address)]
    told += [await client.is_model_ready(address, "iris"), await client.is_model_ready(address, "rose")]
    row = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    for binary in (False, True):
        told.append(await infer(client, tensor("X", [list(row.values())] * 2, "FP64", binary)))
        fields = [tensor(name, [row[name]], "FP64", binary) for name in reversed(row)]
        told.append(await infer(client, *fields))
    try:
        await infer(client, tensor("X", [[1.0, 2.0, 3.0]], "FP64", False))
    except Exception as error:
        told.append([error.response.status_code, error.response.json()["error"]])
    print(json.dumps(told))

asyncio.run(main())
"""


def _installer(folder: Path) -> list[str]:
    """The command that installs into a new environment."""
    uv = shutil.which("uv")
    make = [uv, "venv", "-q"] if uv else [sys.executable, "-m", "venv"]
    subprocess.run([*make, str(folder)], check=True, capture_output=True, timeout=120)
    python = str(folder / "bin" / "python")
    if uv:
        return [uv, "pip", "install", "-q", "--python", python]
    return [python, "-m", "pip", "install", "-q", "--no-compile"]  # few of its files are ever loaded


@pytest.fixture(scope="module")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with KServe's client."""
    folder = tmp_path_factory.mktemp("kserve") / "venv"
    install = _installer(folder)
    try:
        done = subprocess.run([*install, "kserve"], capture_output=True, text=True, timeout=400, check=False)
        said = done.stderr[-500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = "It takes too long."
    if said:
        reached = (
            subprocess.run([*install, "idna"], capture_output=True, timeout=60, check=False).returncode == 0
        )
        if reached and os.environ.get("CI") == "true":
            pytest.fail(f"KServe cannot be installed: {said}")
        pytest.skip(f"KServe cannot be installed here: {said}")
    return folder / "bin" / "python"


def test_the_client_of_kserve(kserve: Path, tmp_path: Path) -> None:
    iris_project(tmp_path)
    with running(tmp_path) as server:
        command = [str(kserve), "-c", ASKS, f"http://{server.address}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    live, ready, known, unknown, *answers, refused = json.loads(done.stdout.splitlines()[-1])
    assert (live, ready, known, unknown) == (True, True, True, False)
    assert len(answers) == 4
    for request_id, labels, shares in answers:
        assert request_id == "7"
        assert set(labels) == {"setosa"}
        assert all(share[0] > 0.9 for share in shares)
    assert refused[0] == 422
    assert refused[1].startswith("features: 3 values do not fit this model")
