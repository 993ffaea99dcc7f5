"""``everloop doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from everloop.core.errors import MLOpsError

from . import errors, late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.health import Check
    from everloop.settings import Settings

app = group("Check what is installed, reachable and healthy.")
_MARKS = {True: "ok", False: "WRONG", None: "–"}


@command(app)
def doctor(call: Call) -> int:
    """Check what is installed, reachable and healthy, and say what to do otherwise. Exit code 5: not well.

    \b
    Example:
      everloop doctor
    """
    checks = list(_checks(call))
    wrong = [check for check in checks if check.ok is False]

    def show() -> None:
        rows = [(_MARKS[c.ok], c.name, c.message, None if c.ok else c.remedy) for c in checks]
        late.output.table(("", "what", "found", "what to do"), rows, fold=("what", "found", "what to do"))
        late.output.line(f"{len(wrong)} to look at." if wrong else "All is well.")

    call.answer({"healthy": not wrong, "checks": checks}, show)
    return errors.UNHEALTHY if wrong else errors.OK


def _checks(call: Call) -> Iterator[Check]:
    yield from late.health.installed()
    try:
        settings = call.settings()
    except MLOpsError as error:
        yield _failed("settings", error)
        return
    yield late.health.Check("settings", True, str(settings.file or "no file: the defaults"))
    yield from late.health.folders(settings)
    yield from _storage(settings)
    yield from _store(settings)
    yield _tracking(settings)


def _storage(settings: Settings) -> Iterator[Check]:
    """Whether S3 answers, and whether the keys are there. Folders have been looked at before."""
    for place, found in late.wiring.probe_storage(settings):
        if isinstance(found, MLOpsError):
            yield _failed(f"objects in {place}", found)
        else:
            yield late.health.Check(f"objects in {place}", True, found)
    if not settings.storage.encryption.wanted:
        return
    try:
        ring = late.keys.ring_of(settings)
    except MLOpsError as error:
        yield _failed("encryption", error)
        return
    said = f"{ring.newest.id} encrypts, {len(ring.keys)} in all can decrypt"
    if ring.plain:
        remedy = "everloop data rekey encrypts what is plain, and refuses it from then on"
        yield late.health.Check("encryption", None, f"{said}; plain objects are accepted", remedy)
    else:
        yield late.health.Check("encryption", True, said)


def _store(settings: Settings) -> Iterator[Check]:
    try:
        if settings.store.url is None and not (settings.state / "everloop.db").exists():
            yield late.health.Check("store", None, "none yet", "'everloop run' makes it")
            return
        project = late.wiring.connect(settings)
        try:
            yield from late.health.store(project)
            yield from late.health.champions(project)
            yield from late.health.outstanding(project)
            yield from late.health.loops(project)
            yield from late.health.messages(project)
        finally:
            project.close()
    except (MLOpsError, PermissionError) as error:
        known = errors.as_known(error)
        if known is None:
            raise
        yield _failed("store", known)


def _tracking(settings: Settings) -> Check:
    if not settings.tracking.enabled:
        return late.health.Check("MLflow", None, "tracking.enabled is false")
    uri = late.output.without_password(settings.tracking_uri)
    try:
        problem = late.wiring.ping_tracking(settings)
    except MLOpsError as error:
        return _failed("MLflow", error)
    if problem:
        remedy = "Start the server or correct tracking.uri. Training goes on meanwhile; nothing is lost."
        return late.health.Check("MLflow", False, f"{uri}: {problem}", remedy)
    return late.health.Check("MLflow", True, uri)


def _failed(name: str, error: MLOpsError) -> Check:
    return late.health.Check(name, False, error.message, error.remedy)
