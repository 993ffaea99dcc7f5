"""Damage in a place for backups: what is whole is saved and restored, and what is not is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.clocks import Hands
from tests.stories.backup.shop import Open, flip, models_of, register, state, versions
from tests.stories.test_cli import everloop

from everloop.cli.errors import EXIT_CODES
from everloop.core.errors import Corrupt, InvalidSettings
from everloop.data import manifest as manifests
from everloop.flows import artifacts, backup, data, history, turn
from everloop.flows.content.objects import Objects
from everloop.flows.project import Project
from everloop.settings.schema import Keep


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "locks" not in path.parts)


@pytest.mark.parametrize("full", [True, False])
def test_a_damaged_list_stops_no_later_backup(
    shop: Project, tmp_path: Path, clock: Hands, full: bool
) -> None:
    register(shop, 1)
    first = backup.create(shop)
    for part in (*first.rows.base, *first.objects):
        path = tmp_path / "backups" / "default" / "metadata" / f"{part.sha256}.jsonl.gz"
        path.write_bytes(b"other" * 9)
    register(shop, 2)
    second = backup.create(shop, full=full)
    assert (second.unread, second.is_full, second.past) == ((first.id,), True, None)
    assert not backup.verify(shop, second.id).damage
    assert not backup.drill(shop).problems
    assert not backup.create(shop).unread
    assert backup.prune(shop).unread == (first.id,)
    clock.ahead += timedelta(days=3)
    backup.create(shop)
    pruned = backup.prune(shop, keep=Keep(last=1, daily=0, weekly=0, monthly=0))
    assert not pruned.unread
    assert pruned.objects
    assert not backup.verify(shop).damage


def test_a_flipped_byte_in_the_rows_stops_no_later_backup(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    first = backup.create(shop)
    register(shop, 2)
    second = backup.create(shop)
    assert second.rows.base == first.rows.base
    flip(tmp_path / "backups" / "default" / "metadata" / f"{second.rows.base[0].sha256}.jsonl.gz")
    made = everloop(tmp_path / "shop", "backup", "create")
    assert (made.code, "Damaged, so not gone on from" in made.out) == (4, True)
    third = backup.open_target(shop).found().backups[-1]
    assert (third.unread, third.is_full, third.past) == ((first.id, second.id), True, None)
    assert not backup.drill(shop).problems
    assert not backup.create(shop).unread


def test_from_a_damaged_backup_the_next_goes_back_to_a_whole_one(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    first = backup.create(shop)
    register(shop, 2)
    second = backup.create(shop)
    [part] = set(second.rows.changes) - set(first.rows.changes)
    (tmp_path / "backups" / "default" / "metadata" / f"{part.sha256}.jsonl.gz").unlink()
    register(shop, 3)
    third = backup.create(shop)
    assert (third.parent, third.unread) == (first.id, (second.id,))
    assert not backup.drill(shop).problems


def test_a_damaged_file_of_a_backup_is_told_in_a_sentence(shop: Project, tmp_path: Path) -> None:
    made = backup.create(shop)
    path = tmp_path / "backups" / "default" / "backups" / f"{made.id}.json"
    path.write_text("{}")
    [damage] = backup.verify(shop).damage
    assert damage.message == f"{path} is damaged."
    with pytest.raises(Corrupt, match=r"No backup in .* can be read"):
        backup.restore(shop, into=tmp_path / "back")
    assert backup.create(shop).unread == (made.id,)


def test_a_newest_backup_that_cannot_be_read_is_told(shop: Project, tmp_path: Path, clock: Hands) -> None:
    register(shop, 1)
    first = backup.create(shop)
    clock.sleep(60)
    newest = backup.create(shop)
    path = tmp_path / "backups" / "default" / "backups" / f"{newest.id}.json"
    path.write_text("{")
    said = f"a backup newer than {first.id} cannot be read: {path} is damaged"
    assert backup.restore(shop, into=tmp_path / "copy").problems == (said,)
    assert backup.drill(shop).problems == (said,)
    assert backup.restore(shop, first.id, into=tmp_path / "named").problems == ()
    assert backup.restore(shop, at=first.at, into=tmp_path / "then").problems == ()
    restored = everloop(tmp_path / "shop", "backup", "restore", "--into", "../told")
    assert (restored.code, f"Not as it was: {said}" in restored.out) == (4, True)


def test_a_version_that_is_not_what_it_says_keeps_the_others_from_nobody(
    shop: Project, opened: Open, tmp_path: Path
) -> None:
    bad, fine = register(shop, 1), register(shop, 2)
    objects = Objects(shop.data, shop.tenant)
    forged = replace(objects.manifest(fine), version_id=bad)
    shop.data.replace(objects.manifest_key(bad), manifests.dump(forged))
    backup.create(shop)
    assert [bad[:12] in problem for problem in backup.drill(shop).problems] == [True]
    with pytest.raises(Corrupt, match=bad[:12]) as raised:
        backup.restore(shop, into=tmp_path / "copy")
    assert "--keep-going" in raised.value.remedy
    assert ".." not in raised.value.message
    for done in (
        backup.restore(shop, into=tmp_path / "copy", keep_going=True),
        backup.restore(shop, over=True, keep_going=True),
    ):
        assert [bad[:12] in problem for problem in done.problems] == [True]
    copy = opened("copy")
    assert data.load(copy, data.find(copy, fine)).num_rows == 60


def test_a_missing_object_keeps_the_others_from_nobody(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    hurt = register(shop, 2)
    backup.create(shop)
    manifest = shop.data.get(f"default/versions/{hurt}.manifest")
    next(p for p in (tmp_path / "backups").glob("*/objects/*/*") if p.read_bytes() == manifest).unlink()
    done = backup.restore(shop, into=tmp_path / "copy", keep_going=True)
    assert ["missing from the backup" in problem for problem in done.problems] == [True, False]
    assert hurt[:12] in done.problems[1]


@pytest.mark.parametrize("harm", ["flipped", "missing", "truncated"])
def test_a_bad_object_in_the_target_is_named_and_never_restored(
    shop: Project, tmp_path: Path, harm: str
) -> None:
    fine = register(shop, 1)
    hurt = register(shop, 2)
    backup.create(shop)
    manifest = shop.data.get(f"default/versions/{hurt}.manifest")
    path = next(p for p in (tmp_path / "backups").glob("*/objects/*/*") if p.read_bytes() == manifest)
    if harm == "flipped":
        flip(path)
    elif harm == "missing":
        path.unlink()
    else:
        path.write_bytes(manifest[:-1])

    damage = backup.verify(shop).damage
    assert [(str(path), (f"sales@{hurt[:12]}",))] == [(one.where, one.touches) for one in damage]
    assert backup.open_backups(shop).fetch(f"default/versions/{hurt}.manifest") is None
    before = state(shop)
    with pytest.raises(Corrupt, match=path.name):
        backup.restore(shop, into=tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert state(shop) == before

    backup.create(shop, full=True)  # the project still has it
    assert not backup.verify(shop).damage
    assert versions(shop) == [fine, hurt]


def test_a_bad_list_in_the_target_is_named(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    first = backup.create(shop)
    for path in (tmp_path / "backups").glob("*/metadata/*"):
        flip(path)
    damage = backup.verify(shop).damage
    assert len(damage) == 3  # rows, objects, settings
    assert {one.backups for one in damage} == {(first.id,)}
    assert {one.touches for one in damage} == {("everything",)}
    with pytest.raises(Corrupt):
        backup.restore(shop, into=tmp_path / "copy")


def test_what_is_damaged_in_the_project_is_told_and_the_rest_is_saved(shop: Project, tmp_path: Path) -> None:
    turn.run(shop, "default")
    run = next(iter(models_of(shop)))
    path = Path(shop.artifacts.where(run.artifact))
    flip(path)
    made = backup.create(shop)
    assert made.damaged == (f"artifacts/{run.artifact}",)
    found = backup.drill(shop)
    assert any(run.run_id in problem for problem in found.problems)
    assert any("was damaged when it was saved" in problem for problem in found.problems)
    assert history.events(shop, "backup")[-1].kind == "drilled"


def test_damaged_files_in_place_are_mended_by_a_restore(shop: Project) -> None:
    turn.run(shop, "default")
    backup.create(shop)
    run = models_of(shop)[0]
    flip(Path(shop.artifacts.where(run.artifact)))
    with pytest.raises(Corrupt):
        artifacts.fetch(shop, run.artifact)
    done = backup.restore(shop, over=True)
    assert done.objects == 1
    artifacts.fetch(shop, run.artifact)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "is empty"),
        ("s3://", "neither a folder nor s3://BUCKET"),
        ("file:///tmp/x", "neither a folder nor s3://BUCKET"),
        (".everloop/data", "is in .*/.everloop, which"),
        (".everloop", "is in .*/.everloop, which"),
        (".", "is around .*/.everloop, which"),
    ],
)
def test_a_place_that_would_save_itself_or_is_none_is_refused(
    shop: Project, tmp_path: Path, place: str, said: str
) -> None:
    before = everything(tmp_path)
    with pytest.raises(InvalidSettings, match=said):
        backup.create(shop, place)
    assert everything(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_place_where_no_folder_can_be_is_refused(shop: Project, tmp_path: Path) -> None:
    made = everloop(tmp_path / "shop", "backup", "create", "--to", "/proc/x")
    assert made.code == EXIT_CODES["storage_denied"]
    assert "/proc/x" in made.err
    assert "cannot be written" in made.err


def test_the_commands_say_what_is_not_as_it_was(tmp_path: Path) -> None:
    here = tmp_path / "shop"
    assert everloop(tmp_path, "init", "shop", "--example", "customers").code == 0
    assert everloop(here, "data", "add", "data/customers.csv", "--dataset", "c").code == 0
    assert "is empty" in everloop(here, "backup", "create", "--to", "").err
    assert everloop(here, "backup", "create", "--to", "../saved").code == 0
    pack = max((tmp_path / "saved").glob("*/objects/*/*"), key=lambda path: path.stat().st_size)
    pack.unlink()
    copied = ("backup", "restore", "--from", "../saved", "--into", "../copy")
    refused = everloop(here, *copied)
    assert refused.code == 60
    done = everloop(here, *copied, "--keep-going")
    assert done.code == 4
    assert "Not as it was: c@" in done.out
    [path] = (tmp_path / "saved").glob("*/backups/*.json")
    path.write_text("{}")
    pruned = everloop(here, "backup", "prune", "--to", "../saved")
    assert pruned.code == 4
    assert str(path) in pruned.out
    made = everloop(here, "backup", "create", "--to", "../saved")
    assert made.code == 4
    assert "Damaged, so not gone on from" in made.out
