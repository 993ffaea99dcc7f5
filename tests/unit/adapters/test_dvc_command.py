"""What DVC says on failure, as the error that tells what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.adapters.dvc.command import error_of
from everloop.core.errors import Busy, Invalid, MissingExtra, MLOpsError, NotFound, Refused, Unavailable


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running", Busy),
        ("ERROR: failed to push: config file error: no remote specified in /x. Create a default", NotFound),
        (
            "ERROR: Can't remove the following unsaved files without confirmation. Use `--force` to force.",
            Refused,
        ),
        ("ERROR: unexpected error - s3 is supported, but requires 'dvc-s3' to be installed", MissingExtra),
        ("ERROR: output 'x' is already tracked by SCM (e.g. Git).\n    You can remove it from Git", Invalid),
        (
            "ERROR: Checkout failed for following targets:\ndata/c\nf\nIs your cache up to date?\n<https://x>",
            NotFound,
        ),
        ("ERROR: failed to connect to s3 (bucket/dvc)", Unavailable),
        ("", Unavailable),
    ],
)
def test_each_failure_has_its_error(said: str, kind: type[MLOpsError]) -> None:
    error = error_of("push", Path("/x"), said)
    assert type(error) is kind
    assert error.remedy


def test_dvcs_own_words_are_told() -> None:
    said = (
        "Collecting\nERROR: output 'x' is already specified\nERROR: in stages a and b\nHaving any troubles?"
    )
    assert error_of("add", Path("/x"), said).message == (
        "dvc add: output 'x' is already specified in stages a and b."
    )


def test_targets_without_content_are_named() -> None:
    said = (
        "ERROR: Checkout failed for following targets:\ndata/c d\nf\nIs your cache up to date?\n<https://x>"
    )
    error = error_of("checkout", Path("/x"), said)
    assert "has all of 'data/c d', 'f'." in error.message
    assert "'dvc repro'" in error.remedy  # DVC does not say which of them were never made
    assert "'dvc update'" in error.remedy
