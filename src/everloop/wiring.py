"""Settings -> Project: the only place that chooses adapters."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop import flows
from everloop.adapters import git
from everloop.adapters.blobs.folders import move_folder
from everloop.adapters.blobs.local import LocalBlobs, write_atomically, write_file
from everloop.adapters.blobs.s3 import S3Blobs
from everloop.adapters.courier import Courier
from everloop.adapters.locks.files import FileLocks
from everloop.adapters.mlflow.address import is_server, sqlite_file, tracking_uri
from everloop.adapters.mlflow.ping import ping
from everloop.adapters.webhook import PREFIX, Webhook
from everloop.core.clock import Clock, SystemClock
from everloop.core.dvc import Dvc
from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Result
from everloop.core.ports import Blobs, Locks, ModelProcess, Notifier, Tracker
from everloop.core.runs import Environment
from everloop.core.serving import Form
from everloop.flows.project import Project
from everloop.settings import Settings, flag, load_settings
from everloop.settings.loading import folder_settings
from everloop.settings.storage import is_url, s3_access
from everloop.store.database import Store, open_store
from everloop.store.locks import DatabaseLocks

if TYPE_CHECKING:
    from everloop.adapters.blobs.encrypted import EncryptedBlobs
    from everloop.adapters.blobs.keys import Keyring


def open_project(
    config: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    flags: Sequence[str] = (),
    tenant: str | None = None,
) -> Project:
    """The project of a configuration file, or of the one found from ``folder`` (the current one) upwards."""
    chosen = flags if tenant is None else [*flags, flag("tenant", tenant)]
    return connect(load_settings(config, folder=folder, flags=chosen))


def connect(settings: Settings, clock: Clock | None = None) -> Project:
    clock = clock or SystemClock()
    store = open_store(settings.store_url, settings.tenant, clock)
    return Project(
        settings=settings,
        store=store,
        data=open_blobs(settings, settings.data_place),
        artifacts=open_blobs(settings, settings.models_place),
        locks=_locks(settings, store, clock),
        clock=clock,
        open_tracker=lambda: open_tracker(settings),
        environment=lambda: _environment(settings.root),
        write_file=write_file,
        move_folder=move_folder,
        open_blobs=lambda place: open_blobs(settings, place),
        open_dvc=open_dvc,
        open_compiler=open_compiler,
        open_native=open_native,
        open_notifier=lambda address: open_notifier(settings, address),
        open_suites=open_suites,
        user=_user(),
    )


def open_blobs(settings: Settings, place: str) -> Blobs:
    """A folder (from the project's if it is relative) or ``s3://bucket/prefix``, encrypted where the settings
    name keys."""
    inner = _inner_blobs(settings, place)
    if not settings.storage.encryption.wanted:
        return inner
    encrypted = import_module("everloop.adapters.blobs.encrypted")  # here: not all need its library
    blobs: Blobs = encrypted.EncryptedBlobs(inner, encrypted.ring_of(settings))
    return blobs


def open_encrypted(settings: Settings, ring: Keyring | None = None) -> list[EncryptedBlobs]:
    """Every place where this project keeps encrypted objects, with this ring [that of the settings]."""
    encrypted = import_module("everloop.adapters.blobs.encrypted")
    ring = ring or encrypted.ring_of(settings)
    return [encrypted.EncryptedBlobs(_inner_blobs(settings, place), ring) for place in _places(settings)]


def holds_objects(settings: Settings) -> bool:
    """Whether the tenant has stored anything here, encrypted or not."""
    stores = [_inner_blobs(settings, place) for place in _places(settings)]
    return any(True for blobs in stores for _ in blobs.entries(f"{settings.tenant}/"))


def probe_storage(settings: Settings) -> Iterator[tuple[str, str | MLOpsError]]:
    """Each address in S3 that the settings name, and what can be done there or what is wrong."""
    for place in filter(is_url, _places(settings)):
        try:
            blobs = S3Blobs(s3_access(settings.storage, place, settings.root, settings.variables))
            yield place, blobs.probe()
        except MLOpsError as error:
            yield place, error


def _places(settings: Settings) -> list[str]:
    backups = [settings.backup.to] if settings.backup.to else []
    return list(dict.fromkeys([settings.data_place, settings.models_place, *backups]))


def _inner_blobs(settings: Settings, place: str) -> LocalBlobs | S3Blobs:
    sealed = settings.storage.encryption.wanted
    if is_url(place):
        access = s3_access(settings.storage, place, settings.root, settings.variables)
        return S3Blobs(access, sealed=sealed)
    return LocalBlobs(settings.root / Path(place).expanduser(), sealed=sealed)


def open_ledger(settings: Settings, address: str) -> Project:
    """A small project below this one, with an outbox of its own for another MLflow than the project's: what
    waits for one server never waits behind another. Its address is kept beside it, for ``ledgers``."""
    state = f"{settings.paths.state}/trackers/{sha256(address.encode()).hexdigest()[:12]}"
    note = settings.root / state / "address"
    if not note.exists():
        write_atomically(note, address.encode())
        note.chmod(0o600)  # it may hold a password
    tracking = {**settings.tracking.model_dump(), "uri": address}
    tree = {"tenant": settings.tenant, "paths": {"state": state}, "tracking": tracking}
    return connect(folder_settings(settings.root, tree))


def ledgers(settings: Settings) -> Iterator[Project]:
    """The projects that ``open_ledger`` has made here so far."""
    for note in sorted((settings.state / "trackers").glob("*/address")):
        yield open_ledger(settings, note.read_text())


def open_tracker(settings: Settings) -> Tracker:
    """MLflow, imported here and not before: it takes seconds."""
    mlflow = import_module("everloop.adapters.mlflow.tracker")
    uri = tracking_uri(settings.tracking_uri, settings.root)
    tracker: Tracker = mlflow.MlflowTracker(
        uri,
        tenant=settings.tenant,
        artifact_root=_artifact_root(settings, uri),
        timeout=settings.tracking.timeout,
    )
    return tracker


def open_dvc() -> Dvc:
    """DVC, imported here and not before."""
    dvc: Dvc = import_module("everloop.adapters.dvc.repository")
    return dvc


def open_compiler() -> tuple[Callable[..., bytes], Callable[[bytes], Any]]:
    """What compiles fitted models to ONNX and what runs them, imported here and not before."""
    compiler = import_module("everloop.adapters.onnx.compile").compile_model
    return compiler, import_module("everloop.adapters.onnx.session").Compiled


def open_native(kind: str, content: bytes, form: Form) -> ModelProcess:
    """A model in a process of its own, imported here and not before."""
    found: ModelProcess = import_module("everloop.adapters.native").NativeModel(kind, content, form)
    return found


def open_suites() -> Callable[..., list[Result]]:
    """What runs suites of Great Expectations, imported here and not before: it takes seconds."""
    run: Callable[..., list[Result]] = import_module("everloop.adapters.gx.suites").run
    return run


def open_notifier(settings: Settings, address: str) -> Notifier:
    """A channel of alerts: a webhook for CloudEvents, or what apprise knows, imported here and not before."""
    if address.startswith(PREFIX):
        return Webhook(address, settings.alerts.timeout)
    notifier: Notifier = import_module("everloop.adapters.apprise.notifier").AppriseNotifier(
        address, settings.alerts.timeout
    )
    return notifier


def _artifact_root(settings: Settings, uri: str) -> str | None:
    """A server keeps files itself, SQLite's lie beside it; any other database needs a place that we name."""
    given = settings.tracking.artifacts
    if given is not None:
        return given if "://" in given else str(settings.root / given)
    return None if is_server(uri) or sqlite_file(uri) else str(settings.state / "artifacts")


def shows_mlflow(settings: Settings) -> bool:
    """Whether ``everloop up`` is to show MLflow's pages: it is used, wanted, and no server of its own."""
    wanted = settings.tracking.enabled and settings.up.mlflow_port > 0
    return wanted and not tracked_by_server(settings)


def tracked_by_server(settings: Settings) -> bool:
    return is_server(tracking_uri(settings.tracking_uri, settings.root))


def serve_mlflow(settings: Settings) -> None:
    """MLflow's pages on the project's records until SIGTERM, imported here and not before."""
    uri = tracking_uri(settings.tracking_uri, settings.root)
    database = sqlite_file(uri)
    root = _artifact_root(settings, uri) or str(database.parent / "artifacts" if database else "")
    ui = import_module("everloop.adapters.mlflow.ui")
    ui.serve(uri, root, settings.up.mlflow_host, settings.up.mlflow_port)


def ping_tracking(settings: Settings) -> str | None:
    """Why MLflow's place does not answer, or None; asked in a moment and without loading MLflow."""
    uri = tracking_uri(settings.tracking_uri, settings.root)
    return ping(uri)


def create_project(folder: Path, example: str) -> list[str]:
    """Write a sample project; returns its files."""
    files: list[str] = flows.initial.create(folder, example, write_atomically)
    return files


def create_demo(folder: Path, *, fresh: bool, flags: Sequence[str] = ()) -> tuple[bool, Project]:
    """The demo's project in ``folder``, made if need be; whether it was there and goes on."""
    going_on: bool = flows.demo_folder.prepare(folder, write_atomically, fresh=fresh)
    return going_on, open_project(folder / "everloop.yaml", folder=folder, flags=flags)


def start_courier(project: Project) -> Courier:
    """A process that delivers the project's outbox to MLflow while this one works."""
    return Courier(project.settings)


def _locks(settings: Settings, store: Store, clock: Clock) -> Locks:
    if store.engine.dialect.name == "postgresql":
        return DatabaseLocks(store.engine, store.tenant, clock)
    return FileLocks(settings.state / "locks" / store.tenant)


def _environment(root: Path) -> Environment:
    return git.describe_environment(root)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
