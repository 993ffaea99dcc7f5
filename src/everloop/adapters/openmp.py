"""OpenMP, which scikit-learn's gradient boosting computes with: how its threads wait for each other.

By default they spin. On a machine that has something else to do too (the courier, a web server, another
training) they then keep each other from working: 60 rounds of boosting on 150,000 rows took 14 s of wall time
and 8 s of CPU on two busy cores, and 3 s and 1.6 s with threads that sleep while they wait.
"""

from __future__ import annotations

import os


def wait_patiently() -> None:
    """Let threads sleep while they wait, unless the environment says otherwise. Counts for libraries that are
    loaded later: it has to come before scikit-learn."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
