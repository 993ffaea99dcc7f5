"""Whether traces are wanted: OpenTelemetry's own environment variables say so."""

from __future__ import annotations

from .layers import environment

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_OFF = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}


def traces_wanted() -> bool:
    """Where they go, how, and how many is read from such variables by OpenTelemetry itself."""
    given = environment((*_ENDPOINTS, *_OFF))
    off = any(given.get(name, "").lower() == value for name, value in _OFF.items())
    return not off and any(given.get(name) for name in _ENDPOINTS)
