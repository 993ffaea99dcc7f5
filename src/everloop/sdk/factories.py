"""The objects of the Python API by function, for those who build them from configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .data import DataVersioner
from .deployment import ModelDeployment
from .drift import DriftDetector
from .monitor import ModelMonitor
from .monitoring import ModelMonitoring
from .pipeline import MLOpsPipeline
from .registry import ModelRegistry
from .tracker import ExperimentTracker
from .versioning import ModelVersioning


def create_mlops_pipeline(name: str, tenant_id: str | None = None, **options: Any) -> MLOpsPipeline:
    """``options`` as of MLOpsPipeline."""
    return MLOpsPipeline(name, tenant_id, **options)


def create_experiment_tracker(
    tracking_uri: str | None = None, tenant_id: str | None = None, **options: Any
) -> ExperimentTracker:
    """``options`` as of ExperimentTracker."""
    return ExperimentTracker(tracking_uri, tenant_id, **options)


def create_data_versioner(
    folder: str | Path | None = None, tenant_id: str | None = None, **options: Any
) -> DataVersioner:
    """``options`` as of DataVersioner."""
    return DataVersioner(folder, tenant_id=tenant_id, **options)


def create_model_monitor(
    folder: str | Path | None = None, tenant_id: str | None = None, **options: Any
) -> ModelMonitor:
    """``options`` as of ModelMonitor."""
    return ModelMonitor(folder, tenant_id=tenant_id, **options)


def create_model_registry(
    folder: str | Path | None = None, tenant_id: str | None = None, **options: Any
) -> ModelRegistry:
    """``options`` as of ModelRegistry."""
    return ModelRegistry(folder, tenant_id=tenant_id, **options)


def create_model_deployment(tenant_id: str | None = None, **options: Any) -> ModelDeployment:
    """``options`` as of ModelDeployment."""
    return ModelDeployment(tenant_id, **options)


def create_model_versioning(db: Any = None, tenant_id: str | None = None) -> ModelVersioning:
    """``db`` as of ModelVersioning."""
    return ModelVersioning(db, tenant_id)


def create_model_monitoring(tenant_id: str | None = None) -> ModelMonitoring:
    return ModelMonitoring(tenant_id)


def create_drift_detector(tenant_id: str | None = None) -> DriftDetector:
    return DriftDetector(tenant_id)
