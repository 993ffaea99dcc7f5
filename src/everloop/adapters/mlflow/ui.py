"""MLflow's own server and pages, in this process, on the project's store."""

from __future__ import annotations

import os
import warnings
from importlib import import_module

import uvicorn

from everloop.adapters.group.places import Place, check
from everloop.adapters.mlflow.connection import Connection

GRACE = 5  # seconds that requests under way have when it stops


def serve(uri: str, artifact_root: str, host: str, port: int) -> None:
    """Show what is in an MLflow database until SIGTERM. ``artifact_root``: a folder or an s3:// address, for
    experiments that are made in the pages. Raises Conflict for a port in use, Unavailable for a database that
    does not answer."""
    check([Place("MLflow", host, port, "--mlflow-port 5002")])  # now: what comes takes seconds
    with Connection(uri, 10.0).talk():
        pass  # a database that is new is made whole here
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": artifact_root,
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    warnings.simplefilter("ignore")  # what MLflow says of its own libraries
    app = import_module("mlflow.server.fastapi_app").app  # it reads the lines above when it is imported
    config = uvicorn.Config(
        app, host=host, port=port, log_level="error", access_log=False, timeout_graceful_shutdown=GRACE
    )
    uvicorn.Server(config).run()
