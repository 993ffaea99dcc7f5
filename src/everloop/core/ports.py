"""Ports: what the flows need of the outside where two real implementations exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Blobs(Protocol):
    """Immutable bytes by name. ``put`` is atomic and idempotent: after it returns the bytes are durable."""

    def put(self, key: str, data: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...

    def exists(self, key: str) -> bool: ...

    def where(self, key: str) -> str:
        """A path or URL to show to people."""


class Locks(Protocol):
    """Named locks that the operating system or the database frees when their holder dies."""

    def hold(self, name: str, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold ``name`` or raise Busy when somebody else still does after ``wait`` seconds."""


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
