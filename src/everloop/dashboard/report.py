"""A model's report: one HTML file that needs nothing else, on no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from everloop.flows.report import Point, Report

from . import figures, page
from .figures import direction, name_of

_PICTURES = {
    "importance": "What the model looks at",
    "confusion_matrix": "Right and wrong",
    "roc": "ROC curve",
    "calibration": "Are the probabilities right?",
    "value_curve": "What a decision is worth",
    "predicted_vs_actual": "Predicted and actual",
    "residuals": "Residuals",
}


def render(report: Report) -> str:
    """The report as a page of HTML: its script, styles and pictures are inside."""
    return page.render(
        "report.html",
        {"number": _number, "day": lambda at: at.strftime("%d %b %Y").lstrip("0")},
        name_of=name_of,
        report=report,
        points=report.points,
        champion=report.champion,
        story=tell(report),
        gain=gain_in_words(report),
        figures=_figures(report),
        pictures=_pictures(report.pictures),
        direction=direction(report),
        most=figures.MOST_FEATURES,
        missing_share=figures.missing_share,
        when=lambda point: when(report, point),
        did=did,
    )


def tell(report: Report) -> str:
    """What happened, in a sentence or three."""
    if not report.points:
        return "No turn has ended yet."
    trained = [p for p in report.points if p.run_id]
    promoted = [p for p in trained if p.promoted]
    stopped = [p for p in report.points if p.status == "stopped"]
    parts = [
        f"{_count(len(report.points), 'turn')} on {report.points[-1].data.rows:,} rows in the end: "
        f"{_count(len(trained), 'training')}, {_count(len(promoted), 'promotion')}, "
        f"{_count(len(trained) - len(promoted), 'challenger')} refused by the gate."
    ]
    if stopped:
        parts.append(f"{_count(len(stopped), 'turn')} stopped because the data broke their contract.")
    if report.champion:
        parts.append(f"Champion now: {report.model}@{report.champion.version.version}.")
    return " ".join(parts)


def gain_in_words(report: Report) -> list[str]:
    """Whether retraining paid, measured on the same rows: also when it did not."""
    own = [p for p in report.compared if p.served != _first_version(report)]
    if not own:
        return []
    gains = [report.gain(p) for p in own]
    served = sum(p.metrics[report.metric] for p in report.compared) / len(report.compared)
    first = sum(p.first[report.metric] for p in report.compared) / len(report.compared)
    better, worse = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    return [
        f"Mean {name_of(report.metric)} over {_count(len(report.compared), 'turn')} ({direction(report)}): "
        f"{served:.4f} for what served, {first:.4f} for the first version, had it never been replaced.",
        f"Where a later version served ({_count(len(own), 'turn')}), it did better in {better}"
        + (f" (by up to {max(gains):.3f})" if better else "")
        + f" and worse in {worse}"
        + (f" (by up to {-min(gains):.3f})." if worse else "."),
    ]


def did(point: Point) -> str:
    """What a turn did, in a word or two."""
    if point.status == "stopped":
        return "stopped"
    if point.promoted:
        return "promoted"
    if point.run_id:
        return "not promoted"
    return point.decision.action if point.decision else point.status


def _first_version(report: Report) -> str | None:
    return next((p.registered for p in report.points if p.registered), None)


def when(report: Report, point: Point) -> str:
    """A turn's place in time, in words."""
    where = figures.place(report, point)
    return f"turn {where}" if isinstance(where, int) else where


def _figures(report: Report) -> Mapping[str, figures.Figure]:
    """The ones that have something to show, by name."""
    drawn = {
        "performance": figures.performance(report),
        "gains": figures.gains(report),
        "drift": figures.drift(report),
        "gate": figures.gate(report),
        "rows": figures.rows(report),
    }
    return {name: figure for name, figure in drawn.items() if any(len(t["x"]) for t in figure["data"])}


def _pictures(pictures: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Title and data URL, in the order people look at them; unknown ones at the end."""
    known = [name for name in _PICTURES if name in pictures]
    known += [name for name in pictures if name not in _PICTURES]
    return [
        (
            _PICTURES.get(name, name.replace("_", " ")),
            f"data:image/png;base64,{b64encode(pictures[name]).decode()}",
        )
        for name in known
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
