"""Merge the layers, validate, and say in one sentence what is wrong where something is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from everloop.core import spans
from everloop.core.errors import InvalidSettings, nearest
from everloop.core.models import NAMES
from everloop.core.releases import environment_name

from . import layers
from .alerts import Alerts
from .layers import Tree
from .monitoring import Monitoring, Watch
from .releases import EnvironmentRules
from .schema import Model, Settings
from .section import Section

_NULLABLE = ("business", "example")  # sections that null switches off
_SHARED = ("training", "monitoring", "gate", "release", "retraining")
_PARTIAL = (".env", "environment", "flag")  # layers that override single values
_DEMO_MODEL: Tree = {
    "data": {"example": {"name": "customers"}},
    "target": "churned",
    "exclude": ["signup_date"],
}


def load_settings(
    config: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    flags: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Settings:
    """Defaults < file < ``.env`` < environment < ``flags`` (``section.key=value``).

    Args:
        config: the file; else ``CONFIG_PATH``; else everloop.yaml here or above, or config.yaml here.
        folder: where to look from [the current folder].
        variables: instead of the process environment.
    """
    layers.calm_threads()
    here = Path(folder or Path.cwd()).resolve()
    process = layers.environment() if variables is None else variables
    dotenv = layers.dotenv(here)
    chosen = config or process.get("CONFIG_PATH") or dotenv.get("CONFIG_PATH")
    file = layers.find_file(chosen, here)
    root = file.parent if file else here

    found = [(_known_spelling(tree), origin) for tree, origin in _layers(file, dotenv, process, flags)]
    settings = _settled(found)
    settings._root, settings._file = root, file
    settings._variables = {**dotenv, **process}
    return settings


def folder_settings(folder: str | Path, tree: Mapping[str, Any]) -> Settings:
    """Settings of a folder that is a project of its own: ``tree`` over the defaults. Of the environment only
    the secrets that settings name are read."""
    settings = _settled([(dict(tree), "the caller")])
    settings._root = Path(folder).resolve()
    settings._variables = {**layers.dotenv(settings._root), **layers.environment()}
    return settings


def _layers(
    file: Path | None, dotenv: Mapping[str, str], process: Mapping[str, str], flags: Sequence[str]
) -> Iterator[tuple[Tree, str]]:
    if file:
        yield layers.read_yaml(file), file.name
    for tree, name in layers.from_environment(dotenv).values():
        yield tree, f".env {name}"
    for tree, name in layers.from_environment(process).values():
        yield tree, f"environment {name}"
    for flag in flags:
        yield layers.from_flag(flag), f"flag --set {flag.partition('=')[0]}"


def _known_spelling(tree: Tree) -> Tree:
    """Environment names are upper case on some systems: match field names without regard to case."""
    return _respell(tree, Settings)


def _respell(part: Mapping[str, Any], kind: type[BaseModel]) -> Tree:
    known = {name.lower(): name for name in kind.model_fields}
    spelled: Tree = {}
    for given, value in part.items():
        name = known.get(str(given).lower(), str(given))
        below = _kind_of(kind, name)
        if kind is Settings and name == "environments" and isinstance(value, Mapping):
            spelled[name] = _environments(value)
            continue
        if value is None and below is not None and name not in ("models", *_NULLABLE):
            continue  # a section of which nothing is left but its name has its defaults
        if kind is Settings and name == "models" and isinstance(value, Mapping):
            value = {model: _respell(m, Model) if isinstance(m, Mapping) else m for model, m in value.items()}
        elif kind is Alerts and name == "channels" and isinstance(value, Mapping):
            value = {str(channel).lower(): address for channel, address in value.items()}
        elif below is not None and isinstance(value, Mapping):
            value = _respell(value, below)
        spelled[name] = value
    return spelled


def _environments(given: Mapping[str, Any]) -> Tree:
    """Each under its one name: ``production`` is prod. One of which nothing is said has no rules."""
    found: Tree = {}
    for each, rules in given.items():
        name = environment_name(str(each))
        if name in found:
            raise InvalidSettings(
                f"environments has '{name}' twice, once as '{each}'.", remedy="Put its rules under one name."
            )
        found[name] = _respell(rules, EnvironmentRules) if isinstance(rules, Mapping) else rules or {}
    return found


def _kind_of(kind: type[BaseModel], name: str) -> type[Section] | None:
    """The section that a field holds, if it holds one."""
    field = kind.model_fields.get(name)
    if field is None:
        return None
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)


def _settled(found: Sequence[tuple[Tree, str]]) -> Settings:
    """Merge the layers, lowest first, and validate what comes out."""
    if not any("models" in tree for tree, origin in found if not origin.startswith(_PARTIAL)):
        found = [({"models": {"default": _DEMO_MODEL}}, "default"), *found]
    found = _same_names(found)
    merged: Tree = {}
    origins: dict[str, str] = {}
    for tree, origin in found:
        merged = layers.merge(merged, tree)
        origins.update({path: origin for path, _ in layers.leaves(tree)})
    names = [name for tree, _ in found for name in _models_in(tree)]
    merged["models"] = {name: _model(name, found, origins) for name in names}
    settings = _validate(merged, origins)
    settings._origins = origins
    return settings


def _same_names(found: Sequence[tuple[Tree, str]]) -> list[tuple[Tree, str]]:
    """A model that the environment names in another case is the one that the file names."""
    known: dict[str, str] = {}
    spelled = []
    for tree, origin in found:
        models = _models_in(tree)
        if origin.startswith(_PARTIAL) and models:
            tree = {**tree, "models": {known.get(str(name).lower(), name): m for name, m in models.items()}}
        known |= {str(name).lower(): name for name in models if str(name).lower() not in known}
        spelled.append((tree, origin))
    return spelled


def _models_in(tree: Tree) -> Mapping[str, Any]:
    models = tree.get("models", {})
    if not isinstance(models, Mapping):
        raise InvalidSettings(
            "models is not a mapping of names.", remedy="Write 'models:' and 'NAME:' under it."
        )
    for name, model in models.items():
        if not isinstance(model, Mapping):
            raise InvalidSettings(f"models.{name} is empty.", remedy="Give it data and target.")
    return models


def _model(name: str, found: Sequence[tuple[Tree, str]], origins: dict[str, str]) -> Tree:
    """A model's settings: in each layer the project-wide sections and over them the model's own, and a higher
    layer over a lower one. So an environment variable for all models overrides what the file says of one."""
    settings: Tree = {"name": name}
    for tree, origin in found:
        of_layer = layers.merge(_shared(tree), _models_in(tree).get(name, {}))
        for path, _ in layers.leaves(of_layer):
            origins[f"models.{name}.{path}"] = origin
        settings = layers.merge(settings, of_layer)
    return settings


def _shared(tree: Tree) -> Tree:
    """What a layer says for all models."""
    sections = {name: tree[name] for name in _SHARED if isinstance(tree.get(name), Mapping)}
    if "monitoring" in sections:
        of_models = Watch.model_fields
        sections["monitoring"] = {
            name: value
            for name, value in sections["monitoring"].items()
            if name in of_models or name not in Monitoring.model_fields
        }
    return sections


def _validate(tree: Tree, origins: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        wrong = _once(error.errors())
        typos = [one for one in wrong if one["type"] == "extra_forbidden"]  # explain what is "missing", too
        first = (typos or wrong)[0]
        more = len(wrong) - 1
        path = ".".join(_written(first["loc"], tree))
        message, remedy = _explain(path, first)
        message = message.rstrip(".")
        origin = _origin(path, origins)
        raise InvalidSettings(
            f"{message} (from {origin})." if origin else f"{message}.",
            remedy=remedy
            + (f" There {'is' if more == 1 else 'are'} {more} more to correct." if more else ""),
        ) from None


def _written(place: Sequence[str | int], tree: Any) -> Iterator[str]:
    """Where that is in what the user wrote, who may write one mapping where a list is meant."""
    for part in place:
        if isinstance(part, int) and isinstance(tree, Mapping) and part not in tree:
            continue
        yield str(part)
        try:
            tree = tree[part]
        except (LookupError, TypeError):
            tree = None


def _once(wrong: Sequence[Any]) -> list[Any]:
    """What is said for all models is wrong once, and not again in each of them."""
    said = {one["loc"] for one in wrong}
    return [one for one in wrong if one["loc"][0:1] != ("models",) or one["loc"][2:] not in said]


def _origin(path: str, origins: Mapping[str, str]) -> str | None:
    below = (origin for known, origin in origins.items() if known.startswith(f"{path}."))
    parts = path.split(".")
    above = (".".join(parts[:many]) for many in range(len(parts) - 1, 0, -1))  # a list is given as a whole
    found = origins.get(path) or next(below, None)
    return found or next((origins[each] for each in above if each in origins), None)


def _explain(path: str, error: Mapping[str, Any]) -> tuple[str, str]:
    value = error.get("input")
    kind = error["type"]
    if kind == "extra_forbidden":
        names = _fields_at(path.split(".")[:-1])
        above = ".".join(path.split(".")[:-1]) or "the top level"
        return f"Unknown setting '{path.split('.')[-1]}' in {above}", nearest(path.split(".")[-1], names)
    if kind == "missing":
        return f"The setting '{path}' is missing", "Add it."
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return f"'{path}' is {value!r}, which YAML reads as no text", "Put it in quotes."
    if kind == "string_pattern_mismatch":
        if error["ctx"]["pattern"] == spans.PATTERN:
            return f"'{path}' is {value!r}, which is no span of time", spans.LIKE
        return f"'{path}' is {value!r}, which cannot be a name", NAMES
    if kind in ("tuple_type", "model_type"):
        form = "a list, such as [a, b]" if kind == "tuple_type" else "a section, with settings under it"
        return f"'{path}' is {value!r}, which is not {form}", "Correct the value."
    if kind in ("int_parsing", "float_parsing"):
        section, name = _section_at(path.split(".")[:-1]), path.split(".")[-1]
        field = section.model_fields.get(name) if section else None
        usual = f", such as {field.default}" if field and isinstance(field.default, (int, float)) else ""
        return f"'{path}' is {value!r}, which is no number", f"Write digits alone{usual}."
    said = str(error["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        remedy = "Correct the value." if isinstance(value, str) else "Correct the settings."
        return f"{path or 'settings'}: {said}", remedy
    return f"'{path}' is {value!r}: {said[0].lower()}{said[1:]}", "Correct the value."


def _fields_at(path: Sequence[str]) -> list[str]:
    kind = _section_at(path)
    return [name for name in kind.model_fields if name != "name" or kind is not Model] if kind else []


def _section_at(path: Sequence[str]) -> type[Section] | None:
    kind: type[Section] | None = Settings
    parts = list(path)
    while parts and kind is not None:
        name = parts.pop(0)
        field = kind.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is dict:
            parts = parts[1:]  # a name that the user gave
        kind = _kind_of(kind, name)
    return kind
