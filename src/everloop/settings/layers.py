"""The layers settings come from, each as a nested dict: file, ``.env``, environment, flags."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from everloop.core.errors import FileMissing, InvalidSettings, StorageDenied

PREFIX = "EVERLOOP_"
NAMES = ("everloop.yaml", "everloop.yml", "config.yaml")
Tree = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML where a key given twice is an error instead of a value silently lost, and the key ``on`` is that
    word: YAML 1.1 reads it as true."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Tree:
    loader.flatten_mapping(node)
    seen: Tree = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, bool):
            key = loader.construct_scalar(key_node)
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key '{key}' is there twice", problem_mark=key_node.start_mark
            )
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """JSON writes 😀 as two escapes, which are one character."""
    text = str(loader.construct_scalar(node))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)


def environment(names: Iterable[str] | None = None) -> Mapping[str, str]:
    """The process environment: the one place where it is read."""
    return dict(os.environ) if names is None else {n: os.environ[n] for n in names if n in os.environ}


def calm_threads() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says otherwise.

    By default those of scikit-learn or LightGBM spin and keep all else from working: 60 rounds of boosting
    on 150,000 rows took 14 s of wall time and 8 s of CPU on two busy cores, and 3 s and 1.6 s with threads
    that sleep. Counts for libraries that are loaded later.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def dotenv(folder: Path) -> Mapping[str, str]:
    path = folder / ".env"
    if not path.is_file():
        return {}
    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def find_file(given: str | Path | None, folder: Path) -> Path | None:
    """The configuration file: the one given, else the first of the usual names here or in a folder above."""
    if given is not None:
        path = folder / Path(given).expanduser()
        if path.is_dir():
            raise FileMissing(
                f"The configuration '{given}' is a folder.", remedy=f"Name a file, as {given}/{NAMES[0]}."
            )
        if not path.is_file():
            raise FileMissing(
                f"There is no configuration file '{given}' in {folder}.",
                remedy="Give its path with --config, or make a project with 'everloop init'.",
            )
        return path.resolve()
    for place in (folder, *folder.parents):
        for name in NAMES[:2]:
            if (place / name).is_file():
                return (place / name).resolve()
    here = folder / NAMES[2]
    return here.resolve() if here.is_file() else None


def read_yaml(path: Path) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSettings(
            f"{path} is not UTF-8 text (byte {error.start}).", remedy="Save it as UTF-8."
        ) from error
    except PermissionError as error:
        raise StorageDenied(f"{path} cannot be read.", remedy="Check its permissions.") from error
    try:
        tree = read_text(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidSettings(f"{path}{line}: {error.problem}.", remedy="Correct the YAML there.") from error
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{path} is not YAML: {error}.", remedy="Correct it.") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InvalidSettings(
            f"{path} holds {type(tree).__name__}, not sections.", remedy="Write 'section: …' lines."
        )
    return tree


def read_text(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader that also refuses double keys)


def from_environment(variables: Mapping[str, str]) -> dict[str, tuple[Tree, str]]:
    """``EVERLOOP_TRAINING__C=0.5`` -> ``{"training": {"C": 0.5}}``; values are read as YAML."""
    found = {}
    for name, value in sorted(variables.items()):
        if name == "RANDOM_SEED":
            path = ["training", "random_state"]
        elif name.startswith(PREFIX):
            path = name[len(PREFIX) :].split("__")
        else:
            continue
        found[name] = (nest(path, scalar(value)), name)
    return found


def from_flag(text: str) -> Tree:
    """``training.C=0.5`` as given to ``--set``."""
    path, sign, value = text.partition("=")
    if not sign or not path.strip():
        raise InvalidSettings(f"--set '{text}' has no value.", remedy="Write it as --set training.C=0.5.")
    return nest(path.strip().split("."), scalar(value))


def flag(path: str, value: object) -> str:
    """The flag that gives a setting this very value: as JSON, which is YAML, so that text stays as it is."""
    return f"{path}={json.dumps(value)}"


def scalar(text: str) -> Any:
    try:
        return read_text(text) if text.strip() else text
    except yaml.YAMLError:
        return text


def nest(path: list[str], value: Any) -> Tree:
    for name in reversed(path):
        value = {name: value}
    tree: Tree = value
    return tree


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in tree.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Deep merge of mappings; anything else is replaced."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
