"""A project as the flows see it: its settings and the outside things that ``wiring`` chose for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everloop.core.clock import Clock
from everloop.core.dvc import Dvc
from everloop.core.errors import UnknownModel, nearest
from everloop.core.monitoring import Result
from everloop.core.ports import Blobs, Locks, ModelProcess, Notifier, Tracker
from everloop.core.runs import Environment
from everloop.core.serving import Form
from everloop.settings import Model, Settings
from everloop.store.database import Store


@dataclass(frozen=True)
class Project:
    """``data`` keeps data versions, ``artifacts`` fitted models and plots; ``write_file`` replaces a file
    atomically, ``move_folder`` gives a finished folder its name durably; ``open_blobs`` opens a folder or
    ``s3://…`` for backups; ``open_compiler`` gives what compiles models and what runs them; ``open_native``
    what runs a model that cannot be compiled, apart from us; ``open_notifier`` a channel by its address;
    ``open_suites`` what runs suites of Great Expectations; ``user`` is who acts, for the history."""

    settings: Settings
    store: Store
    data: Blobs
    artifacts: Blobs
    locks: Locks
    clock: Clock
    open_tracker: Callable[[], Tracker]
    environment: Callable[[], Environment]
    write_file: Callable[[Path, bytes | Iterable[bytes]], None]
    move_folder: Callable[[Path, Path], None]
    open_blobs: Callable[[str], Blobs]
    open_dvc: Callable[[], Dvc]
    open_compiler: Callable[[], tuple[Callable[..., bytes], Callable[[bytes], Any]]]
    open_native: Callable[[str, bytes, Form], ModelProcess]
    open_notifier: Callable[[str], Notifier]
    open_suites: Callable[[], Callable[..., list[Result]]]
    user: str

    @property
    def tenant(self) -> str:
        return self.store.tenant

    def model(self, name: str) -> Model:
        """The settings of one model."""
        try:
            return self.settings.models[name]
        except KeyError:
            raise UnknownModel(
                f"There is no model '{name}' in the settings.", remedy=nearest(name, self.settings.models)
            ) from None

    def close(self) -> None:
        self.store.close()
