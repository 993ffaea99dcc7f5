"""Detectors by name, those of users too."""

import numpy as np
import pytest

from everloop.core.errors import Invalid, InvalidSettings
from everloop.monitoring.detectors import DEFAULT, Detector, Detectors


class Third:
    """Alarms at every third error."""

    def __init__(self, step: int = 3) -> None:
        self.step, self.count = step, 0

    def update(self, values):
        alarms = []
        for at, value in enumerate(values):
            self.count += value > 0
            if self.count == self.step:
                self.count = 0
                alarms.append(at)
        return alarms


def above(reference, values, factor=2.0):
    return np.flatnonzero(np.asarray(values) > factor * np.mean(reference))


def test_the_default_is_there_and_takes_its_options():
    made = Detectors().make(DEFAULT, np.tile([0, 0, 0, 0, 1.0], 200), average_run=500)
    assert isinstance(made, Detector)
    assert made.update(np.ones(100))


def test_a_class_and_a_function_of_the_user():
    known = Detectors()
    known.register("third", Third)
    known.register("above", above)
    assert known.names() == sorted([DEFAULT, "third", "above"])
    made = known.make("third", None, step=2)
    assert made.update([1, 0]) == []
    assert made.update([1, 0, 1, 1]) == [0, 3]
    assert known.make("above", [1.0, 1.0]).update([1, 3, 2, 5]) == [1, 3]
    assert known.make("above", [1.0, 1.0], factor=4).update([1, 3, 2, 5]) == [3]


def test_two_registries_do_not_share_names():
    Detectors().register("third", Third)
    assert "third" not in Detectors().names()


@pytest.mark.parametrize(
    ("name", "maker", "words"),
    [
        (DEFAULT, Third, "already"),
        ("", Third, "no name"),
        ("a b", Third, "no name"),
        ("nothing", object, "no method 'update'"),
        ("text", "Third", "neither a class nor a function"),
    ],
)
def test_what_cannot_be_registered_is_refused(name, maker, words):
    with pytest.raises(Invalid, match=words):
        Detectors().register(name, maker)


def test_an_unknown_name_or_option_is_refused():
    known = Detectors()
    known.register("third", Third)
    with pytest.raises(InvalidSettings, match="rising_loss"):
        known.make("rising_los", [0.0])
    with pytest.raises(InvalidSettings, match="stride"):
        known.make("third", None, stride=2)
