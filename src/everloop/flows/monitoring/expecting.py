"""A suite of Great Expectations on the rows of a window."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from everloop.core.errors import FileMissing, InvalidSettings
from everloop.core.monitoring import Result
from everloop.core.runs import Run
from everloop.data import frames
from everloop.flows.project import Project

PATIENCE = 60.0  # seconds in which somebody else writes pages of the same model


def check(project: Project, run: Run, name: str, table: pa.Table, until: datetime | None) -> list[Result]:
    """A result per expectation. ``until``: the end of the window, for which Data Docs get a page; None for a
    table by hand. Raises FileMissing, InvalidSettings, MissingExtra without the library."""
    suite = read(project.settings.root / name)
    judge = project.open_suites()
    if until is None:
        return judge(suite, frames.convert(table, "pandas"), inputs=run.features)
    with project.locks.hold(f"data_docs/{run.model}", wait=PATIENCE):
        place = folder(project, run.model)
        return judge(suite, frames.convert(table, "pandas"), inputs=run.features, site=place, at=until)


def folder(project: Project, model: str) -> Path:
    """Where the Data Docs of a model are."""
    place = project.settings.monitoring_folder
    if project.tenant != "default":
        place /= project.tenant
    return place / "data_docs" / quote(model, safe="")


def read(path: Path) -> Mapping[str, Any]:
    """A suite as Great Expectations 1.x writes it as JSON."""
    if not path.is_file():
        raise FileMissing(
            f"There is no file '{path}' (for monitoring.suite).",
            remedy="Write the suite there, or correct the name.",
        )
    try:
        suite: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidSettings(f"'{path}' is no JSON: {error}.", remedy="Write the suite anew.") from error
    if not _is_suite(suite):
        raise InvalidSettings(
            f"'{path}' is no suite of Great Expectations 1.x.",
            remedy="It has a name and expectations, each with type and kwargs: suite.to_json_dict() of 1.x.",
        )
    return suite


def _is_suite(given: object) -> bool:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        return False
    expectations = given.get("expectations")
    return isinstance(expectations, list) and all(map(_is_expectation, expectations))


def _is_expectation(given: object) -> bool:
    return (
        isinstance(given, dict)
        and isinstance(given.get("type"), str)
        and isinstance(given.get("kwargs"), dict)
    )
