"""A project of Everloop's with the models registered, each the champion. ``python -m bench.serving.ours``
does the registering, in the project's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import joblib

from .models import TARGET, Model

REPOSITORY = Path(__file__).resolve().parents[2]


def make(folder: Path, models: Sequence[Model]) -> None:
    """Write the project into ``folder``. Raises CalledProcessError."""
    settings = {
        "project": "bench",
        "models": {
            each.name: {"data": {"path": str(each.folder / "data.csv")}, "target": TARGET} for each in models
        },
        "tracking": {"enabled": False},
    }
    (folder / "everloop.yaml").write_text(json.dumps(settings, indent=1))  # JSON is YAML
    register = [sys.executable, "-m", "bench.serving.ours", *(str(each.folder) for each in models)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(register, cwd=folder, env=environment, check=True, capture_output=True, text=True)


def _register(folder: Path) -> None:
    from everloop import DataVersioner, ModelRegistry

    about = json.loads((folder / "model.json").read_text())
    name = about["name"]
    versioner = DataVersioner(dataset=name)
    version = versioner.register(str(folder / "data.csv"))
    registry = ModelRegistry(model=name)
    model = joblib.load(folder / "model.joblib")
    registry.register(model, promote=True, data_version=version, target=TARGET, features=about["columns"])
    registry.close()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        _register(Path(each))
