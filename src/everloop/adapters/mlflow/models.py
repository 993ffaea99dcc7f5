"""Models in MLflow: the fitted pipeline with its signature, and the versions in MLflow's registry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from sklearn.base import BaseEstimator

from everloop.adapters.mlflow.experiments import DEFAULT_TENANT, RUN_TAG, TENANT_TAG, equals, every_page
from everloop.adapters.mlflow.runs import PARAM_LENGTH, clip, keep_first, safe_key
from everloop.core.errors import ExperimentError
from everloop.training import serialise, skopsfile

VERSION_TAG = "everloop.version"
VERSIONS_OF_MODEL = "mlflow.modelVersions"  # what MLflow's own pages link a logged model to its versions by
READY = "READY"
LONG = 1000  # a longer list holds data, not parts
PARAMS_SHOWN = 100  # more would need a second request, which a kill could leave out


def ensure_logged_model(client: Any, run: Any, document: Mapping[str, Any]) -> Any:
    """The run's logged model, made (PENDING, without files) when it is not there."""
    described = document["model"]
    run_id = str(document["run_id"])
    found = find_logged_model(client, run.info.experiment_id, run_id)
    if found is not None:
        return found
    params = list(document.get("params", {}).items())[:PARAMS_SHOWN]
    return client.create_logged_model(
        run.info.experiment_id,
        name=described.get("name", "model"),
        source_run_id=run.info.run_id,
        tags={RUN_TAG: run_id},
        params={safe_key(key): clip(value, PARAM_LENGTH) for key, value in params},
        model_type=described.get("task"),
    )


def find_logged_model(client: Any, experiment: str, run_id: str) -> Any | None:
    """The one logged model of our run: a finished one before an unfinished one; others are deleted."""
    found = every_page(
        lambda token: client.search_logged_models([experiment], equals(RUN_TAG, run_id), page_token=token)
    )
    chosen = min(found, key=lambda model: (str(model.status) != READY, model.model_id), default=None)
    for model in found:
        if model is not chosen:
            client.delete_logged_model(model.model_id)
    return chosen


def pack(folder: str, described: Mapping[str, Any], files: Mapping[str, bytes]) -> Any:
    """Write MLflow's model folder into ``folder``; returns its book (MLmodel), still without ids.

    Needs no server, so that a model which MLflow cannot keep (ExperimentError) leaves nothing half recorded.
    """
    book = Model()
    kind = described["format"]
    data = files[described["file"]]
    example = pd.DataFrame(list(described.get("input_example") or ()))
    try:
        types = skopsfile.trusted_types(data) if kind == "skops" else None
        pipeline = serialise.loads(
            data, kind, trust_pickle=True
        )  # our own artifact, hash checked by the caller
        mlflow.sklearn.save_model(
            pipeline,
            str(Path(folder, "model")),
            mlflow_model=book,
            serialization_format=kind,
            skops_trusted_types=types or None,
            signature=False if example.empty else infer_signature(example, pipeline.predict(example)),
            input_example=None if example.empty else example,
            pip_requirements=requirements(pipeline, kind),
        )
    except OSError:
        raise
    except Exception as problem:
        raise ExperimentError(f"MLflow cannot keep this model: {str(problem)[:300]}") from problem
    return book


def upload_model(client: Any, run: str, logged: Any, folder: str, book: Any) -> None:
    """Bring a logged model to READY: its files first, then its link to the run, the status last."""
    if str(logged.status) == READY:
        return
    book.artifact_path, book.run_id = logged.artifact_location, run
    book.model_id = book.model_uuid = logged.model_id
    book.save(str(Path(folder, "model", "MLmodel")))
    client.log_model_artifacts(logged.model_id, str(Path(folder, "model")))
    outputs = client.get_run(run).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    if logged.model_id not in linked:  # MLflow would add the same link again
        client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, READY)


def requirements(pipeline: Any, kind: str) -> list[str]:
    """What must be installed to load the model, pinned to what is installed here.

    Everloop itself is needed when one of its own transformers is inside, as are boosting libraries.
    """
    inside = {type(part).__module__.split(".")[0] for part in _parts(pipeline)}
    modules = ["sklearn", "numpy", "pandas", kind, *sorted(inside & {"everloop", "xgboost", "lightgbm"})]
    return [_installed(module) for module in modules]


def _parts(model: Any) -> Iterator[Any]:
    """The model and every estimator inside it, fitted or not."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, BaseEstimator):
            yield part
            waiting += vars(part).values()
        elif isinstance(part, (list, tuple)) and len(part) < LONG:
            waiting += part
        elif isinstance(part, dict) and len(part) < LONG:
            waiting += part.values()


@lru_cache
def _installed(module: str) -> str:
    """``distribution==version`` of what provides a module here (``xgboost`` may be ``xgboost-cpu``)."""
    distribution = packages_distributions().get(module, [module])[0]
    return f"{distribution}=={version(distribution)}"


def registered_name(tenant: str, model: str) -> str:
    """``<model>`` for the default tenant, ``<tenant>.<model>`` for every other."""
    return model if tenant == DEFAULT_TENANT else f"{tenant}.{model}"


def ensure_registered_model(client: Any, tenant: str, name: str) -> None:
    """Make the registered model once. Raises ExperimentError when it belongs to another tenant."""
    try:
        found = client.get_registered_model(name)
    except MlflowException as problem:
        if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, tags={TENANT_TAG: tenant})
        return
    check_owner(found, tenant)
    if TENANT_TAG not in found.tags:
        client.set_registered_model_tag(name, TENANT_TAG, tenant)


def check_owner(found: Any, tenant: str) -> None:
    """Names of two tenants can be the same (``a.b`` with ``c``, ``a`` with ``b.c``): the first has it."""
    owner = found.tags.get(TENANT_TAG, tenant)
    if owner != tenant:
        raise ExperimentError(f"The registered model '{found.name}' belongs to tenant '{owner}'.")


def find_version(client: Any, name: str, wanted: str) -> Any | None:
    """The version of MLflow's registry that stands for our semantic version; others of it are deleted."""
    query = f"name = '{name}' and {equals(VERSION_TAG, wanted)}"
    found = every_page(lambda token: client.search_model_versions(query, page_token=token))
    return keep_first(
        found,
        key=lambda each: int(each.version),
        drop=lambda number: client.delete_model_version(name, number),
    )


def link_version(client: Any, model_id: str, name: str, number: str) -> None:
    """Show the version on the logged model's page, as MLflow's own registration does."""
    known = json.loads(client.get_logged_model(model_id).tags.get(VERSIONS_OF_MODEL, "[]"))
    entry = {"name": name, "version": number}
    if entry not in known:
        client.set_logged_model_tags(model_id, {VERSIONS_OF_MODEL: json.dumps([*known, entry])})
