"""What is done to a running ``everloop serve`` under load: ``python -m bench.serving.drills``.

Each drill returns figures and fails where something was lost. The short forms run as tests
(``tests/drills/test_serving_*.py``).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.drills import serving_changes, serving_faults
from tests.drills.serving_deeds import make_project

DRILLS = {
    "swaps": (serving_changes.swaps, 100),
    "restarts": (serving_changes.restarts, 20),
    "terms": (serving_changes.terms, 20),
    "killed_worker": (serving_faults.killed_worker, 5),
    "killed_office": (serving_faults.killed_office, 3),
    "killed_native": (serving_faults.killed_native, 3),
    "overload": (serving_faults.overload, 10),
    "full_disk": (serving_faults.full_disk, 3),
    "locked_database": (serving_faults.locked_database, 10),
    "start": (serving_changes.start, 5),
    "damaged_version": (lambda folder, _: serving_changes.damaged_version(folder), 1),
    "crash_loop": (lambda folder, _: serving_faults.crash_loop(folder), 1),
    "held_up_office": (lambda folder, _: serving_faults.held_up_office(folder), 1),
    "hung_worker": (lambda folder, _: serving_faults.hung_worker(folder), 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drills", nargs="*", choices=[[], *DRILLS], help="which [all]")
    parser.add_argument("--times", type=int, help="how often, of those that repeat something")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder) / "begin"
        make_project(begin)
        for name in given.drills or DRILLS:
            drill, times = DRILLS[name]
            place = Path(folder) / name
            shutil.copytree(begin, place)
            try:
                _tell(name, drill(place, given.times or times))
            except AssertionError as error:
                _tell(name, {"FAILED": str(error).partition("\n")[0]})


def _tell(name: str, figures: dict[str, Any]) -> None:
    told = ", ".join(
        f"{what} {value:.4g}" if isinstance(value, float) else f"{what} {value}"
        for what, value in figures.items()
    )
    print(f"{name}: {told}", flush=True)


if __name__ == "__main__":
    main()
