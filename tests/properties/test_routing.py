"""A unit keeps its arm, whatever else changes; arms get their shares; who is named is not compared."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from everloop.core.releases import BUCKETS, Arm, Range, Rule, Traffic
from everloop.serving.routing import ELSEWHERE, NO_ENTITY, Said, Split

THERE = {"1", "2"}
salts = st.text(max_size=12)
weights = st.integers(1, BUCKETS // 2)
entities = st.binary(min_size=1, max_size=20)


def canary(weight: int) -> tuple[Arm, ...]:
    return (
        Arm("canary", "2", (Range(0, weight),)),
        Arm("control", "1", (Range(BUCKETS - weight, BUCKETS),)),
        Arm("champion", "1", (Range(weight, BUCKETS - weight),)),
    )


def traffic(arms: tuple[Arm, ...], **more: Any) -> Traffic:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return Traffic("m", "prod", 1, now, "shifted", "1", arms, release_id="rel_1", **more)


def entity_split(weight: int, salt: str = "", **more: Any) -> Split:
    return Split(traffic(canary(weight), salt=salt, unit="entity", **more), THERE)


@given(entities, salts, weights, weights, st.text(max_size=9), st.text(max_size=9))
def test_an_entity_keeps_its_arm_while_weights_grow(
    entity: bytes, salt: str, one: int, other: int, request: str, again: str
) -> None:
    small, large = sorted((one, other))
    before, unit = entity_split(small, salt).choose(entity, request)
    after, same = entity_split(large, salt).choose(entity, again)
    assert unit == same
    assert after == before or before == "champion"
    assert entity_split(small, salt).choose(b"", again, Said(entity)) == (before, unit)


@given(st.text(max_size=30), salts, weights)
def test_a_request_that_comes_again_keeps_its_arm(request: str, salt: str, weight: int) -> None:
    first, second = (Split(traffic(canary(weight), salt=salt), THERE) for _ in range(2))
    assert first.choose(b"", request) == second.choose(b"somebody", request)


@given(salts, st.lists(weights, min_size=1, max_size=4))
def test_every_bucket_is_answered_by_the_arm_that_has_it(salt: str, sizes: list[int]) -> None:
    stops = [0, *sorted({sum(sizes[: at + 1]) % BUCKETS for at in range(len(sizes))} - {0}), BUCKETS]
    arms = tuple(
        Arm(f"arm {at % 3}", "1", (Range(low, high),)) for at, (low, high) in enumerate(pairwise(stops))
    )
    merged: dict[str, list[Range]] = {}
    for arm in arms:
        merged.setdefault(arm.name, []).extend(arm.ranges)
    whole = tuple(Arm(name, "1", tuple(ranges)) for name, ranges in merged.items())
    split = Split(traffic(whole, salt=salt), THERE)
    for request in map(str, range(50)):
        name, unit = split.choose(b"", request)
        assert unit is not None
        assert len(unit) == 16
        bucket = int(unit, 16) % BUCKETS
        assert any(part.start <= bucket < part.stop for part in merged[name])
        assert split.shares[name].probability == sum(part.size for part in merged[name]) / BUCKETS


@given(salts, st.sampled_from([500, 1000, 2500, 5000]))
def test_shares_are_as_wide_as_their_weights(salt: str, weight: int) -> None:
    split, n = entity_split(weight, salt), 4_000
    names = [split.choose(b"user %d" % number, "")[0] for number in range(n)]
    share = weight / BUCKETS
    noise = (n * share * (1 - share)) ** 0.5
    for arm in ("canary", "control"):
        assert abs(names.count(arm) - n * share) < 6 * noise


@given(salts, salts)
def test_the_buckets_of_two_releases_have_nothing_to_do_with_each_other(one: str, other: str) -> None:
    if one != other:
        first, second = entity_split(5_000, one), entity_split(5_000, other)
        users = [b"user %d" % number for number in range(1_000)]
        both = sum(first.choose(user, "")[0] == second.choose(user, "")[0] for user in users)
        assert 400 < both < 600


@given(entities, weights, st.booleans(), st.booleans(), st.booleans())
def test_an_override_comes_before_a_rule_and_a_rule_before_the_bucket(
    entity: bytes, weight: int, named: bool, in_context: bool, in_features: bool
) -> None:
    split = Split(
        traffic(
            canary(weight),
            unit="entity",
            rules=(Rule({"country": ("NO", "SE"), "age": ("7",)}, "control"),),
            overrides={"tester": "canary"},
        ),
        THERE,
    )
    who = b"tester" if named else b"x" + entity
    said = Said(
        who,
        {"country": "SE", "age": 7} if in_context else {"country": "DK"},
        {"country": "NO", "age": 7.0} if in_features else {},
    )
    chosen, unit = split.choose(b"", "request", said)
    if named:
        assert (chosen, unit) == ("override:canary", None)
    elif in_context:
        assert (chosen, unit) == ("rule:control", None)
    else:  # the context comes first, also where it speaks against the rule
        assert (chosen, unit) == entity_split(weight).choose(who, "")
    assert split.shares[chosen].probability == 1.0 or unit is not None


@given(st.text(max_size=9), weights)
def test_who_is_not_named_is_answered_by_the_champion(request: str, weight: int) -> None:
    split = entity_split(weight)
    assert split.choose(b"", request) == (NO_ENTITY, None)
    assert (split.shares[NO_ENTITY].variant, split.shares[NO_ENTITY].version) == ("champion", "1")


@given(entities, weights)
def test_while_an_arm_has_no_version_the_champion_answers_all(entity: bytes, weight: int) -> None:
    lacking = Split(traffic(canary(weight), unit="entity", overrides={"tester": "canary"}), {"1"})
    assert lacking.choose(entity, "") == (ELSEWHERE, None)
    assert lacking.choose(b"tester", "") == (ELSEWHERE, None)
    assert {share.version for share in lacking.shares.values()} == {"1"}


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_whatever_a_context_holds_somebody_answers(value: Any) -> None:
    rule = Rule({"value": ("1", "true", "")}, "canary")
    split = Split(traffic(canary(5_000), rules=(rule,)), THERE)
    name, _ = split.choose(b"", "request", Said(b"", {"value": value}))
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else value
    assert (name == "rule:canary") == (text in ("true", "", "1", 1) and value is not None)
