"""What monitors say: the newest check of each model, all of one, and a table beside a version's reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from everloop.core.errors import Invalid, NotFound, UnknownModel, UnknownVersion, nearest
from everloop.core.monitoring import Alert, Checked, Promise, Result
from everloop.data import reading
from everloop.flows.project import Project
from everloop.monitoring import checks, faults, overall, performance, promise, windows
from everloop.store import alerts, models, monitors, predictions
from everloop.store.database import Tx

from . import checking, contracting, referring, spans, summing

_EVER = datetime(1, 1, 1, tzinfo=UTC)
_MOST_HOURLY = 1e9
ALPHA = 0.001  # of a table that is checked by hand
UNCOUNTED = (
    "Not counted in these: signs of a broken feed in single rows (values that are stuck, repeated, misread), "
    "and rules of a contract or suite."
)


@dataclass(frozen=True)
class Watched:
    """A model with its newest check of each version and kind, and its open alerts."""

    model: str
    champion: str | None
    checks: tuple[Checked, ...]
    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class Plan:
    """``false_alarms`` in 30 days in all, at most, and those of each part that is watched (``alarms``); what
    is found of ``inputs`` and ``answers``; by metric the smallest harm that shows in the labels of one window
    with 90 % probability."""

    model: str
    version: str
    false_alarms: float
    inputs: Promise
    answers: Promise | None
    performance: Mapping[str, float]
    without: tuple[str, ...]
    alarms: Mapping[str, float]

    @property
    def words(self) -> tuple[str, ...]:
        told = [
            f"{self.model}@{self.version}: at most {self.false_alarms:g} false alarms in 30 days, in all.",
            f"Inputs: {self.inputs.words}",
        ]
        if self.answers:
            told.append(f"Answers: {self.answers.words}")
        if "estimates" in self.alarms:
            told.append(f"Expected performance: {_at_most(self.alarms['estimates'])}.")
        if "labels" in self.alarms:
            told.append(
                f"Labels, of performance and of the stream of errors: {_at_most(self.alarms['labels'])}."
            )
        if self.performance:
            harm = "; ".join(f"{metric} worse by {size:.2g}" for metric, size in self.performance.items())
            told.append(f"Labels of one window, found with 90 % certainty: {harm}.")
        told.append(UNCOUNTED)
        return (*told, *(f"Not watched: {each}" for each in self.without))


def _at_most(alarms: float) -> str:
    return f"at most {alarms:g} false alarm{'' if alarms == 1 else 's'} in 30 days"


def overview(project: Project) -> list[Watched]:
    """All models that are in the settings, have a champion or have answered."""
    with project.store.snapshot() as tx:
        names = {*project.settings.models, *models.registered(tx), *predictions.models(tx)}
        return [
            Watched(
                name,
                champion.version if (champion := models.champion(tx, name)) else None,
                tuple(monitors.latest_checks(tx, name)),
                tuple(alerts.list_alerts(tx, name, "open")),
            )
            for name in sorted(names)
        ]


def history(
    project: Project,
    model: str,
    version: str | None = None,
    limit: int = 50,
    *,
    until: datetime | None = None,
) -> list[Checked]:
    """The newest window first; of windows that ended ``until`` then. Raises UnknownModel, and NotFound where
    nothing was checked."""
    with project.store.reading() as tx:
        _known(tx, project, model)
        found = monitors.checks(tx, model, version=version, until=until, limit=limit, by_window=True)
    if not found:
        of = f"{model}@{version}" if version else f"'{model}'"
        by = "yet" if until is None else f"that had ended by {until:%Y-%m-%d %H:%M} UTC"
        raise NotFound(
            f"No window of {of} was checked {by}.",
            remedy="A window is checked when it is over, while 'everloop serve' runs or by "
            f"'everloop monitor check {model}'.",
        )
    return found


def version_of(project: Project, model: str, version: str | None) -> str:
    """The one named, else the champion. Raises UnknownModel, and UnknownVersion for one that is not
    registered and has answered nothing."""
    with project.store.reading() as tx:
        _known(tx, project, model)
        champion, registered = models.champion(tx, model), models.count_versions(tx, model)
        if version is not None:
            if models.find_model_version(tx, model, version) or monitors.first(tx, model, version, _EVER):
                return version
            raise UnknownVersion(
                f"There is no {model}@{version}, and nothing was answered by it.",
                remedy="See 'everloop models list'.",
            )
    if champion is None:
        remedy = f"Name a version: {model}@1.0.0." if registered else "'everloop run' trains the first."
        raise UnknownVersion(f"'{model}' has no champion.", remedy=remedy)
    return champion.version


def _known(tx: Tx, project: Project, model: str) -> None:
    """Raises UnknownModel for one that nothing is known of: no settings, no version, no answer, no check."""
    if model in project.settings.models or models.count_versions(tx, model):
        return
    known = {*project.settings.models, *models.registered(tx), *predictions.models(tx)}
    if model not in known and not monitors.latest_checks(tx, model):
        raise UnknownModel(f"There is no model '{model}'.", remedy=nearest(model, known))


def against(project: Project, model: str, version: str, source: object) -> list[Result]:
    """A table beside what a version was trained on. Nothing is recorded."""
    known = referring.of_version(project, model, version)
    table = reading.refuse_empty(reading.to_table(source))
    here = set(table.column_names)
    features = table.select([name for name in known.inputs.features if name in here])
    window = windows.summarise(known.inputs, features)
    found = checks.check(known.inputs, window, alpha=ALPHA)
    broken = faults.diagnose(known.inputs, window, features, found, in_time=False)
    told = faults.told_once(found, broken)
    return [*told, *overall.unread(known.inputs), *contracting.check(project, known.run, features)]


def plan(project: Project, model: str, version: str, hourly: float | None = None) -> Plan:
    """What the monitors of a version find, and how often they are wrong, at the traffic of the last week or
    at ``hourly`` rows an hour. Raises Invalid where there was none."""
    rules = spans.rules_of(project, model)
    traffic = _traffic(project, model) if hourly is None else hourly
    if math.isnan(traffic) or not -_MOST_HOURLY <= traffic <= _MOST_HOURLY:
        raise Invalid(f"{traffic:g} rows an hour are expected.", remedy="Give up to 1,000,000,000.")
    if not traffic > 0:
        raise Invalid(
            f"'{model}' has no traffic to plan for.", remedy="Say how much is expected: --hourly 500."
        )
    if rules.min_rows / traffic > spans.LONGEST / summing.HOUR:
        raise Invalid(
            f"At {traffic:g} rows an hour no window has the {rules.min_rows} rows of monitoring.min_rows "
            f"within {spans.LONGEST.days} days: nothing would be checked.",
            remedy="Set monitoring.min_rows lower, or say how much is expected: --hourly 500.",
        )
    known = referring.of_version(project, model, version)
    length = spans.length(rules)
    each = math.ceil(rules.min_rows / (traffic * (length / summing.HOUR)))  # windows until there are enough
    rows = round(traffic * (length * each / summing.HOUR))
    count = timedelta(days=30) / (length * each)
    share = rules.false_alarms / len(checking.PARTS)
    watched = {
        "inputs": True,
        "answers": known.answers is not None,
        "estimates": known.estimator is not None,
        "labels": known.baseline is not None,
    }
    harm: dict[str, float] = {}
    if known.baseline is not None:
        harm = performance.found(known.baseline, rows, alpha=checking.alpha(rules) / 2)
    return Plan(
        model=model,
        version=version,
        false_alarms=rules.false_alarms,
        inputs=promise.promise(known.inputs, rows, count, share),
        answers=promise.promise(known.answers, rows, count, share) if known.answers else None,
        performance=harm,
        without=(*known.without, *(f"'{name}', which is masked" for name in sorted(known.masked))),
        alarms={part: share for part in checking.PARTS if watched[part]},
    )


def _traffic(project: Project, model: str) -> float:
    """Rows an hour over the last week, or since the first of them."""
    now: datetime = project.clock.now()
    since = now - timedelta(days=7)
    with project.store.reading() as tx:
        hours = predictions.per_hour(tx, predictions.Wanted(model=model, since=since))
    if not hours:
        return 0.0
    first = datetime.fromisoformat(f"{min(hours)}:00:00+00:00")
    return sum(hours.values()) / max(1.0, (now - first) / summing.HOUR)
