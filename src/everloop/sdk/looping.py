"""The loop for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from everloop.core import moments
from everloop.core.errors import Unavailable
from everloop.core.loop import DecisionRecord
from everloop.flows.loop import advancing, asking, doing, pausing, showing, simulating
from everloop.flows.loop.showing import Standing
from everloop.flows.loop.simulating import Replayed
from everloop.settings import load_settings
from everloop.wiring import connect

from .places import close_with, first_model, flags_of


class RetrainingLoop:
    """The loop of a model of the project in the working folder: where it is, what it decided and why.

    Args:
        model: the model's name [the configuration's first].
    """

    def __init__(self, model: str | None = None, *, tenant_id: str | None = None) -> None:
        self._tenant_id = tenant_id
        self._project = connect(load_settings(flags=flags_of(tenant_id)))
        close_with(self, self._project)
        self.model = first_model(self._project, model)

    def status(self) -> Standing:
        """What waits, what is under way, what the rules leave, what was decided last. Raises UnknownModel."""
        return showing.standings(self._project, self.model, counted=True)[0]

    def pause(self, why: str = "") -> bool:
        """Let it do nothing by itself; what is under way ends. Whether it was not paused before."""
        return bool(pausing.pause(self._project, self.model, why))

    def resume(self) -> bool:
        """Let it go on. Whether it was paused."""
        return bool(pausing.resume(self._project, self.model))

    def decisions(
        self, action: Literal["retrain", "refuse", "defer"] | None = None, limit: int | None = 50
    ) -> Sequence[DecisionRecord]:
        """Newest first, each with its evidence and what would change it."""
        return showing.decisions(self._project, self.model, action, limit)

    def decision(self, decision_id: str) -> DecisionRecord:
        """By its id, or a unique ending of it. Raises NotFound."""
        return showing.find(self._project, decision_id)

    def approve(self, decision_id: str, role: str = "", why: str = "") -> DecisionRecord:
        """Approve the step that a retraining waits at; a server or worker goes on with it. Raises NotFound,
        Conflict where it waits for nobody."""
        return advancing.approve(self._project, decision_id, role, why)

    def reject(self, decision_id: str, why: str) -> DecisionRecord:
        """Say no at the step that a retraining waits at, or to a candidate on trial; it ends there. Raises
        NotFound, Conflict."""
        return advancing.reject(self._project, decision_id, why)

    def retrain(self, force: bool = False, why: str = "") -> DecisionRecord:
        """Have a retraining considered now, and do it where it would help; ``force`` trains whatever speaks
        against it. The decision says what came of it: ``action``, ``outcome``, ``version``.

        Raises UnknownModel, and Unavailable where the model is busy or it failed before it was decided."""
        job = doing.see_through(self._project, asking.ask(self._project, self.model, force=force, reason=why))
        decided = showing.of_job(self._project, job)
        if decided is None:
            raise Unavailable(
                f"The retraining of {self.model} failed: {job.error}.", remedy="Repair that, and ask again."
            )
        return decided

    def simulate(
        self,
        policy: Mapping[str, Any] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        delay: str = "1d",
        compare: bool = False,
        trainings: int = simulating.TRAININGS,
    ) -> Replayed:
        """What a policy would have done with the model's past, beside never retraining; nothing is kept.

        ``policy``: settings of ``retraining`` that are others than now, such as ``{"cooldown": "7d"}``.
        ``delay``: how late labels came, where no predictions are recorded. ``compare``: also every week, and
        the present settings. ``trainings`` of each policy at most. Raises UnknownModel, Invalid, TooFewRows.
        """
        settings = load_settings(flags=flags_of(self._tenant_id, {"retraining": policy or {}}))
        tried = connect(settings)
        try:
            return simulating.replay(
                tried,
                self.model,
                since=moments.checked(since, "since") if since else None,
                until=moments.checked(until, "until") if until else None,
                delay=delay,
                present=self._project.settings if policy else None,
                compare=compare,
                trainings=trainings,
            )
        finally:
            tried.close()

    def close(self) -> None:
        self._project.close()
