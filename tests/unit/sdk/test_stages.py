"""Stages: which function a name means, and what a stage gives from the steps of a turn."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from everloop import PipelineStage
from everloop.core.errors import MLOpsError
from everloop.flows.turn import STEPS as STEPS_OF_A_TURN
from everloop.sdk.stages import STAGE_OF, STEPS, missing, own_function, result_of


@pytest.fixture(autouse=True)
def forgotten_classes() -> Iterator[None]:
    """Subclasses that a test defines are gone for the next one."""
    yield
    gc.collect()


def test_the_stages_cover_a_turn_step_by_step() -> None:
    assert tuple(step for steps in STEPS.values() for step in steps) == STEPS_OF_A_TURN
    assert set(STAGE_OF) == set(STEPS_OF_A_TURN)


def test_a_subclass_says_what_its_stage_does() -> None:
    class Mine(PipelineStage):
        PUBLISH = "publish"

        def publish(self, context: Any) -> str:
            return f"published {context}"

    function = own_function(Mine.PUBLISH)
    assert function is not None
    assert function("x") == "published x"


def test_a_static_method_will_do_and_the_newest_class_wins() -> None:
    class First(PipelineStage):
        PUBLISH = "publish"

        @staticmethod
        def publish(context: Any) -> str:
            return "first"

    class Second(First):
        PUBLISH = "publish"

        @staticmethod
        def publish(context: Any) -> str:
            return "second"

    function = own_function("publish")
    assert function is not None
    assert function(None) == "second"


def test_a_method_without_its_constant_is_no_stage() -> None:
    class Mine(PipelineStage):
        OTHER = "other"

        def publish(self, context: Any) -> str:
            return "never"

    assert own_function("publish") is None
    assert Mine.OTHER == "other"


def test_a_stage_without_an_implementation_says_how_to_give_one() -> None:
    class CustomPipelineStage(PipelineStage):
        CUSTOM_STAGE = "custom_stage"

    error = missing(CustomPipelineStage.CUSTOM_STAGE, STEPS)
    assert "CustomPipelineStage" in error.message
    assert "add_stage('custom_stage'" in error.remedy


def test_a_mistyped_stage_names_the_nearest() -> None:
    error: MLOpsError = missing("trainning", STEPS)
    assert "'trainning'" in error.message
    assert "'training'" in error.remedy


KEPT = {
    "version": {"data_version": "abc", "rows": 10, "new": False},
    "validate": {"passed": True, "rows": 10, "findings": []},
    "decide": {
        "decision": {"action": "keep", "reason": "All is well."},
        "metrics": {"accuracy": 0.9},
        "champion": "1.0.0",
    },
}


def test_what_a_stage_gives_when_there_is_nothing_to_train() -> None:
    assert result_of("training", KEPT) == {
        "retrained": False,
        "decision": "keep",
        "reason": "All is well.",
        "metrics": {"accuracy": 0.9},
    }
    for stage in ("validation", "deployment"):
        assert result_of(stage, KEPT) == {"skipped": "nothing was trained: All is well."}
    monitored = result_of("monitoring", KEPT)
    assert (monitored["model_version"], monitored["metrics"]) == ("1.0.0", {"accuracy": 0.9})
