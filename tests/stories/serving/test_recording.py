"""Predictions come from the log files into the database: each once, whatever happens in between."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.stories.serving.log import FLOWER, line, lines, write

from everloop.api.office.recorder import Recorder
from everloop.flows.project import Project
from everloop.flows.serving import history, recording
from everloop.store import predictions
from everloop.store.database import Store
from everloop.store.tables import changes

Open = Callable[..., Project]


def ids(project: Project) -> list[str]:
    """All that is recorded, oldest first."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = history.page(project, limit=1000, cursor=cursor)
        found += [each.prediction_id for each in page]
        if cursor is None:
            return sorted(found)


def names(numbers: range) -> list[str]:
    return [f"pred_{number:06}" for number in numbers]


def test_what_a_worker_wrote_is_recorded_as_it_was(project: Project) -> None:
    odd = {"city": "Zürich 🏔", "n": None, "ok": True, "x": 1e-300, "masked": "***"}
    write(project, line(1, inputs=odd, warnings=["x is small"], request_id="réq"))
    write(project, line(2, prediction=2.5, confidence=None, probabilities=None, latency_ms=None))
    done = recording.record(project)
    assert (done.rows, done.damaged, done.backlog, done.known) == (2, 0, 0, 0)
    (second, first), cursor = history.page(project)
    assert cursor is None
    assert first.inputs == odd
    assert first.warnings == ("x is small",)
    assert first.request_id == "réq"
    assert (first.prediction, first.confidence) == ("setosa", 0.9)
    assert first.probabilities == {"setosa": 0.9, "versicolor": 0.1}
    assert (second.prediction, second.confidence, second.probabilities) == (2.5, None, None)
    assert second.at - first.at == timedelta(seconds=1)


def test_files_grow_and_rotate_and_each_line_is_recorded_once(project: Project) -> None:
    write(project, lines(range(5)))
    assert recording.record(project).rows == 5
    assert recording.record(project).rows == 0
    write(project, lines(range(5, 9)))
    write(project, lines(range(9, 12)), "w1-000002.jsonl")
    write(project, lines(range(12, 15)), "w2-000001.jsonl")
    assert recording.record(project).rows == 10
    assert ids(project) == names(range(15))


def test_the_same_prediction_in_two_places_is_one(project: Project) -> None:
    write(project, lines(range(3)) + lines(range(2)))
    write(project, lines(range(2, 4)), "w2-000001.jsonl")
    done = recording.record(project)
    assert (done.rows, done.known) == (4, 3)


def test_a_limit_leaves_a_backlog_for_the_next_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "BATCH", 4)
    path = write(project, lines(range(10)))
    done = recording.record(project, limit=4)
    assert done.rows == 4
    assert done.backlog == path.stat().st_size - len(lines(range(4)))
    assert recording.record(project).rows == 6
    assert ids(project) == names(range(10))


def test_a_line_that_is_being_written_waits_until_it_is_whole(project: Project) -> None:
    torn = line(2)
    for cut in (1, len(torn) // 2, len(torn) - 1):
        path = write(project, lines(range(2)) + torn[:cut])
        assert recording.record(project).damaged == 0
        assert ids(project) == names(range(2))
        path.write_bytes(lines(range(2)))
    write(project, torn[:-1])
    assert recording.record(project).rows == 0
    write(project, b"\n" + line(3))
    assert recording.record(project).rows == 2
    assert ids(project) == names(range(4))


def test_the_line_behind_one_that_was_never_finished_is_not_lost(project: Project) -> None:
    path = write(project, line(1) + line(2)[:40] + line(3) + line(4))
    done = recording.record(project)
    assert (done.rows, done.damaged) == (3, 1)
    assert ids(project) == ["pred_000001", "pred_000003", "pred_000004"]
    assert path.with_suffix(".bad").exists()


DAMAGED: list[bytes] = [
    b"no json\n",
    b"[1]\n",
    b'{"prediction_id":"x"}\n',
    b"\xff\xfe\n",
    b"\0\0\0\n",
    b"[" * 100_000 + b"\n",
    line(7, at="yesterday"),
    line(7, at="2026-11-21T12:00:00"),
    line(7, inputs=[1]),
    line(7, inputs=None),
    line(7, inputs={"a": "x\0"}),
    line(7, prediction=None),
    line(7, prediction_id=""),
    line(7, prediction_id="p" * 5000),
    line(7, model="m" * 5000),
    line(7, latency_ms="fast"),
    line(7, probabilities=[1]),
    line(7, warnings=3),
    line(7).replace(b"setosa", b"\\ud800"),
    line(7).replace(b"0.25", b"1e999"),
]


@pytest.mark.parametrize("damage", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_lines_are_told_and_kept_and_the_others_recorded(project: Project, damage: bytes) -> None:
    path = write(project, line(1) + damage + line(2))
    done = recording.record(project)
    assert (done.rows, done.damaged) == (2, 1)
    assert f"{path.name} at byte {len(line(1))}" in done.errors[0]
    kept = [json.loads(text) for text in path.with_suffix(".bad").read_text().splitlines()]
    assert [entry["offset"] for entry in kept] == [len(line(1))]
    assert recording.record(project).damaged == 0
    assert ids(project) == names(range(1, 3))


def test_odd_but_whole_lines_are_no_damage(project: Project) -> None:
    write(project, line(1, request_id="r" * 5000) + b"\n" + line(2, extra={"a": 1}))
    write(project, line(3, inputs={f"f{n}": "x" * 100 for n in range(10_000)}))  # more than 1 MB
    done = recording.record(project)
    assert (done.rows, done.damaged) == (3, 0)
    found, _ = history.page(project, request_id="r" * 5000)
    assert [each.prediction_id for each in found] == ["pred_000001"]


def test_damaged_lines_are_kept_once_when_a_batch_is_recorded_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(project, line(1) + b"no json\n")
    with monkeypatch.context() as patch:
        patch.setattr(predictions, "add", _broken)
        with pytest.raises(KeyboardInterrupt):
            recording.record(project)
    bad = path.with_suffix(".bad")
    bad.write_bytes(bad.read_bytes() + b'{"offset": 1')  # and killed while it wrote another one
    assert recording.record(project).rows == 1
    whole = [text for text in bad.read_text().splitlines() if text.endswith("}")]
    assert len(whole) == 1


def _broken(*_: Any) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["add", "reach", "commit", "after"])
def test_killed_between_insert_and_commit_nothing_is_lost_or_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(recording, "BATCH", 3)
    write(project, lines(range(10)))
    original = Store.writing
    seen = {"transactions": 0}

    @contextmanager
    def dying(self: Store) -> Any:
        with original(self) as tx:
            seen["transactions"] += 1
            yield tx
            if seen["transactions"] == 2 and when == "commit":
                raise KeyboardInterrupt
        if seen["transactions"] == 2 and when == "after":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "writing", dying)
        if when in ("add", "reach"):
            patch.setattr(predictions, when, _broken)
        with pytest.raises(KeyboardInterrupt):
            recording.record(project)
    committed = {"add": 0, "reach": 0, "commit": 3, "after": 6}[when]
    assert len(ids(project)) == committed
    assert recording.record(project).rows == 10 - committed
    assert ids(project) == names(range(10))


def test_a_second_recorder_that_read_the_same_lines_changes_nothing(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = open_project(), open_project()
    monkeypatch.setattr(recording, "BATCH", 4)
    write(first, lines(range(10)))
    offset = predictions.offset

    def meanwhile(tx: Any, name: str) -> int:
        monkeypatch.setattr(predictions, "offset", offset)
        return offset(tx, name) + 1  # as if the other one had moved it on

    monkeypatch.setattr(predictions, "offset", meanwhile)
    assert recording.record(second).rows == 0
    assert recording.record(first).rows == 10
    assert recording.record(second).rows == 0
    assert ids(first) == names(range(10))


def test_a_server_that_ends_records_what_is_left_also_while_a_round_is_under_way(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "BATCH", 4)
    batch = recording._record_batch
    began, ended, committed = threading.Event(), threading.Event(), threading.Event()

    def meeting(*given: Any) -> bool:
        """The round under way commits just after the last one has read how far the file is recorded."""
        if threading.current_thread().name == "everloop-record":
            began.set()
            ended.wait(0.3)
        else:
            ended.set()
            committed.wait(0.3)
        try:
            return batch(*given)
        finally:
            committed.set()

    monkeypatch.setattr(recording, "_record_batch", meeting)
    write(project, lines(range(40)))

    async def served() -> str | None:
        recorder = Recorder(project, allowed=1 << 20, keep_days=30)
        under_way = asyncio.create_task(recorder.run())
        await asyncio.to_thread(began.wait)
        told = await recorder.end(20)
        there = ids(project)
        assert there == names(range(40))
        await under_way
        return told

    assert asyncio.run(served()) is None


def test_old_log_files_go_soon_after_the_start_and_then_each_hour(
    project: Project, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned: list[float] = []
    monkeypatch.setattr(recording, "clean", lambda *_, keep_days: cleaned.append(clock.monotonic()))
    began = clock.monotonic()

    async def pause(seconds: float, ending: asyncio.Event) -> None:
        clock.sleep(30)
        if clock.monotonic() - began > 3 * 3_600:
            ending.set()

    monkeypatch.setattr("everloop.api.office.recorder.within", pause)
    asyncio.run(Recorder(project, allowed=1 << 20, keep_days=30).run())
    first, *later = [at - began for at in cleaned]
    assert 30 <= first <= 120
    assert [round((at - first) / 3_600, 1) for at in later] == [1.0, 2.0]


def test_a_file_that_is_gone_or_begun_again_is_no_trouble(project: Project) -> None:
    path = write(project, lines(range(5)))
    recording.record(project)
    path.unlink()
    assert recording.record(project).rows == 0
    write(project, lines(range(3, 7)))
    assert recording.record(project).rows == 2
    path.write_bytes(line(8))
    assert recording.record(project).rows == 1
    assert ids(project) == [*names(range(7)), "pred_000008"]


def test_lines_that_a_worker_took_back_and_wrote_anew_are_all_recorded(project: Project) -> None:
    path = write(project, lines(range(4)))
    recording.record(project)
    os.truncate(path, len(lines(range(2))))  # there was no space for all four
    write(project, lines(range(10, 14)))
    assert recording.record(project).rows == 4
    assert ids(project) == names(range(4)) + names(range(10, 14))


@pytest.mark.parametrize("seed", range(5))
def test_recorded_at_random_moments_every_acknowledged_line_is_there_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(recording, "BATCH", 3)
    monkeypatch.setattr(recording, "_CHUNK", 700)
    content = dict.fromkeys(("a-000001.jsonl", "b-000001.jsonl", "b-000002.jsonl"), b"")
    expected = []
    for number in range(60):
        name = chance.choice(list(content))
        size = chance.choice([1, 10, 3000])
        whole = line(number, inputs={**FLOWER, "text": "é" * size})
        expected.append(f"pred_{number:06}")
        content[name] += (line(999)[: chance.randrange(1, 60)] if chance.random() < 0.1 else b"") + whole
    written = dict.fromkeys(content, 0)
    while any(written[name] < len(content[name]) for name in content):
        name = chance.choice(list(content))
        some = content[name][written[name] : written[name] + chance.randrange(1, 4000)]
        write(project, some, name)
        written[name] += len(some)
        if chance.random() < 0.3:
            recording.record(project, limit=chance.choice([None, 2, 5]))
    assert recording.record(project).backlog == 0
    assert ids(project) == expected


def test_summaries_say_what_was_read(project: Project) -> None:
    write(project, line(1, inputs={"a": 1, "b": "x", "c": True, "d": "***"}))
    write(project, line(2, inputs={"a": 2.5, "b": None, "c": False, "d": "sha256:ab"}, prediction="other"))
    write(project, line(3, inputs={"a": None, "b": "x", "big": 10**400}))
    write(project, b"".join(line(n, inputs={"many": f"v{n}"}, model="wide") for n in range(10, 70)))
    found = recording.record(project).summaries
    iris = found["iris"]
    assert iris.rows == 3
    assert iris.predictions.levels == {"setosa": 2, "other": 1}
    a = iris.fields["a"]
    assert (a.count, a.missing, a.total, a.squares, a.minimum, a.maximum) == (2, 1, 3.5, 7.25, 1.0, 2.5)
    assert (iris.fields["b"].levels, iris.fields["b"].missing) == ({"x": 2}, 1)
    assert iris.fields["c"].levels == {"true": 1, "false": 1}
    assert (iris.fields["d"].levels, iris.fields["d"].other) == ({}, 2)
    assert (iris.fields["big"].numbers, iris.fields["big"].other, iris.fields["big"].missing) == (0, 1, 2)
    many = found["wide"].fields["many"]
    assert (len(many.levels), many.other) == (50, 10)


def test_predictions_are_in_no_log_of_changes(project: Project) -> None:
    from everloop.store import changes as marks

    with project.store.writing() as tx:
        marks.begin(tx, "/backups", project.clock)
    write(project, lines(range(5)))
    recording.record(project)
    recording.retain(project, days=0)
    with project.store.reading() as tx:
        assert tx.count(changes) == 0


# -- how long they stay ------------------------------------------------------------------------------------


def age(path: Path, project: Project, days: float) -> None:
    at = (project.clock.now() - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


def test_only_files_that_are_recorded_old_and_not_open_are_deleted(project: Project) -> None:
    old, fresh, waiting, held = (
        write(project, lines(range(n * 3, n * 3 + 3)), f"w{n}-000001.jsonl") for n in range(4)
    )
    recording.record(project)
    write(project, line(50), waiting.name)
    for path in (old, waiting, held):
        age(path, project, 40)
    age(fresh, project, 1)
    with held.open("ab") as worker:
        fcntl.flock(worker, fcntl.LOCK_EX)
        assert recording.clean(project, keep_days=30, dry_run=True).files == (old.name,)
        assert old.exists()
        done = recording.clean(project, keep_days=30)
    assert done.files == (old.name,)
    assert done.bytes == len(lines(range(3)))
    assert [path.exists() for path in (old, fresh, waiting, held)] == [False, True, True, True]
    assert recording.record(project).rows == 1  # what waited is not lost


def test_the_oldest_files_go_until_the_rest_has_its_size(project: Project) -> None:
    paths = [write(project, lines(range(n * 3, n * 3 + 3)), f"w1-{n:06}.jsonl") for n in range(1, 5)]
    write(project, b"no json\n", paths[1].name)
    recording.record(project)
    for days, path in zip((4, 3, 2, 1), paths, strict=True):
        age(path, project, days)
    size = len(lines(range(3)))
    recording.clean(project, keep_days=30, keep_bytes=2 * size + 60)
    assert [path.exists() for path in paths] == [False, True, False, True]  # the damaged one stays
    recording.clean(project, keep_days=0.5)
    assert list(recording.log_folder(project).iterdir()) == []


def test_a_new_empty_file_is_left_to_its_worker(project: Project) -> None:
    path = write(project, b"")
    age(path, project, 0)
    recording.record(project)
    assert recording.clean(project, keep_days=0).files == ()
    write(project, line(1))
    assert recording.record(project).rows == 1


def test_old_predictions_go_and_new_ones_stay(project: Project) -> None:
    write(project, lines(range(10)) + lines(range(10, 15), at="2026-01-01T00:00:00.000000Z"))
    write(project, lines(range(20, 24), at="2026-01-01T00:00:00.000000Z", model="other"))
    recording.record(project)
    assert recording.retain(project, days=30, dry_run=True) == {"iris": 5, "other": 4}
    assert len(ids(project)) == 19
    assert recording.retain(project, days=30, limit=3, batch=2) == {"iris": 3, "other": 0}
    assert recording.retain(project, days=30, batch=2) == {"iris": 2, "other": 4}
    assert ids(project) == names(range(10))


def test_what_was_removed_does_not_come_back_with_the_next_line_of_its_file(project: Project) -> None:
    path = write(project, lines(range(5)))
    recording.record(project)
    recording.retain(project, days=0)
    with path.open("ab") as file:
        file.write(line(7))
    done = recording.record(project)
    assert (done.rows, done.known) == (1, 0)
    assert ids(project) == names([7])


def test_tenants_do_not_see_each_others_predictions(open_project: Open) -> None:
    ours, theirs = open_project(), open_project(tenant="theirs")
    write(ours, lines(range(3)))
    recording.record(ours)
    assert recording.record(theirs).rows == 0
    assert ids(theirs) == []
    write(theirs, lines(range(2)))
    assert recording.record(theirs).rows == 2
    recording.retain(theirs, days=0)
    assert (len(ids(ours)), len(ids(theirs))) == (3, 0)
