"""OpenTelemetry traces: a span for each request, within the caller's trace (W3C ``traceparent``).

Only imported when traces are wanted, see ``settings.tracing``. Requests then all go the ASGI way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CLOSES_WITHIN = 3.0  # seconds
_QUIET = frozenset(("/health", "/ready", "/v2/health/live", "/v2/health/ready"))
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """An ASGI application around another, which may put a ``target`` (model and protocol) and a
    ``prediction_id`` into its scope."""

    def __init__(self, app: Application, version: str) -> None:
        self._app = app
        resource = Resource.create({"service.version": version})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "everloop"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("everloop", version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        with self._tracer.start_as_current_span(
            scope["method"], _context(scope), kind=SpanKind.SERVER, attributes=_asked(scope)
        ) as span:

            async def tell(event: dict[str, Any]) -> None:
                if event["type"] == "http.response.start":
                    _answered(span, scope, event)
                await send(event)

            await self._app(scope, receive, tell)

    def close(self) -> None:
        """Send what is left; what cannot be sent in a few seconds is lost. The provider would wait half a
        minute, and takes no other time."""
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSES_WITHIN)


def trace_id() -> str:
    """The id of the trace that is now, as ``traceparent`` has it; empty where there is none."""
    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else ""


def _context(scope: Scope) -> Context:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return _propagator.extract(headers)


def _asked(scope: Scope) -> dict[str, Any]:
    client = scope.get("client") or ("", 0)
    return {
        "http.request.method": scope["method"],
        "url.path": scope["path"][:200],
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
        "client.address": client[0],
    }


def _answered(span: Span, scope: Scope, event: dict[str, Any]) -> None:
    status = event["status"]
    span.set_attribute("http.response.status_code", status)
    for name, value in event["headers"]:
        if name == b"x-request-id":
            span.set_attribute("everloop.request_id", value.decode("latin-1"))
    target = scope.get("target")
    if target is not None:
        span.update_name(f"predict {target.model.name}")
        span.set_attribute("everloop.model", target.model.name)
        span.set_attribute("everloop.model.version", target.model.version)
        span.set_attribute("everloop.model.variant", target.model.variant)
        span.set_attribute("everloop.protocol", target.protocol)
    if prediction_id := scope.get("prediction_id"):
        span.set_attribute("everloop.prediction_id", prediction_id)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
