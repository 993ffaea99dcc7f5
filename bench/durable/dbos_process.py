"""One process of the trial in docs/decisions/0002: launch DBOS on SQLite, start a workflow or look on.

DBOS is no dependency of ours. In an environment that has it (``pip install dbos``), in an empty folder:

    python dbos_process.py A start & sleep 4; python dbos_process.py B look; cat trial.log

A runs a workflow of two steps, the first of 6 seconds. B only launches, as every command line call does.
"""

import sys
import time
from pathlib import Path

t0 = time.perf_counter()
from dbos import DBOS, SetWorkflowID  # noqa: E402 (its import is timed)

imported = time.perf_counter() - t0
who, start = sys.argv[1], sys.argv[2] == "start"
DBOS(
    config={
        "name": "trial",
        "system_database_url": "sqlite:///trial.sqlite",
        "executor_id": "cli",
        "application_version": "1",
        "run_admin_server": False,
    }
)


def note(text):
    with Path("trial.log").open("a") as log:
        log.write(f"{text} by {who}\n")


@DBOS.step()
def slow():
    note("slow begins")
    time.sleep(6)
    note("slow ends")
    return 1


@DBOS.step()
def after():
    note("after")
    return 2


@DBOS.workflow()
def turn():
    slow()
    after()


t0 = time.perf_counter()
DBOS.launch()
launched = time.perf_counter() - t0
print(who, f"import {imported:.2f} s, launch {launched:.2f} s", flush=True)
if start:
    with SetWorkflowID("turn-1"):
        h = DBOS.start_workflow(turn)
    h.get_result()
else:
    time.sleep(9)
DBOS.destroy()
