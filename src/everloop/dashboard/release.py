"""The report of a release: one HTML file that needs nothing else, on no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.core.releases import Interval, Release
from everloop.deployment.compared import find_measure
from everloop.flows.releases.showing import proven_words

from . import page
from .figures import BLUE, DATES, GREEN, GREY, ORANGE, RED, Figure

if TYPE_CHECKING:
    from everloop.flows.releases.results import Results, ShadowReport

_ARMS = (BLUE, ORANGE, GREEN, "#7b4fa8", RED)
_MOST = 24  # segments in a picture


def render(results: Results) -> str:
    """The report as a page of HTML: its script, styles and figures are inside."""
    return page.render(
        "release.html",
        {
            "number": _number,
            "moment": lambda at: at.strftime("%-d %b %Y %H:%M"),
            "words": lambda name: name.replace("_", " "),
            "proven": lambda interval: proven_words(results.release, interval),
        },
        results=results,
        release=results.release,
        shadow=results.shadow,
        look=results.look,
        measures=[
            (f"interval-{number}", find_measure(each.name).words)
            for number, each in enumerate(results.release.plan.measures)
        ],
        figures=figures(results),
        measure_words=find_measure(results.measure).words if results.measure else "",
        badge=_badge(results.release),
    )


def figures(results: Results) -> dict[str, Figure]:
    """By the place on the page, those that there is something to show of."""
    found = {
        f"interval-{number}": intervals(results, each.name)
        for number, each in enumerate(results.release.plan.measures)
    }
    found["split"] = split(results)
    found["segments"] = segments(results)
    if results.shadow is not None:
        found |= {
            "confusion": confusion(results.shadow),
            "slices": slices(results.shadow),
            "gaps": gaps(results.shadow),
        }
    return {name: figure for name, figure in found.items() if figure["data"]}


def intervals(results: Results, measure: str) -> Figure:
    """The difference to the control at each look, with the interval that holds at all looks at once."""
    arms: dict[str, list[tuple[str, Interval]]] = {}
    for point in results.course:
        for each in point.intervals:
            if each.measure == measure:
                arms.setdefault(each.arm, []).append((point.at.isoformat(), each))
    data: list[Figure] = []
    for colour, (arm, seen) in zip(_ARMS, arms.items(), strict=False):
        x, ends = [at for at, _ in seen], [each for _, each in seen]
        centre = _line(x, [each.difference for each in ends], colour, name=arm) | {
            "mode": "lines+markers",
            "marker": {"size": 4 if len(ends) > 1 else 9},
            "error_y": _ends(ends[0]) if len(ends) == 1 else {},
            "customdata": [[each.low, each.high, each.units] for each in ends],
            "hovertemplate": "%{y:+.4f} (%{customdata[0]:+.4f} to %{customdata[1]:+.4f}), "
            "%{customdata[2]:,} units<br>%{x}<extra></extra>",
        }
        data += [
            _line(x, [each.low for each in ends], colour, width=0, showlegend=False, hoverinfo="skip"),
            _line(x, [each.high for each in ends], colour, width=0, showlegend=False, hoverinfo="skip")
            | {"fill": "tonexty", "fillcolor": f"{colour}26"},
            centre,
        ]
    margins = [each for each in results.release.plan.measures if each.name == measure]
    if data and margins:
        data.append(_level(data[0]["x"], -margins[0].margin, RED, "the harm that is put up with"))
        data.append(_level(data[0]["x"], 0.0, GREY, "no difference"))
        if find_measure(measure).sign == 0:
            data.append(_level(data[0]["x"], margins[0].margin, RED, ""))
    against = "champion" if results.shadow else "control"
    return {"data": data, "layout": _layout(f"difference to the {against}", dated=True)}


def _ends(interval: Interval) -> Figure:
    up, down = interval.high - interval.difference, interval.difference - interval.low
    return {"type": "data", "symmetric": False, "array": [up], "arrayminus": [down]}


def split(results: Results) -> Figure:
    """Who answered what share, from each change to the next."""
    ends = [*results.split]
    if len({arm for each in ends for arm in each.shares}) < 2:
        return {"data": [], "layout": {}}
    last = results.release.finished_at or results.made_at
    names = sorted({arm for each in ends for arm in each.shares})
    x = [each.at.isoformat() for each in ends] + [last.isoformat()]
    data = [
        _line(x, [each.shares.get(name, 0.0) for each in (*ends, ends[-1])], colour, name=name)
        | {"line": {"shape": "hv", "width": 1, "color": colour}, "stackgroup": "all",
           "fillcolor": f"{colour}55", "hovertemplate": "%{y:.1%}"}
        for colour, name in zip((BLUE, GREY, ORANGE, GREEN, "#7b4fa8", RED) * 4, names, strict=False)
    ]  # fmt: skip
    layout = _layout("share of the requests", dated=True)
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
    return {"data": data, "layout": layout | {"height": 260}}


def segments(results: Results) -> Figure:
    """The difference in each segment, with its own interval."""
    shown = results.segments[:_MOST]
    several = len({each.arm for each in shown}) > 1
    names = [f"{each.field} = {each.value}{f' ({each.arm})' if several else ''}" for each in shown]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [each.difference for each in shown],
            "y": names,
            "customdata": [[each.rows, each.control_rows, each.candidate, each.control] for each in shown],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [each.high - each.difference for each in shown],
                "arrayminus": [each.difference - each.low for each in shown],
                "color": BLUE,
            },
            "marker": {"color": BLUE, "size": 8},
            "hovertemplate": "%{y}: %{x:+.4f}<br>%{customdata[2]:.4f} of %{customdata[0]:,} rows against "
            "%{customdata[3]:.4f} of %{customdata[1]:,}<extra></extra>",
        }
    ]
    return _listed(data if shown else [], names, "difference to the control")


def confusion(shadow: ShadowReport) -> Figure:
    """Champion's class by candidate's."""
    classes = sorted({*shadow.confusion, *(name for row in shadow.confusion.values() for name in row)})
    counts = [[shadow.confusion.get(old, {}).get(new, 0) for new in classes] for old in classes]
    shares = [[count / (sum(row) or 1) for count in row] for row in counts]
    data = {
        "type": "heatmap",
        "x": classes,
        "y": classes,
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "text": [[f"{count:,}" for count in row] for row in counts],
        "texttemplate": "%{text}",
        "colorscale": [[0, "#f4f6f8"], [1, "#7fa9d6"]],
        "showscale": False,
        "hovertemplate": "champion %{y}, candidate %{x}: %{text} (%{z:.1%})<extra></extra>",
    }
    layout = _layout("champion says")
    layout["xaxis"] |= {"title": {"text": "candidate says"}, "type": "category"}
    layout["yaxis"] |= {"type": "category", "autorange": "reversed"}
    height = 140 + 34 * len(classes)
    return {"data": [data] if classes else [], "layout": layout | {"height": height}}


def slices(shadow: ShadowReport) -> Figure:
    """Where both agree least, or for numbers lie farthest apart."""
    shown = shadow.slices[:_MOST]
    names = [f"{each.field} = {each.value}" for each in shown]
    by_gap = shadow.agreement is None
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [each.gap if by_gap else each.agreement for each in shown],
            "y": names,
            "customdata": [[each.rows] for each in shown],
            "marker": {"color": "#7fa9d6"},
            "hovertemplate": "%{y}: %{x:.4f} of %{customdata[0]:,} rows<extra></extra>",
        }
    ]
    figure = _listed(data if shown else [], names, "mean distance" if by_gap else "agreement")
    if not by_gap and shown:
        lowest = min(each.agreement or 0.0 for each in shown)
        figure["layout"]["xaxis"] |= {"range": [max(0.0, lowest - 0.1), 1.0], "tickformat": ".0%"}
    return figure


def gaps(shadow: ShadowReport) -> Figure:
    """How large a share of the answers lies how far apart, at most."""
    data = _line([round(each, 6) for each in shadow.gaps], [n / 100 for n in range(101)], BLUE)
    layout = _layout("share of the answers")
    layout["xaxis"] |= {"title": {"text": "distance of both answers, at most"}}
    layout["yaxis"] |= {"tickformat": ".0%"}
    return {"data": [data] if shadow.gaps else [], "layout": layout | {"height": 260, "showlegend": False}}


def _line(x: list[Any], y: list[float], colour: str, *, width: float = 2, **more: Any) -> Figure:
    line = {"color": colour, "width": width}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, **more}


def _level(x: list[Any], at: float, colour: str, name: str) -> Figure:
    ends = [x[0], x[-1]]
    return _line(ends, [at, at], colour, width=1, name=name, showlegend=bool(name), hoverinfo="skip") | {
        "line": {"color": colour, "width": 1, "dash": "dash"}
    }


def _listed(data: list[Figure], names: list[str], title: str) -> Figure:
    """One row for each name, the first at the top."""
    layout = _layout("")
    layout["xaxis"] |= {"title": {"text": title}, "zeroline": True, "zerolinecolor": "#444"}
    layout["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": names[::-1]}
    return {"data": data, "layout": layout | {"height": 110 + 26 * len(names), "showlegend": False}}


def _layout(title: str, *, dated: bool = False) -> Figure:
    axis = {"automargin": True, "gridcolor": "#e6e9ed", "zeroline": False}
    return {
        "height": 340,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#24303c"},
        "legend": {"orientation": "h", "y": -0.26, "yanchor": "top"},
        "xaxis": {**axis, **({"type": "date", "tickformatstops": DATES} if dated else {})},
        "yaxis": {**axis, "title": {"text": title}},
        "hovermode": "closest",
    }


def _badge(release: Release) -> str:
    return {"promoted": "promoted", "concluded": "promoted", "rolled_back": "stopped", "aborted": "not"}.get(
        release.status, "not" if release.status == "inconclusive" else ""
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
