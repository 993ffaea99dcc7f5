"""Health from counts: few calls prove nothing."""

import numpy as np
import pytest
from scipy.stats import binomtest

from everloop.core.errors import Invalid, InvalidSettings
from everloop.monitoring.health import Limits, check_health, result
from everloop.monitoring.intervals import wilson


@pytest.mark.parametrize(
    ("calls", "failures", "latency", "status"),
    [
        (0, 0, None, "unknown"),
        (1, 1, None, "unknown"),
        (2, 1, None, "unknown"),
        (4, 3, None, "unhealthy"),
        (5, 0, None, "unknown"),
        (1_000, 0, None, "healthy"),
        (1_000, 10, None, "healthy"),
        (1_000, 25, None, "degraded"),
        (1_000, 100, None, "unhealthy"),
        (12, 12, None, "unhealthy"),
        (1_000, 0, 900.0, "degraded"),
        (1_000, 0, 100.0, "healthy"),
    ],
)
def test_judgements(calls, failures, latency, status):
    found = check_health(calls, failures, latency_ms=latency, limits=Limits(slow_ms=500))
    assert found.status == status, found
    assert found.reasons
    as_result = result(found)
    assert as_result.fired == (status in ("degraded", "unhealthy"))
    assert as_result.unable == (status == "unknown")
    assert (as_result.level == "critical") == (status == "unhealthy")


def test_both_reasons_are_told():
    found = check_health(1_000, 25, latency_ms=900, limits=Limits(slow_ms=500))
    assert len(found.reasons) == 2
    assert "25 of 1,000" in found.reasons[0]
    assert "900 ms" in found.reasons[1]


@pytest.mark.parametrize(("events", "total"), [(0, 10), (1, 2), (10, 10), (37, 4_000)])
def test_the_interval_is_wilsons(events, total):
    theirs = binomtest(events, total).proportion_ci(method="wilson")
    assert wilson(events, total) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_service_within_its_limit_is_seldom_called_unhealthy():
    """At exactly 1 % of failures: degraded in about 2.5 % of looks, at any number of calls."""
    rng = np.random.default_rng(1)
    for calls in (50, 500, 5_000):
        looks = [check_health(calls, int(n)).status for n in rng.binomial(calls, 0.01, 1_000)]
        assert looks.count("unhealthy") == 0
        assert looks.count("degraded") <= 60


@pytest.mark.parametrize(("calls", "failures"), [(-1, 0), (3, 4), (3, -1)])
def test_counts_that_cannot_be_are_refused(calls, failures):
    with pytest.raises(Invalid, match=f"{failures} failures of {calls} calls"):
        check_health(calls, failures)


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(InvalidSettings, match=r"0\.5"):
        Limits(degraded_failures=0.5, unhealthy_failures=0.1)
