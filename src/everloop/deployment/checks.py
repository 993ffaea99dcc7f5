"""What can veto a release at one look: guardrails on events, and a mismatch of units and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everloop.core.errors import InvalidSettings
from everloop.core.releases import Check, Event, Guardrail, Seen

from . import events, mismatch
from .words import evidence, number, percent, ratio

MISMATCH = "mismatch"
CRASHES = 2
BASELINE = 0.01
LEAST = 3  # units with an event, where there is no control: one or two at the start are no proof of a rate
REMEDY = "if that is fast enough, set release.slow_above to the milliseconds that are, or release.slow: null"

_WORDS: dict[Event, str] = {
    "failed": "failed",
    "refused": "were refused",
    "slow": "were slow",
    "crash": "crashed",
}


def guard(
    guardrail: Guardrail,
    arm: Seen,
    control: Seen | None,
    level: float,
    baselines: Mapping[str, float],
    *,
    alike: bool = False,
) -> Check:
    """``level``: the probability that this check may veto by chance. Without a control the rate is held
    against the one stated in ``baselines``, or one in a hundred, from ``LEAST`` units with an event on: the
    first failure would be proof if it came at once, and so would end as many sound releases as the rate says.
    ``alike``: both arms see every request (a shadow), whatever their weights."""
    hits = arm.events.get(guardrail.event, 0)
    if guardrail.event == "crash":
        return _crash(arm, control, hits)
    needed = 1 / level
    if control is None:
        rate = stated(guardrail, baselines)
        if rate <= 0:
            raise InvalidSettings(
                f"The baseline of '{guardrail.event}' is {rate:g}: a single one would be proof.",
                remedy="State a share above 0.",
            )
        value = float(events.evidence(hits, arm.units - hits, rate)) if rate < 1 else 0.0
        against, once = f"up to {percent(rate)} was stated", f" once it is {LEAST} units"
    else:
        other = control.events.get(guardrail.event, 0)
        weights = (1, 1) if alike else (arm.weight, control.weight)
        value = float(events.evidence(hits, other, events.limit_of(*weights, guardrail.ratio)))
        against, once = f"{_counted(other, control)} of the {control.arm}", ""
        if guardrail.ratio != 1:
            against += f", {number(guardrail.ratio)} times whose rate was put up with"
    vetoes = value >= needed and (control is not None or hits >= LEAST)
    message = (
        f"{_counted(hits, arm)} of the {arm.arm} {_WORDS[guardrail.event]}{_slowness(guardrail)}; {against}. "
        f"Evidence {evidence(value)} of the {number(needed)} that veto{once}"
    )
    if vetoes and guardrail.event == "slow":
        message += f" ({REMEDY})"
    return Check(guardrail.event, arm.arm, vetoes, message, value, needed)


def stated(guardrail: Guardrail, baselines: Mapping[str, float]) -> float:
    """The share of units with an event that is put up with where there is no control."""
    return min(baselines.get(guardrail.event, BASELINE) * guardrail.ratio, 1.0)


def matched(arms: Sequence[Seen]) -> Check:
    """Whether the arms have the units that their weights say."""
    counts, weights = [arm.units for arm in arms], [arm.weight for arm in arms]
    value = float(mismatch.evidence(counts, weights))
    p = float(mismatch.chi_square_p(counts, weights))
    shown = ", ".join(f"{arm.arm} {arm.units:,}" for arm in arms)
    message = (
        f"units: {shown}, where {ratio(weights)} was due. Evidence {evidence(value)} of the "
        f"{number(mismatch.NEEDED)} that tell of a broken split (chi-square at this look alone: p = {p:.2g})"
    )
    return Check(MISMATCH, "all", value >= mismatch.NEEDED, message, value, mismatch.NEEDED)


def _crash(arm: Seen, control: Seen | None, crashes: int) -> Check:
    """Two crashes are no chance, unless the control's processes crash as often."""
    others = control.events.get("crash", 0) if control else 0
    many = "once" if crashes == 1 else f"{crashes} times"
    message = f"a serving process crashed {many} while the {arm.arm} was served; {CRASHES} times veto"
    return Check(
        "crash", arm.arm, crashes >= max(CRASHES, others + 1), message, float(crashes), float(CRASHES)
    )


def _counted(hits: int, arm: Seen) -> str:
    return f"{hits:,} of {arm.units:,} units ({percent(hits, arm.units)})"


def _slowness(guardrail: Guardrail) -> str:
    return f" (over {number(guardrail.above)} ms)" if guardrail.above is not None else ""
