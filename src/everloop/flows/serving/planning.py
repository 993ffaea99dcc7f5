"""What is served now: which versions of which models, how each is run, and what its inputs may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from everloop.core.contracts import ColumnRule
from everloop.core.data import DatasetVersion
from everloop.core.errors import InvalidSettings, MLOpsError, nearest
from everloop.core.ids import random_bytes
from everloop.core.models import ModelVersion
from everloop.core.releases import CHAMPION, PROD, Traffic
from everloop.core.runs import Run
from everloop.core.serving import Field, Form
from everloop.flows import agreed, artifacts, states
from everloop.flows.project import Project
from everloop.settings import ModelServing
from everloop.store import datasets, history, models, releases
from everloop.store.database import Tx
from everloop.validation import inference

_SALT = "serving.salt"


@dataclass(frozen=True)
class PlannedVersion:
    """``address`` and ``format`` say what runs it: an ONNX file, or the fitted pipeline; ``original`` are
    those of the pipeline."""

    version: str
    variant: str
    form: Form
    address: str
    format: str
    original: tuple[str, str]


@dataclass(frozen=True)
class PlannedModel:
    """``default`` answers where no version is asked for, unless ``traffic`` says who does; empty while no
    version was promoted, and not among the ``versions`` where it cannot be served (``absent``, where its
    content is lost). ``fallback`` and ``constant`` answer when it fails."""

    name: str
    default: str
    versions: tuple[PlannedVersion, ...]
    serving: ModelServing
    fallback: str | None = None
    constant: tuple[float, ...] | None = None
    traffic: Traffic | None = None
    absent: PlannedVersion | None = None


@dataclass(frozen=True)
class Plan:
    """``problems`` tells why versions cannot be served, by ``model@version``."""

    models: tuple[PlannedModel, ...]
    default: str
    salt: bytes = b""
    problems: Mapping[str, str] = field(default_factory=dict)


def mark(project: Project) -> tuple[object, ...]:
    """Something that is different when the plan may be."""
    with project.store.reading() as tx:
        registered = tuple(
            (name, tuple(sorted(models.list_aliases(tx, name).items())), models.count_versions(tx, name))
            for name in models.registered(tx)
        )
        return (registered, releases.marks(tx))


def plan(project: Project) -> Plan:
    """What is to be served. A version that was never compiled is, now."""
    with project.store.reading() as tx:
        names = models.registered(tx)
    problems: dict[str, str] = {}
    planned = tuple(_model(project, name, problems) for name in names)
    listed = [name for name in project.settings.models if name in names] or names
    default = project.settings.serving.default_model or (listed[0] if listed else "")
    known = {*names, *project.settings.models}
    if default and default not in known:
        raise InvalidSettings(f"serving.default_model is '{default}'.", remedy=nearest(default, known))
    return Plan(planned, default, _salt(project), problems)


def of_version(project: Project, version: ModelVersion) -> PlannedVersion:
    """A version as it would be served."""
    return _version(project, version, {})


def content(project: Project, version: PlannedVersion) -> bytes:
    """The bytes of what runs a version, checked."""
    return artifacts.fetch(project, version.address)


def as_original(version: PlannedVersion) -> PlannedVersion:
    """A version whose compiled form is lost, served by the original."""
    address, kind = version.original
    form = replace(
        version.form, route="native", reason="Served by the original: the compiled form is damaged."
    )
    return replace(version, form=form, address=address, format=kind)


def _model(project: Project, name: str, problems: dict[str, str]) -> PlannedModel:
    with project.store.reading() as tx:
        known = models.list_model_versions(tx, name)
        aliases = models.list_aliases(tx, name)
        environment = project.settings.serving.environment
        traffic = releases.in_force(tx, name, environment)
        champion = _champion(traffic, aliases, environment)
        before = (
            states.last_good(tx, name, environment) if traffic else _previous(tx, name, champion, environment)
        )
    newest = [v.version for v in known[-project.settings.serving.versions :]]
    released = [arm.version for arm in traffic.arms] + [*traffic.warm, champion] if traffic else []
    wanted = {*aliases.values(), before, *newest, *released}
    chosen = [version for version in known if version.version in wanted]
    settings = project.settings.models.get(name)
    serving = settings.serving if settings else ModelServing()
    found: list[PlannedVersion] = []
    for version in chosen:
        try:
            found.append(_version(project, version, aliases))
        except MLOpsError as error:
            problems[f"{name}@{version.version}"] = error.message
    _check_mask(name, serving, found)
    _check_feedback(name, serving, found)
    there = {version.version for version in found}
    return PlannedModel(
        name=name,
        default=champion,
        versions=tuple(found),
        serving=serving,
        fallback=before if serving.fallback == "previous" and before in there else None,
        constant=_constant(project, known, champion) if serving.fallback == "constant" else None,
        traffic=traffic,
    )


def _champion(traffic: Traffic | None, aliases: Mapping[str, str], environment: str) -> str:
    """The version that is current; empty while there is none."""
    if traffic is not None:
        return traffic.champion
    return aliases.get(CHAMPION, "") if environment == PROD else ""


def _check_mask(name: str, serving: ModelServing, versions: Sequence[PlannedVersion]) -> None:
    """A mistyped name would leave its field unmasked: nothing is served then."""
    fields = {field.name for version in versions for field in version.form.fields}
    for masked in serving.mask:
        if fields and masked not in fields:
            raise InvalidSettings(
                f"models.{name}.serving.mask names '{masked}', which is no input of {name}.",
                remedy=nearest(masked, fields),
            )


def _check_feedback(name: str, serving: ModelServing, versions: Sequence[PlannedVersion]) -> None:
    """A mistyped answer would mark nothing: likewise."""
    if not versions or serving.feedback.answers == "all":
        return
    classes = {each for version in versions for each in version.form.classes}
    for answer in serving.feedback.answers:
        if answer not in classes:
            raise InvalidSettings(
                f"models.{name}.serving.feedback.answers names '{answer}', which {name} does not answer.",
                remedy=nearest(answer, classes) if classes else "Say all: it answers numbers.",
            )


def _version(project: Project, version: ModelVersion, aliases: dict[str, str]) -> PlannedVersion:
    with project.store.reading() as tx:
        run = models.find_run(tx, version.run_id)
    form = version.form
    if form is None:
        form = import_module("everloop.flows.compiling").compile_stored(project, run)  # takes a second
        with project.store.writing() as tx:
            models.set_form(tx, version, form)
    variant = next((alias for alias, there in sorted(aliases.items()) if there == version.version), "")
    compiled = form.route == "onnx"
    return PlannedVersion(
        version=version.version,
        variant=variant or "version",
        form=replace(form, fields=_ruled(project, form, run)),
        address=form.artifact if compiled else run.artifact,
        format="onnx" if compiled else run.artifact_format,
        original=(run.artifact, run.artifact_format),
    )


def _ruled(project: Project, form: Form, run: Run) -> tuple[Field, ...]:
    """The fields with what the contract asks of them, and whether they missed values in training."""
    version = _trained_on(project, run)
    contract = agreed.contract(project, run.model) or (inference.infer(version) if version else None)
    rules = {rule.name: rule for rule in contract.columns} if contract else {}
    statistics = version.statistics if version else {}
    missed = {name for name, column in statistics.items() if column.missing}
    return tuple(
        replace(each, rule=_rule(each, rules.get(each.name)), nullable=_nullable(each, missed))
        for each in form.fields
    )


def _rule(field: Field, asked: ColumnRule | None) -> ColumnRule | None:
    """What the contract asks, and what the model itself refuses: missing values, unknown categories."""
    refused = field.rule
    if refused is None:
        return asked
    rule = asked or ColumnRule(field.name)
    if refused.max_missing is not None:
        rule = replace(rule, max_missing=refused.max_missing)
    return rule if refused.allowed is None else replace(rule, allowed=refused.allowed, severity="error")


def _nullable(field: Field, missed: set[str]) -> bool:
    refused = field.rule is not None and field.rule.max_missing == 0.0
    return field.name in missed and not refused


def _trained_on(project: Project, run: Run) -> DatasetVersion | None:
    if not run.dataset:
        return None
    with project.store.reading() as tx:
        return datasets.find_version(tx, run.data_version, run.dataset)


def _previous(tx: Tx, name: str, champion: str, environment: str) -> str | None:
    """The champion before this one, of models promoted by an everloop that kept no releases."""
    promoted = history.list_events(tx, name, limit=1, kind="promoted", environment=environment)
    found = promoted[-1].details.get("previous") if promoted else None
    return str(found) if found and found != champion else None


def _constant(project: Project, known: Sequence[ModelVersion], champion: str) -> tuple[float, ...] | None:
    """The share of each class in the training data, or the mean of the target."""
    version = next((one for one in known if one.version == champion), None)
    if version is None:
        return None
    with project.store.reading() as tx:
        run = models.find_run(tx, version.run_id)
    trained = _trained_on(project, run)
    target = trained.statistics.get(run.recipe.target) if trained else None
    if target is None:
        return None
    if run.task == "regression":
        return None if target.mean is None else (target.mean,)
    levels = target.levels or _counted(project, trained, run.recipe.target)
    total = sum(levels.get(name, 0) for name in run.classes)
    return tuple(levels.get(name, 0) / total for name in run.classes) if total else None


def _counted(project: Project, version: DatasetVersion | None, target: str) -> Mapping[str, int]:
    """How often each class is there, where they are numbers: their statistics do not say. Empty where the
    data are lost."""
    if version is None:
        return {}
    try:
        table = import_module("everloop.flows.data").load(project, version, [target])  # pyarrow takes a while
    except MLOpsError:
        return {}
    labels = import_module("everloop.training.targets").target_labels(table.column(target))
    return Counter(label for label in labels if label is not None)


def _salt(project: Project) -> bytes:
    """The key of hashed fields: made once, kept beside the state."""
    path: Path = project.settings.state / _SALT
    if not path.exists():
        project.write_file(path, random_bytes(32))
        path.chmod(0o600)
    return path.read_bytes()
