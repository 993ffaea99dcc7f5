"""The report's figures as Plotly's JSON (``data`` and ``layout``), built from plain dicts.

Colours: blue is what served, grey the first version, green promoted, orange refused, red stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from everloop.core.decisions import Comparison
from everloop.flows.report import Point, Report

Figure = dict[str, Any]

BLUE, GREY, GREEN, ORANGE, RED = "#1f5fa8", "#8a94a0", "#2e7d4f", "#d9822b", "#c0392b"
MOST_FEATURES = 14
_STRONG_SHIFT = 1.0
DATES = [  # the year only where it changes; days only where the ticks are closer than months
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S\n%-d %b %Y"},
    {"dtickrange": [60_000, 86_400_000 / 2], "value": "%H:%M\n%-d %b %Y"},
    {"dtickrange": [86_400_000 / 2, 86_400_000 * 14], "value": "%-d %b\n%Y"},
    {"dtickrange": [86_400_000 * 14, "M11"], "value": "%b\n%Y"},
    {"dtickrange": ["M11", None], "value": "%Y"},
]


def name_of(metric: str) -> str:
    return {"roc_auc": "ROC AUC", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}.get(
        metric, metric.replace("_", " ")
    )


def direction(report: Report) -> str:
    return "lower is better" if report.lower_is_better else "higher is better"


def performance(report: Report) -> Figure:
    """What served, turn by turn, on the rows that had just come, with what the loop did about it."""
    shown = [p for p in report.points if report.metric in p.metrics]
    name = name_of(report.metric)
    traces = [
        _line(
            "first version, never retrained",
            [(place(report, p), p.first[report.metric]) for p in report.compared],
            GREY,
            dash="dot",
        ),
        _line("what served", [(place(report, p), p.metrics[report.metric]) for p in shown], BLUE),
        _marks(report, shown, "retrained, promoted", GREEN, "triangle-up", lambda p: p.promoted),
        _marks(
            report, shown, "retrained, not promoted", ORANGE, "x", lambda p: bool(p.run_id) and not p.promoted
        ),
        _marks(report, shown, "stopped by its contract", RED, "square", lambda p: p.status == "stopped"),
    ]
    layout = _layout(f"{name} ({direction(report)})", report)
    if report.limit is not None:
        traces.append(_limit(report, shown))
    if any("base_rate" in p.metrics for p in shown):
        traces.append(_base_rate(report, shown))
        layout["yaxis"]["domain"] = [0.26, 1]
        layout["xaxis"]["anchor"] = "y2"
        layout["yaxis2"] = {"domain": [0, 0.19], "tickformat": ".0%", "rangemode": "tozero", "nticks": 3,
                            "automargin": True, "gridcolor": "#e6e9ed"}  # fmt: skip
        layout |= {"height": 460}
    return {"data": [t for t in traces if t["x"]], "layout": layout}


def gains(report: Report) -> Figure:
    """What retraining brought: the serving version against the first one, on the same rows."""
    x = [place(report, p) for p in report.compared]
    y = [report.gain(p) for p in report.compared]
    bars = {
        "type": "bar",
        "x": x,
        "y": y,
        "marker": {"color": [GREEN if gain >= 0 else RED for gain in y]},
        "hovertemplate": "%{x}<br>%{y:+.4f}<extra></extra>",
    }
    layout = _layout(f"gain in {name_of(report.metric)}", report)
    layout["yaxis"]["zeroline"] = True
    return {"data": [bars], "layout": {**layout, "showlegend": False, "height": 260}}


def drift(report: Report) -> Figure:
    """How far each feature lay from the champion's training data: the ones that moved most, at the top."""
    shown = [p for p in report.points if p.drift is not None]
    total: dict[str, float] = {}
    for point in shown:
        for feature, shift in point.drift.shifts.items() if point.drift else ():
            total[feature] = total.get(feature, 0.0) + shift
    names = sorted(total, key=lambda name: total[name])[-MOST_FEATURES:]
    rows = [[p.drift.shifts.get(name) if p.drift else None for p in shown] for name in names]
    heat = {
        "type": "heatmap",
        "x": [place(report, p) for p in shown],
        "y": names,
        "z": rows,
        "zmin": 0,
        "zmax": _STRONG_SHIFT,
        "colorscale": [[0, "#f4f6f8"], [0.3, "#c9dcef"], [0.6, "#f0b775"], [1, RED]],
        "colorbar": {"title": {"text": "shift", "side": "right"}, "thickness": 10, "tickvals": [0, 0.5, 1],
                     "ticktext": ["0", "0.5", "≥ 1"]},
        "hovertemplate": "%{y}<br>%{x}<br>shift %{z:.3f}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }  # fmt: skip
    layout = _layout("", report)
    layout["yaxis"] = {"automargin": True, "tickfont": {"size": 11}}
    layout["xaxis"] |= {"nticks": 6, "tickangle": 0}
    return {"data": [heat], "layout": {**layout, "height": 90 + 24 * len(names), "showlegend": False}}


def gate(report: Report) -> Figure:
    """Each challenger's improvement over the champion with its confidence interval."""
    judged = [p for p in report.points if p.verdict and p.verdict.comparison]
    traces = [
        _intervals("promoted", GREEN, [p for p in judged if p.promoted]),
        _intervals("not promoted", ORANGE, [p for p in judged if not p.promoted]),
    ]
    layout = _layout("", report)
    metric = judged[0].verdict.comparison.metric if judged else report.metric  # type: ignore[union-attr]
    layout["xaxis"] = {
        "title": {"text": f"improvement in {name_of(metric)}"},
        "automargin": True,
        "zeroline": True,
        "zerolinecolor": "#444",
        "gridcolor": "#e6e9ed",
    }
    order = [p.registered for p in reversed(judged)]
    layout["yaxis"] = {
        "automargin": True,
        "type": "category",
        "categoryorder": "array",
        "categoryarray": order,
    }
    return {"data": [t for t in traces if t["x"]], "layout": {**layout, "height": 120 + 26 * len(judged)}}


def rows(report: Report) -> Figure:
    """Rows of each data version and the share of values that are missing."""
    x = [place(report, p) for p in report.points]
    bars = {
        "type": "bar",
        "name": "rows",
        "x": x,
        "y": [p.data.rows for p in report.points],
        "marker": {"color": "#c9dcef"},
        "hovertemplate": "%{x}<br>%{y:,} rows<extra></extra>",
    }
    line = {
        **_line("missing values", [(place(report, p), missing_share(p)) for p in report.points], RED),
        "yaxis": "y2",
    }
    layout = _layout("rows", report)
    layout["yaxis"]["rangemode"] = "tozero"
    layout["yaxis2"] = {"overlaying": "y", "side": "right", "tickformat": ".1%", "rangemode": "tozero",
                        "showgrid": False, "automargin": True}  # fmt: skip
    return {"data": [bars, line], "layout": {**layout, "height": 260}}


def missing_share(point: Point) -> float:
    """Of all values of the data version."""
    values = sum(s.count + s.missing for s in point.data.statistics.values())
    return sum(s.missing for s in point.data.statistics.values()) / values if values else 0.0


def place(report: Report, point: Point) -> str | int:
    """Where a turn stands on the axis: the newest time in its data, or its number."""
    if all(p.until is not None for p in report.points) and point.until is not None:
        return point.until.strftime("%Y-%m-%d")
    return point.number + 1


def _line(name: str, points: list[tuple[str | int, float]], colour: str, dash: str = "solid") -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": "%{x}<br>%{y:.4f}",
    }


def _marks(
    report: Report, shown: list[Point], name: str, colour: str, symbol: str, chosen: Callable[[Point], bool]
) -> Figure:
    found = [p for p in shown if chosen(p)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [place(report, p) for p in found],
        "y": [p.metrics[report.metric] for p in found],
        "text": [p.registered or p.status for p in found],
        "marker": {"color": colour, "symbol": symbol, "size": 11, "line": {"color": "white", "width": 1}},
        "hovertemplate": "%{text}<br>%{x}",
    }


def _base_rate(report: Report, shown: list[Point]) -> Figure:
    """How often the target was true in each turn: what the model could not help."""
    found = [p for p in shown if "base_rate" in p.metrics]
    return {
        "type": "bar",
        "name": f"share of {report.target}",
        "x": [place(report, p) for p in found],
        "y": [p.metrics["base_rate"] for p in found],
        "yaxis": "y2",
        "marker": {"color": "#c9dcef"},
        "hovertemplate": "%{x}<br>%{y:.1%}",
    }


def _limit(report: Report, shown: list[Point]) -> Figure:
    ends = [place(report, p) for p in (*shown[:1], *shown[-1:])]
    limit = report.limit or 0.0
    line = _line(f"limit ({limit:g})", [(x, limit) for x in ends], RED, dash="dash")
    return {**line, "line": {**line["line"], "width": 1}}


def _intervals(name: str, colour: str, points: list[Point]) -> Figure:
    comparisons: list[Comparison] = [
        p.verdict.comparison for p in points if p.verdict and p.verdict.comparison
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [c.improvement for c in comparisons],
        "y": [p.registered for p in points],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [c.high - c.improvement for c in comparisons],
            "arrayminus": [c.improvement - c.low for c in comparisons],
            "color": colour,
        },
        "marker": {"color": colour, "size": 8},
        "text": [p.verdict.reason if p.verdict else "" for p in points],
        "hovertemplate": "%{y}: %{x:+.4f}",
    }


def _layout(y_title: str, report: Report) -> Figure:
    dated = bool(report.points) and all(p.until is not None for p in report.points)
    return {
        "height": 360,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#24303c"},
        "legend": {"orientation": "h", "y": -0.14, "yanchor": "top"},
        "xaxis": {
            "type": "date" if dated else "category",
            "automargin": True,
            "gridcolor": "#e6e9ed",
            "title": {"text": "" if dated else "turn"},
            "tickformatstops": DATES,
        },
        "yaxis": {
            "title": {"text": y_title},
            "automargin": True,
            "gridcolor": "#e6e9ed",
            "zeroline": False,
        },
        "hovermode": "closest",
    }
