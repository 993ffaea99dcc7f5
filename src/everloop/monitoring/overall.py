"""Two tables taken as a whole: one probability for all that was tested, and what could not be tested."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.core.monitoring import Result

from . import checks, judgement
from .columns import words_of
from .reference import FeatureReference, Reference
from .windows import Window


def p_value(usual: Reference, window: Window, results: Sequence[Result]) -> float | None:
    """That chance makes the strongest change there is, of those that are large enough to count: corrected for
    all tests (Holm), so that it is up to ``alpha`` just where ``checks.check`` finds something on evidence at
    ``alpha``. 0 where something fired by a rule, such as another type; 1 where nothing counts, None where
    nothing could be tested, or nothing fired beside a reference of too few rows. ``results`` of the check:
    what it did not judge does not count here."""
    judged = {(each.family, each.subject, each.statistic): each.fired for each in results}
    tests = [each for each in checks.compared(usual, window) if each.key in judged] if window.rows else []
    inferred = {each.key for each in tests if not each.certain}
    if any(fired for key, fired in judged.items() if key not in inferred):
        return 0.0
    tried = [each for each in tests if not each.certain]
    if not tried or (usual.rows < checks.LEAST_ROWS and not any(judged.values())):
        return None
    adjusted = judgement.holm([each.p_value for each in tried])
    return min((p for p, each in zip(adjusted, tried, strict=True) if each.beyond), default=1.0)


def unread(usual: Reference) -> list[Result]:
    """The columns whose values are not compared, and why."""
    return [
        Result("data", name, "type", False, f"'{name}' could not be compared: {why}.", unable=True)
        for name, feature in usual.features.items()
        if (why := _unread(feature))
    ]


def _unread(feature: FeatureReference) -> str:
    if feature.kind == "other" and feature.type != "null":
        return f"it holds {words_of(feature.type)} in the reference; only missing values are counted of these"
    held = feature.bins or feature.levels
    if held is not None and not held.total and feature.missing < feature.rows:
        return "it has no finite value in the reference; only missing and infinite ones are counted"
    return ""
