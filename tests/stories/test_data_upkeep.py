"""Days on which the store is looked after: damage found and mended, what nobody needs taken away."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.servers.s3 import S3
from tests.stories.test_cli import everloop

from everloop import wiring
from everloop.core.data import DatasetVersion
from everloop.core.errors import Invalid, NotFound, Refused, StorageDenied, UnknownVersion
from everloop.data import identity
from everloop.data import manifest as manifests
from everloop.flows import data, history, refs, upkeep
from everloop.flows.content.files import open_listing, register_files
from everloop.flows.content.leases import leased
from everloop.flows.content.objects import Objects
from everloop.flows.project import Project
from everloop.settings import load_settings
from everloop.store import models
from everloop.store.tables import data_refs, dataset_versions

NOW = timedelta(0)


def opened(folder: Path, *flags: str, **variables: str) -> Project:
    folder.mkdir(exist_ok=True)
    chosen = ["tracking.enabled=false", *flags]
    return wiring.connect(load_settings(folder=folder, flags=chosen, variables=variables))


@pytest.fixture(params=["folder", "s3"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    if request.param == "folder":
        here = opened(tmp_path / "p")
    else:
        server: S3 = request.getfixturevalue("s3")
        place = f"s3://{request.getfixturevalue('s3_bucket')}/store"
        flags = (f"paths.data_versions={place}", "storage.allow_http=true")
        here = opened(tmp_path / "p", *flags, **server.environment)
    yield here
    here.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Project]:
    here = opened(tmp_path / "p")
    yield here
    here.close()


def table(seed: int, rows: int = 4000) -> pa.Table:
    chance = np.random.default_rng(seed)
    return pa.table({"id": np.arange(rows), "a": chance.random(rows), "b": chance.integers(0, 9, rows)})


def changed(before: pa.Table, seed: int) -> pa.Table:
    """The same with one column new."""
    other = np.random.default_rng(seed).random(before.num_rows)
    return before.set_column(1, "a", pa.array(other))


def series(project: Project, count: int = 4, dataset: str = "d") -> list[DatasetVersion]:
    versions, now = [], table(0)
    for seed in range(count):
        versions.append(data.register(project, now, dataset).version)
        now = changed(now, seed + 100)
    return versions


def keys(project: Project, room: str) -> list[str]:
    return sorted(entry.key for entry in project.data.entries(f"{project.tenant}/{room}/"))


def everything(project: Project) -> dict[str, bytes]:
    found = {e.key: project.data.get(e.key) for e in project.data.entries(f"{project.tenant}/")}
    return {key: content for key, content in found.items() if "/damaged/" not in key}


def assert_right(project: Project, versions: list[DatasetVersion]) -> None:
    for version in versions:
        loaded = data.load(project, version)
        assert identity.version_id(loaded, version.hash_algorithm) == version.version_id
    assert upkeep.verify(project, full=True).sound


HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda d: d[: len(d) // 2] + bytes([d[len(d) // 2] ^ 1]) + d[len(d) // 2 + 1 :],
    "flipped-first": lambda d: bytes([d[0] ^ 128]) + d[1:],
    "flipped-last": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "cut": lambda d: d[:-7],
    "empty": lambda d: b"",
    "longer": lambda d: d + b"x",
    "missing": lambda d: None,
}


def harm(project: Project, key: str, how: str) -> None:
    content = HARMS[how](project.data.get(key))
    if content is None:
        project.data.remove(key)
    else:
        project.data.replace(key, content)


# -- verify and repair ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("room", ["packs", "versions"])
def test_damage_is_found_told_and_mended_from_a_copy(
    local: Project, tmp_path: Path, room: str, how: str
) -> None:
    versions = series(local)
    sound = everything(local)
    copy = tmp_path / "copy"
    shutil.copytree(Path(local.data.where(local.tenant)), copy)
    for key in keys(local, room):
        harm(local, key, how)
        found = upkeep.verify(local)
        assert [damage.key for damage in found.damages] == [key]
        assert found.damages[0].versions
        assert all(each.dataset == "d" for each in found.damages[0].versions)
        would = upkeep.repair(local, source=str(copy), dry_run=True)
        assert [each.key for each in would.restored] == [key]
        assert not upkeep.verify(local).sound
        done = upkeep.repair(local, source=str(copy))
        assert [each.key for each in done.restored] == [key]
        assert not done.lost
        assert done.proved == len(found.damages[0].versions)
        assert (done.restored[0].aside is None) == (how == "missing")
        assert everything(local) == sound
    assert_right(local, versions)


def test_many_damages_are_mended_at_once_from_another_projects_folder(
    project: Project, tmp_path: Path
) -> None:
    other = opened(tmp_path / "other", "tenant=someone")
    series(other)
    versions = series(project)
    sound = everything(project)
    for key in [*keys(project, "packs"), *keys(project, "versions")[:2]]:
        harm(project, key, "flipped")
    found = upkeep.verify(project)
    assert len(found.damages) == len(keys(project, "packs")) + 2
    assert {t.version_id for d in found.damages for t in d.versions} == {v.version_id for v in versions}
    assert not upkeep.repair(project, dry_run=True).restored
    done = upkeep.repair(project, source=str(tmp_path / "other"))
    assert not done.lost
    assert not done.lost_versions
    assert done.proved == len(versions)
    assert everything(project) == sound
    assert_right(project, versions)
    other.close()


def test_a_copy_that_is_damaged_itself_is_not_taken(local: Project, tmp_path: Path) -> None:
    series(local, 2)
    key = keys(local, "packs")[0]
    copy = tmp_path / "copy"
    shutil.copytree(Path(local.data.where(local.tenant)), copy)
    bad = copy / key.partition("/")[2]
    bad.write_bytes(HARMS["flipped"](bad.read_bytes()) or b"")
    harm(local, key, "cut")
    before = local.data.get(key)
    done = upkeep.repair(local, source=str(copy))
    assert [damage.key for damage in done.lost] == [key]
    assert done.lost_versions
    assert local.data.get(key) == before
    with pytest.raises(NotFound):
        upkeep.repair(local, source=str(tmp_path / "nothing"))


def test_backups_mend_without_being_named(tmp_path: Path) -> None:
    here = opened(tmp_path / "p", f"backup.to={tmp_path / 'backups'}")
    from everloop.flows import backup

    versions = series(here)
    sound = everything(here)
    backup.create(here)
    for key in [*keys(here, "packs"), *keys(here, "versions")]:
        harm(here, key, "cut")
    done = upkeep.repair(here)
    assert not done.lost
    assert everything(here) == sound
    assert_right(here, versions)
    here.close()


@pytest.mark.parametrize("room", ["packs", "versions"])
def test_what_was_registered_from_a_file_is_registered_again(local: Project, room: str) -> None:
    from pyarrow import parquet

    now = table(0)
    files = []
    for seed in range(3):
        name = local.settings.root / f"{seed}.parquet"
        parquet.write_table(now, name)
        files.append(data.register(local, f"{seed}.parquet", "d").version)
        now = changed(now, seed + 50)
    for key in keys(local, room):
        harm(local, key, "missing")
    done = upkeep.repair(local)
    assert not done.lost
    assert not done.lost_versions
    assert done.proved == 3
    assert_right(local, files)
    for key in keys(local, room):
        harm(local, key, "missing")
    parquet.write_table(now, local.settings.root / "0.parquet")
    done = upkeep.repair(local)
    assert files[0].version_id in {each.version_id for each in done.lost_versions}


def test_damaged_models_are_found_by_a_full_look_and_mended(tmp_path: Path) -> None:
    here = tmp_path / "shop"
    assert everloop(tmp_path, "init", "shop", "--example", "iris").code == 0
    assert everloop(here, "run", "--quiet", "--set", "tracking.enabled=false").code == 0
    copy = tmp_path / "copy"
    shutil.copytree(here / ".everloop", copy)
    model = next(path for path in (here / ".everloop" / "models").rglob("*") if path.is_file())
    model.write_bytes(b"x")
    assert everloop(here, "data", "verify").code == 0
    told = everloop(here, "data", "verify", "--full", "--json")
    assert told.code == 5
    damage = told.json["damages"][0]
    assert damage["store"] == "artifacts"
    assert damage["runs"]
    assert everloop(here, "data", "repair").code == 5
    assert everloop(here, "data", "repair", "--from", str(copy)).code == 0
    assert everloop(here, "data", "verify", "--full").code == 0


def test_a_version_of_files_is_looked_after_as_well(project: Project, tmp_path: Path) -> None:
    folder = project.settings.root / "pictures"
    folder.mkdir()
    for n in range(30):
        (folder / f"{n}.bin").write_bytes(np.random.default_rng(n).bytes(20_000))
    first = register_files(project, "pictures", "pictures").version
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "other.bin").write_bytes(np.random.default_rng(99).bytes(50_000))
    second = register_files(project, "pictures", "pictures").version
    sound = everything(project)
    copy = opened(tmp_path / "q")
    for key, content in sound.items():
        copy.data.put(key, content)
    assert upkeep.verify(project, full=True).sound
    for key in [*keys(project, "packs"), *keys(project, "versions")]:
        harm(project, key, "flipped")
        assert [damage.key for damage in upkeep.verify(project).damages] == [key]
        assert not upkeep.repair(project, source=copy.settings.data_place).lost
    assert everything(project) == sound
    upkeep.remove(project, first.version_id)
    upkeep.collect(project, grace=NOW, dry_run=False)
    assert sum(map(len, everything(project).values())) < 100_000
    found = upkeep.verify(project, full=True)
    assert found.sound
    assert found.versions == 1
    assert len(open_listing(project, second)) == 1
    copy.close()


def test_foreign_files_and_leavings_are_told_and_no_damage(local: Project) -> None:
    series(local, 2)
    local.data.put(f"{local.tenant}/notes.txt", b"mine")
    local.data.put(f"{local.tenant}/packs/{'0' * 64}.pack", b"torn")
    found = upkeep.verify(local)
    assert found.foreign == (local.data.where(f"{local.tenant}/notes.txt"),)
    assert found.unneeded == 1
    assert [damage.versions for damage in found.damages] == [()]
    assert "Nothing needs it" in found.damages[0].remedy
    done = upkeep.repair(local)
    assert not done.lost
    assert upkeep.verify(local).sound
    assert local.data.get(f"{local.tenant}/notes.txt") == b"mine"


def test_a_content_under_the_wrong_id_is_found_by_decoding_and_can_be_removed(local: Project) -> None:
    first, second, third = series(local, 3)
    objects = Objects(local.data, local.tenant)
    forged = replace(objects.manifest(second.version_id), version_id=first.version_id)
    local.data.replace(objects.manifest_key(first.version_id), manifests.dump(forged))
    assert upkeep.verify(local).sound
    [damage] = upkeep.verify(local, full=True).damages
    assert "another one" in damage.what
    assert "everloop data remove" in damage.remedy
    upkeep.remove(local, first.version_id, force=True)
    assert_right(local, [second, third])


def test_names_that_stand_at_nothing_and_a_lost_database_are_damage(local: Project) -> None:
    version = series(local, 1)[0]
    refs.tag(local, version.version_id, "golden")
    with local.store.writing() as tx:
        tx.remove(dataset_versions)
        assert tx.count(data_refs)
    found = {damage.key: damage for damage in upkeep.verify(local).damages}
    assert set(found) == {"tag d@golden", "branch d@main", "versions"}
    assert version.version_id[:12] in found["tag d@golden"].what
    assert "backup restore" in found["versions"].remedy
    assert {damage.key for damage in upkeep.repair(local).lost} == set(found)


def test_a_folder_where_an_object_belongs_is_moved_out_of_the_way(local: Project, tmp_path: Path) -> None:
    versions = series(local, 2)
    shutil.copytree(local.settings.state / "data", tmp_path / "copy")
    for key in (keys(local, "packs")[0], keys(local, "versions")[0]):
        local.data.remove(key)
        (Path(local.data.where(key)) / "mine").mkdir(parents=True)
    done = upkeep.repair(local, source=str(tmp_path / "copy"))
    assert not done.lost
    assert_right(local, versions)


# -- collecting ----------------------------------------------------------------------------------------------


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


# -- removing ------------------------------------------------------------------------------------------------


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
    would = upkeep.remove_old(local, "d", **old, dry_run=True)  # type: ignore[arg-type]
    assert len(data.list_versions(local)) == 5
    done = upkeep.remove_old(local, "d", **old)  # type: ignore[arg-type]
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


# -- the commands --------------------------------------------------------------------------------------------


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

    assert span("90d", "--grace") == timedelta(days=90)
    assert span("1.5h", "--grace") == timedelta(minutes=90)
    assert span("0", "--grace") == timedelta(0)
    for wrong in ("", "90", "d", "-1d", "9" * 40 + "w"):
        with pytest.raises(Invalid):
            span(wrong, "--grace")
