"""What the server did, for Prometheus and as JSON.

Labels are bounded: models, versions, protocols, status codes, the classes of a model, its fields.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from everloop.serving.counts import BATCH, LATENCY, Counts, Histogram

if TYPE_CHECKING:
    from .office import Office

OTHER = "…"  # classes beyond those that have a series of their own
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Host:
    """CPU, memory and disk of the machine and of the server's processes."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._cpu = psutil.cpu_percent()
        self._looked = office.project.clock.monotonic()

    def cpu_percent(self) -> float:
        """Since the last look, or before that one when it was only a moment ago."""
        now = self._office.project.clock.monotonic()
        if now - self._looked >= 1.0:
            self._cpu, self._looked = psutil.cpu_percent(), now
        return self._cpu

    def processes(self) -> list[tuple[str, psutil.Process]]:
        wanted = {
            "office": None,
            **{f"worker-{slot}": w.process.pid for slot, w in self._office.workers.items()},
        }
        found = []
        for name, pid in wanted.items():
            try:
                found.append((name, psutil.Process(pid)))
            except psutil.NoSuchProcess:
                continue
        return found

    def metrics(self) -> Iterator[Metric]:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._office.project.settings.root)
        load = psutil.cpu_times()
        cpu = CounterMetricFamily("everloop_host_cpu_seconds", "CPU time of the machine.", labels=["mode"])
        for mode in ("user", "system", "idle"):
            cpu.add_metric([mode], getattr(load, mode))
        yield cpu
        for name, help_, value in (
            ("everloop_host_memory_bytes", "Memory of the machine.", memory.total),
            ("everloop_host_memory_available_bytes", "Memory that is free to use.", memory.available),
            ("everloop_host_disk_bytes", "Size of the disk that holds the project.", disk.total),
            ("everloop_host_disk_free_bytes", "Free space on that disk.", disk.free),
        ):
            yield GaugeMetricFamily(name, help_, value=value)
        time_ = CounterMetricFamily(
            "everloop_process_cpu_seconds", "CPU time of a process.", labels=["process"]
        )
        size = GaugeMetricFamily("everloop_process_memory_bytes", "Resident memory.", labels=["process"])
        files = GaugeMetricFamily("everloop_process_open_files", "Open files.", labels=["process"])
        for name, process in self.processes():
            try:
                with process.oneshot():
                    spent = process.cpu_times()
                    time_.add_metric([name], spent.user + spent.system)
                    size.add_metric([name], process.memory_info().rss)
                    files.add_metric([name], process.num_fds())
            except psutil.Error:
                continue
        yield from (time_, size, files)

    def document(self) -> dict[str, Any]:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._office.project.settings.root)
        return {
            "cpu_percent": self.cpu_percent(),
            "memory_percent": memory.percent,
            "memory_available_bytes": memory.available,
            "disk_percent": round(100 * disk.used / disk.total, 1),
            "disk_free_bytes": disk.free,
        }


def text(office: Office, counts: Counts, host: Host, more: Iterable[Metric]) -> bytes:
    """All metrics in Prometheus' text form, with those of others."""
    registry = CollectorRegistry()
    registry.register(_Collected([*_serving(counts), *_recorded(office), *host.metrics(), *more]))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _serving(counts: Counts) -> Iterator[Metric]:
    named = ["model", "version", "variant", "protocol", "status"]
    requests = CounterMetricFamily("everloop_prediction_requests", "Requests for predictions.", labels=named)
    for key, n in counts.requests.items():
        requests.add_metric(list(key), n)
    rows = CounterMetricFamily(
        "everloop_predictions", "Predicted rows.", labels=["model", "version", "variant"]
    )
    for key, n in counts.rows.items():
        rows.add_metric(list(key), n)
    events = CounterMetricFamily(
        "everloop_serving_events",
        "Fallbacks, failures, predictions not logged.",
        labels=["event", "model", "version"],
    )
    for key, n in counts.events.items():
        events.add_metric(list(key), n)
    yield from (requests, rows, events)
    yield _histogram("everloop_prediction_latency_seconds", "Time in the server.", counts.latency, LATENCY)
    yield _histogram("everloop_prediction_batch_rows", "Rows of one run of a model.", counts.batch, BATCH)


def _histogram(name: str, help_: str, found: dict[str, Histogram], bounds: Iterable[float]) -> Metric:
    metric = HistogramMetricFamily(name, help_, labels=["model"])
    for model, one in found.items():
        total, buckets = 0, []
        for bound, n in zip([*map(str, bounds), "+Inf"], one.counts, strict=True):
            total += n
            buckets.append((bound, total))
        metric.add_metric([model], buckets, sum_value=one.total)
    return metric


def _recorded(office: Office) -> Iterator[Metric]:
    kept = office.recording
    yield CounterMetricFamily(
        "everloop_predictions_recorded", "Rows written to the database.", value=kept.rows
    )
    yield CounterMetricFamily("everloop_predictions_damaged", "Log lines that are none.", value=kept.damaged)
    yield GaugeMetricFamily(
        "everloop_prediction_log_backlog_bytes", "Waits for the database.", value=kept.backlog
    )
    workers = [one for one in office.workers.values() if one.ready.is_set() and not one.gone.is_set()]
    yield GaugeMetricFamily("everloop_workers_ready", "Workers that answer.", value=len(workers))
    yield CounterMetricFamily("everloop_worker_restarts", "Workers that died.", value=office.restarts)
    yield GaugeMetricFamily(
        "everloop_requests_in_flight",
        "Requests under way.",
        value=sum(w.now.get("in_flight", 0) for w in workers),
    )
    by_class = CounterMetricFamily(
        "everloop_predictions_by_class", "Predicted rows.", labels=["model", "prediction"]
    )
    named = ["model", "field"]
    seen = CounterMetricFamily("everloop_feature_values", "Values of a feature.", labels=named)
    missing = CounterMetricFamily("everloop_feature_missing", "Missing values of a feature.", labels=named)
    numbers = SummaryMetricFamily("everloop_feature_value", "A feature's numbers.", labels=named)
    squares = CounterMetricFamily("everloop_feature_squares", "Sum of their squares.", labels=named)
    for model, summary in kept.summaries.items():
        for level, n in summary.predictions.levels.items():
            by_class.add_metric([model, level], n)
        if summary.predictions.levels and summary.predictions.other:
            by_class.add_metric([model, OTHER], summary.predictions.other)
        for field, one in summary.fields.items():
            seen.add_metric([model, field], one.count)
            missing.add_metric([model, field], one.missing)
            if one.numbers:
                numbers.add_metric([model, field], one.numbers, one.total)
                squares.add_metric([model, field], one.squares)
    yield from (by_class, seen, missing, numbers, squares)
    yield _versions(office)


def _versions(office: Office) -> Metric:
    named = ["model", "version", "variant", "route"]
    metric = GaugeMetricFamily(
        "everloop_model_version_serves",
        "1: answers where no version is asked for; 0: is loaded.",
        labels=named,
    )
    for model in office.plan.models if office.plan else ():
        for one in model.versions:
            labels = [model.name, one.version, one.variant, one.form.route]
            metric.add_metric(labels, float(one.version == office.plans.serving(model)))
    return metric


def document(office: Office, counts: Counts, host: Host) -> dict[str, Any]:
    """The same in short, as JSON: ``request_count``, ``average_latency`` (seconds), ``model_usage`` …"""
    requests = sum(counts.requests.values())
    spent = sum(one.total for one in counts.latency.values())
    timed = sum(sum(one.counts) for one in counts.latency.values())
    errors = sum(n for key, n in counts.requests.items() if not key[4].startswith("2"))
    models: dict[str, Any] = {}
    for (model, version, _, protocol, status), n in counts.requests.items():
        if not model:  # refused before it came to one
            continue
        told = models.setdefault(
            model, {"requests": 0, "errors": 0, "versions": {}, "protocols": {}, "status": {}}
        )
        told["requests"] += n
        told["errors"] += 0 if status.startswith("2") else n
        for name, value in (("protocols", protocol), ("status", status)):
            told[name][value] = told[name].get(value, 0) + n
        told["versions"][version] = told["versions"].get(version, 0) + n
    for model, told in models.items():
        one = counts.latency.get(model) or Histogram(LATENCY)
        told["average_latency"] = one.total / max(told["requests"], 1)
        told["latency_quantiles"] = {str(q): one.quantile(q) for q in (0.5, 0.95, 0.99)}
    kept = office.recording
    return {
        "request_count": requests,
        "error_count": errors,
        "average_latency": spent / timed if timed else None,
        "model_usage": {model: told["requests"] for model, told in models.items()},
        "models": models,
        "predictions": sum(counts.rows.values()),
        "uptime_seconds": (office.project.clock.now() - office.started).total_seconds(),
        "log": {
            "recorded": kept.rows,
            "backlog_bytes": kept.backlog,
            "damaged": kept.damaged,
            "problem": kept.problem,
        },
        "workers": {
            "ready": sum(w.ready.is_set() and not w.gone.is_set() for w in office.workers.values()),
            "wanted": office.settings.workers,
            "restarts": office.restarts,
        },
        "host": host.document(),
    }
