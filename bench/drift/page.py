"""The page of results: the goals first, then every part beside its peers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from statistics import median
from typing import Any

from .goals import Lines, goals
from .jobs import OURS, STREAMS
from .showing import claims, delay, in_order, rate, score, seconds, share_of, tabled, thousand
from .words import ERRORS, ESTIMATED, FLIGHTS, FOUND, HARMLESS, HEAD, NOT_SHOWN, QUIET, SHOWN, SPEED
from .worlds import CHANGES


def page(lines: Lines) -> str:
    lines = [each for each in lines if each.found or each.error]
    parts = [HEAD.format(cores=os.cpu_count()), goals(lines), SHOWN]
    for part, words, table in (
        ("speed", SPEED, speed),
        ("quiet", QUIET, quiet),
        ("power", FOUND, power),
        ("harmless", HARMLESS, harmless),
        ("errors", ERRORS, errors),
        ("estimated", ESTIMATED, estimated),
        ("flights", FLIGHTS, flights),
    ):
        chosen = [each for each in lines if each.part == part]
        if chosen:
            parts += [words, table(chosen), _failed(chosen)]
    return "\n".join([*filter(None, parts), NOT_SHOWN])


def _failed(lines: Lines) -> str:
    rows = [f"- {each.tool}, {each.key}: {each.error}" for each in lines if each.error]
    return "\n".join([*rows, ""]) if rows else ""


# -- parts -------------------------------------------------------------------------------------------------


def speed(lines: Lines) -> str:
    merged: dict[str, dict[str, Any]] = {}
    for each in lines:
        merged.setdefault(each.tool, {}).update(each.found)
    mine = merged.get(OURS, {})
    rows = []
    for tool, found in merged.items():
        if "check" not in found or "build" not in found:
            continue
        same = found["usual"] == mine.get("usual") and tool != OURS
        times = f" ({found['check'] / mine['check']:,.0f}x)" if same else ""
        if "check_text" in found:
            times = f"; of plain text {seconds(found['check_text'])}"
        rows.append(
            [
                tool, f"{found['usual']:,} / {found['rows']:,}", seconds(found["build"]),
                seconds(found["check"]) + times, f"{found['stored'] / 1e3:,.0f} KB",
                f"{found['build_memory']:,.0f} MB", f"{found['check_memory']:,.0f} MB",
            ]
        )  # fmt: skip
    head = ("tool", "rows, reference / window", "build, CPU s", "check, CPU s", "keeps",
            "extra memory, build", "check")  # fmt: skip
    return tabled(head, rows)


def quiet(lines: Lines) -> str:
    keys, tools = in_order(each.key for each in lines), in_order(each.tool for each in lines)
    told = {(each.key, each.tool): each.found for each in lines if each.found}
    rows = [
        [tool, *(thousand(told[key, tool]) if (key, tool) in told else "" for key in keys)] for tool in tools
    ]
    return tabled(("tool", *keys), rows)


def power(lines: Lines) -> str:
    head: list[str] = ["change"]
    columns: list[Callable[[str], str]] = []
    for each in lines:
        if each.tool == OURS and each.found:
            found = each.found
            draws = found[CHANGES[0]]["draws"]
            for key, words in (
                ("alone", "alone"),
                ("first", "1st window"),
                ("second", "by the 2nd"),
                ("third", "by the 3rd"),
            ):
                head.append(f"{OURS}, {words} ({draws})")
                columns.append(lambda c, f=found, k=key: f"{f[c][k] / f[c]['draws']:.2f}")  # type: ignore[misc]
        elif each.found:
            head.append(f"{each.tool} ({each.found['draws']})")
            columns.append(lambda c, f=each.found: f"{f['found'][c] / f['draws']:.2f}")  # type: ignore[misc]
    return tabled(head, [[change, *(column(change) for column in columns)] for change in CHANGES])


def harmless(lines: Lines) -> str:
    return tabled(
        ("tool", "windows with an alarm"), [[each.tool, share_of(each.found)] for each in lines if each.found]
    )


def errors(lines: Lines) -> str:
    keys = [key for key in STREAMS if any(each.key == key for each in lines)]
    told = {(each.key, each.tool): each.found for each in lines if each.found}
    rows = []
    for tool in in_order(each.tool for each in lines):
        speeds = [found["speed"] for (_, name), found in told.items() if name == tool]
        row = [tool, f"{median(speeds) / 1e6:.2f}" if speeds else ""]
        for key in keys:
            found = told.get((key, tool))
            if found is None:
                row.append("")
            elif STREAMS[key]["share"] == STREAMS[key]["later"]:
                row.append(f"{rate(found):.2f}")
            else:
                seen = sum(each is not None for each in found["delays"])
                few = f" ({seen} of {len(found['delays'])})" if seen < len(found["delays"]) else ""
                row.append(f"{delay(found):,.0f}{few}; {rate(found):.2f}")
        rows.append(row)
    return tabled(("detector", "million labels per CPU s", *keys), rows)


def estimated(lines: Lines) -> str:
    rows = [row for each in lines for row in each.found.get("rows", [])]
    told = [
        [
            row["set"],
            row["metric"],
            str(row["windows"]),
            "-" if math.isnan(row["NannyML"]) else f"{row['NannyML']:.4f}",
            f"{row[OURS]:.4f}",
            f"{row['held']:.2f}",
        ]
        for row in rows
    ]
    return tabled(("set", "metric", "windows", "NannyML", OURS, "within our interval"), told)


def flights(lines: Lines) -> str:
    year = next((each.found for each in lines if each.tool == OURS and each.found), None)
    if year is None:
        return ""
    told = year["told"]
    alerts = {
        f"{OURS}: claims damage": claims(told),
        **{f"{OURS}: {name}": weeks for name, weeks in told.items()},
        **{f"{each.tool}: {each.key}": each.found["alarms"] for each in lines if "alarms" in each.found},
    }
    held = ", ".join(f"{each:.3f}" for each in year["held"])
    of_flights, of_days = year["errors"]
    return "\n".join(
        [
            f"ROC AUC of the reference's own eight weeks: {held}. Standard error of a watched week's, "
            f"median: {of_flights:.3f} where flights are independent, {of_days:.3f} where days are.\n",
            _weeks("ROC AUC", year["drops"], alerts),
            _weeks("log loss", year["losses"], alerts),
        ]
    )


def _weeks(metric: str, drops: list[bool], alerts: dict[str, list[bool]]) -> str:
    asked = {
        "always": [True] * len(drops),
        "never": [False] * len(drops),
        "the week before was a drop": [False, *drops[:-1]],
        **alerts,
    }
    rows = []
    for name, weeks in asked.items():
        found = score(weeks, drops)
        shares = [f"{found[key]:.2f}" for key in ("precision", "recall", "f1", "accuracy")]
        true = f"{found['true']:.0f}"
        rows.append([name, f"{true}/{sum(weeks)}", f"{true}/{sum(drops)}", *shares])
    head = (f"alerts, drops of {metric}", "true / alerts", "found / drops", "precision", "recall", "F1",
            "weeks told rightly")  # fmt: skip
    return tabled(head, rows)
