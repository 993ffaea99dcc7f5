"""What is taken of DVC's library: what no DVC command offers. Imported on first use; it takes a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from everloop.core.errors import MissingExtra, Unreadable


def require() -> None:
    """Raises MissingExtra where DVC is not installed."""
    if find_spec("dvc") is None:
        raise MissingExtra("dvc", "dvc")


@cache
def load(module: str) -> Any:
    """A module of DVC's library, or MissingExtra."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or module, "dvc") from error


def read_yaml(text: str, where: str) -> Any:
    """YAML 1.2 as DVC reads it: in YAML 1.1 a file named ``yes`` would be true. Raises Unreadable."""
    serialize = load("dvc.utils.serialize")
    try:
        return serialize.parse_yaml(text, where)
    except serialize.ParseError as error:
        raise unreadable(f"{where} is not YAML: {_why(error)}.") from error


def unreadable(said: str) -> Unreadable:
    """The error of a pointer file that is not as DVC writes it."""
    return Unreadable(said, remedy="Restore it from git, or mend it by hand.")


def md5_of(path: Path, *, legacy: bool = False) -> str:
    """The md5 by which DVC names a file; ``legacy``: text with Unix line ends, as DVC 2 hashed it."""
    name = "md5-dos2unix" if legacy else "md5"
    found: str = load("dvc_data.hashfile.hash").file_md5(str(path), name=name)
    return found


def kept(repo: Any, file: str) -> set[Path]:
    """Outputs of a ``.dvc`` file, or of the stages in a ``dvc.yaml`` with loops and templates resolved, that
    DVC keeps objects of (not ``cache: false``). Raises Unreadable for what DVC cannot read."""
    with _stages(repo, file) as stages:
        return {Path(out.fs_path) for stage in stages.values() for out in stage.outs if out.use_cache}


def folders(repo: Any, file: str, revision: str | None = None) -> dict[str, str]:
    """In which folder each stage of a ``dvc.yaml`` works, from DVC's root, with loops and templates resolved;
    in the work tree or at a revision of git. Raises Unreadable for what DVC cannot read."""
    with _stages(repo, file, revision) as stages:
        return {
            name: Path(repo.fs.relpath(stage.wdir, repo.root_dir)).as_posix()
            for name, stage in stages.items()
        }


@contextmanager
def _stages(repo: Any, file: str, revision: str | None = None) -> Iterator[Mapping[str, Any]]:
    exceptions, dvcfile = load("dvc.exceptions"), load("dvc.dvcfile")
    there = load("dvc.repo.brancher").switch(repo, revision) if revision else nullcontext()
    try:
        with there:
            yield dvcfile.load_file(repo, repo.fs.join(repo.root_dir, file)).stages
    except exceptions.DvcException as error:
        raise unreadable(f"DVC cannot read {file}: {_why(error)}.") from error


def _why(error: BaseException) -> str:
    """What DVC found wrong, in one line; it says only at the cause which line or key it was."""
    cause = error.__cause__
    mark = getattr(cause, "problem_mark", None)
    if mark is not None:
        return f"{getattr(cause, 'problem', None)} in line {mark.line + 1}"
    said = f"{error}: {cause}" if cause is not None else f"{error}"
    return said.partition("\n")[0].rstrip(".")


def open_repo(root: Path) -> Any:
    """The project as DVC's library sees it: its caches, remotes and configuration."""
    exceptions, repo = load("dvc.exceptions"), load("dvc.repo")
    try:
        return repo.Repo(str(root))
    except exceptions.DvcException as error:
        raise Unreadable(f"DVC cannot open {root}: {error}", remedy="Run 'dvc doctor' there.") from error
