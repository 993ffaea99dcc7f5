"""How versions are named, and what a tag or branch may be called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.core.data import DatasetVersion
from everloop.core.errors import Invalid
from everloop.data import names
from everloop.data.names import Spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("3f2a91", Spec(None, "3f2a91", 0)),
        ("flights@latest", Spec("flights", "latest", 0)),
        ("flights@v1~2", Spec("flights", "v1", 2)),
        ("flights@~", Spec("flights", "latest", 1)),
        ("team@site@main~10", Spec("team@site", "main", 10)),
        ("flights@", Spec("flights", "", 0)),
        ("3f2a~x", Spec(None, "3f2a~x", 0)),
    ],
)
def test_a_name_is_taken_apart(text: str, spec: Spec) -> None:
    assert names.parse(text) == spec


@pytest.mark.parametrize(
    "name", ["golden", "v1.0", "may/clean", "2026-05", "bee", "1", "Grün", "before+after"]
)
def test_a_word_may_be_a_name(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latest", "'latest' always means the newest version: no tag or branch"),
        ("Latest", "always means"),
        ("beef", "beginning of a version's id"),
        ("20260301", "beginning of a version's id"),
        ("2026-03-01", "would be taken for a time"),
        ("2026-W10", "would be taken for a time"),
        ("a~1", "cannot be the name"),
        ("a@b", "cannot be the name"),
        ("", "cannot be the name"),
        (None, "cannot be the name"),
        ("-x", "cannot be the name"),
        ("two words", "cannot be the name"),
        ("x" * 101, "100 at most"),
    ],
)
def test_what_could_be_taken_for_something_else_is_refused(name: str, message: str) -> None:
    with pytest.raises(Invalid) as found:
        names.check(name)
    assert message in str(found.value)


@pytest.mark.parametrize("name", ["customers", "sales/2024", ".data/a b (1).csv", "Grün", "a..b", "x" * 200])
def test_a_dataset_may_be_called_like_a_word_or_a_path(name: str) -> None:
    assert names.check_dataset(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a ",
        "../../etc",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a\nb",
        "a\x00b",
        "-a",
        "a\\b",
        "x" * 201,
        None,
        5,
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_seen_is_of_no_dataset(name: Any) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a dataset") as caught:
        names.check_dataset(name)
    assert caught.value.remedy
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("customers", "customers-0123456789ab"), ("../../etc", "etc-0123456789ab"), ("..", "data-0123456789ab")],
)
def test_the_file_of_a_version_is_in_the_folder_where_one_is(dataset: str, name: str) -> None:
    version = DatasetVersion(
        dataset, "0123456789ab" * 2, 1, 0, (), {}, "sha256", datetime(2024, 1, 1, tzinfo=UTC), "me", "x"
    )
    assert names.file_name(version) == name


def test_a_time_without_a_zone_is_utc() -> None:
    assert names.as_time("2026-03-01T12:00") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert names.as_time("2026-03-01T12:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert names.as_time("2026-13-01") is None
    assert names.as_time("may") is None
