"""What the office says: to people who look on, and in the log with fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .plans import Plans
from .recorder import Recording
from .workers import WorkerProcess

UNRECORDED = (
    "Until it can be written, predictions are answered and kept in files, up to serving.log.backlog bytes; "
    "labels and samples are refused, and nothing is released, checked or retrained."
)


class Words:
    """``tell`` hears notes; ``log`` (see ``adapters.logs``) gets what has a level and fields, where there is
    one. What is wrong with a version is said once, until it is well."""

    def __init__(self, tell: Callable[[str], None], log: Any = None) -> None:
        self.tell = tell
        self._log = log
        self._unserved: dict[str, str] = {}  # by model@version, as it was said
        self._unloaded: dict[str, str] = {}
        self.unrecorded: str | None = None  # that nothing can be recorded, and what to do

    def warn(self, said: str, **fields: Any) -> None:
        if self._log is None:
            self.tell(said)
        else:
            self._log.warning(said, **fields)

    def of_worker(self, slot: int, worker: WorkerProcess | None, said: str) -> None:
        """Something went wrong with the worker of a socket; None: there is none yet."""
        self.warn(f"Worker {slot} {said}", worker=slot, **(_process(worker) if worker else {}))

    def begun(self, address: str, plans: Plans) -> None:
        """Workers answer."""
        if self._log is not None:
            models = plans.plan.models if plans.plan else ()
            self._log.info(
                "Serving.", address=address, champions={one.name: one.default for one in models},
                versions={one.name: [each.version for each in one.versions] for one in models},
            )  # fmt: skip

    def problems(self, plans: Plans) -> None:
        """What cannot be served as it should."""
        said = {name: plans.said(name) for name in plans.problems}
        for name, text in said.items():
            if self._unserved.get(name) != text:
                self.warn(text, **_version(name))
        self._unserved = said

    def recording(self, done: Recording) -> None:
        """That nothing can be recorded, and that it can be again: once each."""
        said = " ".join(filter(None, [done.problem, done.remedy, UNRECORDED])) if done.problem else None
        if said != self.unrecorded:
            self.unrecorded = said
            self.warn(said or "The database can be written again: what was predicted meanwhile is recorded.")

    def loaded(self, failed: Mapping[str, str], answers: Mapping[str, str]) -> None:
        """A worker has loaded a plan, but for what ``failed``. ``answers``: by each version of the plan which
        one answers where none is asked for."""
        for name, instead in answers.items():
            problem = failed.get(name)
            if problem is None:
                self._unloaded.pop(name, None)
            elif self._unloaded.get(name) != problem:
                self._unloaded[name] = problem
                self.warn(f"{name} cannot be loaded: {problem} {instead} answers.", **_version(name))


def _process(worker: WorkerProcess) -> dict[str, Any]:
    """``code``: how it ended, if it did."""
    code = worker.process.returncode
    return {"pid": worker.process.pid, **({} if code is None else {"code": code})}


def _version(name: str) -> dict[str, str]:
    model, _, version = name.rpartition("@")
    return {"model": model, "version": version}
