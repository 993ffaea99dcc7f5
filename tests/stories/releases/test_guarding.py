"""What fails is looked at every second by itself, whatever the looks at labels take; and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.clocks import Hands
from tests.stories.serving.log import line, write
from tests.stories.serving.releasing import NEW, OLD, canary, direct
from tests.stories.serving.test_arm_failures import failure

from everloop.api.office import beside
from everloop.api.office.recorder import Recorder
from everloop.core.releases import Guardrail, Plan, Release
from everloop.flows.project import Project
from everloop.flows.releases import faults, looking, observing, showing
from everloop.flows.serving import recording
from everloop.store import releases

PATIENCE = 30.0  # seconds, until a test gives up
PLAN = Plan(
    guardrails=(Guardrail("failed"), Guardrail("slow", above=5.0), Guardrail("crash")),
    steps=(1_000,),
    dwell=3_600.0,
    longest=36_000.0,
)


def begun(project: Project, plan: Plan = PLAN) -> Release:
    now = project.clock.now()
    release = Release(
        "rel_1", "iris", "prod", "canary", NEW, "running", now, "me", against=OLD, plan=plan, started_at=now
    )
    with project.store.writing() as tx:
        releases.put(tx, release)
    direct(project, canary(1_000), "rel_1")
    return release


def fail(project: Project, count: int, first: int = 0) -> None:
    """Units of the canary that failed."""
    write(project, b"".join(failure(n, unit=f"{n:016x}") for n in range(first, first + count)))
    recording.record(project)


def found(project: Project) -> Release:
    with project.store.reading() as tx:
        return releases.find(tx, "rel_1")


async def watched(project: Project, happens: Callable[[], None]) -> None:
    """As the office does it: something happens, and the release ends."""
    recorder = Recorder(project, 1_000_000, 30)
    task = asyncio.create_task(beside.guard(project, recorder))
    try:
        async with asyncio.timeout(PATIENCE):
            while not recorder.awaited:
                await asyncio.sleep(0.02)
            happens()
            while recorder.awaited:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()


def test_what_fails_ends_a_release_while_its_keeper_rests(project: Project) -> None:
    """Which it does after each look, the longer the more there is to look at."""
    begun(project)
    looking.look(project, "rel_1")
    asyncio.run(watched(project, lambda: fail(project, 10)))
    assert found(project).status == "rolled_back"
    assert "10 of 10 units (100 %) of the canary failed" in found(project).outcome
    with project.store.reading() as tx:
        looks = releases.list_looks(tx, "rel_1")
    assert [look.verdict for look in looks] == ["hold", "roll_back"]
    assert {seen.arm: seen.units for seen in looks[-1].seen} == {"canary": 10, "control": 0, "champion": 0}


def test_a_glance_writes_nothing_but_what_it_acts_on(project: Project) -> None:
    release = begun(project)
    fail(project, 3)
    assert looking.glance(project, release) is None
    with project.store.reading() as tx:
        assert releases.list_looks(tx, "rel_1") == []


def test_a_glance_at_a_stated_rate_counts_the_units_that_came_since(project: Project) -> None:
    """Held against the units of the last look the failures would veto."""
    stated = replace(begun(project), strategy="blue-green")
    with project.store.writing() as tx:
        releases.put(tx, stated)
    looking.look(project, "rel_1")
    write(
        project, b"".join(line(n, variant="canary", release_id="rel_1", unit=f"{n:04x}") for n in range(900))
    )
    fail(project, 6, first=1_000)
    assert looking.glance(project, stated) is None
    fail(project, 30, first=2_000)
    after, look = looking.glance(project, stated) or pytest.fail("it does not veto")
    assert after.status == "rolled_back"
    assert "36 of 936 units" in look.reason


def test_each_crash_counts(project: Project) -> None:
    release = begun(project)
    faults.crashed(project, "worker died (-9)")
    crashes = {
        seen.arm: seen.events["crash"] for seen in observing.seen(project, release, project.clock.now())
    }
    assert crashes == {"canary": 1, "control": 0, "champion": 0}
    assert looking.glance(project, release) is None
    faults.crashed(project, "worker died (-9)")
    after, look = looking.glance(project, release) or pytest.fail("it does not veto")
    assert after.status == "rolled_back"
    assert "a serving process crashed 2 times" in look.reason


def test_a_crash_of_a_version_is_its_own(project: Project) -> None:
    release = begun(project)
    for name in (f"iris@{OLD}", f"iris@{OLD}", f"iris@{NEW}", f"other@{NEW}"):
        faults.crashed(project, "its process died", name)
    crashes = {
        seen.arm: seen.events["crash"] for seen in observing.seen(project, release, project.clock.now())
    }
    assert crashes == {"canary": 1, "control": 2, "champion": 2}


def test_who_answered_what_failed_is_told(project: Project) -> None:
    release = begun(project)
    fail(project, 5)
    write(
        project,
        b"".join(line(n, variant="fallback", release_id="rel_1", request_id=f"r{n}") for n in range(3)),
    )
    recording.record(project)
    assert showing.view(project, release).failed == {"canary": showing.Instead(requests=5, answered=3)}


def test_a_look_that_is_kept_is_of_now(project: Project, clock: Hands) -> None:
    """Also where nothing came since."""
    release = begun(project)
    looking.look(project, "rel_1")
    clock.sleep(60)
    looking.look(project, "rel_1")
    look = showing.view(project, release).look
    assert look is not None
    assert project.clock.now() - look.at < looking.KEEP_EVERY
