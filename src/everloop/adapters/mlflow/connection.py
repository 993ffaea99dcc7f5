"""One conversation with MLflow at a time: reached quickly or not at all, and its failures in our words."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as mlflow_database
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from everloop.adapters.mlflow.address import is_server, shown, sqlite_file
from everloop.core.errors import ExperimentError, MLOpsError, StorageDenied, StorageFull, Unavailable

CONNECT_SECONDS = 2.0
REJECTED = frozenset(
    {
        "ALREADY_EXISTS",
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "NOT_FOUND",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
    }
)
PASSING_STATUS = frozenset({401, 403, 404, 408, 425, 429})  # a setting or a moment, not our document

mlflow_database.MAX_RETRY_COUNT = 1  # MLflow would sleep 100 s over a database that is not there


class Connection:
    """An MLflow backend at ``uri``; no request to it waits longer than ``timeout`` seconds (at least one)."""

    def __init__(self, uri: str, timeout: float) -> None:
        self.uri = uri
        self.timeout = max(1, int(timeout))
        self._client: Any = None

    @contextmanager
    def talk(self) -> Iterator[Any]:
        """Give MLflow's client. Raises Unavailable (try later) or ExperimentError (never accepted)."""
        with ExitStack() as stack:
            # No retries: the outbox has its own, and a create that is repeated makes a second one.
            limits = dict.fromkeys(("MLFLOW_HTTP_REQUEST_TIMEOUT", "PGCONNECT_TIMEOUT"), str(self.timeout))
            stack.enter_context(_environment({**limits, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            try:
                self._reach()
                if self._client is None:
                    self._client = self.open()
                yield self._client
            except Exception as problem:
                raise self._translate(problem) from problem

    def open(self) -> Any:
        database = sqlite_file(self.uri)
        if database is not None and not database.exists():
            _create(database)
        return mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Make this backend MLflow's global one for a moment: its SQL registry looks sources up there."""
        with _environment({"MLFLOW_TRACKING_URI": self.uri}), _use_tracking_uri(self.uri):
            yield

    def version(self) -> str:
        """MLflow's version at the other end: the server's, or the library's for a database."""
        if not is_server(self.uri):
            return str(mlflow.__version__)
        answer = requests.get(f"{self.uri}/version", timeout=(CONNECT_SECONDS, self.timeout))
        answer.raise_for_status()
        return answer.text.strip()

    def _reach(self) -> None:
        """Fail within seconds when nobody is there; MLflow itself would wait the whole timeout, or longer."""
        connect = min(CONNECT_SECONDS, self.timeout)
        if is_server(self.uri):
            answer = requests.get(
                f"{self.uri}/health", timeout=(connect, self.timeout), allow_redirects=False
            )
            if answer.status_code >= 500:
                raise Unavailable(
                    f"MLflow at {shown(self.uri)} is not well: status {answer.status_code}.",
                    remedy="Look at the server's log; what was to be recorded is kept and sent later.",
                )
        elif self._client is None and sqlite_file(self.uri) is None:
            parts = urlsplit(self.uri)
            if parts.hostname and parts.port:
                socket.create_connection((parts.hostname, parts.port), timeout=connect).close()

    def _translate(self, problem: Exception) -> MLOpsError:
        where = f"MLflow at {shown(self.uri)}"
        if isinstance(problem, MLOpsError):
            return problem
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            return StorageFull(f"{where}: no space left for {problem.filename or 'its files'}.")
        if isinstance(problem, PermissionError):
            return StorageDenied(f"{where}: {problem.filename or problem} cannot be written.")
        if _is_rejection(problem):
            return ExperimentError(f"{where} refused the record: {_reason(problem)}")
        return Unavailable(
            f"{where} cannot be used now: {_reason(problem)}",
            remedy="Check the address, the credentials and the server; nothing is lost, it is sent later.",
        )


def _create(database: Path) -> None:
    """Make an MLflow database that is there whole or not at all.

    MLflow builds its tables by some fifty migrations that SQLite does not roll back: one killed among them
    leaves a database that no MLflow ever opens again. They run in memory: in a file each would wait
    for the disk many times.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{database.name}-", dir=database.parent) as folder:
        made = Path(folder, database.name)
        engine = mlflow_database.create_sqlalchemy_engine("sqlite://")
        try:
            mlflow_database._initialize_tables(engine)
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(made),))
        finally:
            engine.dispose()
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        if not database.exists():
            made.rename(database)


def _is_rejection(problem: Exception) -> bool:
    """Whether the same document would be refused again, however often it is sent."""
    if isinstance(problem, MlflowException):
        return problem.error_code in REJECTED
    if isinstance(problem, requests.HTTPError) and problem.response is not None:
        status = problem.response.status_code
        return 400 <= status < 500 and status not in PASSING_STATUS
    return isinstance(problem, (KeyError, TypeError, ValueError)) and not isinstance(problem, OSError)


def _reason(problem: Exception) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    if isinstance(problem, KeyError):
        text = f"'{problem.args[0]}' is missing in it"
    return text if len(text) <= 300 else f"{text[:297]}…"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """MLflow reads these at every call; they are put back so that the rest of the process sees its own."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
