"""The contract that counts for a model, where one was agreed on, and one in Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa

from everloop import validation
from everloop.core.contracts import Contract, ContractVerdict
from everloop.core.errors import WrongType
from everloop.data import frames
from everloop.store import datasets
from everloop.validation import settings_form

from . import usercode
from .project import Project


def contract(project: Project, model: str) -> Contract | None:
    """The settings' own, else the one recorded last. None where there is neither, or a schema in Python."""
    settings = project.settings.models.get(model)
    given = settings.contract if settings else None
    if isinstance(given, str):
        return None
    if isinstance(given, Mapping):
        return settings_form.contract_from_mapping(given)
    with project.store.reading() as tx:
        return datasets.newest_contract(tx, model)


def check_python(
    project: Project,
    name: str,
    table: pa.Table,
    *,
    inputs: Collection[str] | None = None,
    gaps: Collection[str] = (),
) -> ContractVerdict:
    """A table, as pandas loads it, against the schema at ``name`` (``file.py:name``). ``inputs`` and ``gaps``
    are those of ``python_schema.check_python``. Raises WrongType for a column that pandas cannot hold."""
    schema = usercode.load(project, name, usercode.keep_source(project, name))
    try:
        frame = frames.convert(table, "pandas")
    except WrongType as error:
        error.remedy = (
            "Leave it out of the data, or write the contract in everloop.yaml, which needs no pandas."
        )
        raise
    check = validation.python_schema.check_python
    verdict: ContractVerdict = check(table, schema, f"python:{name}", frame=frame, inputs=inputs, gaps=gaps)
    return verdict
