"""Experiments, and which tenant they belong to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from everloop.adapters.mlflow.address import artifact_folder
from everloop.core.errors import ExperimentError

DEFAULT_TENANT = "default"
TENANT_TAG = "everloop.tenant"
RUN_TAG = "everloop.run_id"
PREFIXES = frozenset(
    {"attribute", "attributes", "attr", "dataset", "datasets", "metric", "metrics"}
    | {"param", "params", "parameter", "parameters", "run", "tag", "tags"}
)
OF_EXPERIMENTS = frozenset({"name", "experiment_id", "creation_time", "last_update_time"})
OF_RUNS = frozenset(
    {"run_id", "run_name", "status", "start_time", "end_time", "artifact_uri", "user_id", "created"}
)


def experiment_name(tenant: str, name: str) -> str:
    """``<name>`` for the default tenant, ``<tenant>/<name>`` for every other."""
    return name if tenant == DEFAULT_TENANT else f"{tenant}/{name}"


def ensure_experiment(
    client: Any, tenant: str, name: str, tags: Mapping[str, Any], *, uri: str, artifact_root: str | None
) -> str:
    """The id of the tenant's experiment, made when it is not there; tags that differ are set.

    Raises ExperimentError when it lies in MLflow's trash or belongs to another tenant.
    """
    full = experiment_name(tenant, name)
    wanted = {**{key: str(value) for key, value in tags.items()}, TENANT_TAG: tenant}
    found = client.get_experiment_by_name(full)
    if found is None:
        place = artifact_folder(artifact_root, uri, full)
        return str(client.create_experiment(full, artifact_location=place, tags=wanted))
    if found.lifecycle_stage == "deleted":
        raise ExperimentError(
            f"The experiment '{full}' lies in MLflow's trash.",
            remedy=f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}",
        )
    if found.tags.get(TENANT_TAG, tenant) != tenant:
        raise ExperimentError(f"The experiment '{full}' belongs to tenant '{found.tags[TENANT_TAG]}'.")
    for key, value in wanted.items():
        if found.tags.get(key) != value:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def experiments_of(client: Any, tenant: str, filter_string: str = "") -> list[Any]:
    """The tenant's experiments. The default tenant also sees those that were made outside of Everloop."""
    query = translate_filter(filter_string, OF_EXPERIMENTS) or None
    found = every_page(lambda token: client.search_experiments(filter_string=query, page_token=token))
    other = None if tenant == DEFAULT_TENANT else ""
    return [each for each in found if each.tags.get(TENANT_TAG, other) in (tenant, None)]


def every_page(ask: Callable[[str | None], Any]) -> list[Any]:
    """All items of a paged answer."""
    items: list[Any] = []
    token: str | None = None
    while True:
        page = ask(token)
        items.extend(page)
        token = page.token
        if not token:
            return items


def translate_filter(text: str, attributes: frozenset[str]) -> str:
    """MLflow's filter syntax with bare keys read as tags: ``model_type='classification'``.

    Keys with a prefix (``tags.x``, ``metrics.x``), names of attributes and quoted values stay as they are.
    """
    parts = re.split(r"('[^']*'|\"[^\"]*\"|`[^`]*`)", text)
    key = re.compile(r"(?<![\w.`-])([A-Za-z_][\w.-]*)(?=\s*(?:!?=|[<>])|\s+(?:NOT\s+)?(?:I?LIKE|IN)\b)", re.I)

    def as_tag(match: re.Match[str]) -> str:
        name = match.group(1)
        prefix, dot, _ = name.partition(".")
        if name in attributes or (dot and prefix in PREFIXES) or name.upper() == "NOT":
            return name
        return f"tags.`{name}`"

    return "".join(part if index % 2 else key.sub(as_tag, part) for index, part in enumerate(parts)).strip()


def equals(key: str, value: str) -> str:
    """A filter for one tag. MLflow has no escape for a quote, so values that hold one are refused."""
    if "'" in value:
        raise ExperimentError(f"The value {value!r} of '{key}' holds a quote, which MLflow cannot search.")
    return f"tags.`{key}` = '{value}'"
