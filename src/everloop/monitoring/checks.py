"""A closed window against the reference, judged once: what changed, in plain words.

A finding needs both: evidence that holds over all tests at once (Holm) and an effect that counts (a floor).
``alpha`` is the chance of any false finding in a window, so a month of windows has ``alpha`` times their
number of them at most, however often one looks (expected numbers add up whatever depends on what).

Half of ``alpha`` is for the window alone: there the feed is judged (family ``quality``), which must not wait.
The other half is for the last 2, 4, 8 … windows taken together, in which slow and small changes show. These
need two voices: the window itself and those before it must each speak for the change, so that one odd hour is
no finding; where those before prove it without the window, it has to speak louder, or an hour that is over
would be found again in the next ones. Distributions (``data``, ``joint``) are judged so wherever there is a
window before. One that would be found in the window alone says so (``details["alone"]``): that is reason
enough to look for a broken feed.

Half of the evidence, at least, is for missing values of the columns that lack some in the reference: they are
few tests beside all others, and what they find is a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everloop.core.monitoring import Result

from . import correlating, evidence, words
from .columns import words_of
from .comparing import Compared, compare
from .reference import Reference
from .windows import Window, merge

ALONE = 0.5  # of alpha
REACH = 32  # windows taken together at most
VOICE = 0.05
VOICE_ERRORS = 1.645  # one-sided
LOUDER, LOUDER_ERRORS = 0.005, 2.576
LEAST_ROWS = 20  # of fewer only columns and types are judged
Key = tuple[str, str, str]


def check(
    reference: Reference, window: Window, *, alpha: float, recent: Sequence[Window] = ()
) -> list[Result]:
    """One result for everything that was tested, fired or not, and for what could not be.

    ``recent``: windows before this one, the newest last; 31 of them reach as far as this looks.
    """
    if not window.rows:
        return [
            Result(
                "quality", "window", "rows", False, "The window has no rows: nothing could be checked.",
                unable=True, value=0.0,
            )
        ]  # fmt: skip
    if window.rows < LEAST_ROWS:
        certain = [one for one in schema(reference, window) if one.beyond]
        few = _too_few("window", words.rows(window.rows), window.rows)
        return [few, *(_result(reference, one, (one, 1)) for one in certain)]
    recent = [each for each in recent if each.rows]
    now = _by_key(compared(reference, window))
    spans = spans_of(len(recent))
    alone = _found(now, alpha * ALONE if recent else alpha)
    fired: dict[Key, tuple[Compared, int]] = {}
    for span in spans:
        if span == 1:
            judged = {key: each for key, each in now.items() if not recent or each.family == "quality"}
            found = _found(judged, alpha if not recent else alpha * ALONE)
        else:
            before = merge(recent[-(span - 1) :])
            together = _by_key(compared(reference, before.merge(window)))
            level = alpha * (1 - ALONE) / (len(spans) - 1)
            found = _found(together, level)
            found = {key: each for key, each in found.items() if key not in fired and _speaks(now, each)}
            earlier = _by_key(compared(reference, before)) if found else {}
            proven = _found(earlier, level)
            found = {
                key: each
                for key, each in found.items()
                if _speaks(earlier, each) and (key not in proven or _speaks(now, each, louder=True))
            }
        fired.update({key: (each, span) for key, each in found.items()})
    everything = {**now, **{key: each for key, (each, _) in fired.items()}}
    results = [_result(reference, each, fired.get(key), key in alone) for key, each in everything.items()]
    if reference.rows < LEAST_ROWS:
        results.append(
            _too_few("reference", f"{words.rows(reference.rows)} of the reference", reference.rows)
        )
    return results


def _too_few(subject: str, what: str, rows: int) -> Result:
    text = f"{what} {'is' if rows == 1 else 'are'} too few to tell a change; {LEAST_ROWS} are needed."
    return Result("quality", subject, "rows", False, text, unable=True, value=float(rows))


def compared(reference: Reference, window: Window) -> list[Compared]:
    """Every test of a window, before any is judged."""
    each = [one for name in reference.features for one in compare(reference, window, name)]
    return [*schema(reference, window), *each, *correlating.compare(reference, window)]


def schema(reference: Reference, window: Window) -> list[Compared]:
    """Columns and types."""
    seen = []
    for name, rows in window.absent.items():
        seen.append(
            _certain(
                name, "missing_column", "critical", f"'{name}': the column is missing", rows, window.rows
            )
        )
    for name, rows in window.unknown.items():
        seen.append(
            _certain(name, "new_column", "info", f"'{name}': a column the reference lacks", rows, window.rows)
        )
    for name, feature in reference.features.items():
        for kind, rows in window.features[name].strange.items():
            was, became = words_of(feature.type), words_of(kind)
            told = f"'{name}': its type changed from {was} to {became}, so it cannot be compared"
            seen.append(_certain(name, "type", "critical", told, rows, window.rows))
    if not seen:
        told = "Columns and types are those of the reference."
        seen.append(Compared("quality", "columns", "schema", 1.0, False, told, certain=True))
    return seen


def _certain(name: str, statistic: str, level: str, told: str, rows: int, of: int) -> Compared:
    part = "" if rows == of else f" in {words.rows(rows)} of {of:,}"
    return Compared(
        "quality", name, statistic, 0.0, True, told + part,
        level="critical" if level == "critical" else "info",
        value=rows / of, usual=0.0, certain=True, details={"rows": rows},
    )  # fmt: skip


def _by_key(several: Sequence[Compared]) -> dict[Key, Compared]:
    return {each.key: each for each in several}


def spans_of(recent: int) -> list[int]:
    spans = [1]
    while spans[-1] * 2 <= min(recent + 1, REACH):
        spans.append(spans[-1] * 2)
    return spans


def _found(tests: dict[Key, Compared], alpha: float) -> dict[Key, Compared]:
    tried = [each for each in tests.values() if not each.certain]
    weights = evidence.weights([each.statistic == "missing" and bool(each.usual) for each in tried])
    rejected = evidence.holm(np.asarray([each.p_value for each in tried]), weights, alpha)
    sure = [each for each, is_rejected in zip(tried, rejected, strict=True) if is_rejected and each.beyond]
    return {
        each.key: each for each in (*sure, *(one for one in tests.values() if one.certain and one.beyond))
    }


def _speaks(tests: dict[Key, Compared], found: Compared, *, louder: bool = False) -> bool:
    """Whether the same part moved the same way."""
    if found.key not in tests:
        return False
    test = tests[found.key]
    if found.part >= test.parts.size:
        return test.p_value <= (LOUDER if louder else VOICE)
    errors = LOUDER_ERRORS if louder else VOICE_ERRORS
    return bool(test.parts[found.part] * np.sign(found.parts[found.part]) >= errors)


def _result(
    reference: Reference, each: Compared, found: tuple[Compared, int] | None, alone: bool = False
) -> Result:
    told, details = each.words, dict(each.details)
    if found is not None:
        each, span = found
        told = each.words if span == 1 else f"{each.words} (over the last {span} windows)"
        details = {**each.details, "windows": span}
    elif alone:
        details["alone"] = True
    if not each.certain and not reference.calibrated:
        told += "; uncalibrated, rows taken as independent"
        details["calibrated"] = False
    return Result(
        each.family, each.subject, each.statistic, found is not None, told, each.level,
        each.value, each.usual, each.low, each.high, None if each.certain else each.p_value, each.floor,
        details=details,
    )  # fmt: skip
