"""False findings and power of the check, by simulation with fixed seeds. The worlds here are for design and
proof; the figures of bench/drift come from other worlds and seeds."""

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.monitoring.worlds import latent, season, table

from everloop.monitoring import checks, reference, windows

WIDTH = 8
ALPHA = 0.01
BEFORE = 40_000


def rung(results):
    return [each for each in results if each.fired]


def false_findings(kind, memory, rows, count, *, recent=0, references=3):
    """The share of quiet windows with any finding, over several references. The windows follow on."""
    found = 0
    for seed in range(references):
        rng = np.random.default_rng([seed, rows])
        z = latent(rng, BEFORE + rows * count, WIDTH, kind, memory)
        known = reference.build(table(z[:BEFORE]))
        before = []
        for start in range(BEFORE, len(z), rows):
            window = windows.summarise(known, table(z[start : start + rows]))
            recents = before[-recent:] if recent else ()
            found += bool(rung(checks.check(known, window, alpha=ALPHA, recent=recents)))
            before.append(window)
    return found / (references * count)


def most(count, alpha=ALPHA):
    """The share that alpha allows, and three binomial standard errors."""
    return alpha + 3 * np.sqrt(alpha * (1 - alpha) / count)


@pytest.mark.parametrize(
    ("kind", "memory", "rows"),
    [
        ("independent", 0, 50),
        ("independent", 0, 1_000),
        ("ar", 0.5, 400),
        ("ar", 0.95, 400),
        ("ar", 0.95, 2_000),
        ("ma", 60, 500),
    ],
)
def test_a_quiet_window_is_rarely_found(kind, memory, rows):
    share = false_findings(kind, memory, rows, 100)
    print(f"{kind} {memory} {rows}: {share:.4f}")
    assert share <= most(300)


@pytest.mark.parametrize("rows", [10, 25, 60])
def test_beside_a_reference_of_few_rows_a_large_window_is_rarely_found(rows):
    found = 0
    for seed in range(300):
        values = np.random.default_rng([seed, rows]).normal(size=rows + 2_000)
        known = reference.build(pa.table({"x": values[:rows]}))
        window = windows.summarise(known, pa.table({"x": values[rows:]}))
        found += bool(rung(checks.check(known, window, alpha=ALPHA)))
    assert found / 300 <= most(300)


def test_rows_taken_as_independent_would_be_found_all_the_time(monkeypatch):
    """What the calibration is for: without it nearly every window of an autocorrelated world is found."""
    monkeypatch.setattr("everloop.monitoring.chunks.count_of", lambda rows: 0)
    assert false_findings("ar", 0.95, 2_000, 20, references=1) > 0.9


@pytest.mark.parametrize(("kind", "memory"), [("independent", 0), ("ar", 0.95)])
def test_looking_at_the_past_too_finds_no_more(kind, memory):
    share = false_findings(kind, memory, 400, 60, recent=7, references=3)
    print(f"{kind} {memory} with 7 before: {share:.4f}")
    assert share <= most(180)


@pytest.mark.parametrize("with_phases", [True, False])
def test_a_season_is_no_drift(with_phases):
    """Windows of an hour, of days whose mean swings by half a standard deviation. Without phases the chunks
    of the reference have the swing too, so nothing is found either, but less can be."""
    rng, day, hour, count = np.random.default_rng(7), 2_400, 100, 240
    rows = BEFORE + hour * count
    z = latent(rng, rows, WIDTH) + 0.5 * season(rows, day)
    hours = (np.arange(rows) % day) // hour
    of = hours if with_phases else None
    known = reference.build(table(z[:BEFORE]), phases=of[:BEFORE] if with_phases else None)
    found = small = 0
    for start in range(BEFORE, rows, hour):
        part = slice(start, start + hour)
        phases = [str(hours[start])] * hour if with_phases else None
        found += bool(
            rung(checks.check(known, windows.summarise(known, table(z[part]), phases=phases), alpha=ALPHA))
        )
        moved = windows.summarise(known, table(z[part], mean=0.8), phases=phases)
        small += any(each.subject == "x" for each in rung(checks.check(known, moved, alpha=ALPHA)))
    print(f"phases {with_phases}: quiet {found / count:.4f}, moved {small / count:.3f}")
    assert found / count <= most(count)
    assert small / count > 0.9 if with_phases else small / count < 0.9


CHANGES = {
    "mean": ({"mean": 0.25}, "x", "ks"),
    "spread": ({"deviation": 1.5}, "x", "ks"),
    "category": ({"moved": 0.1}, "level", "tv"),
    "new level": ({"new": 0.01}, "level", "new_level"),
    "missing": ({"missing": 0.03}, "gaps", "missing"),
    "correlation": ({"correlation": 0.3}, "pairs", "correlation"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_counts_is_found_in_two_windows(change):
    changed, subject, statistic = CHANGES[change]
    rng, trials, rows = np.random.default_rng(9), 60, 1_000
    known = reference.build(table(latent(rng, BEFORE, WIDTH)))
    quiet = [windows.summarise(known, table(latent(rng, rows, WIDTH))) for _ in range(3)]
    found = others = 0
    for _ in range(trials):
        one, two = (windows.summarise(known, table(latent(rng, rows, WIDTH), **changed)) for _ in range(2))
        results = [
            *rung(checks.check(known, one, alpha=0.0014, recent=quiet)),
            *rung(checks.check(known, two, alpha=0.0014, recent=[*quiet, one])),
        ]
        found += any((each.subject, each.statistic) == (subject, statistic) for each in results)
        others += any(each.subject not in (subject, "pairs", "other") for each in results)
    print(f"{change}: {found / trials:.3f}")
    assert found / trials >= 0.98
    assert others == 0


def test_a_harmless_shift_is_not_found():
    rng = np.random.default_rng(10)
    known = reference.build(table(latent(rng, 200_000, WIDTH)))
    for _ in range(5):
        window = windows.summarise(known, table(latent(rng, 100_000, WIDTH), mean=0.02))
        results = checks.check(known, window, alpha=ALPHA)
        assert not rung(results)
        assert min(each.p_value for each in results if each.subject == "x") < 1e-4  # though it is sure


def test_one_odd_window_is_no_finding_but_two_are():
    rng = np.random.default_rng(11)
    known = reference.build(table(latent(rng, BEFORE, WIDTH)))
    quiet = [windows.summarise(known, table(latent(rng, 500, WIDTH))) for _ in range(8)]
    odd = [windows.summarise(known, table(latent(rng, 500, WIDTH), mean=0.6)) for _ in range(2)]
    alone = rung(checks.check(known, odd[0], alpha=ALPHA, recent=quiet[:4]))
    after = rung(checks.check(known, quiet[4], alpha=ALPHA, recent=[*quiet[:4], odd[0]]))
    second = rung(checks.check(known, odd[1], alpha=ALPHA, recent=[*quiet[:4], odd[0]]))
    assert not alone
    assert not after
    assert [(each.subject, each.statistic) for each in second] == [("x", "ks")]
    assert second[0].details["windows"] == 2


def test_a_slow_small_change_is_found_in_the_end():
    """A ramp from 0 to a quarter of a standard deviation: windows of 120 rows show it together only."""
    rng = np.random.default_rng(12)
    known = reference.build(table(latent(rng, BEFORE, WIDTH)))
    before, hits = [], []
    for step in range(60):
        mean = min(0.25, step * 0.01)
        window = windows.summarise(known, table(latent(rng, 120, WIDTH), mean=mean))
        alone = rung(checks.check(known, window, alpha=0.0014))
        hits.append((bool(alone), bool(rung(checks.check(known, window, alpha=0.0014, recent=before)))))
        before.append(window)
    assert sum(each for each, _ in hits) <= 3
    assert sum(together for _, together in hits[25:]) >= 8
    assert not any(together for _, together in hits[:8])


def test_intervals_hold_the_effect():
    rng, trials, held = np.random.default_rng(13), 200, {"x": 0, "gaps": 0, "level": 0}
    known = reference.build(table(latent(rng, BEFORE, WIDTH, "ar", 0.8)))
    true = {"x": 0.0987, "gaps": 0.05, "level": 0.1}  # ks of .25 sd, shares
    for _ in range(trials):
        changed = table(latent(rng, 2_000, WIDTH, "ar", 0.8), mean=0.25, missing=0.05, moved=0.1)
        for each in checks.check(known, windows.summarise(known, changed), alpha=ALPHA):
            if each.subject in true and each.statistic in ("ks", "missing", "tv") and each.subject != "gaps":
                held[each.subject] += each.low <= true[each.subject] <= each.high
            if each.subject == "gaps" and each.statistic == "missing":
                held["gaps"] += each.low <= 0.05 <= each.high
    print({name: count / trials for name, count in held.items()})
    assert all(count / trials >= 0.9 for count in held.values())
