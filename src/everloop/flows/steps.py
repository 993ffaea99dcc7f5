"""The steps of one turn. Each has a part that works (computes, writes what is addressed by its hash) and,
where it changes the store, a ``save_`` part that the journal runs in the transaction that ends the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from everloop.core.contracts import ColumnRule, Contract, ContractVerdict
from everloop.core.decisions import Decision, GateVerdict
from everloop.core.documents import dump, load
from everloop.core.errors import Refused, TooFewRows
from everloop.core.loop import Order
from everloop.core.models import ModelVersion
from everloop.core.releases import PROD
from everloop.core.runs import OUTSIDE, Run
from everloop.deployment import measures
from everloop.registry import versions
from everloop.retraining import policy
from everloop.store import history, models, outbox, releases
from everloop.store.database import Tx
from everloop.training import estimators, prepared, targets
from everloop.validation import checking, inference

from . import (
    agreed,
    artifacts,
    candidates,
    champion,
    constraints,
    data,
    documents,
    environments,
    fitted,
    gating,
    states,
    usercode,
    worthwhile,
)
from .journal import Document
from .material import Material, column


def about_rows(source: str) -> str:
    """Where it is kept what the loop knows of the rows of a table that it has gathered: when each is from,
    what it counts, and whether a model may be judged by it, (rows, 3)."""
    return f"{source}.rows.npy"


@dataclass(frozen=True)
class Steps:
    """The steps of one turn of one model. ``source`` is a path, or a table when it was given in memory."""

    material: Material
    turn_id: str
    source: object
    force: bool
    order: Order | None = None

    # -- version -----------------------------------------------------------------------------------------

    def version(self) -> Document:
        model = self.material.model
        registered = data.register(
            self.material.project,
            self.source,
            model.dataset,
            encoding_name=model.data.encoding,
            described_as=f"example {model.data.example.name}" if model.data.example else None,
            rows_needed=True,
        )
        self.material.use(registered)
        return {
            "data_version": registered.version.version_id,
            "rows": registered.version.rows,
            "new": registered.new,
        }

    # -- validate ----------------------------------------------------------------------------------------

    def validate(self) -> Document:
        self._check_request()
        return dump(self._verdict())

    def _check_request(self) -> None:
        """What no training could do anything with is said now: a mistyped column, metric or estimator,
        nothing to learn, more folds than rows."""
        material = self.material
        targets.check_target(material.model.target, material.target, ~material.labelled)
        prepared.chosen_features(material.table, material.recipe)
        rows, folds = int(material.labelled.sum()), material.recipe.folds
        if rows < folds:
            raise TooFewRows(
                f"{rows} rows with a label are fewer than {folds} folds.",
                remedy="Bring more rows, or set training.cross_validation to less (0 for none).",
            )
        measures.find_metric(material.model.gate.metric, material.task)
        policy.lower_is_better(material.model.retrain_policy(material.task).metric)
        factory = None
        if material.recipe.user_code:
            factory = usercode.load(material.project, material.recipe.estimator, material.recipe.user_code)
        estimators.build(material.recipe, material.task, factory)
        for name in material.model.gate.slices:
            column(material.table, name, "gate.slices:")
        constraints.check_request(material)

    def _verdict(self) -> ContractVerdict:
        project, model = self.material.project, self.material.model
        if isinstance(model.contract, str):
            return agreed.check_python(project, model.contract, self.material.table)
        contract, table = self._contract(), self.material.table
        alone = self._alone()
        if not alone:
            return checking.check(table, contract)
        # Rows that were added to a file have what the model is asked for; other columns are the file's.
        anywhere = [replace(one, max_missing=None) if one.name in alone else one for one in contract.columns]
        found = checking.check(table, replace(contract, columns=tuple(anywhere)))
        of_file = [
            ColumnRule(one.name, max_missing=one.max_missing) for one in contract.columns if one.name in alone
        ]
        there = checking.check(table.slice(0, self._rows_of_file()), Contract(tuple(of_file)))
        return checking.verdict(table, contract.origin, [*found.findings, *there.findings])

    def _alone(self) -> set[str]:
        """The columns with rules that only the file has, where rows of production or samples were added."""
        material = self.material
        if not material.version.origin.get("base"):
            return set()
        asked = {*prepared.chosen_features(material.table, material.recipe), material.model.target}
        asked |= {material.recipe.split.column or "", material.model.time_column or ""}
        return {one.name for one in self._contract().columns} & set(material.table.column_names) - asked

    def _rows_of_file(self) -> int:
        version = self.material.version
        return data.find(self.material.project, version.origin["base"], self.material.model.dataset).rows

    def _contract(self) -> Contract:
        known = agreed.contract(self.material.project, self.material.model.name)
        return known or inference.infer(self.material.version)

    def save_validation(self, tx: Tx, result: Document) -> None:
        verdict = load(ContractVerdict, result)
        errors, warnings = len(verdict.errors), len(verdict.findings) - len(verdict.errors)
        outcome = "kept" if verdict.passed else "broken"
        self._append(tx, "validated", f"contract {outcome}: {errors} errors, {warnings} warnings", result)

    # -- decide ------------------------------------------------------------------------------------------

    def decide(self) -> Document:
        material, known = self.material, self.material.champion
        fresh = ~np.isin(material.rows, material.considered)
        new, untried = fresh, None
        if self.order is not None:
            # What the loop refused to train on may be worth it later: labels have proven it, time has passed.
            new = ~np.isin(material.rows, material.known)
            untried = int((new & ~np.isin(material.rows, material.refused)).sum())
        metrics: dict[str, float] = {}
        measured, moved, changed, helps = None, None, None, None
        if known:
            lost = champion.lost(material, known[1])
            # Who brings a model from outside knows that it was made by another recipe.
            brought = self.order is not None and known[1].turn_id == OUTSIDE
            changed = lost or (None if brought else champion.changed(material, known[1]))
            if not lost and not champion.incomparable(material, known[1]):
                metrics, measured = champion.performance(material, known[1], fresh)
                moved = champion.moved(material, known[1], fresh)
                if self.order is not None and not self.force:
                    helps = worthwhile.judge(material, known[1], self.order.proven, self._about())
        watched = material.model.retrain_policy(material.task)
        decision = policy.decide(
            watched,
            champion=known[0].version if known else None,
            rows=int(material.labelled.sum()),
            fresh_rows=int(new.sum()),
            untried_rows=untried,
            performance=metrics.get(watched.metric),
            performance_rows=measured,
            drift=moved,
            changed=changed,
            forced=self.force,
            order=self.order,
            helps=helps,
        )
        return {
            "decision": dump(decision),
            "metrics": metrics,
            "measured_rows": measured,
            "champion": known[0].version if known else None,
            "drift": dump(moved) if moved else None,
        }

    def save_decision(self, tx: Tx, result: Document) -> None:
        decision = load(Decision, result["decision"])
        self._append(tx, "decided", f"{decision.action}: {decision.reason}", result)
        at = self.material.project.clock.now()
        shared = {
            "at": at,
            "data_version": self.material.version_id,
            "model_version": result["champion"],
            "turn_id": self.turn_id,
        }
        history.add_metrics(
            tx, self.material.model.name, result["metrics"], rows=result["measured_rows"], **shared
        )
        if result["drift"]:
            moved = {"drift_score": result["drift"]["score"]}
            history.add_metrics(tx, self.material.model.name, moved, rows=result["drift"]["rows"], **shared)

    # -- train -------------------------------------------------------------------------------------------

    def train(self) -> Document:
        material = self.material
        if self.order is None:
            return fitted.train(material, self.turn_id)
        return fitted.train(material, self.turn_id, self._about(), trying=material.model.retraining.try_data)

    def _about(self) -> fitted.About:
        """What the loop knows of the rows that it has gathered."""
        if not isinstance(self.source, str):
            return fitted.About()
        beside = self.material.project.settings.root / about_rows(self.source)
        if not beside.is_file():
            return fitted.About()
        return fitted.about(artifacts.from_bytes(beside.read_bytes()), self.material.model.time_column)

    def save_run(self, tx: Tx, result: Document) -> None:
        run = load(Run, result["run"])
        models.add_run(tx, run)
        shown = documents.shown_metrics(run.metrics)
        self._append(
            tx,
            "trained",
            f"{run.run_id}: {run.recipe.estimator} on {run.train_rows:,} rows, {shown}",
            {
                "run_id": run.run_id,
                "metrics": dict(run.metrics),
                "data_version": run.data_version,
            },
        )

    # -- track -------------------------------------------------------------------------------------------

    def track(self, trained: Document) -> Document:
        run = load(Run, trained["run"])
        return {
            "key": f"run/{run.run_id}",
            "document": documents.tracked_run(run, self.material.project.settings),
        }

    def save_tracking(self, tx: Tx, result: Document) -> None:
        if self.material.project.settings.tracking.enabled:
            outbox.post(tx, "run", result["key"], result["document"], self.material.project.clock.now())

    # -- gate --------------------------------------------------------------------------------------------

    def judge(self, trained: Document) -> Document:
        if self.order is None:
            return gating.judge(self.material, trained)
        earlier = candidates.verdicts(self.material.project, self.material.model)
        return gating.judge(self.material, trained, fresh=True, earlier=earlier)

    def save_verdict(self, tx: Tx, result: Document) -> None:
        verdict = load(GateVerdict, result["verdict"])
        self._append(
            tx, "judged", f"{'promote' if verdict.promote else 'do not promote'}: {verdict.reason}", result
        )

    # -- register ----------------------------------------------------------------------------------------

    def register(self, trained: Document, judged: Document) -> Document:
        run = load(Run, trained["run"])
        known = self.material.champion
        form = gating.form(self.material, run, judged)
        with self.material.project.store.reading() as tx:
            before = models.list_model_versions(tx, run.model)
            newest = before[-1] if before else None
            newest_run = models.find_run(tx, newest.run_id) if newest else None
            serving = models.champion(tx, run.model)
        verdict, held, waits = load(GateVerdict, judged["verdict"]), "", False
        if verdict.promote and (serving.version if serving else None) != judged["champion"]:
            promoted = f"{serving.version} was promoted" if serving else "the champion went"
            reason = f"{promoted} after the gate had compared ({verdict.reason}): promote by hand if meant"
            verdict, held = replace(verdict, promote=False, reason=reason), reason
        number = versions.next_version(newest, newest_run, run, [v.version for v in before])
        version = ModelVersion(
            model=run.model,
            version=str(number),
            run_id=run.run_id,
            dataset=run.dataset,
            data_version=run.data_version,
            created_at=self.material.project.clock.now(),
            created_by=self.material.project.user,
            git_commit=run.environment.git_commit,
            parent=known[0].version if known else None,
            metrics=run.metrics,
            tags={"gate": verdict.reason, "gate_verdict": "promote" if verdict.promote else "keep"},
            form=form,
        )
        if verdict.promote:
            held, waits = self._held(version)
        return {
            "version": dump(version),
            "released": verdict.promote and (waits or not held),
            "promoted": verdict.promote and not held,
            "held": held,
        }

    def _held(self, version: ModelVersion) -> tuple[str, bool]:
        """Why a version that passed the gate does not become champion now, and how to go on (empty: nothing
        is in its way); whether that is only an approval."""
        if self.order is not None and self.order.hold and self.material.champion is not None:
            return self.order.hold, False
        project = self.material.project
        place = environments.find(project, PROD)
        with project.store.reading() as tx:
            running = releases.open_release(tx, version.model, PROD)
            if running is not None:
                named = running.release_id
                return f"Release {named} has to end before: everloop release status {named}", False
            try:
                environments.check(tx, project, place, version)
            except Refused as refused:
                return str(refused), False
        if place.approval:
            return environments.approving(place, version.model), True
        return "", False

    def save_registration(self, tx: Tx, result: Document) -> None:
        version = load(ModelVersion, result["version"])
        models.add_model_version(tx, version)
        held = result.get("held", "")
        self._append(
            tx,
            "registered",
            f"{version.model}@{version.version} from {version.run_id}" + (f". {held}" if held else ""),
            {
                "version": version.version,
                "run_id": version.run_id,
                "data_version": version.data_version,
            },
        )
        project = self.material.project
        documents.post_version(tx, project, version)
        if result.get("released", result["promoted"]):
            states.promote_now(tx, project, version, version.tags["gate"])
        if not result["promoted"]:
            documents.point(tx, project, version.model, "challenger", version.version)

    # -- record ------------------------------------------------------------------------------------------

    def save_metrics(self, tx: Tx, registered: Document) -> None:
        """The new model's metrics on its held-out rows join the history."""
        version = load(ModelVersion, registered["version"])
        history.add_metrics(
            tx,
            version.model,
            version.metrics,
            at=self.material.project.clock.now(),
            data_version=version.data_version,
            model_version=version.version,
            turn_id=self.turn_id,
        )

    # ----------------------------------------------------------------------------------------------------

    def _append(self, tx: Tx, kind: str, summary: str, details: Mapping[str, Any]) -> None:
        project = self.material.project
        told = {"turn_id": self.turn_id, **details}
        history.append(
            tx, self.material.model.name, kind, summary, at=project.clock.now(), by=project.user, details=told
        )
