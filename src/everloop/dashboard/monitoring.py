"""The report of a version's monitors: one HTML file that needs nothing else, on no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from everloop.core.monitoring import Damage
from everloop.flows.monitoring.reporting import Course, MonitorReport, Point, effect
from everloop.flows.monitoring.shapes import Shape

from . import page
from .figures import BLUE, DATES, GREY, ORANGE, RED, Figure, name_of

_COLOURS = (BLUE, ORANGE, "#2e7d4f", "#8e4fa8", RED, "#2a8f98", "#a5841c", GREY)
_MOST_COURSES = 8
_MOST_METRICS = 3
_HIGHEST = 10.0  # effects are drawn up to there
_CLEAR = "rgba(0,0,0,0)"
_AXES = {"text": "length of the text", "duration": "hours", "time of day": "hour of the day"}
_LONGEST = 40  # characters of a level beside its bar
BADGES = {"critical": "stopped", "warning": "not", "info": ""}


def render(report: MonitorReport) -> str:
    """The report as a page of HTML: its script, styles and figures are inside."""
    return page.render(
        "monitoring.html",
        {
            "number": _number,
            "share": lambda value: f"{value:.1%}",
            "moment": lambda at: at.strftime("%-d %b %Y %H:%M"),
        },
        report=report,
        findings=report.findings,
        story=story(report),
        figures=figures(report),
        shapes=list(enumerate(report.shapes)),
        metrics=list(enumerate(_metrics(report))),
        name_of=name_of,
        badge=BADGES,
    )


def story(report: MonitorReport) -> str:
    """The newest window in a sentence or three."""
    checked = report.answers or report.labels
    if checked is None:
        return "No window was checked yet."
    fired = [each for each in report.findings if each.fired]
    newest = f"with {checked.rows:,} row{'' if checked.rows == 1 else 's'}"
    parts = [f"{report.windows} windows were checked, the newest {newest}."]
    if report.windows == 1:
        parts = [f"1 window was checked, {newest}."]
    if report.faults:
        names = ", ".join(dict.fromkeys(f"'{each.subject}'" for each in report.faults))
        parts.append(f"The feed of {names} is broken.")
    drifted = {each.subject for each in fired if each.family in ("data", "joint", "quality")}
    if drifted:
        count = len(drifted)
        parts.append(f"{count} {'thing' if count == 1 else 'things'} about its inputs changed.")
    if not fired:
        parts.append("Nothing fired in it.")
    harmed = [each for each in fired if each.family in ("performance", "concept", "estimated")]
    parts += [f"{each.message.rstrip('.')}." for each in harmed[:1]]
    opened = sum(each.status == "open" for each in report.alerts)
    if opened:
        parts.append(f"{opened} {'alert is' if opened == 1 else 'alerts are'} open.")
    return " ".join(parts)


def figures(report: MonitorReport) -> dict[str, Figure]:
    """By the place on the page, those that there is something to show of."""
    found = {f"shape-{number}": shape(each) for number, each in enumerate(report.shapes)}
    found |= {f"metric-{number}": metric(report, each) for number, each in enumerate(_metrics(report))}
    found["ranking"] = ranking(report.ranking)
    found["effects"] = effects(report, ("data", "quality", "joint"))
    found["answers"] = effects(report, ("prediction",))
    return {name: figure for name, figure in found.items() if figure["data"]}


def shape(shown: Shape) -> Figure:
    """How usual and how now."""
    data: list[Figure] = []
    for name, shares, colour, fill in (
        ("usual", shown.usual, GREY, "rgba(138,148,160,.45)"),
        ("now", shown.now, BLUE, "rgba(31,95,168,.45)"),
    ):
        if shown.names:
            bars = {"x": _labels(shown.names), "y": list(shares), "marker": {"color": colour}}
            data.append({"type": "bar", "name": name, **bars, "hovertemplate": "%{x}: %{y:.1%}"})
        else:
            data.append(_steps(name, shown, shares, colour, fill))
    layout = _layout("share of the rows")
    layout["yaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    layout["xaxis"] |= {"type": "date"} if shown.kind == "date" else {}
    layout["xaxis"] |= {"type": "category"} if shown.names else {}
    if shown.kind in _AXES:  # where the legend is else
        layout["xaxis"] |= {"title": {"text": _AXES[shown.kind]}}
        layout["legend"] |= {"y": 1.02, "yanchor": "bottom"}
    return {"data": data, "layout": layout | {"height": 250, "barmode": "group"}}


def _labels(names: Sequence[str]) -> list[str]:
    """Levels beside their bars: short, each of its own, and text for Plotly, which knows some tags."""
    short = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in names]
    alike = [f"{each} ({number})" if short.count(each) > 1 else each for number, each in enumerate(short, 1)]
    return [plain(each) for each in alike]


def plain(text: str) -> str:
    """Shown by Plotly as it stands."""
    return html.escape(text, quote=False)


def _steps(name: str, shown: Shape, shares: Sequence[float], colour: str, fill: str) -> Figure:
    ends: list[Any] = list(shown.ends)
    if shown.kind == "date":
        ends = [each * 1000 for each in ends]
    elif shown.kind in ("duration", "time of day"):
        ends = [each / 3600 for each in ends]
    y = [*shares, shares[-1]]
    line = {"color": colour, "width": 1.5, "shape": "hv"}
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": ends, "y": y, "line": line,
        "fill": "tozeroy", "fillcolor": fill, "hovertemplate": "from %{x:.4g}: %{y:.1%}",
    }  # fmt: skip


def ranking(ranked: Sequence[Damage]) -> Figure:
    """Features by what their drift does to the answers."""
    names = [plain(each.feature) for each in ranked]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [each.effect for each in ranked],
        "y": names,
        "marker": {"color": "#7fa9d6"},
        "error_x": {
            "type": "data", "symmetric": False, "color": "#5d6b79",
            "array": [each.high - each.effect for each in ranked],
            "arrayminus": [each.effect - each.low for each in ranked],
        },
        "customdata": [[each.share, each.moved] for each in ranked],
        "hovertemplate": "%{y}: %{x:.4f}, %{customdata[0]:.0%} of all, mean %{customdata[1]:+.4f}"
        "<extra></extra>",
    }  # fmt: skip
    layout = _layout("")
    layout["xaxis"] |= {"title": {"text": "mean distance of the answers"}}
    layout["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": names[::-1]}
    height = 90 + 30 * len(names)
    return {"data": [bars] if ranked else [], "layout": layout | {"height": height, "showlegend": False}}


def effects(report: MonitorReport, families: Sequence[str]) -> Figure:
    """Effects in floors over the windows: from 1 on they count. What went farthest is shown."""
    chosen = [each for each in report.courses if each.family in families and each.farthest > 0]
    chosen.sort(key=lambda each: -each.farthest)
    data = [_course(each, colour) for colour, each in zip(_COLOURS, chosen[:_MOST_COURSES], strict=False)]
    if data:
        points = [point for each in chosen[:_MOST_COURSES] for point in each.points]
        data.append(_across(points, 1, "the floor", RED))
    layout = _layout("effect in floors", dated=True)
    layout["yaxis"] |= {"rangemode": "tozero"}
    return {"data": data, "layout": layout}


def _course(course: Course, colour: str) -> Figure:
    sizes = [min(effect(each), _HIGHEST) for each in course.points]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(f"{course.subject} ({_words(course.statistic)})"),
        "x": [each.until.isoformat() for each in course.points],
        "y": sizes,
        "line": {"color": colour, "width": 1.5},
        "marker": {
            "color": colour,
            "size": [10 if each.fired else 4 for each in course.points],
            "symbol": ["diamond" if each.fired else "circle" for each in course.points],
        },
        "customdata": [[each.value, each.floor] for each in course.points],
        "hovertemplate": "%{customdata[0]:.4g}, floor %{customdata[1]:.4g}<br>%{x}",
    }


def metric(report: MonitorReport, name: str) -> Figure:
    """What labels showed, and what was expected before they came, each with its interval."""
    data: list[Figure] = []
    seen: list[Point] = []
    usual: list[Point] = []
    for family, words, colour, dash in (
        ("estimated", "estimated without labels", ORANGE, "dot"),
        ("performance", "from labels", BLUE, "solid"),
    ):
        points = _of_metric(report, family, name)
        seen += points
        usual = usual or points
        if points:
            data += _band(points, words, colour, dash)
    if usual and usual[-1].usual is not None:
        data.append(_across(seen, usual[-1].usual, "held out", GREY))
    return {"data": data, "layout": _layout(name_of(name), dated=True) | {"height": 280}}


def _across(points: Sequence[Point], height: float, name: str, colour: str) -> Figure:
    """A line from where the first window begins to where the last one ends, which also of one window is a
    line and makes the axis as long as the window."""
    ends = [min(each.since for each in points), max(each.until for each in points)]
    line = {"color": colour, "width": 1, "dash": "dash"}
    return {
        "type": "scatter", "mode": "lines", "x": [each.isoformat() for each in ends], "y": [height] * 2,
        "line": line, "name": name,
    }  # fmt: skip


def _band(points: Sequence[Point], words: str, colour: str, dash: str) -> list[Figure]:
    """A line with its interval around it; of one window, which has no width, a whisker."""
    x = [each.until.isoformat() for each in points]
    ends = [(each.low, each.high) for each in points]
    bare = {"type": "scatter", "mode": "lines", "x": x, "showlegend": False, "hoverinfo": "skip"}
    nothing = {"width": 0, "color": colour}
    return [
        {**bare, "y": [low for low, _ in ends], "line": nothing},
        {**bare, "y": [high for _, high in ends], "line": nothing, "fill": "tonexty",
         "fillcolor": f"{colour}26"},
        {
            "type": "scatter", "mode": "lines+markers", "name": words, "x": x,
            "y": [each.value for each in points],
            "line": {"color": colour, "width": 2, "dash": dash},
            "marker": {
                "color": [RED if each.fired else colour for each in points],
                "size": [11 if each.fired else 6 for each in points],
            },
            "customdata": [[low, high] for low, high in ends],
            **({"error_y": _whisker(points[0])} if len(points) == 1 else {}),
            "hovertemplate": "%{y:.4f} (%{customdata[0]:.4f} to %{customdata[1]:.4f})<br>%{x}",
        },
    ]  # fmt: skip


def _whisker(point: Point) -> Figure:
    if point.value is None or point.low is None or point.high is None:
        return {"visible": False}
    ends = {"array": [point.high - point.value], "arrayminus": [point.value - point.low]}
    return {"type": "data", "symmetric": False, "thickness": 1.5, **ends}


def _of_metric(report: MonitorReport, family: str, name: str) -> list[Point]:
    return [
        point
        for each in report.courses
        if (each.family, each.subject, each.statistic) == (family, "model", name)
        for point in each.points
    ]


def _metrics(report: MonitorReport) -> list[str]:
    names = [
        each.statistic
        for each in report.courses
        if each.family in ("performance", "estimated") and each.subject == "model"
        and any(point.low is not None for point in each.points)
    ]  # fmt: skip
    return list(dict.fromkeys(names))[:_MOST_METRICS]


def _words(statistic: str) -> str:
    return {"ks": "distribution", "tv": "levels"}.get(statistic, statistic.replace("_", " "))


def _layout(title: str, *, dated: bool = False) -> Figure:
    axis = {"automargin": True, "gridcolor": "rgba(128,140,152,.25)", "zeroline": False}
    return {
        "height": 340,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
        "xaxis": {**axis, **({"type": "date", "tickformatstops": DATES} if dated else {})},
        "yaxis": {**axis, "title": {"text": title}},
        "hovermode": "closest",
    }


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
