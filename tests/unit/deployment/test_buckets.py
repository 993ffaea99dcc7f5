"""Who answers which bucket, for every way weights can move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import InvalidSettings
from everloop.core.releases import BUCKETS, CANDIDATE, CHAMPION, CONTROL, Arm, Range
from everloop.deployment.buckets import canary, check, direct, reallocate, split, to_buckets, widen


def held(arm):
    return {bucket for piece in arm.ranges for bucket in range(piece.start, piece.stop)}


def by_name(arms):
    return {arm.name: arm for arm in arms}


@st.composite
def weights_of(draw, names):
    """Weights of these names that sum to all buckets; some may be zero."""
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=len(names) - 1, max_size=len(names) - 1)))
    edges = [0, *cuts, BUCKETS]
    return {name: b - a for name, a, b in zip(names, edges, edges[1:], strict=False)}


def test_a_canary_has_a_control_of_its_size_and_the_rest_is_compared_with_nobody():
    arms = canary("v1", "v2", 100)
    check(arms)
    assert {arm.name: (arm.version, arm.weight) for arm in arms} == {
        CANDIDATE: ("v2", 100),
        CONTROL: ("v1", 100),
        CHAMPION: ("v1", 9_800),
    }


def test_at_half_of_the_requests_nobody_is_left_over():
    arms = canary("v1", "v2", 5_000)
    check(arms)
    assert [arm.weight for arm in arms] == [5_000, 5_000, 0]


@pytest.mark.parametrize("weight", [0, -1, 5_001])
def test_a_canary_without_room_for_its_control_is_refused(weight):
    with pytest.raises(InvalidSettings, match="control"):
        canary("v1", "v2", weight)


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_widening_keeps_every_bucket_of_candidate_and_control(one, other):
    before = canary("v1", "v2", min(one, other))
    after = by_name(widen(before, max(one, other)))
    check(after.values())
    for name in (CANDIDATE, CONTROL):
        assert held(by_name(before)[name]) <= held(after[name])
        assert after[name].weight == max(one, other)


def test_a_canary_never_narrows():
    with pytest.raises(InvalidSettings, match="never narrows"):
        widen(canary("v1", "v2", 500), 499)


@given(st.data())
def test_moving_weights_changes_as_few_buckets_as_can_be(data):
    names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=5, unique=True))
    arms = tuple(Arm(name, f"v{name}") for name in names)
    arms = (Arm(names[0], f"v{names[0]}", (Range(0, BUCKETS),)), *arms[1:])
    for _ in range(3):  # so that ranges are in pieces before they move
        weights = data.draw(weights_of(names))
        after = reallocate(arms, weights)
        check(after)
        assert {arm.name: arm.weight for arm in after} == weights
        assert [arm.version for arm in after] == [arm.version for arm in arms]
        for old, new in zip(arms, after, strict=True):
            assert held(old) <= held(new) or held(new) <= held(old)
        arms = after


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_shares_become_whole_buckets_that_sum_to_all(raw):
    shares = {str(i): each / sum(raw) for i, each in enumerate(raw)}
    weights = to_buckets(shares)
    assert sum(weights.values()) == BUCKETS
    assert all(abs(weights[name] - share * BUCKETS) < 1 for name, share in shares.items())


def test_shares_that_are_whole_stay_what_they_are():
    assert to_buckets({"a": 0.07, "b": 0.29, "c": 0.64}) == {"a": 700, "b": 2_900, "c": 6_400}


def test_an_ab_test_has_an_arm_for_each_share():
    arms = split({"control": ("v1", 0.5), "red": ("v2", 0.3), "blue": ("v3", 0.2)})
    check(arms)
    assert [(arm.name, arm.version, arm.weight) for arm in arms] == [
        ("control", "v1", 5_000),
        ("red", "v2", 3_000),
        ("blue", "v3", 2_000),
    ]


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"a": 0.5, "b": 0.4}, "sum to 0.9"),
        ({"a": 1.0, "b": 0.0}, "above zero"),
        ({"a": 0.99999, "b": 0.00001}, "smaller than one of"),
        ({}, "above zero"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, words):
    with pytest.raises(InvalidSettings, match=words):
        to_buckets(shares)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"champion": 9_999}, "sum to 9,999"),
        ({"champion": 5_000, "other": 5_000}, "the arms are champion"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, words):
    with pytest.raises(InvalidSettings, match=words):
        reallocate(direct("v1"), weights)


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ((Arm("a", "v1", (Range(0, 9_000),)),), "Bucket 9000"),
        ((Arm("a", "v1", (Range(0, 6_000),)), Arm("b", "v2", (Range(5_000, 10_000),))), "Bucket 5000"),
        ((Arm("a", "v1", (Range(0, 5_000),)), Arm("a", "v2", (Range(5_000, 10_000),))), "one name"),
        ((Arm("a", "v1", (Range(0, 10_001),)),), "Bucket 10000"),
    ],
)
def test_a_bucket_of_nobody_or_of_two_is_found(arms, words):
    with pytest.raises(InvalidSettings, match=words):
        check(arms)
