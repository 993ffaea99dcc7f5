"""The days for which one makes backups: a lost disk, a wrong step to take back, a bad block, a full year."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.servers.s3 import S3
from tests.stories.backup.shop import (
    SETTINGS,
    Open,
    copied,
    flip,
    models_of,
    promote,
    register,
    state,
    versions,
)
from tests.stories.test_cli import everloop

from everloop.core.errors import Busy, Conflict, Refused, UnknownVersion
from everloop.flows import backup, delivery, turn
from everloop.flows.backup import restoring, retention, saving
from everloop.flows.project import Project
from everloop.store import changes

# -- days that go well ---------------------------------------------------------------------------------------


def test_a_turn_saved_and_restored_beside(shop: Project, opened: Open, tmp_path: Path) -> None:
    turn.run(shop, "default")
    made = backup.create(shop)
    before = state(shop)
    assert made.counts["runs"] == 1
    register(shop, 1)

    done = backup.restore(shop, into=tmp_path / "copy")
    copy = opened("copy")
    assert state(copy) == before
    assert done.versions == 1
    assert done.runs == 1
    assert copy.settings.models == shop.settings.models
    assert copy.settings.backup.to is None  # nothing done with the copy touches the original's backups
    assert (tmp_path / "copy" / "everloop-as-saved.yaml").read_text() == SETTINGS
    assert turn.run(copy, "default").promoted is False  # it goes on: nothing is new to it
    assert not list(tmp_path.glob(".copy*"))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_any_moment_comes_back(
    database: str, request: pytest.FixtureRequest, opened: Open, tmp_path: Path, clock: Hands
) -> None:
    """Whatever was written when: after each transaction, and for moments between backups too."""
    flags = []
    if database == "postgresql":
        flags = [f"store.url={request.getfixturevalue('postgres_database')}"]
    shop, chance = opened("shop", *flags), random.Random(3)
    register(shop, 0)
    backup.create(shop)
    moments = []
    for number in range(1, 9):
        if chance.random() < 0.5:
            register(shop, number)
        promote(shop, f"1.0.{number}")
        clock.sleep(60)
        moments.append((clock.now(), state(shop)))
        clock.sleep(60)
        if number in (3, 6, 8):
            backup.create(shop, full=number == 6)
    for number, (moment, expected) in enumerate(chance.sample(moments, 4)):
        backup.restore(shop, at=moment, into=tmp_path / f"copy{number}")
        copy = opened(f"copy{number}")
        assert state(copy) == expected
        assert len(versions(copy)) == len(expected["dataset_versions"])

    there = state(shop)
    done = backup.restore(shop, at=moments[1][0], over=True)
    assert state(shop) == moments[1][1]
    assert backup.restore(shop, done.before, over=True).rows
    assert state(shop) == there
    register(shop, 99)  # numbers go on, and so does life
    assert backup.create(shop).past is None


def test_a_second_backup_copies_what_is_new_only(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    first = backup.create(shop)
    objects = copied(tmp_path)
    second = backup.create(shop)
    assert (second.new_objects, second.object_count) == (0, first.object_count)
    assert copied(tmp_path) == objects
    register(shop, 2)
    third = backup.create(shop)
    assert third.new_objects == len(copied(tmp_path) - objects) > 0
    assert third.rows.base == first.rows.base  # the rows that were there are not written again
    assert sum(part.lines for part in third.rows.changes) < 10


def test_objects_of_yesterday_are_not_read_again(shop: Project, clock: Hands) -> None:
    """Twice: what was written just before the first backup may have changed within the same tick."""
    register(shop, 1)
    clock.sleep(3600)
    backup.create(shop)
    read: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(shop.data, name)

        def get(self, key: str) -> bytes:
            read.append(key)
            return shop.data.get(key)

    assert backup.create(replace(shop, data=Watched())).new_objects == 0
    assert read == []


def test_many_changes_make_a_new_base(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_SMALL", 2000)
    first = backup.create(shop)
    promote(shop, "1.0.0")
    second = backup.create(shop)
    assert (second.parent, second.is_full) == (first.id, False)
    chance = random.Random(1)
    for _ in range(40):
        promote(shop, chance.randbytes(100).hex())
    assert not backup.create(shop).is_full
    last = backup.create(shop)
    assert last.is_full
    assert last.reaches_back_to == first.at
    assert len(backup.windows(backup.open_target(shop).found())) == 1


def test_into_a_bucket_and_back(opened: Open, s3: S3, s3_bucket: str, tmp_path: Path) -> None:
    flags = (f"backup.to=s3://{s3_bucket}/shop", "storage.allow_http=true")
    shop = opened("shop", *flags, variables=s3.environment)
    turn.run(shop, "default")
    backup.create(shop)
    moment = shop.clock.now()
    register(shop, 1)
    backup.create(shop)
    assert not backup.verify(shop).damage
    backup.restore(shop, at=moment, into=tmp_path / "copy")
    assert len(versions(opened("copy"))) == 1
    shutil.rmtree(tmp_path / "shop")
    lost = opened("shop", *flags, variables=s3.environment)
    assert len(versions(lost)) == 0
    backup.restore(lost)
    assert len(versions(lost)) == 2


def test_a_lost_database_comes_back_and_files_that_are_there_stay(opened: Open, tmp_path: Path) -> None:
    shop = opened()
    known = register(shop, 1)
    backup.create(shop)
    shop.close()
    for file in (tmp_path / "shop" / ".everloop").glob("everloop.db*"):
        file.unlink()
    again = opened()
    done = backup.restore(again)
    assert (done.objects, done.before) == (0, None)
    assert versions(again) == [known]


def test_two_tenants_share_a_place(opened: Open, tmp_path: Path) -> None:
    ours, theirs = opened("shop", "tenant=ours"), opened("shop", "tenant=theirs")
    mine = register(ours, 1)
    yours = register(theirs, 2)
    backup.create(ours)
    backup.create(theirs)
    backup.restore(ours, into=tmp_path / "copy")
    assert versions(opened("copy")) == [mine]
    backup.restore(theirs, over=True)
    assert versions(ours) == [mine]
    assert versions(theirs) == [yours]


def test_single_objects_are_found_for_a_repair(shop: Project) -> None:
    assert backup.open_backups(shop).fetch("default/nothing") is None
    register(shop, 1)
    backup.create(shop)
    copies = backup.open_backups(shop)
    keys = copies.keys()
    assert keys == {entry.key for entry in shop.data.entries("default/")}
    for key in keys:
        assert copies.fetch(key) == shop.data.get(key)


def test_mlflow_follows_a_project_that_went_back(opened: Open, tmp_path: Path) -> None:
    """A version registered anew under an old number is that one in MLflow; a lost MLflow is filled."""
    shop = opened("shop", "tracking.enabled=true")
    backup.create(shop)
    turn.run(shop, "default")
    assert delivery.deliver(shop).problem is None
    backup.restore(shop, restoring.choose(backup.open_target(shop), None, None).id, over=True)
    turn.run(shop, "default")
    assert delivery.deliver(shop).problem is None
    assert runs_of_versions(shop) == {"1.0.0": models_of(shop)[0].run_id}

    for file in shop.settings.state.glob("mlflow.db*"):
        file.unlink()
    assert delivery.send_again(shop) == 3
    assert delivery.deliver(shop).delivered == 3
    assert runs_of_versions(shop) == {"1.0.0": models_of(shop)[0].run_id}


def runs_of_versions(project: Project) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=project.settings.tracking_uri)
    found = client.search_model_versions()
    return {each.tags["everloop.version"]: each.tags["everloop.run_id"] for each in found}


# -- what is kept --------------------------------------------------------------------------------------------


def test_pruning_removes_what_no_kept_backup_needs(
    shop: Project, opened: Open, tmp_path: Path, clock: Hands
) -> None:
    register(shop, 1)
    backup.create(shop, full=True)
    gone = sorted(shop.data.entries("default/"), key=lambda entry: entry.key)
    shutil.rmtree(tmp_path / "shop" / ".everloop")
    shop.close()
    shop = opened()
    known = [register(shop, seed) for seed in (2, 3)]
    backup.create(shop)
    backup.create(shop)
    keep = shop.settings.backup.keep.model_copy(update={"last": 1, "daily": 0, "weekly": 0, "monthly": 0})

    planned = backup.prune(shop, dry_run=True, keep=keep)
    assert len(planned.removed) == 2
    assert planned.objects == 0  # too young: somebody may be about to need it
    clock.ahead += retention.GRACE + timedelta(minutes=1)
    planned = backup.prune(shop, dry_run=True, keep=keep)
    before = copied(tmp_path)
    done = backup.prune(shop, keep=keep)
    assert (done.removed, done.objects) == (planned.removed, planned.objects)
    assert len(before - copied(tmp_path)) == len(gone)
    assert not backup.verify(shop).damage
    backup.restore(shop, into=tmp_path / "copy")
    assert versions(opened("copy")) == known


def test_pruning_waits_for_a_backup_that_nobody_can_read(shop: Project, tmp_path: Path) -> None:
    made = backup.create(shop)
    flip(tmp_path / "backups" / "default" / "backups" / f"{made.id}.json")
    done = backup.prune(shop)
    assert (done.objects, done.removed) == (0, ())
    assert made.id in done.unread[0]


# -- bad days ------------------------------------------------------------------------------------------------


def test_a_moment_that_no_backup_covers(shop: Project, clock: Hands) -> None:
    with pytest.raises(UnknownVersion, match="There is no backup"):
        backup.restore(shop)
    backup.create(shop)
    with pytest.raises(UnknownVersion, match="do not cover") as error:
        backup.restore(shop, at=clock.now() + timedelta(hours=1), over=True)
    assert "Covered: " in error.value.remedy
    with pytest.raises(UnknownVersion, match="no backup 'nonsense'"):
        backup.restore(shop, "nonsense")


def test_a_moment_is_meant_to_the_microsecond(
    shop: Project, clock: Hands, opened: Open, tmp_path: Path
) -> None:
    backup.create(shop)
    for number in (1, 2):
        clock.ahead += timedelta(seconds=1)
        register(shop, number)
        with shop.store.reading() as tx:
            come = changes.latest(tx, datetime.min.replace(tzinfo=UTC))
    made = backup.create(shop)
    for known, moment in enumerate((come - timedelta(microseconds=1), come), start=1):
        backup.restore(shop, at=moment, into=tmp_path / f"copy-{known}")
        assert len(versions(opened(f"copy-{known}"))) == known
    late = (made.at + timedelta(seconds=1)).replace(microsecond=7)
    with pytest.raises(UnknownVersion, match=r"do not cover .*:\d\d\.000007\.") as error:
        backup.restore(shop, at=late)
    assert "Covered: any moment from" in error.value.remedy


def test_what_is_in_place_is_not_replaced_without_saying_so(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    backup.create(shop)
    with pytest.raises(Refused, match="already"):
        backup.restore(shop)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Conflict, match="not empty"):
        backup.restore(shop, into=tmp_path / "full")


def test_who_writes_while_a_restore_is_at_work_loses_nothing(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(shop, 1)
    backup.create(shop)
    look = restoring.check
    monkeypatch.setattr(
        restoring, "check", lambda copy, progress: (register(shop, 2), look(copy, progress))[1]
    )
    with pytest.raises(Conflict, match="wrote into the project meanwhile"):
        backup.restore(shop, over=True)
    assert len(versions(shop)) == 2


def test_a_restore_that_failed_is_done_by_doing_it_again(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = register(shop, 1)
    made = backup.create(shop)
    register(shop, 2)
    with monkeypatch.context() as broken:
        broken.setattr(restoring, "refill", lambda *_: 1 / 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                backup.restore(shop, over=True)
    keep = shop.settings.backup.keep.model_copy(update={"last": 1, "daily": 0, "weekly": 0, "monthly": 0})
    stays = backup.prune(shop, keep=keep).kept
    assert [made.id, "last"] in map(list, stays)
    assert len(stays) == 2  # and the newest of what was put aside
    assert backup.drill(shop).backup_id == made.id
    done = backup.restore(shop, over=True)
    assert done.backup_id == made.id
    assert versions(shop) == [known]
    assert done.before is not None
    assert backup.restore(shop, done.before, over=True).backup_id == done.before
    assert len(versions(shop)) == 2


def test_nobody_trains_or_saves_while_a_restore_is_at_work(shop: Project) -> None:
    register(shop, 1)
    backup.create(shop)
    for name in ("model/default", "deliver", "backup"):
        with shop.locks.hold(name), pytest.raises(Busy):
            backup.restore(shop, over=True)


def test_a_place_that_belongs_to_another_project_is_refused(opened: Open, tmp_path: Path) -> None:
    backup.create(opened("shop"))
    other = opened("other")
    with pytest.raises(Refused, match="holds backups of the project in"):
        backup.create(other)
    assert backup.create(other, adopt=True).parent is None
    assert backup.create(other).parent is not None


def test_a_copy_does_not_share_the_place_of_its_original(shop: Project, opened: Open, tmp_path: Path) -> None:
    """Its database, copied with it, knows the place. A path that leads to the same folder is no copy."""
    register(shop, 1)
    backup.create(shop)
    shutil.copytree(tmp_path / "shop", tmp_path / "copy")
    copy = opened("copy")
    with pytest.raises(Refused, match=r"holds backups of the project in .*/shop\."):
        backup.create(copy)
    (tmp_path / "link").symlink_to("shop")
    assert backup.create(opened("link")).parent is not None

    backup.create(copy, adopt=True)
    with pytest.raises(Refused, match=r"holds backups of the project in .*/copy\."):
        backup.create(shop)


def test_a_moved_project_goes_on_with_its_backups_unless_another_has_written(
    shop: Project, opened: Open, tmp_path: Path
) -> None:
    """Its old folder is out of sight, as for a container; whether the backups are its own the marks say."""
    register(shop, 1)
    first = backup.create(shop)
    shop.close()
    (tmp_path / "shop").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "copy")
    assert backup.create(opened("moved")).parent == first.id
    (tmp_path / "moved").rename(tmp_path / "out of sight")
    with pytest.raises(Refused, match="--adopt"):
        backup.create(opened("copy"))


def test_one_database_of_several_folders_is_one_project(opened: Open, tmp_path: Path) -> None:
    url = f"store.url=sqlite:///{tmp_path}/shared.db"
    first = backup.create(opened("shop", url))
    assert backup.create(opened("service", url)).parent == first.id


# -- at the command line -------------------------------------------------------------------------------------


def test_a_day_at_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "everloop.yaml").write_text(SETTINGS)
    assert "There is no backup" in everloop(folder, "backup", "list").out
    rows = "a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(50))
    (folder / "rows.csv").write_text(rows)
    everloop(folder, "data", "add", "rows.csv", "--dataset", "sales")
    made = everloop(folder, "backup", "create", "--json").json["backup"]
    assert everloop(folder, "backup", "run", "--once").out == "None is due.\n"
    everloop(folder, "backup", "create")
    listed = everloop(folder, "backup", "list", "--json").json
    assert listed["backups"][0]["id"] == made["id"]
    assert "Can be restored: " in everloop(folder, "backup", "list").out
    assert "all rows" in everloop(folder, "backup", "show", made["id"][-8:]).out
    assert everloop(folder, "backup", "verify").out.endswith("All is as it was written.\n")
    assert everloop(folder, "backup", "drill").out.endswith("All is as it was.\n")

    moment = listed["windows"][0]["to"]
    done = everloop(folder, "backup", "restore", "--at", moment, "--into", "../copy", "--json")
    assert done.json["restored"]["versions"] == 1
    assert everloop(tmp_path / "copy", "data", "list", "--json").json["versions"][0]["dataset"] == "sales"
    assert everloop(folder, "backup", "restore", "--at", "someday").code == 20
    assert everloop(folder, "backup", "restore").code == 42
    early = everloop(folder, "backup", "restore", "--at", "2020-01-01T12:00", "--replace")
    assert early.code == 13
    assert "do not cover 2020-01-01 12:00:00" in early.err
    assert "backup create" not in early.err
    late = everloop(folder, "backup", "restore", "--at", "2999-01-01T12:00", "--replace")
    assert late.code == 13
    assert f"'everloop backup create --to {tmp_path}/backups' covers the time until now" in late.err
    assert "stays" in everloop(folder, "backup", "prune", "--dry-run").out

    for path in (tmp_path / "backups").glob("*/objects/*/*"):
        flip(path)
    assert everloop(folder, "backup", "verify").code == 4
    assert everloop(folder, "backup", "drill").code == 60
    assert json.loads(everloop(folder, "history", "backup", "--json").out)
