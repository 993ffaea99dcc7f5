"""Backups by the clock: when one is due, what goes wrong then, and how their process is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from tests.clocks import Hands
from tests.stories.backup.shop import Open, register

from everloop.core.errors import InvalidSettings
from everloop.flows import backup
from everloop.flows.backup import saving, schedule
from everloop.flows.project import Project


def test_missed_times_are_made_up_for_by_one(shop: Project, clock: Hands) -> None:
    assert schedule.make_due(shop) is not None
    assert schedule.make_due(shop) is None
    clock.ahead += timedelta(hours=5, minutes=59)
    assert schedule.make_due(shop) is None
    clock.ahead += timedelta(days=3)
    assert schedule.make_due(shop) is not None
    assert schedule.make_due(shop) is None


def test_the_loop_tells_of_an_error_and_goes_on(shop: Project, tmp_path: Path) -> None:
    told: list[schedule.Outcome] = []
    (tmp_path / "backups").write_text("in the way")

    class Impatient(Event):
        def __init__(self) -> None:
            super().__init__()
            self.waits: list[float] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.waits.append(timeout or 0)
            if len(self.waits) == 2:
                (tmp_path / "backups").unlink()
            if len(self.waits) == 3:
                self.set()
            return self.is_set()

    stopped = Impatient()
    backup.follow(shop, told.append, stopped)
    assert [outcome.problem is not None for outcome in told] == [True, True, False]
    assert stopped.waits == [60, 120, 60]


def test_without_an_interval_there_is_no_schedule(opened: Open) -> None:
    with pytest.raises(InvalidSettings, match="how often"):
        backup.follow(opened("shop", "backup.every=null"), print, Event())


def test_the_process_of_the_schedule_ends_when_told(shop: Project, tmp_path: Path) -> None:
    register(shop, 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "everloop", "backup", "run", "--json"],
        cwd=shop.settings.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "{\n"  # the first backup is made
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert len(backup.open_target(shop).found().backups) == 1


def test_one_that_is_told_to_stop_leaves_no_backup_and_the_next_goes_on(
    shop: Project, tmp_path: Path
) -> None:
    register(shop, 1)
    asked = iter([False, True, True, True, True])
    with pytest.raises(saving.Stopped):
        backup.create(shop, stop=lambda: next(asked))
    assert not backup.open_target(shop).found().backups
    backup.create(shop)
    assert not backup.drill(shop).problems
