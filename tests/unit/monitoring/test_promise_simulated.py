"""What a monitor promises is true: false alarms at most as said, and what it says it finds, it finds."""

import numpy as np
import pytest
from tests.unit.monitoring.worlds import LEVELS, latent, table

from everloop.core.errors import InvalidSettings
from everloop.monitoring import checks, promise, reference, windows

WIDTH, BEFORE, WINDOWS = 8, 40_000, 720
CHANGES = {
    "mean": ("x", "ks", lambda change: {"mean": change}),
    "category": ("level", "tv", lambda change: {"moved": min(change, LEVELS[0])}),
    "missing": ("gaps", "missing", lambda change: {"missing": 0.01 + change}),
    "correlation": ("pairs", "correlation", lambda change: {"correlation": 0.6 - change}),
}


@pytest.mark.parametrize(("kind", "memory", "rows"), [("independent", 0, 300), ("ar", 0.8, 3_000)])
def test_what_is_promised_is_found(kind, memory, rows):
    rng, trials = np.random.default_rng(21), 50
    known = reference.build(table(latent(rng, BEFORE, WIDTH, kind, memory)))
    said = promise.promise(known, rows, WINDOWS, 1.0)
    assert set(said.found) == set(CHANGES)
    for name, (change, seconds) in said.found.items():
        subject, statistic, change_of = CHANGES[name]
        assert seconds == 2 * 3_600
        found = 0
        for _ in range(trials):
            z = latent(rng, rows * 4, WIDTH, kind, memory)
            parts = [z[at : at + rows] for at in range(0, len(z), rows)]
            each = [windows.summarise(known, table(part)) for part in parts[:2]]
            changed = change_of(change)
            each += [windows.summarise(known, table(part, **changed)) for part in parts[2:]]
            results = [
                *checks.check(known, each[2], alpha=1 / WINDOWS, recent=each[:2]),
                *checks.check(known, each[3], alpha=1 / WINDOWS, recent=each[:3]),
            ]
            found += any((one.subject, one.statistic) == (subject, statistic) for one in results if one.fired)
        print(f"{kind} {rows} {name} {change:.3f}: {found / trials:.2f}")
        assert found / trials >= said.power - 3 * np.sqrt(0.09 / trials)


def test_false_alarms_are_at_most_as_promised():
    """Half a month of hours, a budget of 20 a month: ten at most are expected."""
    rng, rows, hours = np.random.default_rng(22), 200, 360
    known = reference.build(table(latent(rng, BEFORE, WIDTH, "ar", 0.9)))
    said = promise.promise(known, rows, WINDOWS, 20.0)
    z, before, alarms = latent(rng, rows * hours, WIDTH, "ar", 0.9), [], 0
    for at in range(0, len(z), rows):
        window = windows.summarise(known, table(z[at : at + rows]))
        results = checks.check(known, window, alpha=said.false_alarms / WINDOWS, recent=before[-7:])
        alarms += any(each.fired for each in results)
        before.append(window)
    print(f"{alarms} of {hours}")
    assert alarms <= 10 + 3 * np.sqrt(10)


def test_more_rows_show_smaller_changes():
    known = reference.build(table(latent(np.random.default_rng(23), BEFORE, WIDTH)))
    few, many = (promise.promise(known, rows, WINDOWS, 1.0) for rows in (300, 5_000))
    for name in CHANGES:
        assert many.found[name][0] < few.found[name][0]
    strict = promise.promise(known, 300, WINDOWS, 0.01)
    assert strict.found["mean"][0] > few.found["mean"][0]


def test_the_words_say_the_budget_and_the_changes():
    known = reference.build(table(latent(np.random.default_rng(24), BEFORE, WIDTH)))
    said = promise.promise(known, 1_000, WINDOWS, 1.0)
    assert said.words.startswith("At most 1 false alarm in 30 days, of 720 windows of 1,000 rows.")
    assert f"a mean that moves by {said.found['mean'][0]:.2f} standard deviations in 2 hours" in said.words
    tiny = promise.promise(reference.build(table(latent(np.random.default_rng(1), 100, WIDTH))), 5, 30, 1.0)
    assert "too small" in tiny.words
    assert "taken as independent" in tiny.words


@pytest.mark.parametrize("bad", [(0, 720, 1), (100, 0, 1), (100, 720, 0)])
def test_numbers_that_make_no_sense_are_refused(bad):
    known = reference.build(table(latent(np.random.default_rng(1), 500, WIDTH)))
    with pytest.raises(InvalidSettings, match="No promise"):
        promise.promise(known, *bad)
