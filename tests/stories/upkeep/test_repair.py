"""Days on which damage is found, told and mended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from tests.stories.test_cli import everloop
from tests.stories.upkeep.days import (
    HARMS,
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

from everloop.core.errors import NotFound
from everloop.data import manifest as manifests
from everloop.flows import data, refs, upkeep
from everloop.flows.content.files import open_listing, register_files
from everloop.flows.content.objects import Objects
from everloop.flows.project import Project
from everloop.store.tables import data_refs, dataset_versions


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


def test_a_dry_run_names_each_object_once_and_nothing_aside(tmp_path: Path) -> None:
    """Where a backup and the file that it was registered from could both restore it."""
    from everloop.flows import backup

    here = opened(tmp_path / "p", f"backup.to={tmp_path / 'backups'}")
    (tmp_path / "p" / "rows.csv").write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(50)))
    data.register(here, "rows.csv", "d")
    backup.create(here)
    [pack] = keys(here, "packs")
    harm(here, pack, "cut")
    before = everything(here)
    would = upkeep.repair(here, dry_run=True)
    assert [(each.key, each.aside) for each in would.restored] == [(pack, None)]
    assert would.restored[0].source == f"backups in {tmp_path / 'backups'}"
    assert everything(here) == before
    told = everloop(tmp_path / "p", "data", "repair", "--dry-run", "--set", f"backup.to={tmp_path}/backups")
    assert "1 damaged or missing, 1 could be restored." in told.out
    assert "the damaged bytes are in" not in told.out
    here.close()


@pytest.mark.parametrize("options", [(), ("--json",), ("--full",)])
def test_who_stops_reading_changes_no_exit_code(local: Project, options: tuple[str, ...]) -> None:
    series(local, 2)
    harm(local, keys(local, "packs")[0], "cut")
    assert process_unread(local.settings.root, "data", "verify", *options) == 5
    json_ = [each for each in options if each == "--json"]
    assert process_unread(local.settings.root, "data", "show", "nope@latest", *json_) == 13
    assert process_unread(local.settings.root, "data", "list", *json_) == 0


def process_unread(folder: Path, *arguments: str) -> int:
    """A command's exit code when nobody reads its output."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "everloop", *arguments], cwd=folder, stdout=writing, check=False
        ).returncode
    finally:
        os.close(writing)


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


@pytest.mark.parametrize("document", ["{", "{}", None])
def test_a_version_that_the_database_cannot_read_is_damage(local: Project, document: str | None) -> None:
    first, second = series(local, 2)
    refs.tag(local, first.version_id, "golden")
    with local.store.engine.begin() as connection:
        set_, what = (f"document = '{document}'", "") if document else ("version_id = 'x'", "instead")
        connection.execute(text(f"UPDATE dataset_versions SET {set_} WHERE sequence = 1"))
    for full in (False, True):
        damage = upkeep.verify(local, full=full).damages[0]
        assert damage.store == "database"
        assert damage.where == f"version d@{first.short if document else 'x'}"
        assert what in damage.what
        assert "backup restore" in damage.remedy
    if document:
        assert str(damage.versions[0]) == f"d@{first.short} (#golden)"
    harm(local, keys(local, "packs")[0], "cut")
    assert upkeep.repair(local).lost
    assert second.version_id in {each.version_id for each in upkeep.repair(local).lost_versions}


def test_what_the_database_says_of_a_version_is_compared_with_what_is_stored(local: Project) -> None:
    version = series(local, 1)[0]
    row = text("SELECT document FROM dataset_versions")
    for wrong, said in (
        ({"rows": 5}, "says 5 rows, and 4000 are stored"),
        (
            {"columns": [{"name": n, "type": "int64"} for n in ("id", "x", "b")]},
            "it names 'x', and 'a' stored",
        ),
        ({"columns": [asdict(column) for column in version.columns[::-1]]}, "their order is another"),
        ({"kind": "files"}, "of kind files, and table is stored"),
    ):
        with local.store.engine.begin() as connection:
            before = connection.execute(row).scalar_one()
            garbled = json.dumps({**json.loads(before), **wrong})
            connection.execute(text("UPDATE dataset_versions SET document = :d"), {"d": garbled})
        [damage] = upkeep.verify(local, full=True).damages
        assert said in damage.what
        assert "backup restore" in damage.remedy
        with local.store.engine.begin() as connection:
            connection.execute(text("UPDATE dataset_versions SET document = :d"), {"d": before})
    assert upkeep.verify(local, full=True).sound


def test_names_that_are_lost_are_damage_and_put_back_as_told(local: Project) -> None:
    first, second = series(local, 2)
    data.register(local, table(7), "d", branch="trial")
    refs.tag(local, first.version_id, "golden")
    refs.tag(local, first.version_id, "gone")
    refs.remove(local, "tag", "d@gone")
    assert upkeep.verify(local).sound
    with local.store.writing() as tx:
        tx.remove(data_refs)
    found = {damage.key: damage for damage in upkeep.verify(local).damages}
    assert set(found) == {"tag d@golden", "branch d@main", "branch d@trial"}
    assert found["branch d@main"].what == f"It is lost; it stood at {second.short}."
    for damage in found.values():
        command = damage.remedy.split("'")[1].split()[1:]
        assert everloop(local.settings.root, *command).code == 0
    assert upkeep.verify(local).sound
    assert data.find(local, "d@latest").version_id == second.version_id
    with local.store.writing() as tx:  # a main that the database does not know about stands at the newest
        tx.remove(data_refs, data_refs.c.name == "main")
    assert refs.branch(local, "d@main", start="d@latest").ref.name == "main"
    assert upkeep.verify(local).sound


def test_a_folder_where_an_object_belongs_is_moved_out_of_the_way(local: Project, tmp_path: Path) -> None:
    versions = series(local, 2)
    shutil.copytree(local.settings.state / "data", tmp_path / "copy")
    for key in (keys(local, "packs")[0], keys(local, "versions")[0]):
        local.data.remove(key)
        (Path(local.data.where(key)) / "mine").mkdir(parents=True)
    done = upkeep.repair(local, source=str(tmp_path / "copy"))
    assert not done.lost
    assert_right(local, versions)
