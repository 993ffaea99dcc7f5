"""A courier that cannot be started stands in nobody's way."""

from __future__ import annotations

from pathlib import Path

from everloop.adapters.courier import Courier
from everloop.settings.loading import folder_settings


def test_a_courier_that_cannot_start_says_why_and_lets_the_training_go_on(tmp_path: Path) -> None:
    (tmp_path / ".everloop").write_text("a file where the folder should be")
    with Courier(folder_settings(tmp_path, {})) as courier:
        assert "cannot be started" in str(courier.problem)
        assert courier.finish(1.0)
