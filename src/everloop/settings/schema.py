"""What can be set. ``training``, ``monitoring``, ``gate`` and ``release`` at the top hold for every model.

A configuration without ``models`` has one, ``default``, on synthetic customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from everloop.core import spans
from everloop.core.decisions import GatePolicy, RetrainPolicy
from everloop.core.models import NAME
from everloop.core.runs import Business, Preparation, Recipe, Split, Task

from .alerts import Alerts
from .gate import Gate
from .group import Up, Worker
from .monitoring import Monitoring, Watch
from .releases import EnvironmentRules, ReleaseRules, check_environments
from .retraining import Retraining
from .section import Section, Span
from .serving import ModelServing, Serving
from .storage import Place, Storage, is_url
from .training import Training

Name = Annotated[str, Field(pattern=NAME)]


class Logging(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: str | None = Field(None, description="A file that gets the log as JSON lines.")


class Paths(Section):
    state: str = Field(".everloop", description="Where everything is kept that is not named below.")
    data_versions: Place | None = Field(
        None, description="Contents of data versions: a folder or s3:// [state/data]."
    )
    model_registry: Place | None = Field(
        None, description="Fitted models and plots: a folder or s3:// [state/models]."
    )
    monitoring: str | None = Field(None, description="Metrics and drift history as JSON [state/monitoring].")


class StoreSection(Section):
    url: str | None = Field(None, description="SQLite or PostgreSQL URL [sqlite in paths.state].")


class Tracking(Section):
    enabled: bool = True
    uri: str | None = Field(None, description="MLflow: a server's URL or a database [sqlite in paths.state].")
    artifacts: str | None = Field(
        None,
        description="Where MLflow keeps files when uri is a database [beside SQLite, else in paths.state].",
    )
    wait: float = Field(30.0, ge=0, description="Seconds a command waits at its end for delivery to MLflow.")
    timeout: float = Field(10.0, gt=0, description="Seconds one request to MLflow may take.")


class DataVersioning(Section):
    enabled: Literal[True] = Field(True, description="Always on: everything else refers to data versions.")
    hash_algorithm: str = Field("sha256", description="sha256, sha512, blake2b … or blake3.")
    memory: int = Field(
        2_000_000_000, ge=1, description="Bytes: files with larger tables are registered in batches."
    )


class Keep(Section):
    last: int = Field(10, ge=1, description="The newest backups.")
    daily: int = Field(7, ge=0, description="The newest of each of so many days.")
    weekly: int = Field(5, ge=0, description="The newest of each of so many weeks.")
    monthly: int = Field(12, ge=0, description="The newest of each of so many months.")


class BackupSection(Section):
    to: Place | None = Field(None, description="A folder, or s3://bucket/prefix.")
    every: Span | None = Field(None, description="How often: 30m, 6h, 1d [only when asked for].")
    keep: Keep = Keep()

    @field_validator("every")
    @classmethod
    def _takes_time(cls, every: str | None) -> str | None:
        if every is not None and spans.seconds(every) < 60:
            raise ValueError(f"'{every}' is too often; give a minute or more, such as 6h")
        return every

    @property
    def interval(self) -> timedelta | None:
        return None if self.every is None else timedelta(seconds=spans.seconds(self.every))


class Pipeline(Section):
    evaluate_after_retrain: bool = True
    retries: int = Field(
        2, ge=0, description="How often a step is tried again when something is unavailable."
    )
    timeout: float = Field(3600.0, gt=0, description="Seconds one step may take.")


class BusinessSection(Section):
    true_positive: float = 0.0
    false_positive: float = 0.0
    true_negative: float = 0.0
    false_negative: float = 0.0


class Example(Section):
    name: Literal["customers", "iris", "flights"] = "customers"
    rows: int = Field(2000, ge=1)
    seed: int | None = Field(None, description="[training.random_state]")
    drift: float = 0.0
    label_noise: float = Field(0.0, ge=0, le=1)
    missing: float = Field(0.0, ge=0, lt=1)


class Data(Section):
    path: str | None = Field(None, description="A CSV, Parquet or Feather file.")
    example: Example | None = Field(None, description="A built-in source instead of a file.")
    dataset: Name | None = Field(None, description="The dataset's name [the model's].")
    encoding: str = Field("utf-8", description="Of a CSV file.")

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.path is None) == (self.example is None):
            raise ValueError("give either path (a file) or example (a built-in source)")
        return self


class Model(Section):
    name: Name
    data: Data
    target: str
    task: Task | None = None
    positive: str | None = Field(
        None, description="The class that counts as positive [the later one by name]."
    )
    features: tuple[str, ...] = Field((), description="[every column but target, time, group and excluded]")
    exclude: tuple[str, ...] = ()
    time_column: str | None = None
    group_column: str | None = None
    contract: dict[str, Any] | str | None = Field(
        None,
        description="A contract, 'schemas.py:Name' in Python, or null: inferred from the reference data.",
    )
    business: BusinessSection | None = None
    training: Training = Training()
    monitoring: Watch = Watch()
    gate: Gate = Gate()
    serving: ModelServing = ModelServing()
    release: ReleaseRules = ReleaseRules()
    retraining: Retraining = Retraining()

    @model_validator(mode="after")
    def _split_has_its_column(self) -> Model:
        if self.training.split == "time" and not self.time_column:
            raise ValueError("training.split 'time' needs time_column")
        if self.training.split == "group" and not self.group_column:
            raise ValueError("training.split 'group' needs group_column")
        return self

    @property
    def dataset(self) -> str:
        return self.data.dataset or self.name

    def recipe(self, task: Task, user_code: str | None = None) -> Recipe:
        """What the training room needs. ``task`` decides the split where none is set."""
        training = self.training
        kind = training.split or ("stratified" if task == "classification" else "random")
        named = {"max_iter": training.max_iter, "C": training.C}
        keys = [column for column in (self.time_column, self.group_column) if column]
        return Recipe(
            target=self.target,
            task=task,
            estimator=training.model_type,
            params={**{name: value for name, value in named.items() if value is not None}, **training.params},
            features=self.features,
            exclude=tuple(dict.fromkeys([*self.exclude, *keys])),
            positive=self.positive,
            split=Split(
                kind, training.test_size, {"time": self.time_column, "group": self.group_column}.get(kind)
            ),
            preparation=Preparation(**training.preparation.model_dump()),
            folds=training.cross_validation,
            seed=training.random_state,
            business=Business(**self.business.model_dump()) if self.business else None,
            user_code=user_code,
            data=training.data,
            time_column=None if training.data == "all" else self.time_column,
            tune=training.tune.wanted if training.tune else None,
            warm_start=training.warm_start,
        )

    def retrain_policy(self, task: Task) -> RetrainPolicy:
        watched = self.monitoring
        least = (
            watched.performance_min
            if watched.accuracy_min_threshold is None
            else watched.accuracy_min_threshold
        )
        usual = "accuracy" if task == "classification" else "rmse"
        if task == "regression" and watched.accuracy_min_threshold is not None:
            least = None  # accuracy says nothing of a regression: S0's default does not apply to it
        return RetrainPolicy(
            watched.metric or usual, least, watched.drift_threshold, watched.drift_min_samples
        )

    def gate_policy(self) -> GatePolicy:
        return self.gate.policy()


class Settings(Section):
    project: str = "everloop"
    tenant: Name = "default"
    paths: Paths = Paths()
    store: StoreSection = StoreSection()
    storage: Storage = Storage()
    tracking: Tracking = Tracking()
    data_versioning: DataVersioning = DataVersioning()
    backup: BackupSection = BackupSection()
    logging: Logging = Logging()
    monitoring: Monitoring = Monitoring()
    alerts: Alerts = Alerts()
    training: Training = Training()
    gate: Gate = Gate()
    release: ReleaseRules = ReleaseRules()
    retraining: Retraining = Retraining()
    pipeline: Pipeline = Pipeline()
    serving: Serving = Serving()
    worker: Worker = Worker()
    up: Up = Up()
    environments: dict[Name, EnvironmentRules] = Field(
        default_factory=dict, description="Rules of dev, staging and prod, and environments of your own."
    )
    models: dict[str, Model] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _environments_are_there(self) -> Settings:
        check_environments(self.environments, served=self.serving.environment)
        return self

    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _file: Path | None = PrivateAttr(default=None)
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _variables: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def root(self) -> Path:
        """The project's folder: relative paths start here."""
        return self._root

    @property
    def file(self) -> Path | None:
        return self._file

    @property
    def origins(self) -> dict[str, str]:
        """``training.C`` -> ``everloop.yaml``, ``environment EVERLOOP_…``, ``.env …`` or ``flag …``."""
        return self._origins

    @property
    def state(self) -> Path:
        return self._root / self.paths.state

    @property
    def original_hint(self) -> Path:
        """A file that is there while some model may be served by its original, whose libraries take long to
        load."""
        return self.state / "serving.original"

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment and ``.env``, for secrets that settings name: ``AWS_*``, encryption keys."""
        return self._variables

    @property
    def data_place(self) -> str:
        """Where contents of data versions are: a folder, or ``s3://bucket/prefix``."""
        return self._placed(self.paths.data_versions, "data")

    @property
    def models_place(self) -> str:
        """Where fitted models and plots are: a folder, or ``s3://bucket/prefix``."""
        return self._placed(self.paths.model_registry, "models")

    def _placed(self, given: str | None, usual: str) -> str:
        return given if given and is_url(given) else str(self._root / given if given else self.state / usual)

    @property
    def monitoring_folder(self) -> Path:
        return self._root / self.paths.monitoring if self.paths.monitoring else self.state / "monitoring"

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{self.state / 'everloop.db'}"

    @property
    def tracking_uri(self) -> str:
        return self.tracking.uri or f"sqlite:///{self.state / 'mlflow.db'}"
