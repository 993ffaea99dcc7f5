"""Monitoring on worlds made for scoring, beside Evidently, NannyML, alibi-detect, whylogs, scipy and River.

python -m bench.drift                                  all parts, an hour or two
python -m bench.drift --quick                          small, ours only, seconds
python -m bench.drift --only speed,quiet --tools 'everloop|NannyML'
python -m bench.drift --json out.json                  keep the numbers
python -m bench.drift --read one.json two.json --page bench/drift/RESULTS.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from . import jobs
from .jobs import Line
from .page import page

PARTS = ("speed", "quiet", "power", "harmless", "errors", "estimated", "flights")


def main(arguments: Sequence[str] | None = None) -> None:
    told = argparse.ArgumentParser(
        prog="python -m bench.drift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told.add_argument(
        "--quick", action="store_true", help="small, and everloop only unless --tools says more"
    )
    told.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    told.add_argument("--tools", help="with | between; all of them, if not said")
    told.add_argument("--workers", type=int, default=1, help="jobs at a time; 1 for speed")
    told.add_argument("--json", type=Path, help="write the numbers to this file")
    told.add_argument("--read", type=Path, nargs="+", help="numbers measured before, in place of a run")
    told.add_argument("--page", type=Path, help="write the tables to this file")
    asked = told.parse_args(arguments)
    lines = _read(asked.read) if asked.read else _measure(asked)
    shown = page(lines)
    print(shown)
    if asked.page:
        asked.page.write_text(shown + "\n")


def _measure(asked: argparse.Namespace) -> list[Line]:
    tools = asked.tools.split("|") if asked.tools else [jobs.OURS] if asked.quick else None
    chosen = [
        job
        for job in jobs.everything(asked.quick)
        if job.part in asked.only.split(",") and (tools is None or job.tool in tools)
    ]
    lines: list[Line] = []
    with ThreadPoolExecutor(asked.workers) as pool:
        for line in pool.map(jobs.run, chosen):
            lines.append(line)
            print(f"{line.took:6.1f} s  {line.part}: {line.key}: {line.tool} {line.error}", file=sys.stderr)
            if asked.json:
                asked.json.write_text(json.dumps([asdict(each) for each in lines], indent=1))
    return lines


def _read(files: Sequence[Path]) -> list[Line]:
    """The newest of each job, in the order of the jobs' parts."""
    lines = [Line(**each) for file in files for each in json.loads(file.read_text())]
    newest = {(each.part, each.key, each.tool): each for each in lines}
    return sorted(newest.values(), key=_place)


def _place(line: Line) -> tuple[int, int]:
    tools = (jobs.OURS, *jobs.DRIFT, *jobs.RIVER)
    return PARTS.index(line.part), tools.index(line.tool) if line.tool in tools else len(tools)
