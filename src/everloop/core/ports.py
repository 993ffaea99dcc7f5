"""Ports: what the flows need of the outside where two real implementations exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from .monitoring import Message


@dataclass(frozen=True)
class Entry:
    """A stored object: its key, its size in bytes, and when it was written (UTC)."""

    key: str
    size: int
    modified: datetime


class Blobs(Protocol):
    """Bytes by name, in a folder or an object store. A key is a relative path with ``/``.

    After ``put`` and ``replace`` return, the bytes are durable; they are there whole or not at all.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store under a new key; a key that is there stays as it is."""

    def replace(self, key: str, data: bytes) -> None:
        """Store under a key whether or not it is there."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""

    def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of an object, each (start, length); shorter where the object ends before. Raises NotFound."""

    def size(self, key: str) -> int | None:
        """In bytes; None where there is no such object."""

    def exists(self, key: str) -> bool: ...

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The objects whose keys start with ``prefix``, without drafts of writes that were interrupted."""

    def remove(self, key: str) -> None:
        """Durably; a key that is not there is no error."""

    def where(self, key: str) -> str:
        """A path or URL to show to people."""

    def sweep_drafts(self, older_than: datetime) -> int:
        """Remove what writes that were killed before ``older_than`` left; returns how many there were."""


class Locks(Protocol):
    """Named locks that the operating system or the database frees when their holder dies."""

    def hold(self, name: str, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold ``name`` or raise Busy when somebody else still does after ``wait`` seconds."""


class ModelProcess(Protocol):
    """A model in a process of its own. ``died``: how that ended when it was asked last, if it did."""

    died: str | None

    def scores(self, rows: Sequence[Sequence[Any]]) -> Any:
        """An array (rows, classes) or (rows,). Raises Unavailable."""


class Notifier(Protocol):
    """A way to tell people or machines: one channel of the settings."""

    def send(self, message: Message) -> None:
        """Deliver, or raise Unavailable when it may help to try again, Refused when it will not."""


class Tracker(Protocol):
    """The ledger that others read (MLflow). Each call is idempotent by the key in its document."""

    def record_run(self, document: Mapping[str, Any], files: Mapping[str, bytes]) -> str: ...

    def record_version(self, document: Mapping[str, Any]) -> str: ...

    def set_alias(self, document: Mapping[str, Any]) -> None: ...

    def record_log(self, document: Mapping[str, Any], files: Mapping[str, bytes]) -> None: ...

    def create_experiment(self, name: str, tags: Mapping[str, Any] | None = None) -> str: ...

    def search_experiments(self, filter_string: str = "") -> list[dict[str, Any]]: ...

    def search_runs(
        self, filter_string: str = "", *, experiment_ids: Iterable[str] | None = None
    ) -> list[dict[str, Any]]: ...
