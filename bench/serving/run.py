"""Everloop's serving beside its peers, each in its own virtual environment, under the same load.

    python -m bench.serving                                     everything: about an hour and a half
    python -m bench.serving --quick                             one round of 1 s a point
    python -m bench.serving --only iris --peers fastapi,uvicorn --seconds 2
    python -m bench.serving --peers all --page bench/serving/RESULTS.md --json out.json
    python -m bench.serving --sklearn 1.7.2                     peers with one that is twice as fast for a row

Before a server is measured it must answer as scikit-learn does. All servers of a model are up at once and are
measured in turn, round after round, so that what disturbs one disturbs the others. wrk shares the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NoReturn

from bench.figures import show_figures

from . import load, ours
from .checks import CLIENTS, await_first_answer, check, connected
from .environments import SKLEARN, python_of
from .figures import WIDTH, Found, Row, Two, figures, show, show_two
from .held import can_hold, held
from .load import POINTS, Point
from .models import MODELS, TITLES, Model, make, read
from .processes import NotServing, Processes, clock
from .servers import SERVERS, Place, Server, free_port

PAGE = """# Serving, side by side

One run of `python -m bench.serving {arguments}`
on {cores} cores, which wrk shares. One worker each, a JSON request of one row unless it says otherwise,
{rounds} round(s) of {seconds} s a point, all servers of a model up at once and measured in turn; medians.
Every server first answered a hundred rows as scikit-learn does, sixteen clients at once. `everloop` is asked
by the Open Inference Protocol (V2) with validation, metrics and the prediction log on, `everloop /predict` by
its own; the peers serve with scikit-learn {sklearn}. `uvicorn` and `protocol` are bounds, which only
read the same bodies. CPU counts all processes of a server, PSS all of their memory. "NOT" is a goal that was
missed, "-" one that was not measured.
"""
SHARE = 0.25  # of a core
TITLE_TWO = f"""## Two workers, iris, c=16

One worker, what records for it and wrk keep both cores of this machine busy: little is left for a second one.
"Held" is the same with each worker held to {SHARE:g} of a core by the kernel: what a second worker brings
where there are cores for it."""
TWO = "everloop,fastapi-tuned,flask,uvicorn"


@dataclass(frozen=True)
class Plan:
    seconds: float
    warm: float
    rounds: int
    points: tuple[Point, ...]
    patience: float
    scratch: Path
    ours: Mapping[str, Model]
    peers: Mapping[str, Model]
    sklearn: str

    def model(self, server: Server, name: str) -> Model:
        return (self.ours if server.every else self.peers)[name]


@dataclass
class Up:
    """A server that answers rightly."""

    server: Server
    model: Model
    processes: Processes
    port: int
    start: float
    bodies: dict[str, dict[int, Path]]

    def load(self, call: str, point: Point, seconds: float) -> load.Load:
        url = f"http://127.0.0.1:{self.port}{self.server.calls[call].path_for(self.model)}"
        return load.run(url, self.bodies[call][point.rows], point, seconds, self.processes)


@contextmanager
def serving(server: Server, name: str, workers: int, plan: Plan) -> Iterator[Up]:
    """Start it, wait for its first right answer, check all of its answers; in the end stop it, whatever
    happens. Raises NotServing."""
    folder = Path(tempfile.mkdtemp(prefix=f"{server.name}-", dir=plan.scratch))
    model = plan.model(server, name)
    place = Place(folder, free_port(), model, tuple(plan.ours.values()), workers, plan.sklearn)
    try:
        command = server.command(place)
    except subprocess.CalledProcessError as error:
        said = str(error.stderr or error).strip().splitlines()
        raise NotServing(f"could not be set up: {said[-1] if said else error}") from error
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, **server.environment_for(place)}
    begun = clock()
    processes = Processes.begin(command, folder, folder / "log", environment)
    try:
        first = next(iter(server.calls.values()))
        start = await_first_answer(
            processes, begun, place.port, model, first, bound=server.bound, patience=plan.patience
        )
        bodies = {}
        for how, call in server.calls.items():
            bodies[how] = load.write_bodies(folder, model, call, server.row(how))
            if not server.bound:
                check(place.port, model, call)
        yield Up(server, model, processes, place.port, start, bodies)
    finally:
        _say(f"  {server.name}: stop")
        processes.stop()


def measure(name: str, servers: Sequence[Server], plan: Plan) -> Found:
    """All that stand each other at once, then each that disturbs by itself."""
    found = Found(name)
    together = [each for each in servers if not each.alone]
    for group in (together, *([each] for each in servers if each.alone)):
        with ExitStack() as stack:
            up = []
            for server in group:
                try:
                    up.append(stack.enter_context(serving(server, name, 1, plan)))
                    _say(f"  {server.name}: right answers {up[-1].start:.2f} s after its start")
                except NotServing as error:
                    found.left_out[server.name] = str(error)
                    _say(f"  {server.name}: LEFT OUT: {error}")
            rows = [
                (each, call, found.rows.setdefault(row, Row(row, each.start)))
                for each in up
                for call, row in zip(each.server.calls, each.server.rows, strict=True)
            ]
            _rounds(rows, plan)
            _memory(rows, plan)
    return found


def _rounds(rows: Sequence[tuple[Up, str, Row]], plan: Plan) -> None:
    for turn in range(plan.rounds):
        for point in plan.points:
            for up, call, row in (*rows[turn % len(rows) :], *rows[: turn % len(rows)]) if rows else ():
                try:
                    up.load(call, point, plan.warm)
                    taken = up.load(call, point, plan.seconds)
                except subprocess.CalledProcessError as error:
                    _say(f"  {row.name} {point.name}: {error.stderr or error.stdout}")
                    continue
                row.loads.setdefault(point.name, []).append(taken)
                _say(
                    f"  {up.model.name} {turn + 1}/{plan.rounds} {point.name:13} {row.name:18} "
                    f"{taken.rate:8.0f} req/s {taken.p50:8.2f} {taken.p99:8.1f} ms {taken.cpu:8.1f} us "
                    f"{taken.cores:.2f} cores, other {taken.other:.2f}, failed {taken.failed}"
                )


def _memory(rows: Sequence[tuple[Up, str, Row]], plan: Plan) -> None:
    for up, _, row in rows:
        if up.server.every:
            for each in plan.ours.values():
                if each.native == up.model.native:
                    check(up.port, each, next(iter(up.server.calls.values())))
        row.memory = up.processes.memory()
        with connected(up.port, CLIENTS):
            row.workers = up.processes.answering(up.port)


def measure_two(name: str, servers: Sequence[Server], plan: Plan) -> dict[str, Two]:
    """One worker and two, in turn; then with each of them held to SHARE of a core."""
    found = {}
    point = Point(16)
    for server in servers:
        rates: dict[int, list[load.Load]] = {1: [], 2: []}
        slow: dict[int, list[load.Load]] = {}
        try:
            with ExitStack() as stack:
                up = {n: stack.enter_context(serving(server, name, n, plan)) for n in rates}
                call = next(iter(server.calls))
                for _ in range(plan.rounds):
                    for workers, each in up.items():
                        each.load(call, point, plan.warm)
                        rates[workers].append(each.load(call, point, plan.seconds))
                if can_hold():
                    for workers, each in up.items():
                        with connected(each.port, CLIENTS):
                            answering = each.processes.answering(each.port)
                        with held(answering, SHARE):
                            each.load(call, point, plan.warm)
                            slow[workers] = [each.load(call, point, plan.seconds) for _ in range(plan.rounds)]
        except (NotServing, subprocess.CalledProcessError) as error:
            _say(f"  {server.name}, two workers: LEFT OUT: {error}")
            continue
        one, two = (median(each.rate for each in rates[n]) for n in rates)
        alone = [median(each.rate for each in slow[n]) for n in slow]
        found[server.name] = Two(one, two, median(each.cores for each in rates[2]), *alone)
        _say(f"  {server.name}: one worker {one:.0f}, two {two:.0f} req/s; held {alone}")
    return found


def _made_for_peers(folder: Path, sklearn: str) -> dict[str, Model]:
    """The same models fitted by another scikit-learn, which could not read ours."""
    command = [str(python_of("fastapi", sklearn)), "-m", "bench.serving.models", str(folder)]
    subprocess.run(command, check=True, cwd=ours.REPOSITORY)
    return {name: read(folder, name) for name in MODELS}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _chosen(names: str, known: Sequence[str], what: str) -> list[str]:
    if names in ("all", ""):
        return list(known) if names else []
    wanted = names.split(",")
    unknown = set(wanted) - set(known)
    if unknown:
        raise SystemExit(f"No {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    return [name for name in known if name in wanted]


def _interrupt(*_: object) -> NoReturn:
    """Once: another would leave processes behind."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__.splitlines()[0])
    names = ", ".join(each.name for each in SERVERS)
    parser.add_argument("--only", default="all", help=f"models: {', '.join(MODELS)} [all]")
    parser.add_argument("--peers", default="all", help=f"servers: {names} [all]")
    parser.add_argument("--without", default="", help="servers to leave out")
    parser.add_argument("--seconds", type=int, default=4, help="of one point in one round [4]")
    parser.add_argument("--warm", type=int, default=1, help="seconds of load before each point [1]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", default="all", help="such as c=1,c=16 [all]; 'c=16/32' has 32 rows")
    parser.add_argument("--two", default=TWO, help=f"servers also run with two workers, '' for none [{TWO}]")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s")
    parser.add_argument("--patience", type=float, default=90, help="seconds a server has to start [90]")
    parser.add_argument("--sklearn", default=SKLEARN, help=f"the peers' scikit-learn [ours: {SKLEARN}]")
    parser.add_argument("--scratch", type=Path, help="keep the servers' folders and logs here")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="a page with the figures, as RESULTS.md")
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    load.wrk()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _interrupt)
    wanted = _chosen(given.only, list(MODELS), "model")
    names = [each.name for each in SERVERS]
    without = _chosen(given.without, names, "server")
    servers = [
        each
        for each in SERVERS
        if each.name in _chosen(given.peers, names, "server") and each.name not in without
    ]
    by_name = {point.name.replace(", 32 rows", "/32"): point for point in POINTS}
    points = tuple(by_name[name] for name in _chosen(given.points, list(by_name), "point"))
    two_servers = [each for each in servers if each.name in _chosen(given.two, names, "server")]
    seconds, rounds = (1, 1) if given.quick else (given.seconds, given.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as temporary:
        scratch = (given.scratch or Path(temporary)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="models-", dir=scratch))
        own = {name: make(made / "ours", name) for name in MODELS}
        peers = own if given.sklearn == SKLEARN else _made_for_peers(made / "peers", given.sklearn)
        plan = Plan(seconds, given.warm, rounds, points, given.patience, scratch, own, peers, given.sklearn)
        found: dict[str, Found] = {}
        tables: list[str] = []
        for name in wanted:
            _say(TITLES[name])
            found[name] = measure(name, [each for each in servers if name in each.models], plan)
            tables.append(f"## {TITLES[name]}\n\n{show(found[name])}")
            print(f"{tables[-1]}\n", flush=True)
        _say("one worker and two")
        two = measure_two("iris", two_servers, plan)
    reached = figures(found, two)
    rest = f"{TITLE_TWO}\n\n{show_two(two)}\n\n" if two else ""
    rest += f"## Figures to reach\n\n```text\n{show_figures(reached, WIDTH)}\n```"
    print(rest)
    if given.page:
        arguments = " ".join(sys.argv[1:])
        page = PAGE.format(
            arguments=arguments, cores=os.cpu_count(), rounds=rounds, seconds=seconds, sklearn=given.sklearn
        )
        given.page.write_text("\n\n".join([page.rstrip(), *tables, rest]) + "\n", encoding="utf-8")
    if given.json:
        document = {
            "models": {name: asdict(each) for name, each in found.items()},
            "two": {name: asdict(each) for name, each in two.items()},
            "figures": [{**asdict(each), "verdict": each.verdict} for each in reached],
        }
        given.json.write_text(json.dumps(document, indent=1))
