"""The plan of a release, made of the settings, of what was asked for, and of the traffic that was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from everloop.core import spans
from everloop.core.errors import Invalid, Refused, nearest
from everloop.core.releases import BUCKETS, Goal, Guardrail, Measure, Plan, Release, Strategy
from everloop.core.runs import Run
from everloop.deployment import power
from everloop.deployment.checks import REMEDY
from everloop.deployment.compared import find_measure
from everloop.deployment.samplesize import LARGEST
from everloop.deployment.words import number
from everloop.flows.project import Project
from everloop.flows.serving import labels
from everloop.settings import ReleaseRules
from everloop.store import observations

from . import shadowing
from .observing import positive_of, run_of

LEARN = timedelta(days=14)
SHARE_MARGIN = 0.1
MOST_CLASSES = 4  # whose shares are watched
USUAL_MARGIN = 0.01  # of accuracy
USUAL_ERROR = 0.05  # of the mean absolute error, as a share of it
LITTLE = 0.01  # of units with an event, where there is no control
SLOWER = 1.5  # times the 95 % quantile so far is slow,
NOTICED = 20.0  # but not less than so many milliseconds more: a fifth of what people take for at once
BRIEFLY = 60.0  # seconds; of a shorter time nobody knows the pace


@dataclass(frozen=True)
class Wishes:
    """What is asked for instead of the settings' ``release`` section. Times in seconds; ``size``:
    the units of an arm that were agreed on."""

    measures: Mapping[str, float] | None = None
    goal: Goal | None = None
    steps: tuple[float, ...] | None = None
    dwell: float | None = None
    longest: float | None = None
    alpha: float | None = None
    hourly: float | None = None
    label_delay: float | None = None
    size: int | None = None
    bandit: bool = False
    floor: float = 0.05
    hold_out: float = 0.2


@dataclass(frozen=True)
class Past:
    """What was seen of a model's traffic: so many requests in so many seconds, the share of them that gets a
    label and after how many seconds nearly all have theirs (None: no labels), the score so far, and the 95 %
    quantile of the latency in milliseconds."""

    requests: int = 0
    seconds: float = BRIEFLY
    labelled: float = 0.0
    label_delay: float | None = None
    score: float | None = None
    slow: float | None = None

    @property
    def hourly(self) -> float:
        return self.requests / self.seconds * 3600


def make(project: Project, release: Release, rules: ReleaseRules, wishes: Wishes) -> Plan:
    """Raises Refused for a plan that cannot finish, Invalid for a measure that there is not."""
    if release.strategy == "direct" or release.against is None:
        return Plan()
    if release.strategy == "shadow":
        shadowing.check(project, release.model, release.version)
    with project.store.reading() as tx:
        run = run_of(tx, release)
    past = look_back(project, release.model, project.clock.now())
    hourly = past.hourly if wishes.hourly is None else wishes.hourly
    delay = wishes.label_delay if wishes.label_delay is not None else past.label_delay
    if rules.label_delay is not None and wishes.label_delay is None:
        delay = spans.seconds(rules.label_delay)
    steps = wishes.steps or rules.steps
    probation = release.strategy in ("blue-green", "rolling")
    plan = Plan(
        measures=() if probation else _measures(run, rules, wishes, past),
        guardrails=_guardrails(rules, past, release.strategy),
        steps=tuple(round(share * BUCKETS) for share in steps) if release.strategy == "canary" else (),
        dwell=_dwell(release, rules) if wishes.dwell is None else wishes.dwell,
        burn_in=0 if release.strategy == "rolling" else rules.burn_in,
        alpha=rules.alpha if wishes.alpha is None else wishes.alpha,
        power=rules.power,
        longest=spans.seconds(rules.longest) if wishes.longest is None else wishes.longest,
        label_delay=delay or 0.0,
        size=wishes.size or 0,
        bandit=wishes.bandit,
        floor=wishes.floor,
        hold_out=wishes.hold_out if wishes.bandit else 0.0,
        hourly=hourly,
        labelled=past.labelled or 1.0,
    )
    _check(plan, wishes)
    slow = _told_slow(project, release, plan, rules, past)
    if probation:
        return replace(plan, usual=_usual(project, release.model, plan), detects=slow)
    if wishes.hourly is not None and wishes.hourly <= 0:
        raise Invalid(f"{wishes.hourly:g} requests an hour are expected.", remedy="Say more than 0.")
    if hourly <= 0:
        raise Refused(
            f"There is no traffic on {release.model} to judge a {release.strategy} release by: nothing was "
            f"predicted in the last {LEARN.days} days.",
            remedy="Say what to expect (--traffic 1000/hour), or deploy directly.",
        )
    expected, unanswered = deviations(plan, past, run), tuple[str, ...]()
    if release.strategy == "shadow":
        seen, unanswered = shadowing.rehearse(project, release, plan, run.recipe.business if run else None)
        expected |= seen
    outlook = power.outlook(plan, release.strategy, expected, release.arms)
    if not outlook.can_finish:
        more = f" If more than {number(hourly)} units an hour will come, say so: --traffic 5000/hour"
        remedy = outlook.remedy + (more if wishes.hourly is None else "")
        raise Refused(f"This plan cannot finish: {outlook.why}", remedy=remedy)
    return replace(plan, detects=(*outlook.words, *unanswered, *_supposed(plan, wishes, rules, past), *slow))


def _supposed(plan: Plan, wishes: Wishes, rules: ReleaseRules, past: Past) -> list[str]:
    """What the words about traffic and labels rest on."""
    said = []
    if wishes.hourly is None:
        said.append(
            f"So many units come if it goes on as in the last {spans.words(past.seconds)} "
            f"({past.requests:,} requests); --traffic says otherwise."
        )
    if not past.labelled and any(find_measure(each.name).labels for each in plan.measures):
        asked = wishes.label_delay is not None or rules.label_delay is not None
        when = f"within {spans.words(plan.label_delay)}" if asked else "at once; --label-delay says when"
        said.append(f"No label has come yet: it is supposed that every unit gets one, {when}.")
    return said


def _told_slow(
    project: Project, release: Release, plan: Plan, rules: ReleaseRules, past: Past
) -> tuple[str, ...]:
    """What slow is and why, and whether the candidate is, where it has answered anything yet."""
    above = next((rail.above for rail in plan.guardrails if rail.event == "slow"), None)
    if above is None:
        return ()
    why = "as release.slow_above says"
    if rules.slow_above is None:
        so_far = f"{number(past.slow or 0.0, 3)} ms, in which 95 % of the answers came so far"
        why = f"half more than {so_far}, and {NOTICED:g} ms more at least"
    said = f"Slow is an answer that takes over {number(above)} ms: {why}."
    now = project.clock.now()
    with project.store.reading() as tx:
        own = observations.latency_quantile(tx, release.model, now - LEARN, now, 0.95, release.version)
    if own is not None:
        said += f" Of {release.version} 95 % took up to {number(own, 3)} ms so far."
        if own > above:
            said += f" It would be rolled back: {REMEDY}."
    return (said,)


def _usual(project: Project, model: str, plan: Plan) -> dict[str, float]:
    """Twice the share of slow answers that was seen, and a little: what failed was not written down."""
    above = next((rail.above for rail in plan.guardrails if rail.event == "slow"), None)
    if above is None:
        return {}
    now = project.clock.now()
    with project.store.reading() as tx:
        share = observations.slow_share(tx, model, now - LEARN, now, above)
    return {"slow": min(1.0, 2 * share + LITTLE)}


def _dwell(release: Release, rules: ReleaseRules) -> float:
    """A rolling release is over when all workers have it."""
    if release.strategy == "rolling":
        return 0.0
    return spans.seconds(rules.probation if release.strategy == "blue-green" else rules.dwell)


def look_back(project: Project, model: str, now: datetime) -> Past:
    """What was seen of a model's traffic and labels in the last two weeks."""
    since = now - LEARN
    with project.store.reading() as tx:
        begun, requests = observations.requests(tx, model, since, now)
        slow = observations.latency_quantile(tx, model, since, now, 0.95)
    if begun is None:
        return Past()
    periods = labels.maturity(project, model, since, now)
    mature = [period for period in periods if period.mature] or [p for p in periods if p.labelled]
    total = sum(period.predictions for period in mature)
    labelled = sum(period.labelled for period in mature)
    delays = [period.late_delay for period in mature if period.late_delay is not None]
    scored = [(period.score, period.labelled) for period in mature if period.score is not None]
    score = sum(s * n for s, n in scored) / sum(n for _, n in scored) if scored else None
    return Past(
        requests=requests,
        seconds=max((now - begun).total_seconds(), BRIEFLY),
        labelled=labelled / total if total else 0.0,
        label_delay=max(delays) if delays else None,
        score=score,
        slow=slow,
    )


def deviations(plan: Plan, past: Past, run: Run | None) -> dict[str, float]:
    """The standard deviation between units that is expected of each measure."""
    found: dict[str, float] = {}
    for measure in plan.measures:
        if measure.name == "accuracy":
            share = (
                past.score if past.score is not None else (run.metrics.get("accuracy", 0.5) if run else 0.5)
            )
            found[measure.name] = max(0.1, (share * (1 - share)) ** 0.5)
        elif measure.name in ("mae", "mse", "value", "net_value"):
            # as wide as the mean itself, where nothing else is known
            known = past.score if measure.name == "mae" else None
            usual = run.metrics.get(measure.name) if run else None
            found[measure.name] = abs(known or usual or 0.0) or 10 * measure.margin
        else:
            found[measure.name] = 0.5 if measure.name.startswith("share:") else 0.25
    return found


def _measures(run: Run | None, rules: ReleaseRules, wishes: Wishes, past: Past) -> tuple[Measure, ...]:
    goal = wishes.goal or rules.goal
    asked = wishes.measures if wishes.measures is not None else rules.measures
    if asked is not None:
        for name in asked:
            _check_measure(name, run)
        return tuple(Measure(name, margin, goal) for name, margin in asked.items())
    regression = run is not None and run.task == "regression"
    found = []
    if past.labelled and not regression:
        found.append(Measure("accuracy", USUAL_MARGIN, goal))
    elif past.labelled and past.score:
        found.append(Measure("mae", USUAL_ERROR * past.score, goal))
    if run is not None and not regression:
        watched = run.classes[-1:] if len(run.classes) == 2 else run.classes[:MOST_CLASSES]
        found += [Measure(f"share:{name}", SHARE_MARGIN) for name in watched]
    return tuple(found)


def _check_measure(name: str, run: Run | None) -> None:
    task = run.task if run else "classification"
    fits = {
        "classification": ("accuracy", "brier", "net_value", "confidence"),
        "regression": ("mae", "mse", "value"),
    }[task]
    if name.startswith("share:") and run is not None and task == "classification":
        wanted = name.removeprefix("share:")
        if wanted in run.classes:
            return
        raise Invalid(f"There is no class '{wanted}'.", remedy=nearest(wanted, run.classes))
    if name not in fits:
        raise Invalid(f"'{name}' is no measure of a {task}.", remedy=nearest(name, (*fits, "share:CLASS")))
    if name == "net_value" and (run is None or run.recipe.business is None or positive_of(run) is None):
        raise Invalid(
            "net_value needs the money per outcome and a positive class.",
            remedy="Set 'business' and 'positive' in the model's settings, and train it with them.",
        )


def _guardrails(rules: ReleaseRules, past: Past, strategy: Strategy) -> tuple[Guardrail, ...]:
    """Without a control nobody knows how many inputs are refused usually. A shadow serves nobody: neither how
    long it takes nor what it crashes tells of serving."""
    found = []
    if rules.failed is not None:
        found.append(Guardrail("failed", rules.failed))
    if rules.refused is not None and strategy not in ("blue-green", "rolling"):
        found.append(Guardrail("refused", rules.refused))
    if strategy == "shadow":
        return tuple(found)
    above = rules.slow_above
    if above is None and past.slow is not None:
        above = float(f"{max(SLOWER * past.slow, past.slow + NOTICED):.3g}")
    if rules.slow is not None and above is not None:
        found.append(Guardrail("slow", rules.slow, above))
    return (*found, Guardrail("crash"))


def _check(plan: Plan, wishes: Wishes) -> None:
    for measure in plan.measures:
        if not measure.margin > 0:
            raise Invalid(
                f"The margin of {measure.name} is {measure.margin:g}.",
                remedy="Give one above 0, as accuracy=0.01.",
            )
        if find_measure(measure.name).bounded and measure.margin >= 1:
            raise Invalid(
                f"The margin of {measure.name} is {measure.margin:g}, and it lies between 0 and 1: nothing "
                "could be harm.",
                remedy="Give one below 1, as accuracy=0.01.",
            )
    shares = [weight / BUCKETS for weight in plan.steps]
    if shares != sorted(set(shares)) or any(not 0 < share <= 0.5 for share in shares):
        raise Invalid(
            f"The steps {', '.join(f'{share:g}' for share in shares)} are no ramp.",
            remedy="Give shares that grow, above 0 and up to 0.5, such as 0.05,0.25,0.5.",
        )
    if wishes.size is not None and not plan.burn_in <= wishes.size <= LARGEST:
        raise Invalid(
            f"{wishes.size:,} units of an arm are agreed on.",
            remedy=f"Give {plan.burn_in:,} (release.burn_in) to {LARGEST:,} ('everloop release size').",
        )
    if wishes.size is not None and not plan.measures:
        raise Invalid(
            f"{wishes.size:,} units of an arm are agreed on, and no measure is compared.",
            remedy="Name one, as accuracy=0.01, or leave the size away.",
        )
    if not 0 < plan.alpha < 0.5:
        raise Invalid(f"alpha is {plan.alpha:g}.", remedy="Give one between 0 and 0.5, such as 0.05.")
    if plan.longest <= 0:
        raise Invalid("The longest time is 0.", remedy="Give one such as 14d.")
