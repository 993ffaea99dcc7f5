"""Where MLflow keeps things, and how its filters are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.adapters.mlflow.address import artifact_folder, shown, tracking_uri
from everloop.adapters.mlflow.experiments import OF_EXPERIMENTS, OF_RUNS, translate_filter
from everloop.core.errors import InvalidSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./mlruns", "sqlite:////base/mlruns/mlflow.db"),
        ("mlruns", "sqlite:////base/mlruns/mlflow.db"),
        ("/data/ml runs", "sqlite:////data/ml runs/mlflow.db"),
        ("file:///data/ml%20runs", "sqlite:////data/ml runs/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:////base/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("postgresql+psycopg://u:p@host/db", "postgresql+psycopg://u:p@host/db"),
        ("http://host:5000/", "http://host:5000"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert tracking_uri(text, "/base") == expected
    assert tracking_uri(expected, "/base") == expected


def test_addresses_that_cannot_be(tmp_path: Path) -> None:
    for text in ("", "ftp://host/x"):
        with pytest.raises(InvalidSettings):
            tracking_uri(text, tmp_path)
    with pytest.raises(InvalidSettings, match="no place for artifacts"):
        artifact_folder(None, "postgresql://u:secret@host/db", "late")
    assert artifact_folder(None, "http://host", "late") is None
    assert (
        artifact_folder("s3://bucket/ml", "postgresql://host/db", "a/../b") == "s3://bucket/ml/a-b-900ea8b7"
    )
    assert shown("postgresql://u:secret@host/db") == "postgresql://u:…@host/db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model_type='classification'", "tags.`model_type`='classification'"),
        ("model_type = 'a' AND dataset != 'b'", "tags.`model_type` = 'a' AND tags.`dataset` != 'b'"),
        ("name LIKE 'late%' and tags.x = '1'", "name LIKE 'late%' and tags.x = '1'"),
        ("tags.`a b` = 'x=1' and team ILIKE 'y'", "tags.`a b` = 'x=1' and tags.`team` ILIKE 'y'"),
        ("everloop.run_id='r'", "tags.`everloop.run_id`='r'"),
        ("", ""),
    ],
)
def test_filters_read_bare_keys_as_tags(text: str, expected: str) -> None:
    assert translate_filter(text, OF_EXPERIMENTS) == expected
    assert translate_filter(expected, OF_EXPERIMENTS) == expected


def test_filters_of_runs_know_their_attributes() -> None:
    assert (
        translate_filter("status = 'FINISHED' and seed = '1'", OF_RUNS)
        == "status = 'FINISHED' and tags.`seed` = '1'"
    )
