"""The peers' own virtual environments, below ``.envs`` here: their pins are not ours, nor each other's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".envs"
PACKAGES: dict[str, tuple[str, ...]] = {
    "evidently": ("evidently==0.7.23", "pandas<3", "pyarrow"),  # cannot be imported with pandas 3
    "nannyml": ("nannyml==0.13.1", "pandas<3", "statsmodels", "pyarrow"),  # does not declare statsmodels
    "alibi-detect": ("alibi-detect==0.13.0", "numpy<2", "pandas<3", "pyarrow<20"),
    "whylogs": ("whylogs[viz]==1.6.4", "numpy<2", "pandas<3", "pyarrow<20"),
    "scipy": ("scipy==1.17.1", "pandas<3", "pyarrow"),
    "river": ("river==0.26.1",),
}


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, which is made at the first call and when its packages change.

    Needs the package index. Raises CalledProcessError, with the installer's words in ``stderr``.
    """
    folder, wanted = FOLDER / name, list(PACKAGES[name])
    ready, python = folder / ".ready", folder / "bin" / "python"
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
