"""Whatever operators do with releases, in whatever order, also when processes are killed in between: who
answers is always whole, there is one champion, and going back leads to the last good version."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.clocks import Hands

from everloop.core.errors import Conflict, MLOpsError
from everloop.core.ids import new_id, token
from everloop.core.models import ModelVersion
from everloop.core.releases import BUCKETS, OPEN, Plan, Release, Strategy
from everloop.deployment import buckets
from everloop.flows import states
from everloop.flows.releases import deploying
from everloop.settings import folder_settings
from everloop.store import history, models, releases
from everloop.store.database import open_store
from everloop.wiring import connect

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
VERSIONS = ("1.0.0", "1.0.1", "1.1.0", "2.0.0")
PLAN = Plan(steps=(500, 2_000, 5_000), longest=1e9)


FOLDER = tempfile.TemporaryDirectory()
SHARED = connect(folder_settings(Path(FOLDER.name), {"tracking": {"enabled": False}}))


class Killed(BaseException):
    """A process that ends within a transaction."""


class Releases(RuleBasedStateMachine):
    """The model: ``stack`` has the champions so far, without what was rolled back from, ``last`` which
    versions were."""

    @initialize()
    def begin(self) -> None:
        self.clock = Hands(NOW, 0.001)
        store = open_store(SHARED.settings.store_url, token(), self.clock)
        self.project = replace(SHARED, clock=self.clock, store=store)
        with store.writing() as tx:
            for number in VERSIONS:
                models.add_model_version(
                    tx, ModelVersion("m", number, f"run_{number}", "", "", NOW, "a test")
                )
        self.stack: list[str] = []
        self.ever: set[str] = set()
        self.last: dict[str, str] = {}  # by version, what became of its newest release
        self.open: Release | None = None

    def teardown(self) -> None:
        if hasattr(self, "project"):
            self.project.close()

    # -- what operators do -----------------------------------------------------------------------------------

    @rule(version=st.sampled_from(VERSIONS))
    def deploy_directly(self, version: str) -> None:
        if self.stack and version == self.stack[-1]:
            return  # a conflict, which the doors find
        with self.project.store.reading() as tx:
            made = next(each for each in models.list_model_versions(tx, "m") if each.version == version)
        if self.open is not None:
            with pytest.raises(Conflict), self.project.store.writing() as tx:
                states.promote_now(tx, self.project, made, "a test")
            return
        with self.project.store.writing() as tx:
            states.promote_now(tx, self.project, made, "a test")
        self._is_champion(version)

    @precondition(lambda self: self.open is None and self.stack)
    @rule(
        version=st.sampled_from(VERSIONS),
        strategy=st.sampled_from(("canary", "shadow", "ab", "blue-green", "rolling")),
    )
    def release(self, version: str, strategy: Strategy) -> None:
        current = self.stack[-1]
        if version == current:
            return  # likewise
        arms = buckets.split({"control": (current, 0.6), "b": (version, 0.3), "c": (VERSIONS[0], 0.1)})
        release = Release(
            new_id("rel", self.clock.now()), "m", "prod", strategy, version, "waiting", self.clock.now(),
            "a test", against=current, plan=PLAN, arms=arms if strategy == "ab" else (),
        )  # fmt: skip
        with self.project.store.writing() as tx:
            self.open = states.begin(tx, self.project, states.enter(tx, self.project, release))

    @precondition(lambda self: self.open is None and self.stack)
    @rule(version=st.sampled_from(VERSIONS), against=st.sampled_from([*VERSIONS, None]))
    def one_that_was_planned_against_another_champion_is_refused(
        self, version: str, against: str | None
    ) -> None:
        if against == self.stack[-1]:
            return
        now = self.clock.now()
        late = Release(
            new_id("rel", now),
            "m",
            "prod",
            "canary",
            version,
            "waiting",
            now,
            "a test",
            against=against,
            plan=PLAN,
        )
        with (
            pytest.raises(Conflict, match="became current in prod"),
            self.project.store.writing() as tx,
        ):
            states.enter(tx, self.project, late)

    @precondition(lambda self: self.open is not None)
    @rule()
    def a_second_release_is_refused(self) -> None:
        assert self.open is not None
        second = replace(self.open, release_id=new_id("rel", self.clock.now()), status="waiting")
        with pytest.raises(Conflict), self.project.store.writing() as tx:
            states.begin(tx, self.project, states.enter(tx, self.project, second))

    @precondition(
        lambda self: self.open is not None and self.open.strategy == "canary" and self.open.step < 2
    )
    @rule()
    def widen(self) -> None:
        assert self.open is not None
        before = self._canary()
        with self.project.store.writing() as tx:
            self.open = states.widen(tx, self.project, self.open, self.open.step + 1, "a test")
        assert before <= self._canary()

    @precondition(lambda self: self.open is not None and self.open.strategy == "ab")
    @rule(b=st.integers(0, BUCKETS), c=st.integers(0, BUCKETS))
    def reweigh(self, b: int, c: int) -> None:
        assert self.open is not None
        b, c = min(b, BUCKETS - 1), min(c, BUCKETS - 1 - min(b, BUCKETS - 1))
        with self.project.store.writing() as tx:
            weights = {"control": BUCKETS - b - c, "b": b, "c": c}
            self.open = states.reweigh(tx, self.project, self.open, weights, "a test")

    @precondition(lambda self: self.open is not None)
    @rule()
    def promote(self) -> None:
        assert self.open is not None
        deploying.promote(self.project, self.open.release_id)
        self._is_champion(self.open.version)
        self.open = None

    @precondition(lambda self: self.open is not None)
    @rule()
    def abort(self) -> None:
        assert self.open is not None
        deploying.abort(self.project, self.open.release_id)
        self.open = None

    @precondition(lambda self: self.stack)
    @rule()
    def roll_back(self) -> None:
        if self.open is not None:
            deploying.rollback(self.project, "m")
            self._is_bad(self.open.version)
            self.open = None
            return
        current = self.stack[-1]
        good = [one for one in self.stack if self.last[one] != "rolled_back" and one != current]
        if not good:
            with pytest.raises(MLOpsError, match="nothing before"):
                deploying.rollback(self.project, "m")
            return
        assert deploying.rollback(self.project, "m") == (current, good[-1])
        self._is_bad(current)
        while self.stack[-1] != good[-1]:
            self.stack.pop()

    @precondition(lambda self: self.stack)
    @rule(version=st.sampled_from(VERSIONS))
    def roll_back_to(self, version: str) -> None:
        if version == self.stack[-1] and self.open is None:
            with pytest.raises(Conflict):
                deploying.rollback(self.project, "m", to=version)
            return
        deploying.rollback(self.project, "m", to=version)
        if self.open is not None:
            self._is_bad(self.open.version)
        self.open = None
        if version != self.stack[-1]:
            self._is_bad(self.stack[-1])
        if version in self.stack:
            del self.stack[len(self.stack) - self.stack[::-1].index(version) :]
        else:
            self.stack.append(version)
        if version not in self.ever:  # that was its first release
            self._is_champion(version)

    # -- what happens to them --------------------------------------------------------------------------------

    @precondition(lambda self: self.open is not None)
    @rule(which=st.sampled_from(("promote", "end", "widen")))
    def killed_before_the_commit(self, which: str) -> None:
        """Nothing of the change is there afterwards."""
        assert self.open is not None
        before = self._all()
        with suppress(Killed), self.project.store.writing() as tx:
            if which == "promote":
                states.promote(tx, self.project, self.open, "never")
            elif which == "end" or self.open.strategy != "canary" or self.open.step >= 2:
                states.end(tx, self.project, self.open, "aborted", "never")
            else:
                states.widen(tx, self.project, self.open, self.open.step + 1, "never")
            raise Killed
        assert self._all() == before

    @precondition(lambda self: self.open is not None)
    @rule()
    def two_operators_end_it_at_once(self) -> None:
        """The second one sees that it has ended, and changes nothing."""
        assert self.open is not None
        deploying.abort(self.project, self.open.release_id)
        before = self._all()
        with pytest.raises(Conflict):
            deploying.promote(self.project, self.open.release_id)
        assert self._all() == before
        self.open = None

    # -- what is always so -----------------------------------------------------------------------------------

    @invariant()
    def who_answers_is_whole(self) -> None:
        if not hasattr(self, "project"):
            return
        with self.project.store.reading() as tx:
            entry = releases.in_force(tx, "m", "prod")
            aliases = models.list_aliases(tx, "m")
            numbers = [each.sequence for each in releases.list_traffic(tx, "m", "prod")]
            going = releases.list_releases(tx, "m", "prod", statuses=OPEN)
        assert numbers == sorted(range(1, len(numbers) + 1), reverse=True)
        if not self.stack:
            assert entry is None
            return
        assert entry is not None
        buckets.check(entry.arms)
        assert sum(arm.weight for arm in entry.arms) == BUCKETS
        assert entry.champion == self.stack[-1] == aliases["champion"]
        assert [each.release_id for each in going] == ([self.open.release_id] if self.open else [])
        if self.open is None:
            assert [(arm.name, arm.version) for arm in entry.arms] == [("champion", entry.champion)]

    # ----------------------------------------------------------------------------------------------------

    def _is_bad(self, version: str) -> None:
        self.last[version] = "rolled_back"

    def _is_champion(self, version: str) -> None:
        self.last[version] = "promoted"
        self.ever.add(version)
        if not self.stack or self.stack[-1] != version:
            self.stack.append(version)

    def _canary(self) -> set[int]:
        with self.project.store.reading() as tx:
            entry = releases.in_force(tx, "m", "prod")
        assert entry is not None
        arm = next(each for each in entry.arms if each.name == "canary")
        return {bucket for part in arm.ranges for bucket in range(part.start, part.stop)}

    def _all(self) -> object:
        with self.project.store.reading() as tx:
            return (
                releases.list_traffic(tx, "m", "prod"),
                releases.list_releases(tx, "m"),
                models.list_aliases(tx, "m"),
                [event.sequence for event in history.list_events(tx, "m")],
            )


TestReleases = Releases.TestCase
TestReleases.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
