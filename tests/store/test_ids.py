"""Ids of releases and of runs are given whole, or by a unique beginning or ending."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from everloop.core.errors import NotFound, UnknownVersion
from everloop.core.releases import Release
from everloop.store import models, releases
from everloop.store.database import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = Release("rel_aaaa_1111", "iris", "prod", "direct", "1.0.0", "promoted", NOW, "ann")


def test_a_part_that_only_one_has_is_enough(store: Store) -> None:
    with store.writing() as tx:
        releases.put(tx, ONE)
        releases.put(tx, replace(ONE, release_id="rel_aaaa_2222"))
    with store.reading() as tx:
        for given in ("rel_aaaa_1111", "1111", "REL_AAAA_1"):
            assert releases.find(tx, given) == ONE
        with pytest.raises(NotFound, match="'rel_aaaa' fits several releases: rel_aaaa_1111, rel_aaaa_2222"):
            releases.find(tx, "rel_aaaa")
        with pytest.raises(NotFound, match=r"There is no release '111'. .*'everloop release list' shows all"):
            releases.find(tx, "111")  # too short to mean anything
        with pytest.raises(UnknownVersion, match=r"There is no run '1111'. .*'everloop runs list' shows all"):
            models.find_run(tx, "1111")
