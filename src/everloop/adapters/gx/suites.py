"""A suite of Great Expectations 1.x on a table, with Data Docs where they are wanted.

Nothing leaves the machine: versions before 1.9, which told a server of their use, are refused by the extra.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from numbers import Real
from pathlib import Path
from string import Template
from types import SimpleNamespace
from typing import Any

import pandas as pd

from everloop.core.errors import InvalidSettings, MissingExtra, MonitoringError
from everloop.core.monitoring import LEVELS, Level, Result

from . import docs

SHOWN = 5  # values that break an expectation


def run(
    suite: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    inputs: Collection[str],
    site: Path | None = None,
    at: datetime | None = None,
) -> list[Result]:
    """A result per expectation; one that cannot be judged is ``unable``, one that needs a column that is
    neither in the table nor among a model's ``inputs`` is left out. ``site``: the folder whose Data Docs get
    a page, as of ``at``.

    Its ``severity`` is the level, ``warning`` where the suite says none. Raises MissingExtra without the
    library, InvalidSettings for a suite that it does not take.
    """
    known = {*inputs, *frame.columns}
    kept = [each for each in suite["expectations"] if known.issuperset(columns_of(each["kwargs"]))]
    with _quiet():
        library = _library()
        context = library.gx.get_context(mode="ephemeral", project_config=docs.config(library, site))
        definition = _definition(library, context, {**suite, "expectations": kept})
        try:
            found, page = _found(library, context, definition, frame, site, at)
            levels = [_level(each) for each in kept]
            return [_result(one, level, len(frame), page) for one, level in zip(found, levels, strict=True)]
        except Exception as error:  # a library of plug-ins: whatever it fails with, all else is checked
            raise MonitoringError(
                f"Great Expectations could not run the suite '{suite['name']}' "
                f"({type(error).__name__}: {_first_line(error)})."
            ) from error


def _definition(library: Any, context: Any, suite: Mapping[str, Any]) -> Any:
    """The suite on a batch that is given when it runs. Raises InvalidSettings; the library by itself leaves
    out an expectation that it does not know."""
    try:
        expectations = [_expectation(library, each) for each in suite["expectations"]]
        parts = {name: suite.get(name) or {} for name in ("meta", "suite_parameters")}
        taken = library.gx.ExpectationSuite(name=suite["name"], expectations=expectations, **parts)
    except (*library.errors, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidSettings(
            f"Great Expectations does not take the suite '{suite['name']}': {_first_line(error)}.",
            remedy="Write it with Great Expectations 1.x: suite.to_json_dict().",
        ) from error
    source = context.data_sources.add_pandas("production")
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("window")
    return context.validation_definitions.add(
        library.gx.ValidationDefinition(name="window", data=batch, suite=context.suites.add(taken))
    )


def _expectation(library: Any, given: Mapping[str, Any]) -> Any:
    """Without the id that another project gave it."""
    named = {name: value for name, value in given.items() if name not in ("id", "rendered_content")}
    return library.ExpectationConfiguration(**named).to_domain_obj()


def _found(
    library: Any, context: Any, definition: Any, frame: pd.DataFrame, site: Path | None, at: datetime | None
) -> tuple[list[Any], Path | None]:
    """What came of each expectation, in the order of the suite, and the page of Data Docs."""
    stated = {"run_id": library.RunIdentifier(run_name="window", run_time=at)} if at else {}
    made = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY", **stated)
    page = docs.build(library, context, site, definition.suite.name, at) if site and at else None
    places = [str(each.id) for each in definition.suite.expectations]
    return sorted(made.results, key=lambda one: places.index(str(one.expectation_config.id))), page


def _result(one: Any, level: Level, rows: int, page: Path | None) -> Result:
    asked, told = one.expectation_config, one.to_json_dict()
    found, about = told.get("result") or {}, {"subject": _subject(asked.kwargs), "statistic": asked.type}
    details: dict[str, Any] = {"data_docs": str(page)} if page else {}
    if len(columns := columns_of(asked.kwargs)) != 1:
        details["columns"] = columns  # the subject is no column
    words = _words(one)
    if failure := _failure(told.get("exception_info") or {}):
        text = f"'{asked.type}' of {about['subject']} could not be judged: {failure}."
        return Result("check", **about, fired=False, message=text, unable=True, details=details)
    count = found.get("unexpected_count")
    share = None if count is None or not rows else count / rows
    if not one.success and (values := found.get("partial_unexpected_list")):
        details["values"] = values[:SHOWN]
    return Result(
        "check",
        **about,
        fired=not one.success,
        message=words if one.success else _broken(words, found, rows, page),
        level=level,
        value=_number(found.get("observed_value")) if share is None else share,
        floor=None if share is None else 1 - float(asked.kwargs.get("mostly", 1.0)),
        details=details,
    )


def _broken(words: str, found: Mapping[str, Any], rows: int, page: Path | None) -> str:
    told = words
    if found.get("unexpected_count"):
        told = f"{words.rstrip('.')}: broken in {found['unexpected_count']:,} of {rows:,} rows."
    elif found.get("observed_value") is not None:
        told = f"{words.rstrip('.')}: it is {_plain(found['observed_value'])}."
    return f"{told} Data Docs: {page}" if page else told


def _words(one: Any) -> str:
    """What is expected, in the words of Great Expectations."""
    one.render()
    rendered = [each.value.to_json_dict() for each in one.expectation_config.rendered_content or ()]
    for each in rendered:
        if each.get("template"):
            given = {name: value.get("value") for name, value in (each.get("params") or {}).items()}
            said = Template(each["template"]).safe_substitute(given)
            return said if said.endswith(".") else f"{said}."
    return f"'{_subject(one.expectation_config.kwargs)}' keeps {one.expectation_config.type}."


def _subject(asked: Mapping[str, Any]) -> str:
    """The columns that an expectation names."""
    return ", ".join(columns_of(asked)) or "table"


def columns_of(asked: Mapping[str, Any]) -> list[str]:
    single = [asked[name] for name in ("column", "column_A", "column_B") if asked.get(name)]
    return [str(name) for name in (*single, *(asked.get("column_list") or ()))]


def _failure(told: Mapping[str, Any]) -> str:
    """Of one expectation, or of each number that it needs."""
    parts = [told] if "raised_exception" in told else [each for each in told.values() if each]
    failed = [str(each.get("exception_message")) for each in parts if each.get("raised_exception")]
    return _first_line(failed[0]) if failed else ""


def _level(asked: Mapping[str, Any]) -> Level:
    given = asked.get("severity")
    return next((level for level in LEVELS if level == given), "warning")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, Real) and value is not True and value is not False else None


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, Real) else str(value)[:200]


def _first_line(error: object) -> str:
    return (f"{error}".strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated parts of other libraries that it uses
        yield


def _library() -> Any:
    """What is used of it, by name."""
    try:
        base = import_module("great_expectations.data_context.types.base")
        named = import_module("great_expectations.data_context.types.resource_identifiers")
        return SimpleNamespace(
            gx=import_module("great_expectations"),
            DataContextConfig=base.DataContextConfig,
            InMemory=base.InMemoryStoreBackendDefaults,
            SuiteIdentifier=named.ExpectationSuiteIdentifier,
            ExpectationConfiguration=import_module(
                "great_expectations.expectations.expectation_configuration"
            ).ExpectationConfiguration,
            RunIdentifier=import_module("great_expectations.core.run_identifier").RunIdentifier,
            errors=(import_module("great_expectations.exceptions").GreatExpectationsError,),
        )
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "great_expectations", "gx") from error
