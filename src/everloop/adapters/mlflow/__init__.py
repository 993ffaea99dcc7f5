"""MLflow, the ledger that others read: the one package that imports the ``mlflow`` library.

Its import costs seconds, so it is loaded in the courier's process, never while training. This module runs
before any other of the package and therefore is the place that settles how MLflow behaves in our processes.
"""

from __future__ import annotations

import os

BEHAVIOUR = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else a server starts ten processes, 1.2 GB
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # failures reach us as exceptions; MLflow would also print tracebacks
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_TRUNCATE_LONG_VALUES": "true",
}

for _name, _value in BEHAVIOUR.items():
    os.environ.setdefault(_name, _value)
