"""What a worker serves, by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from everloop.core.releases import Traffic
from everloop.serving import desk
from everloop.serving.desk import FALLBACK, Served, Target
from everloop.serving.routing import ELSEWHERE, Split

_PROTOCOLS: tuple[desk.Protocol, ...] = ("plain", "v2")


@dataclass(frozen=True, eq=False)
class Shown:
    """A model as it is served: its versions by number, which one answers where none is asked for, and what
    answers when that one fails: another version, or a constant. ``traffic`` says who answers under a release;
    ``rescued``: the champion answers for another version that it chose and that fails. ``wanted``: the
    champion, where it cannot be loaded and the default stands in for it."""

    name: str
    versions: Mapping[str, Served]
    default: str
    fallback: str | None = None
    constant: tuple[float, ...] | None = None
    traffic: Traffic | None = None
    rescued: bool = False
    wanted: str = ""

    @cached_property
    def targets(self) -> Mapping[desk.Protocol, Target]:
        """What a request that asks for no version comes to; empty while there is no such version."""
        champion = self.versions.get(self.default)
        if champion is None:
            return {}
        instead = champion.under("", FALLBACK, None) if self.wanted else champion
        if self.traffic is None:
            return {protocol: Target(instead, protocol) for protocol in _PROTOCOLS}
        split = Split(self.traffic, self.versions)
        served = {
            name: self.versions[share.version].under(split.release, share.variant, share.probability)
            if share.version in self.versions
            else instead
            for name, share in split.shares.items()
        }
        if not split.gradual:
            return {protocol: Target(served[split.whole], protocol) for protocol in _PROTOCOLS}
        return {
            protocol: Target(
                served[ELSEWHERE], protocol, split,
                {name: Target(one, protocol) for name, one in served.items()},
            )
            for protocol in _PROTOCOLS
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Table:
    """All that a worker serves, replaced as a whole: a request sees one table or the next, never a mix."""

    models: Mapping[str, Shown] = field(default_factory=dict)
    default: str = ""
    hot: Mapping[bytes, Target] = field(default_factory=dict)


def table_of(models: Mapping[str, Shown], default: str) -> Table:
    """The table with the paths of predictions."""
    hot: dict[bytes, Target] = {}
    for name, shown in models.items():
        for version, served in shown.versions.items():
            hot[f"/models/{name}/versions/{version}/predict".encode()] = Target(served, named=True)
            hot[f"/v2/models/{name}/versions/{version}/infer".encode()] = Target(served, "v2", named=True)
        if shown.targets:
            hot[f"/models/{name}/predict".encode()] = shown.targets["plain"]
            hot[f"/v2/models/{name}/infer".encode()] = shown.targets["v2"]
            if name == default:
                hot[b"/predict"] = shown.targets["plain"]
    return Table(dict(models), default, hot)
