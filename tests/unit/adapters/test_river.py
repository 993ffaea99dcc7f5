"""River's detectors, fed with batches: the same alarms as river's own loop, and clear words for what they do
not take."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from everloop.adapters.river import DETECTORS
from everloop.core.errors import Invalid, InvalidSettings, MissingExtra
from everloop.monitoring.detectors import DEFAULT, Detector, Detectors

drift = pytest.importorskip("river.drift")
binary = pytest.importorskip("river.drift.binary")

THEIRS = {
    "adwin": drift.ADWIN,
    "ddm": binary.DDM,
    "eddm": binary.EDDM,
    "page_hinkley": lambda: drift.PageHinkley(mode="up"),
    "kswin": lambda: drift.KSWIN(seed=0),
}


def errors(*shares: float, rows: int = 2_000) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.concatenate([rng.random(rows) < share for share in shares]).astype(float)


def test_all_that_were_promised_are_there() -> None:
    assert Detectors(DETECTORS).names() == sorted([*THEIRS, DEFAULT])


@pytest.mark.parametrize("name", THEIRS)
def test_alarms_are_those_of_rivers_own_loop_however_the_stream_is_cut(name: str) -> None:
    stream = errors(0.1, 0.5)
    theirs = THEIRS[name]()
    expected = []
    for position, loss in enumerate(stream):
        theirs.update(loss)
        if theirs.drift_detected:
            expected.append(position)
    ours = Detectors(DETECTORS).make(name, None)
    assert isinstance(ours, Detector)
    found, start = [], 0
    for batch in np.split(stream, [1, 7, 900, 2_050, 3_000]):
        found += [start + at for at in ours.update(batch)]
        start += len(batch)
    assert found == expected
    assert any(at >= 2_000 for at in found)


def test_page_hinkley_is_silent_when_errors_fall_unless_asked() -> None:
    stream = errors(0.5, 0.05)
    assert not Detectors(DETECTORS).make("page_hinkley", None).update(stream)
    assert Detectors(DETECTORS).make("page_hinkley", None, mode="both").update(stream)


def test_missing_losses_are_passed_over_and_positions_stay_those_of_the_batch() -> None:
    stream = errors(0.1, 0.5)
    holes = np.insert(stream, 100, np.nan)
    plain = Detectors(DETECTORS).make("adwin", None).update(stream)
    assert Detectors(DETECTORS).make("adwin", None).update(holes) == [at + (at >= 100) for at in plain]


@pytest.mark.parametrize("name", ["ddm", "eddm"])
def test_a_detector_that_counts_errors_takes_no_other_losses(name: str) -> None:
    with pytest.raises(Invalid, match=r"not 0\.3"):
        Detectors(DETECTORS).make(name, None).update([0, 1, 0.3])


def test_an_infinite_loss_is_refused() -> None:
    with pytest.raises(Invalid, match="infinite"):
        Detectors(DETECTORS).make("adwin", None).update([0.0, np.inf])


def test_an_option_it_does_not_have_is_named() -> None:
    with pytest.raises(InvalidSettings, match="dleta"):
        Detectors(DETECTORS).make("adwin", None, dleta=0.1)


def test_without_river_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "river"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(MissingExtra) as caught:
        Detectors(DETECTORS).make("adwin", None)
    assert "pip install 'everloop[river]'" in str(caught.value)
