"""Which buckets an arm answers: each belongs to one arm, and as few as can be change hands.

A canary has the first ``w`` buckets and its control, the champion on as many, the last ``w``; what lies
between is in no comparison. Both grow towards the middle, so that no bucket of either ever changes hands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from everloop.core.errors import InvalidSettings
from everloop.core.releases import BUCKETS, CANDIDATE, CHAMPION, CONTROL, Arm, Range

HALF = BUCKETS // 2


def direct(version: str) -> tuple[Arm, ...]:
    """One version answers all."""
    return (Arm(CHAMPION, version, (Range(0, BUCKETS),)),)


def canary(champion: str, candidate: str, weight: int) -> tuple[Arm, ...]:
    """``weight`` buckets for the candidate, as many for its control."""
    if not 1 <= weight <= HALF:
        raise InvalidSettings(
            f"A canary cannot have {weight:,} of {BUCKETS:,} buckets: its control needs as many.",
            remedy=f"Give it between 1 and {HALF:,} buckets, at most half of the requests.",
        )
    middle = (Range(weight, BUCKETS - weight),) if weight < HALF else ()
    return (
        Arm(CANDIDATE, candidate, (Range(0, weight),)),
        Arm(CONTROL, champion, (Range(BUCKETS - weight, BUCKETS),)),
        Arm(CHAMPION, champion, middle),
    )


def widen(arms: Sequence[Arm], weight: int) -> tuple[Arm, ...]:
    """The arms of a canary with ``weight`` buckets for the candidate, which is no fewer than it has."""
    by_name = {arm.name: arm for arm in arms}
    candidate, champion = by_name[CANDIDATE], by_name[CHAMPION]
    if weight < candidate.weight:
        raise InvalidSettings(
            f"A canary never narrows: it has {candidate.weight:,} buckets, {weight:,} were asked for.",
            remedy="Give steps that grow, or abort the release.",
        )
    return canary(champion.version, candidate.version, weight)


def split(shares: Mapping[str, tuple[str, float]]) -> tuple[Arm, ...]:
    """The arms of an A/B test, from the version and the share of each name. The shares sum to one."""
    weights = to_buckets({name: share for name, (_, share) in shares.items()})
    return lay_out({name: version for name, (version, _) in shares.items()}, weights)


def lay_out(versions: Mapping[str, str], weights: Mapping[str, int]) -> tuple[Arm, ...]:
    """One arm after the other, from the version of each name."""
    arms, start = [], 0
    for name, version in versions.items():
        arms.append(Arm(name, version, (Range(start, start + weights[name]),)))
        start += weights[name]
    check(arms)
    return tuple(arms)


def to_buckets(shares: Mapping[str, float]) -> dict[str, int]:
    """Shares that sum to one as whole buckets that sum to all of them."""
    if not shares or not all(share > 0 for share in shares.values()):
        raise InvalidSettings(f"Every arm needs a share above zero; given were {_shown(shares)}.")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise InvalidSettings(
            f"The shares of the arms sum to {sum(shares.values()):.6g}: {_shown(shares)}.",
            remedy="Give shares that sum to 1.",
        )
    weights = apportion(shares, BUCKETS)
    if not all(weights.values()):
        raise InvalidSettings(f"A share is smaller than one of {BUCKETS:,} buckets: {_shown(shares)}.")
    return weights


def apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to ``total``: rounded down, and what is left goes to the largest remainders
    (Hamilton)."""
    exact = {name: share * total for name, share in shares.items()}
    weights = {name: int(value) for name, value in exact.items()}
    left = total - sum(weights.values())
    for name in sorted(exact, key=lambda name: weights[name] - exact[name])[:left]:
        weights[name] += 1
    return weights


def reallocate(arms: Sequence[Arm], weights: Mapping[str, int]) -> tuple[Arm, ...]:
    """The same arms with new weights, which sum to all buckets. An arm that grows keeps every bucket it has;
    one that shrinks gives up its last ones and gets none."""
    check(arms)
    if {arm.name for arm in arms} != set(weights):
        raise InvalidSettings(
            f"The weights are for {_names(weights)}; the arms are {_names(arm.name for arm in arms)}."
        )
    if sum(weights.values()) != BUCKETS or min(weights.values()) < 0:
        raise InvalidSettings(
            f"The weights sum to {sum(weights.values()):,} buckets: {dict(weights)}.",
            remedy=f"Give whole numbers from 0 on that sum to {BUCKETS:,}.",
        )
    kept = {arm.name: _first(arm.ranges, weights[arm.name]) for arm in arms}
    freed = [piece for arm in arms for piece in _after(arm.ranges, weights[arm.name])]
    out = []
    for arm in arms:
        missing = weights[arm.name] - sum(piece.size for piece in kept[arm.name])
        taken, freed = _first(freed, missing), _after(freed, missing)
        out.append(Arm(arm.name, arm.version, _joined([*kept[arm.name], *taken])))
    return tuple(out)


def check(arms: Iterable[Arm]) -> None:
    """Raise InvalidSettings unless the names differ and each bucket belongs to exactly one arm."""
    arms = tuple(arms)
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise InvalidSettings(f"Two arms have one name: {_names(names)}.", remedy="Give each its own name.")
    expected = 0
    for piece in sorted((each for arm in arms for each in arm.ranges), key=lambda each: each.start):
        if piece.start != expected or piece.size < 1:
            raise InvalidSettings(f"Bucket {min(piece.start, expected)} does not belong to exactly one arm.")
        expected = piece.stop
    if expected != BUCKETS:
        raise InvalidSettings(f"Bucket {min(expected, BUCKETS)} does not belong to exactly one arm.")


def _first(ranges: Iterable[Range], count: int) -> list[Range]:
    """The first ``count`` buckets."""
    out = []
    for piece in ranges:
        size = min(piece.size, count)
        if size > 0:
            out.append(Range(piece.start, piece.start + size))
        count -= size
    return out


def _after(ranges: Iterable[Range], count: int) -> list[Range]:
    """What comes after the first ``count`` buckets."""
    out = []
    for piece in ranges:
        size = min(piece.size, count)
        if size < piece.size:
            out.append(Range(piece.start + size, piece.stop))
        count -= size
    return out


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    out: list[Range] = []
    for piece in sorted(ranges, key=lambda each: each.start):
        if out and out[-1].stop == piece.start:
            out[-1] = Range(out[-1].start, piece.stop)
        else:
            out.append(piece)
    return tuple(out)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shown(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:g}" for name, share in shares.items())
