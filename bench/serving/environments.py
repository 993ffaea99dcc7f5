"""The peers' own virtual environments, below ``.envs`` here: their pins are not ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent / ".envs"
SKLEARN = version("scikit-learn")
SAME = ("scikit-learn", "numpy", "pandas", "joblib")
"""What a peer serves models with: Everloop's versions, unless another scikit-learn is asked for."""

PACKAGES: dict[str, tuple[str, ...]] = {
    "bounds": ("uvicorn[standard]==0.54.0",),
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", *SAME),
    "flask": ("flask==3.1.3", "gunicorn==27.0.1", *SAME),
    "mlflow": ("mlflow==3.17.2", *SAME),
    "mlserver": ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22", *SAME),
    "bentoml": ("bentoml==1.4.39", *SAME),
    "litserve": ("litserve==0.2.19", *SAME),
    "ray": ("ray[serve]==2.60.0", *SAME),
}


def python_of(name: str, sklearn: str = SKLEARN) -> Path:
    """The interpreter of a peer's environment, which is made at the first call and when its packages change.

    Needs the package index. Raises CalledProcessError, with the installer's words in ``stderr``.
    """
    other = sklearn != SKLEARN and "scikit-learn" in PACKAGES[name]
    folder = FOLDER / (f"{name}-sklearn-{sklearn}" if other else name)
    versions = {each: version(each) for each in SAME} | {"scikit-learn": sklearn}
    wanted = [f"{each}=={versions[each]}" if each in SAME else each for each in PACKAGES[name]]
    ready = folder / ".ready"
    python = folder / "bin" / "python"
    if ready.exists() and ready.read_text() == "\n".join(wanted):
        return python
    uv = shutil.which("uv")
    if uv:
        make = [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "-q", "--compile-bytecode", "-p", str(python)]
    else:
        make = [sys.executable, "-m", "venv", "--clear", str(folder)]
        install = [str(python), "-m", "pip", "install", "-q"]
    FOLDER.mkdir(exist_ok=True)
    for command in (make, [*install, *wanted]):
        subprocess.run(command, check=True, capture_output=True, text=True)
    ready.write_text("\n".join(wanted))
    return python
