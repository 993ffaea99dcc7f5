"""What works beside the API: a worker, and the group that ``everloop up`` keeps."""

from __future__ import annotations

from pydantic import Field

from .section import Section


class Worker(Section):
    finish: float = Field(
        10.0, ge=0, description="Seconds a job under way has when the worker stops; then others take it."
    )
    hold: float = Field(
        120.0,
        ge=1,
        description="Seconds after which others take the job of a worker that died or is cut off.",
    )


class Up(Section):
    mlflow_host: str = Field("127.0.0.1", description="Where MLflow's pages are: they ask nobody's name.")
    mlflow_port: int = Field(5001, ge=0, le=65_535, description="Their port; 0 for none.")
