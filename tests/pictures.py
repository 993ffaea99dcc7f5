"""Pictures of trainings for stories that do not look at them: painted as ever, but not rendered, which takes
half of a turn's time. Real ones are looked at in ``tests/unit/training/test_plots.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from everloop.training import plots


@pytest.fixture(autouse=True, scope="module")
def unrendered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_rendered", _title)
        yield


def _title(figure: Any) -> bytes:
    return f"A picture: {figure.axes[0].get_title()}".encode()
