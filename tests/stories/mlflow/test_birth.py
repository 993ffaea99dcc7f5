"""MLflow's own database is made whole or not at all: SQLite does not roll its migrations back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """Stands for ``kill -9``: nothing of ours may catch it."""


def test_killed_while_mlflow_makes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    from everloop.adapters.mlflow.tracker import MlflowTracker

    create_index = op.create_index

    def made_and_killed(*arguments: Any, **named: Any) -> None:
        create_index(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", made_and_killed)
        with pytest.raises(Killed):
            MlflowTracker(str(tmp_path / "mlruns")).create_experiment("late", {})
    assert MlflowTracker(str(tmp_path / "mlruns")).create_experiment("late", {})
    kept = sorted(path.name for path in (tmp_path / "mlruns").iterdir())
    assert kept == ["mlflow.db"], "nothing half made is left beside it"


def test_its_tables_are_made_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some fifty migrations in a file wait for the disk a thousand times, which may take seconds."""
    from alembic import op

    from everloop.adapters.mlflow.tracker import MlflowTracker

    create_index, places = op.create_index, set()

    def made(*arguments: Any, **named: Any) -> None:
        create_index(*arguments, **named)
        places.add(op.get_bind().engine.url.database)

    monkeypatch.setattr(op, "create_index", made)
    assert MlflowTracker(str(tmp_path / "mlruns")).create_experiment("new", {})
    assert places == {None}
