"""Which version answers a request, as the traffic in force says.

The bucket of a unit is the BLAKE2b hash (RFC 7693) of the release's salt and the unit's key, 8 bytes, modulo
10,000: a request that comes again, or to another worker, gets the same arm, and what an arm gains is taken
from others without mixing who has what.
"""

from __future__ import annotations

import reprlib
from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from everloop.core.errors import Invalid
from everloop.core.releases import BUCKETS, CHAMPION, Traffic

ELSEWHERE, NO_ENTITY = ":elsewhere", ":no_entity"  # the champion answers, outside the comparison
_RULE, _OVERRIDE = "rule:", "override:"
_LONGEST = 200  # bits of a whole number that is an id or a value


@dataclass(frozen=True)
class Share:
    """What answers of a version are logged with: the ``variant``, and the probability with which it was
    chosen."""

    variant: str
    version: str
    probability: float = 1.0


@dataclass(frozen=True)
class Said:
    """What a request says of who asks."""

    entity: bytes = b""
    context: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Said()


class Split:
    """Chooses an arm for each request. ``there`` are the versions that can answer. While one of an arm is
    not among them the champion answers all, outside the comparison: the others would have more than their
    share.

    ``shares`` says by the name of each choice who answers then. ``gradual``: whether versions are compared;
    else ``whole`` is the one choice. ``by_rules``: rules look at what a request says.
    """

    def __init__(self, traffic: Traffic, there: Collection[str]) -> None:
        arms = traffic.arms
        self.release = traffic.release_id
        self.by_rules = bool(traffic.rules)
        self.by_entity = traffic.unit == "entity"
        self.gradual = len(arms) != 1 or arms[0].name != CHAMPION or bool(traffic.shadows)
        self.whole = arms[0].name if arms and arms[0].version in there else ELSEWHERE
        champion = Share(CHAMPION, traffic.champion)
        self.shares = {ELSEWHERE: champion, NO_ENTITY: champion}
        answering = {arm.name for arm in arms if arm.version in there}
        for arm in arms:
            if arm.name in answering:
                self.shares[arm.name] = Share(arm.name, arm.version, arm.weight / BUCKETS)
                for how in (_RULE, _OVERRIDE):
                    self.shares[how + arm.name] = Share(how + arm.name, arm.version)
        self._overrides = {
            entity.encode(): _OVERRIDE + arm if arm in answering else ELSEWHERE
            for entity, arm in traffic.overrides.items()
        }
        self._rules = [
            (
                [(name, frozenset(values)) for name, values in rule.when.items()],
                _RULE + rule.arm if rule.arm in answering else ELSEWHERE,
            )
            for rule in traffic.rules
        ]
        ranges = sorted((part.start, arm.name) for arm in arms for part in arm.ranges if part.size)
        self._starts = [start for start, _ in ranges]
        whole = answering >= {name for _, name in ranges}  # else arms would have more than their share
        self._names = [name if whole else ELSEWHERE for _, name in ranges]
        self._salted = blake2b(traffic.salt.encode(), digest_size=8)

    def asks(self, entity: bytes) -> bool:
        """Whether the body has to be read to choose, where headers named this entity."""
        return self.by_rules or (not entity and (self.by_entity or bool(self._overrides)))

    def choose(self, entity: bytes, request_id: str, said: Said = NOTHING) -> tuple[str, str | None]:
        """The name of the choice, and the unit; None outside the comparison."""
        entity = entity or said.entity
        if self._overrides and (named := self._overrides.get(entity)) is not None:
            return named, None
        for wanted, name in self._rules:
            if all(_value(said, field) in values for field, values in wanted):
                return name, None
        if self.by_entity and not entity:
            return NO_ENTITY, None
        hashed = self._salted.copy()
        hashed.update(entity if self.by_entity else request_id.encode())
        unit = hashed.hexdigest()
        name = self._names[bisect_right(self._starts, int(unit, 16) % BUCKETS) - 1]
        return name, None if name == ELSEWHERE else unit


def entity_of(given: object) -> bytes:
    """An entity's id as bytes; empty where it is none."""
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    return str(given).encode() if type(given) is int and given.bit_length() < _LONGEST else b""


def check_entity(given: object) -> None:
    """Raises Invalid for what is given as an entity's id and would be looked past."""
    if given is not None and given != "" and not entity_of(given):
        raise Invalid(
            f"'entity_id' is {reprlib.repr(given)}.", remedy="Send text, or a whole number of usual size."
        )


def _value(said: Said, name: str) -> str | None:
    """A field's value as text: of the context, else of the features."""
    value = said.context.get(name)
    if value is None:
        value = said.features.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and value.bit_length() >= _LONGEST:
        return None
    return str(value) if isinstance(value, str | int | float) else None
