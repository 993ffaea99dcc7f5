"""Days on which what nobody needs is removed and collected, and nothing else."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.stories.test_cli import everloop
from tests.stories.upkeep.days import (
    NOW,
    assert_right,
    changed,
    everything,
    harm,
    keys,
    opened,
    series,
    table,
)

from everloop.core.data import DatasetVersion
from everloop.core.errors import Invalid, Refused, StorageDenied, UnknownVersion
from everloop.flows import data, history, refs, upkeep
from everloop.flows.content.leases import leased
from everloop.flows.project import Project
from everloop.store import models


def test_only_what_no_version_needs_goes_and_only_when_asked(project: Project) -> None:
    versions = series(project)
    before = everything(project)
    upkeep.remove(project, versions[1].version_id)
    would = upkeep.collect(project, grace=NOW)
    assert would.dry_run
    assert [item.key for item in would.items if "/packs/" in item.key]
    assert set(keys(project, "packs")) <= set(before)
    assert upkeep.collect(project, dry_run=False).young
    assert set(keys(project, "packs")) == {key for key in before if "/packs/" in key}
    done = upkeep.collect(project, grace=NOW, dry_run=False)
    assert [item.key for item in done.items] == [item.key for item in would.items]
    assert done.freed == sum(len(before[item.key]) for item in done.items)
    assert not upkeep.collect(project, grace=NOW).items
    assert_right(project, [versions[0], *versions[2:]])
    with pytest.raises(UnknownVersion):
        data.find(project, versions[1].version_id)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_history_keeps_every_version_and_nothing_else(local: Project, seed: int) -> None:
    chance = random.Random(seed)
    alive: dict[str, DatasetVersion] = {}
    now = {name: table(n, 3000) for n, name in enumerate("xy")}
    for step in range(25):
        dataset = chance.choice("xy")
        deed = chance.choice(["change", "change", "append", "delete", "again", "remove", "remove", "collect"])
        if deed == "collect":
            upkeep.collect(local, grace=NOW, dry_run=False)
            assert_right(local, list(alive.values()))
            continue
        if deed == "remove":
            if alive:
                gone = chance.choice(sorted(alive))
                upkeep.remove(local, f"{alive[gone].dataset}@{gone}", force=True)
                del alive[gone]
            continue
        before = now[dataset]
        if deed == "change":
            now[dataset] = changed(before, seed * 100 + step)
        elif deed == "append":
            now[dataset] = pa.concat_tables([before, table(step + 500, 300)])
        elif deed == "delete":
            now[dataset] = before.slice(0, max(before.num_rows // 3, 10))
        version = data.register(local, now[dataset], dataset).version
        alive[version.version_id] = version
    keep = data.register(local, now["x"], "x").version
    alive[keep.version_id] = keep
    upkeep.collect(local, grace=NOW, dry_run=False)
    upkeep.collect(local, grace=NOW, dry_run=False)
    assert_right(local, list(alive.values()))
    assert upkeep.verify(local).unneeded == 0
    assert {key.rsplit("/", 1)[1].removesuffix(".manifest") for key in keys(local, "versions")} == set(alive)


def test_a_pack_of_which_little_is_needed_is_written_anew(project: Project) -> None:
    wide = pa.table({f"c{n}": np.random.default_rng(n).random(20_000) for n in range(8)})
    first = data.register(project, wide, "d").version
    kept = wide
    for n in range(7):
        kept = kept.set_column(n, f"c{n}", pa.array(np.random.default_rng(n + 50).random(20_000)))
    second = data.register(project, kept, "d").version
    before = sum(map(len, everything(project).values()))
    upkeep.remove(project, first.version_id)
    waiting = upkeep.collect(project, dry_run=False)
    assert len(waiting.rewritten) == 1
    assert_right(project, [second])
    assert not upkeep.collect(project).rewritten
    done = upkeep.collect(project, grace=NOW, dry_run=False)
    assert [item.why for item in done.items if "/packs/" in item.key] == [
        "its living segments are elsewhere now"
    ]
    assert sum(map(len, everything(project).values())) < 0.6 * before
    assert not keys(project, "rewritten")
    assert_right(project, [second])
    assert data.register(project, wide, "d").new
    assert_right(project, [second, first])


def test_a_registration_at_work_is_waited_for_and_else_left_alone(local: Project) -> None:
    versions = series(local, 3)
    upkeep.remove(local, versions[1].version_id)
    with leased(local.data, local.tenant, local.clock):
        done = upkeep.collect(local, grace=NOW, dry_run=False, wait=0.3)
    assert "at work" in done.blocked
    assert not [item for item in done.items if "/packs/" in item.key]
    assert not upkeep.collect(local, grace=NOW, dry_run=False).blocked
    assert_right(local, [versions[0], versions[2]])


def test_leavings_of_killed_processes_go(local: Project) -> None:
    versions = series(local, 2)
    local.data.put(f"{local.tenant}/versions/{'a' * 64}.manifest", b"of a registration that was killed")
    local.data.put(f"{local.tenant}/packs/{'b' * 64}.pack", b"the same")
    local.data.put(f"{local.tenant}/damaged/x/y.pack", b"kept aside")
    local.data.put(f"{local.tenant}/collecting/x.json", b'{"packs": []}')
    assert len(upkeep.collect(local).items) == 1  # the note; the rest is too young
    done = upkeep.collect(local, grace=NOW, dry_run=False)
    assert len(done.items) == 4
    assert_right(local, versions)


def test_nothing_goes_while_a_manifest_is_damaged_or_the_database_is_another(
    local: Project, tmp_path: Path
) -> None:
    versions = series(local, 3)
    upkeep.remove(local, versions[1].version_id)
    harm(local, keys(local, "versions")[0], "flipped")
    done = upkeep.collect(local, grace=NOW, dry_run=False)
    assert "damaged" in done.blocked
    assert not done.items
    stranger = opened(tmp_path / "q", f"paths.data_versions={local.settings.data_place}")
    with pytest.raises(Refused, match="knows none"):
        upkeep.collect(stranger, grace=NOW, dry_run=False)
    stranger.close()


def test_what_is_needed_is_not_removed(local: Project) -> None:
    versions = series(local, 4)
    refs.tag(local, versions[0].version_id, "golden")
    with pytest.raises(Refused, match="tag d@golden"):
        upkeep.remove(local, versions[0].version_id)
    with pytest.raises(Refused, match="branch d@main"):
        upkeep.remove(local, "d@latest")
    with local.store.writing() as tx:
        models.set_reference(tx, "m", versions[1].version_id, {}, "2026-01-01")
    for force in (False, True):
        with pytest.raises(Refused, match="reference statistics of m"):
            upkeep.remove(local, versions[1].version_id, force=force)
    upkeep.remove(local, "d@latest", force=True)
    assert data.find(local, "d@latest").version_id == versions[2].version_id
    upkeep.remove(local, "d@golden", force=True)
    assert not refs.list_refs(local, "d", "tag")
    assert [e.kind for e in history.events(local, "d")].count("removed") == 2
    assert_right(local, versions[1:3])
    assert data.find(local, versions[1].version_id).parent == versions[0].version_id


def test_old_versions_go_but_the_last_ones_and_the_needed_stay(local: Project) -> None:
    versions = series(local, 5)
    refs.tag(local, versions[1].version_id, "golden")
    old = {"older_than": NOW, "keep_last": 2}
    would = upkeep.remove_old(local, "d", **old, dry_run=True)
    assert len(data.list_versions(local)) == 5
    done = upkeep.remove_old(local, "d", **old)
    assert would == done
    assert [v.version_id for v in done.versions] == [versions[0].version_id, versions[2].version_id]
    assert [(v.version_id, why) for v, why in done.kept] == [(versions[1].version_id, ("tag d@golden",))]
    assert not upkeep.remove_old(local, "d", older_than=timedelta(days=1)).versions
    with pytest.raises(UnknownVersion):
        upkeep.remove_old(local, "other", older_than=NOW)


def test_a_content_that_two_datasets_have_stays_for_the_other(local: Project) -> None:
    one = data.register(local, table(1), "one").version
    two = data.register(local, table(1), "two").version
    assert one.version_id == two.version_id
    upkeep.remove(local, f"one@{one.version_id}", force=True)
    upkeep.collect(local, grace=NOW, dry_run=False)
    assert_right(local, [two])


def test_a_removal_is_told_when_the_store_cannot_be_written(
    local: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = series(local, 3)

    def refuse(key: str) -> None:
        raise StorageDenied(f"{key} cannot be written.")

    with monkeypatch.context() as read_only:
        read_only.setattr(local.data, "remove", refuse)
        one = upkeep.remove(local, "d@latest", force=True)
        old = upkeep.remove_old(local, "d", older_than=NOW)
    assert [len(done.versions) for done in (one, old)] == [1, 1]
    assert all("cannot be written" in why for why in (*one.left, *old.left))
    assert upkeep.verify(local).sound
    upkeep.collect(local, grace=NOW, dry_run=False)
    assert len(keys(local, "versions")) == 1
    assert_right(local, versions[1:2])


def test_the_commands_tell_what_they_do(tmp_path: Path) -> None:
    here = tmp_path / "shop"
    assert everloop(tmp_path, "init", "shop", "--example", "customers").code == 0
    assert everloop(here, "data", "add", "data/customers.csv", "--dataset", "c").code == 0
    assert everloop(here, "data", "add", "data/customers-later.csv", "--dataset", "c").code == 0
    assert "All is as it was written" in everloop(here, "data", "verify").out
    first = json.loads(everloop(here, "data", "list", "--json").out)["versions"][0]["version_id"]
    refused = everloop(here, "data", "remove", "c@latest")
    assert refused.code == 42
    assert "branch c@main" in refused.err
    assert "removed" in everloop(here, "data", "remove", first).out
    assert "too young" in everloop(here, "data", "gc").out
    would = everloop(here, "data", "gc", "--grace", "0")
    assert "Nothing was removed" in would.out
    done: dict[str, Any] = everloop(here, "data", "gc", "--grace", "0", "--yes", "--json").json["collection"]
    assert done["freed"] > 0
    pack = next((here / ".everloop" / "data").rglob("*.pack"))
    pack.write_bytes(pack.read_bytes()[:-1])
    told = everloop(here, "data", "verify")
    assert told.code == 5
    assert pack.name in told.out
    assert "c@" in told.out
    assert everloop(here, "data", "repair").code == 0
    assert everloop(here, "data", "verify", "--full").code == 0
    assert everloop(here, "data", "gc", "--grace", "soon").code == 20
    assert everloop(here, "data", "remove", first, "--keep-last", "3").code == 20
    assert "stays" not in everloop(here, "data", "remove", "c", "--older-than", "1d").out


def test_a_length_of_time_is_understood_or_refused() -> None:
    from everloop.cli.data.upkeep import span

    assert span("90d") == timedelta(days=90)
    assert span(" 2W ") == timedelta(days=14)
    assert span("1.5h") == timedelta(minutes=90)
    assert span("0") == timedelta(0)
    for wrong in ("", "90", "d", "-1d", "9" * 40 + "w", "9999999w"):
        with pytest.raises(Invalid):
            span(wrong)
