"""Where the objects of the Python API keep what they know."""

from __future__ import annotations

import reprlib
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from everloop import wiring
from everloop.adapters.mlflow.address import tracking_uri
from everloop.core.errors import InvalidSettings
from everloop.flows import origins
from everloop.flows.project import Project
from everloop.settings import Settings, flag, folder_settings, load_settings
from everloop.settings.storage import is_url

Role = Literal["data_versions", "model_registry", "monitoring"]


def open_place(
    folder: str | Path | None,
    role: Role,
    tenant_id: str | None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Project:
    """The project that a folder belongs to.

    A folder that the configuration here (or beside the folder) names for this ``role`` is that project's, and
    so is None; any other folder is a project of its own, with an ``everloop.db`` in it. A place in S3 must be
    named by the configuration here. ``options`` are settings by section.
    """
    sections = options or {}
    flags = flags_of(tenant_id, sections)
    if folder is None:
        return wiring.connect(load_settings(flags=flags))
    if is_url(str(folder)):
        return _open_url(str(folder).rstrip("/"), role, flags)
    wanted = Path(folder).expanduser().resolve()
    for place in dict.fromkeys([Path.cwd(), wanted.parent]):
        settings = load_settings(folder=place, flags=flags)
        known = _place_of(settings, role)
        if not is_url(known) and Path(known).resolve() == wanted:
            return wiring.connect(settings)
    paths = {"state": ".", "data_versions": ".", "model_registry": ".", "monitoring": "."}
    tree = {"paths": paths, "tracking": {"enabled": False}, **sections}
    if tenant_id is not None:
        tree["tenant"] = tenant_id
    return wiring.connect(folder_settings(wanted, tree))


def open_tracking(uri: str | None, tenant_id: str | None) -> Project:
    """The project whose outbox goes to the MLflow at ``uri``: the one here, or for another MLflow than its
    own a small one below it, so that what waits for one server never waits behind another."""
    settings = load_settings(flags=flags_of(tenant_id))
    own = tracking_uri(settings.tracking_uri, settings.root)
    address = own if uri is None else tracking_uri(uri, Path.cwd())
    if address == own:
        return wiring.connect(settings)
    return wiring.open_ledger(settings, address)


def flags_of(tenant_id: str | None, sections: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
    """Settings as flags; a tenant ``007`` stays text."""
    _check_text("tenant_id", tenant_id)
    flags = [flag("tenant", tenant_id)] if tenant_id is not None else []
    for section, values in (sections or {}).items():
        flags += [flag(f"{section}.{name}", value) for name, value in values.items()]
    return flags


def store_flags(db: Any) -> list[str]:
    """The setting that names a database: of a URL as text, an SQLAlchemy URL, or an engine (its ``.url``).
    Raises InvalidSettings for anything else."""
    if db is None:
        return []
    url = getattr(db, "url", db)
    render = getattr(url, "render_as_string", None)  # of SQLAlchemy, which only the store knows
    text = render(hide_password=False) if callable(render) else url
    if not isinstance(text, str) or "://" not in text:
        raise InvalidSettings(
            f"{type(db).__name__} is no database.",
            remedy="Give a URL such as postgresql://user@host/database, or an SQLAlchemy engine.",
        )
    head, found, file = text.partition(":///")
    if found and head.startswith("sqlite") and file and not file.startswith(("/", ":", "file:")):
        text = f"{head}:///{Path.cwd() / file}"  # from here, as for SQLAlchemy, not from the project's folder
    return [flag("store.url", text)]


def first_model(project: Project, name: str | None) -> str:
    """The model that is meant: the one named, else the first of the configuration. Raises InvalidSettings for
    a name that is no text."""
    _check_text("model", name)
    return name if name is not None else next(iter(project.settings.models), "default")


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise InvalidSettings(f"{name} is {reprlib.repr(value)}.", remedy="Give a text.")


def absolute(source: object) -> object:
    """A path from the current folder as text; anything else as it is."""
    if not isinstance(source, (str, Path)):
        return source
    return str(origins.straight(Path.cwd() / Path(source).expanduser()))


def close_with(owner: object, project: Project) -> None:
    """Close the project when its owner goes, at the latest when the interpreter ends."""
    weakref.finalize(owner, project.close)


def _open_url(place: str, role: Role, flags: list[str]) -> Project:
    settings = load_settings(flags=flags)
    if _place_of(settings, role) != place:
        raise InvalidSettings(
            f"'{place}' is not this project's paths.{role}.",
            remedy=f"Objects in S3 need a project: set paths.{role} to it in everloop.yaml.",
        )
    return wiring.connect(settings)


def _place_of(settings: Settings, role: Role) -> str:
    if role == "data_versions":
        return settings.data_place
    return settings.models_place if role == "model_registry" else str(settings.monitoring_folder)
