"""The tracker: what Everloop records, told to MLflow so that telling it twice is telling it once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from everloop.adapters.mlflow import experiments, models, runs
from everloop.adapters.mlflow.address import shown, sqlite_file, tracking_uri
from everloop.adapters.mlflow.connection import Connection
from everloop.core.errors import ExperimentError, FileMissing


class MlflowTracker:
    """Writes to the MLflow at ``uri`` (folder, SQLite, PostgreSQL or http address) for one tenant.

    Every method may be repeated with the same document, also after dying in the middle: MLflow ends up as
    after one undisturbed call. ``timeout`` is in seconds and holds for each request; an address where nobody
    answers is given up after 2 s. Raises Unavailable when a later try can succeed, ExperimentError when
    MLflow will never take the document.
    """

    def __init__(
        self,
        uri: str,
        *,
        tenant: str = experiments.DEFAULT_TENANT,
        artifact_root: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.uri = tracking_uri(uri, Path.cwd())
        self.tenant = tenant
        self.artifact_root = artifact_root
        self.connection = Connection(self.uri, timeout)

    def check(self) -> str:
        """Which MLflow answers where, for people. Raises Unavailable."""
        database = sqlite_file(self.uri)
        if database is not None and not database.exists():
            return f"MLflow {self.connection.version()} at {self.uri} (made by the first record)"
        with self.connection.talk() as client:
            client.search_experiments(max_results=1)
            return f"MLflow {self.connection.version()} at {shown(self.uri)}"

    def record_run(self, document: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """Record a finished training; returns MLflow's run id.

        ``document``: ``run_id`` (the key), ``experiment``, ``experiment_tags``, ``run_name``, ``params``,
        ``metrics``, ``series`` (metric -> values by step), ``tags``, ``started_at``, ``ended_at`` (ISO),
        ``status``, ``plots`` (names in ``files``) and ``model``: None or ``file`` (name in ``files``),
        ``format`` (skops or cloudpickle), ``name``, ``task``, ``input_example`` (rows).
        The run's status is written last: a run that is FINISHED has everything.
        """
        with self.connection.talk() as client:
            experiment = self._experiment(client, document["experiment"], document.get("experiment_tags"))
            run = runs.find_run(client, [experiment], str(document["run_id"]))
            status = document.get("status", "FINISHED")
            if run is None or run.info.status != status:
                with TemporaryDirectory(prefix="everloop-") as folder:
                    run = self._write_run(client, experiment, run, document, files, folder)
                ended = document.get("ended_at") or document["started_at"]
                client.set_terminated(run.info.run_id, status=status, end_time=runs.milliseconds(ended))
            return str(run.info.run_id)

    def _write_run(
        self,
        client: Any,
        experiment: str,
        run: Any | None,
        document: Mapping[str, Any],
        files: Mapping[str, bytes],
        folder: str,
    ) -> Any:
        described = document.get("model")
        book = models.pack(folder, described, files) if described else None
        run = run or runs.create_run(client, experiment, document)
        run_id = str(run.info.run_id)
        model = models.ensure_logged_model(client, run, document) if described else None
        runs.log_params(client, run_id, document.get("params", {}))
        runs.log_metrics(client, run_id, runs.points(document, model.model_id if model else None))
        runs.log_files(client, run_id, document, files)
        if model is not None:
            models.upload_model(client, run_id, model, folder, book)
        return run

    def record_version(self, document: Mapping[str, Any]) -> str:
        """Register the model of a recorded run; returns the version number in MLflow's registry.

        ``document``: ``model``, ``version`` (semantic, the key with the model), ``run_id``, ``tags``,
        ``description``.
        """
        wanted, run_id = str(document["version"]), str(document["run_id"])
        name = models.registered_name(self.tenant, document["model"])
        with self.connection.talk() as client:
            models.ensure_registered_model(client, self.tenant, name)
            found = models.find_version(client, name, wanted)
            source = self._model_of(client, run_id)
            if found is not None and found.tags.get(experiments.RUN_TAG, run_id) != run_id:
                client.delete_model_version(name, found.version)  # of a time that a restore has taken back
                found = None
            if found is None:
                tags = {
                    key: str(value) for key, value in document.get("tags", {}).items() if value is not None
                }
                with self.connection.as_default():
                    found = client.create_model_version(
                        name,
                        source=f"models:/{source.model_id}",
                        run_id=source.source_run_id,
                        tags={**tags, models.VERSION_TAG: wanted, experiments.RUN_TAG: run_id},
                        description=document.get("description"),
                        model_id=source.model_id,
                    )
            models.link_version(client, source.model_id, name, str(found.version))
            return str(found.version)

    def set_alias(self, document: Mapping[str, Any]) -> None:
        """Point ``alias`` of ``model`` at our ``version``; None takes the alias away."""
        name = models.registered_name(self.tenant, document["model"])
        alias, wanted = document["alias"], document.get("version")
        with self.connection.talk() as client:
            models.check_owner(client.get_registered_model(name), self.tenant)
            if wanted is None:
                client.delete_registered_model_alias(name, alias)
                return
            found = models.find_version(client, name, str(wanted))
            if found is None:
                raise ExperimentError(f"MLflow has no version {wanted} of '{name}' to call '{alias}'.")
            client.set_registered_model_alias(name, alias, found.version)

    def record_log(self, document: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Do one call of a user's own logging.

        ``document``: ``call`` (experiment, params, metrics, artifacts or end), ``experiment``,
        ``experiment_tags``, ``at`` (ISO); but for ``experiment`` also ``run_id`` (the key), ``run_name``,
        ``started_at`` (ISO) and what is logged: ``params``; ``metrics`` (numbers, or their text) and
        ``step``; or ``status``. ``files``: the artifacts, by ``name/path``.
        """
        experiment = self.create_experiment(document["experiment"], document["experiment_tags"])
        call = document["call"]
        if call == "experiment":
            return
        run = self.ensure_run(
            experiment, document["run_id"], run_name=document["run_name"], started_at=document["started_at"]
        )
        if call == "params":
            self.log_params(run, document["params"])
        elif call == "metrics":
            self.log_metrics(run, document["metrics"], step=document["step"], at=document["at"])
        elif call == "artifacts":
            self._log_files(run, files)
        else:
            self.end_run(run, status=document["status"], ended_at=document["at"])

    def _log_files(self, run: str, files: Mapping[str, bytes]) -> None:
        with TemporaryDirectory(prefix="everloop-") as folder:
            for name, content in files.items():
                target = Path(folder, runs.inside(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            with self.connection.talk() as client:
                client.log_artifacts(run, folder)

    def create_experiment(self, name: str, tags: Mapping[str, Any] | None = None) -> str:
        """The id of the experiment, made if it is not there; its tags are set."""
        with self.connection.talk() as client:
            return self._experiment(client, name, tags)

    def search_experiments(self, filter_string: str = "") -> list[dict[str, Any]]:
        """The tenant's experiments that match; a bare key is a tag: ``model_type='classification'``."""
        with self.connection.talk() as client:
            return [
                {
                    "experiment_id": each.experiment_id,
                    "name": self._own_name(each.name),
                    "tags": {key: value for key, value in each.tags.items() if not key.startswith("mlflow.")},
                    "artifact_location": each.artifact_location,
                }
                for each in experiments.experiments_of(client, self.tenant, filter_string)
            ]

    def ensure_run(
        self, experiment_id: str, run_id: str, *, run_name: str | None = None, started_at: str
    ) -> str:
        """MLflow's id of the open run with our key, made if it is not there."""
        document = {"run_id": run_id, "run_name": run_name, "started_at": started_at}
        with self.connection.talk() as client:
            run = runs.find_run(client, [experiment_id], run_id) or runs.create_run(
                client, experiment_id, document
            )
            return str(run.info.run_id)

    def log_params(self, mlflow_run: str, params: Mapping[str, Any]) -> None:
        with self.connection.talk() as client:
            runs.log_params(client, mlflow_run, params)

    def log_metrics(self, mlflow_run: str, metrics: Mapping[str, float], *, step: int = 0, at: str) -> None:
        """Log values of one step; ``at`` is their ISO time, by which a repetition is known."""
        moment = runs.milliseconds(at)
        with self.connection.talk() as client:
            runs.log_metrics(client, mlflow_run, runs.points_of(metrics, moment, step))

    def log_artifacts(self, mlflow_run: str, artifacts: Mapping[str, str | Path]) -> None:
        """Upload files and folders, each under its name. Raises FileMissing before anything is sent."""
        paths = {name: Path(path) for name, path in artifacts.items()}
        for name, path in paths.items():
            if not path.exists():
                raise FileMissing(f"The artifact '{name}' is not at {path}.", remedy="Check the path.")
        with self.connection.talk() as client:
            for name, path in paths.items():
                folder = str(runs.inside(name))
                if path.is_dir():
                    client.log_artifacts(mlflow_run, str(path), folder)
                else:
                    client.log_artifact(mlflow_run, str(path), folder)

    def end_run(self, mlflow_run: str, *, status: str = "FINISHED", ended_at: str) -> None:
        with self.connection.talk() as client:
            client.set_terminated(mlflow_run, status=status, end_time=runs.milliseconds(ended_at))

    def search_runs(
        self, filter_string: str = "", *, experiment_ids: Iterable[str] | None = None
    ) -> list[dict[str, Any]]:
        """The tenant's runs that match, newest first; a bare key is a tag."""
        query = experiments.translate_filter(filter_string, experiments.OF_RUNS)
        with self.connection.talk() as client:
            own = [each.experiment_id for each in experiments.experiments_of(client, self.tenant)]
            chosen = own if experiment_ids is None else [each for each in experiment_ids if each in own]
            return [runs.as_document(run) for run in runs.search(client, chosen, query)]

    def _experiment(self, client: Any, name: str, tags: Mapping[str, Any] | None) -> str:
        return experiments.ensure_experiment(
            client, self.tenant, name, tags or {}, uri=self.uri, artifact_root=self.artifact_root
        )

    def _model_of(self, client: Any, run_id: str) -> Any:
        own = [each.experiment_id for each in experiments.experiments_of(client, self.tenant)]
        run = runs.find_run(client, own, run_id)
        if run is None:
            raise ExperimentError(f"MLflow has no run {run_id}; record the run before its version.")
        model = models.find_logged_model(client, run.info.experiment_id, run_id)
        if model is None or str(model.status) != models.READY:
            raise ExperimentError(f"The run {run_id} has no finished model in MLflow.")
        return model

    def _own_name(self, full: str) -> str:
        return full.removeprefix(experiments.experiment_name(self.tenant, ""))
