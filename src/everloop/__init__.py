"""Everloop: version, validate, decide, train, track, gate, promote, remember.

The names below load on first use, so ``import everloop`` costs nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from everloop.core import lazy

__version__ = "0.1.0"

# Pandera sets this where it is unset, and from then on Arrow drops the offsets of times without a word.
os.environ["PYARROW_IGNORE_TIMEZONE"] = ""

if TYPE_CHECKING:
    from everloop.core.errors import (
        AllMissing,
        Busy,
        Conflict,
        ConstantTarget,
        ContractFailed,
        Corrupt,
        DeploymentError,
        DriftDetectionError,
        DuplicateColumns,
        EmptyTable,
        ExperimentError,
        FileMissing,
        Invalid,
        InvalidSettings,
        MissingExtra,
        MLOpsError,
        MonitoringError,
        NotFound,
        Overtaken,
        Refused,
        StorageDenied,
        StorageFull,
        TimedOut,
        TooFewRows,
        Unavailable,
        UnknownColumn,
        UnknownModel,
        UnknownVersion,
        Unreadable,
        WrongType,
    )
    from everloop.sdk.data import DataVersioner
    from everloop.sdk.deployment import ModelDeployment
    from everloop.sdk.drift import DriftDetector
    from everloop.sdk.dvc import DVCManager
    from everloop.sdk.factories import (
        create_data_versioner,
        create_drift_detector,
        create_experiment_tracker,
        create_mlops_pipeline,
        create_model_deployment,
        create_model_monitor,
        create_model_monitoring,
        create_model_registry,
        create_model_versioning,
    )
    from everloop.sdk.looping import RetrainingLoop
    from everloop.sdk.monitor import ModelMonitor
    from everloop.sdk.monitoring import ModelMonitoring
    from everloop.sdk.pipeline import MLOpsPipeline
    from everloop.sdk.predictions import PredictionLog
    from everloop.sdk.registry import ModelRegistry
    from everloop.sdk.running import run_pipeline
    from everloop.sdk.sizing import ab_test_size
    from everloop.sdk.stages import PipelineStage, StageContext
    from everloop.sdk.tracker import ExperimentTracker
    from everloop.sdk.versioning import ModelVersioning

__all__ = [
    "AllMissing",
    "Busy",
    "Conflict",
    "ConstantTarget",
    "ContractFailed",
    "Corrupt",
    "DVCManager",
    "DataVersioner",
    "DeploymentError",
    "DriftDetectionError",
    "DriftDetector",
    "DuplicateColumns",
    "EmptyTable",
    "ExperimentError",
    "ExperimentTracker",
    "FileMissing",
    "Invalid",
    "InvalidSettings",
    "MLOpsError",
    "MLOpsPipeline",
    "MissingExtra",
    "ModelDeployment",
    "ModelMonitor",
    "ModelMonitoring",
    "ModelRegistry",
    "ModelVersioning",
    "MonitoringError",
    "NotFound",
    "Overtaken",
    "PipelineStage",
    "PredictionLog",
    "Refused",
    "RetrainingLoop",
    "StageContext",
    "StorageDenied",
    "StorageFull",
    "TimedOut",
    "TooFewRows",
    "Unavailable",
    "UnknownColumn",
    "UnknownModel",
    "UnknownVersion",
    "Unreadable",
    "WrongType",
    "__version__",
    "ab_test_size",
    "create_data_versioner",
    "create_drift_detector",
    "create_experiment_tracker",
    "create_mlops_pipeline",
    "create_model_deployment",
    "create_model_monitor",
    "create_model_monitoring",
    "create_model_registry",
    "create_model_versioning",
    "run_pipeline",
]

_SDK = {
    "DVCManager": "everloop.sdk.dvc",
    "DataVersioner": "everloop.sdk.data",
    "DriftDetector": "everloop.sdk.drift",
    "ExperimentTracker": "everloop.sdk.tracker",
    "MLOpsPipeline": "everloop.sdk.pipeline",
    "ModelDeployment": "everloop.sdk.deployment",
    "ModelMonitor": "everloop.sdk.monitor",
    "ModelMonitoring": "everloop.sdk.monitoring",
    "ModelRegistry": "everloop.sdk.registry",
    "ModelVersioning": "everloop.sdk.versioning",
    "PipelineStage": "everloop.sdk.stages",
    "PredictionLog": "everloop.sdk.predictions",
    "RetrainingLoop": "everloop.sdk.looping",
    "StageContext": "everloop.sdk.stages",
    "ab_test_size": "everloop.sdk.sizing",
    "create_data_versioner": "everloop.sdk.factories",
    "create_drift_detector": "everloop.sdk.factories",
    "create_experiment_tracker": "everloop.sdk.factories",
    "create_mlops_pipeline": "everloop.sdk.factories",
    "create_model_deployment": "everloop.sdk.factories",
    "create_model_monitor": "everloop.sdk.factories",
    "create_model_monitoring": "everloop.sdk.factories",
    "create_model_registry": "everloop.sdk.factories",
    "create_model_versioning": "everloop.sdk.factories",
    "run_pipeline": "everloop.sdk.running",
}
_ERRORS = {name: "everloop.core.errors" for name in __all__ if name not in {"__version__", *_SDK}}

__getattr__ = lazy.attributes(__name__, _ERRORS | _SDK)


def __dir__() -> list[str]:
    return __all__
