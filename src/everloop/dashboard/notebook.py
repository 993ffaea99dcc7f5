"""What a notebook shows of results: pieces of HTML without scripts. Names in them came from anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import escape

from everloop.core.monitoring import Alert, Damage, Result

from .figures import BLUE, ORANGE, RED

_COLOURS = {"critical": RED, "warning": ORANGE, "info": BLUE}
_MOST = 20  # values of a list
_LEFT = " style='text-align:left'"


def of_mapping(found: Mapping[str, Any]) -> str:
    """An answer as a table of its values; of results what fired."""
    results = [each for each in found.get("results", ()) if isinstance(each, Result)]
    hidden = ("results", "ranking", "alerts", "features") if results else ()
    rows = "".join(
        f"<tr><th{_LEFT}>{escape(str(name).replace('_', ' '))}</th><td{_LEFT}>{_cell(value)}</td></tr>"
        for name, value in found.items()
        if name not in hidden
    )
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    alerts = "".join(_alert(each) for each in found.get("alerts", ()) if isinstance(each, Alert))
    return f"<div>{table}{of_results(results, found.get('ranking', ())) if results else ''}{alerts}</div>"


def of_results(results: Sequence[Result], ranking: Sequence[Damage] = ()) -> str:
    """What fired first, then what could not be checked, and how many were quiet."""
    shown = [each for each in results if each.fired or each.unable]
    order = {"critical": 0, "warning": 1, "info": 2}
    shown.sort(key=lambda each: (each.unable, order[each.level]))
    fired = sum(each.fired for each in results)
    lines = [f"<p><b>{fired} of {len(results)}</b> things that were checked fired.</p>"]
    if shown:
        rows = "".join(_line(each) for each in shown)
        head = f"<tr><th>level</th><th>what</th><th{_LEFT}>found</th></tr>"
        lines.append(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")
    if ranking:
        rows = "".join(
            f"<tr><td>{escape(each.feature)}</td><td>{each.effect:.4g} ({each.low:.4g} to {each.high:.4g})"
            f"</td><td>{each.share:.0%}</td></tr>"
            for each in ranking
        )
        head = "<tr><th>feature</th><th>moves the answers by</th><th>share</th></tr>"
        lines.append(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")
    return f"<div>{''.join(lines)}</div>"


def _line(each: Result) -> str:
    level = f"<b style='color:{_COLOURS[each.level]}'>{each.level}</b>" if each.fired else "not checked"
    what = escape(f"{each.family} {each.subject}")
    return f"<tr><td>{level}</td><td>{what}</td><td{_LEFT}>{escape(each.message)}</td></tr>"


def _alert(alert: Alert) -> str:
    level = f"<b style='color:{_COLOURS[alert.level]}'>{alert.level}</b>"
    return f"<p>{escape(alert.status)} alert, {level}: {escape(alert.title)}</p>"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, (Mapping, list, tuple)) and not value):
        return "–"
    if isinstance(value, Mapping):
        return of_mapping(value)
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - _MOST} more" if len(value) > _MOST else ""
        return f"{', '.join(_cell(each) for each in value[:_MOST])}{more}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(escape(f"{value:.4g}" if isinstance(value, float) else str(value)))
