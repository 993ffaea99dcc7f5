"""Which findings belong together, and who is to be told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from everloop.core.monitoring import LEVELS, Family, Finding, Level, Result, Silence
from everloop.settings.alerts import AlertRule, Alerts

GROUPS: Mapping[Family, str] = {
    "quality": "feed",
    "data": "drift",
    "joint": "drift",
    "prediction": "drift",
    "estimated": "performance",
    "performance": "performance",
    "concept": "performance",
    "service": "service",
    "check": "check",
}
TOGETHER = "all"
_EVERYBODY = (AlertRule(),)


def worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=LEVELS.index)


def key(result: Result, model: str, settings: Alerts) -> str:
    """The alert of its model that a finding belongs to: the only one, unless a rule separates its family."""
    separate = any(rule.separate and fits(rule, result, model) for rule in settings.rules)
    return GROUPS[result.family] if separate else TOGETHER


def fits(rule: AlertRule, result: Result, model: str) -> bool:
    """Whether a rule is about a finding, whatever its level."""
    return (
        _any(rule.models, model)
        and (not rule.families or result.family in rule.families)
        and (not rule.subjects or any(_any(rule.subjects, name) for name in names(result)))
    )


def names(result: Result) -> tuple[str, ...]:
    """What rules and silences call a finding by: its subject, and of performance also the metric."""
    if result.family not in ("performance", "estimated"):
        return (result.subject,)
    return result.subject, f"{result.details.get('metric', result.statistic)}"


def channels(findings: Sequence[Finding], model: str, settings: Alerts) -> dict[str, Level]:
    """Who is to be told, and of which level: the worst of the findings that a rule brings to the channel."""
    found: dict[str, Level] = {}
    for rule in settings.rules or _EVERYBODY:
        for finding in findings:
            result = finding.result
            if LEVELS.index(result.level) >= LEVELS.index(rule.level) and fits(rule, result, model):
                for channel in map(str.lower, rule.channels or settings.channels):
                    found[channel] = worst([found.get(channel, "info"), result.level])
    return found


def silence_of(finding: Finding, model: str, silences: Sequence[Silence]) -> Silence | None:
    """The silence that holds a finding back."""
    for silence in silences:
        if silence.model in (None, model) and silence.subject in (None, *names(finding.result)):
            return silence
    return None


def _any(patterns: Sequence[str], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
