"""The tables, and the rows of "figures to reach", from what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.figures import Figure

from .load import POINTS, Load, Point, middle
from .servers import SERVERS

SIXTEEN, SIXTY_FOUR = Point(16), Point(64)
OURS = "everloop"
BOUND = "uvicorn"
WIDTH = 70  # of the names of figures


@dataclass
class Row:
    """One way to ask one server for one model. ``start`` in seconds, ``memory`` in MB by process, ``workers``
    those that hold the clients' connections; ``loads`` by the name of the point, one for each round."""

    name: str
    start: float
    memory: dict[int, float] = field(default_factory=dict)
    workers: tuple[int, ...] = ()
    loads: dict[str, list[Load]] = field(default_factory=dict)

    def at(self, point: Point) -> Load | None:
        loads = self.loads.get(point.name)
        return middle(loads) if loads else None

    @property
    def failed(self) -> int:
        return sum(each.failed for loads in self.loads.values() for each in loads)

    def worker_memory(self) -> float | None:
        """MB of the largest worker."""
        return max((self.memory[pid] for pid in self.workers if pid in self.memory), default=None)


@dataclass
class Found:
    """One model: what each row showed, and who was left out and why."""

    model: str
    rows: dict[str, Row] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Two:
    """Requests a second of one worker and of two, and how many cores the two kept busy; the same where each
    worker is held to a share of a core."""

    one: float
    two: float
    cores: float
    held_one: float | None = None
    held_two: float | None = None


def show(found: Found) -> str:
    """A Markdown table: medians of the rounds."""
    points = [point for point in POINTS if any(point.name in row.loads for row in found.rows.values())]
    heads = [f"{point.name}{' req/s (p50/p99 ms)' if point is points[0] else ''}" for point in points]
    heads += ["rounds c=16", "CPU us/req c=16", "cores", "PSS MB (largest worker)", "start s", "failed"]
    lines = ["| server | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in found.rows.values():
        cells = [row.name, *(_cell(row.at(point)) for point in points), *_costs(row)]
        lines.append("| " + " | ".join(cells) + " |")
    others = [each.other for row in found.rows.values() for loads in row.loads.values() for each in loads]
    if others:
        lines += [
            "",
            f"Other work on the machine: median {_median(others):.2f}, at most {max(others):.2f} cores.",
        ]
    lines += [f"\nLeft out: {name}: {' '.join(why.split())}" for name, why in found.left_out.items()]
    return "\n".join(lines)


def _cell(load: Load | None) -> str:
    return f"{load.rate:.0f} ({load.p50:.2f}/{load.p99:.1f})" if load else "-"


def _costs(row: Row) -> list[str]:
    load = row.at(SIXTEEN)
    rates = [each.rate for each in row.loads.get(SIXTEEN.name, ())]
    worker = row.worker_memory()
    memory = f"{sum(row.memory.values()):.0f}" + (f" ({worker:.0f})" if worker else "")
    return [
        f"{min(rates):.0f}–{max(rates):.0f}" if rates else "-",
        f"{load.cpu:.1f}" if load else "-",
        f"{load.cores:.2f}" if load else "-",
        memory,
        f"{row.start:.2f}",
        str(row.failed),
    ]


def _median(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2]


def show_two(two: Mapping[str, Two]) -> str:
    heads = ("server", "one worker", "two workers", "ratio", "cores of two", "held: one", "two", "ratio")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, each in two.items():
        cells = [
            name,
            f"{each.one:.0f}",
            f"{each.two:.0f}",
            f"{each.two / each.one:.2f}",
            f"{each.cores:.2f}",
        ]
        if each.held_one and each.held_two:
            cells += [f"{each.held_one:.0f}", f"{each.held_two:.0f}", f"{each.held_two / each.held_one:.2f}"]
        else:
            cells += ["-"] * 3
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(found: Mapping[str, Found], two: Mapping[str, Two]) -> list[Figure]:
    made = [figure for model in ("iris", "cancer", "mixed") for figure in _compiled(found.get(model), model)]
    return [*made, _native(found.get("native")), *_whole(found, two)]


COMPILED = {  # share of the bound, times FastAPI tuned by hand, times the best framework
    "iris": (0.5, 2.85, 11.0),
    "cancer": (0.5, None, 11.0),
    "mixed": (1 / 3, None, 18.0),
}


def _compiled(found: Found | None, model: str) -> Iterator[Figure]:
    share, by_hand, framework = COMPILED[model]
    ours = _rate(found, OURS, SIXTEEN)
    bound = _rate(found, BOUND, SIXTEEN)
    name = f"{model}, c=16: requests a second / uvicorn that does nothing"
    yield Figure(name, _ratio(ours, bound), share, 1.0, _pair(ours, bound), least=True)
    if by_hand:
        tuned = _rate(found, "fastapi-tuned", SIXTEEN)
        best = 2 * by_hand
        yield Figure(
            "the same / FastAPI tuned by hand",
            _ratio(ours, tuned),
            by_hand,
            best,
            _pair(ours, tuned),
            least=True,
        )
    peer, rate = _best(found, SIXTEEN, [each.name for each in SERVERS if each.framework])
    name = "the same / the best serving framework"
    of = f"{_pair(ours, rate)} {peer}".strip()
    yield Figure(name, _ratio(ours, rate), framework, 2 * framework, of, least=True)
    load = found.rows[OURS].at(SIXTEEN) if found and OURS in found.rows else None
    yield Figure("the same, p99", load.p99 if load else None, 10, 5, unit="ms")


def _native(found: Found | None) -> Figure:
    peer, rate = _best(found, SIXTY_FOUR, [each.name for each in SERVERS if each.batching])
    ours = _rate(found, OURS, SIXTY_FOUR)
    name = "native, c=64: requests a second / the best that batches"
    return Figure(name, _ratio(ours, rate), 3.0, 4.0, f"{_pair(ours, rate)} {peer}".strip(), least=True)


def _whole(found: Mapping[str, Found], two: Mapping[str, Two]) -> Iterator[Figure]:
    pair = two.get(OURS)
    name = "iris, c=16: two workers / one"
    of = f"{_pair(pair.two, pair.one)}, {pair.cores:.2f} cores" if pair else ""
    yield Figure(name, _ratio(pair.two, pair.one) if pair else None, 1.5, 1.8, of, least=True)
    alone = (pair.held_two, pair.held_one) if pair else (None, None)
    name = "the same, each held to a share of a core"
    yield Figure(name, _ratio(*alone), 1.5, 1.8, _pair(*alone), least=True)
    workers = [
        memory
        for model, each in found.items()
        if model != "native" and OURS in each.rows and (memory := each.rows[OURS].worker_memory())
    ]
    name = "memory (PSS) of a worker with three models"
    yield Figure(name, max(workers, default=None), 90, 60, unit="MB")
    starts = {model: each.rows[OURS].start for model, each in found.items() if OURS in each.rows}
    of = {"a model that is compiled": [*COMPILED], "one that scikit-learn serves": ["native"]}
    for what, models in of.items():
        slowest = max((starts[model] for model in models if model in starts), default=None)
        yield Figure(f"from start to the first right answer, {what}", slowest, 2, 1, unit="s")
    failed = [
        row.failed for each in found.values() for row in each.rows.values() if row.name.startswith(OURS)
    ]
    yield Figure("failed requests", sum(failed) if failed else None, 0, 0, kind="count")


def _rate(found: Found | None, row: str, point: Point) -> float | None:
    load = found.rows[row].at(point) if found and row in found.rows else None
    return load.rate if load else None


def _best(found: Found | None, point: Point, names: Sequence[str]) -> tuple[str, float | None]:
    rates = {name: rate for name in names if (rate := _rate(found, name, point))}
    best = max(rates, key=rates.__getitem__, default="")
    return best, rates.get(best)


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None


def _pair(ours: float | None, theirs: float | None) -> str:
    return f"{ours:.0f} / {theirs:.0f}" if ours and theirs else ""
