"""How the probability of a false verdict is shared by all that can be wrong.

Bonferroni's inequality: probabilities of errors add up at most. When nothing differs, each guardrail and
each measure of each arm can wrongly roll back, and each arm whose goal is ``better`` can wrongly be
promoted; so ``alpha`` is divided equally by their number. A promotion for lack of harm is false only where
there is harm, where a roll-back is right: it may use all of ``alpha``. As every measure has to be proven,
none of them needs a smaller share for that (intersection-union test, Berger 1982). Holm's procedure would
give the same verdicts: it begins with Bonferroni's level too, and here the first rejection ends the release.
"""

from __future__ import annotations

from dataclasses import dataclass

from everloop.core.releases import Measure, Plan

from .compared import find_measure


@dataclass(frozen=True)
class Levels:
    """``harm``: of each check and measure that can roll back. ``no_harm`` and ``better``: of a measure that
    promotes."""

    harm: float
    no_harm: float
    better: float

    def sides(self, measure: Measure, must_be_better: bool = False) -> tuple[float, float]:
        """One-sided levels of the lower and the upper end of a measure's interval. Where any change is harm
        each end can roll back."""
        if find_measure(measure.name).sign == 0:
            return self.harm / 2, self.harm / 2
        better = must_be_better or measure.goal == "better"
        return (self.better if better else self.no_harm), self.harm


def share(plan: Plan, arms: int = 1, must_be_better: bool = False) -> Levels:
    """Levels for ``arms`` that are compared with a control. A crash is counted, not tested."""
    tested = [each for each in plan.guardrails if each.event != "crash"]
    promoted = must_be_better or any(each.goal == "better" for each in plan.measures)
    claims = len(tested) + len(plan.measures) + promoted
    arms = max(arms, 1)
    each = plan.alpha / (arms * max(claims, 1))
    return Levels(each, plan.alpha / arms, each)
