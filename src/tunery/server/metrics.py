"""
Figures of a running server as Prometheus reads them: requests, queue, tasks, answers, tokens, steps.

Labels are names of methods, status codes and phases only: never a prompt, a user or the id of a model. Only this
machine and administrators may read them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from tunery.errors import PermissionDenied
from tunery.server.auth import caller_of
from tunery.server.services import Services
from tunery.service.database import tasks as figures
from tunery.types import Phase, TuningSnapshot

router = APIRouter(tags=["operation (extension)"])

BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)  # seconds; a poll is in the first, an answer in the last
STEPS_IN_RATE = 20
STALE_SECONDS = 60.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Metrics:
    """What is counted in one server."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tunery_requests", "Requests answered.", ("method", "status"), registry=self.registry)
        self._seconds = Histogram(
            "tunery_request_seconds",
            "Time to the last byte of a reply.",
            ("method",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._differences = Counter(
            "tunery_prompt_differences",
            "Inputs of tuned models that differed from their examples.",
            ("kind",),
            registry=self.registry,
        )
        self.registry.register(_Now(services))

    def observe(self, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, str(status)).inc()
        self._seconds.labels(method).observe(seconds)

    def observe_prompt(self, kinds: Iterable[str]) -> None:
        """Count in what an input differed from the examples of its model."""
        for kind in kinds:
            self._differences.labels(kind).inc()


@router.get("/metrics", name="GetMetrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Return the figures in Prometheus' text form."""
    if not _is_from_here(request) and not caller_of(request).is_admin:
        raise PermissionDenied("Metrics are for this machine and for administrators.")
    counted: Metrics = request.app.state.metrics
    return Response(generate_latest(counted.registry), media_type=CONTENT_TYPE_LATEST)


def metrics_of(services: Services) -> Metrics:
    """Return the figures of a server that begins now."""
    return Metrics(services)


class _Now(Collector):
    """What is asked for when somebody looks."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        return []  # or registering would ask the database

    def collect(self) -> Iterator[Metric]:
        services = self._services
        with services.library.database.reading() as connection:
            phases, running = figures.tasks_by_phase(connection), figures.running_task(connection)
        tasks = GaugeMetricFamily("tunery_tasks", "Tuning tasks by phase.", labels=["phase"])
        for phase, count in phases.items():
            tasks.add_metric([phase], count)
        yield tasks
        curve = running.snapshots if running is not None else ()
        for name, text, value in (
            ("tunery_queue_length", "Tuning tasks that wait.", phases[Phase.QUEUED]),
            ("tunery_answers_waiting", "Requests that have not begun to be answered.", services.answering.waiting),
            ("tunery_answers_running", "Requests that are being answered.", services.answering.running),
            ("tunery_tuning_steps_per_second", "Steps of the task at work.", step_rate(curve, datetime.now(UTC))),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "tunery_generated_tokens", "Tokens of finished answers.", value=services.answering.generated_tokens
        )


def step_rate(curve: tuple[TuningSnapshot, ...], now: datetime) -> float:
    """Return steps per second of the last steps, 0 if there were none lately."""
    last = curve[-STEPS_IN_RATE:]
    if len(last) < 2 or (now - last[-1].compute_time).total_seconds() > STALE_SECONDS:
        return 0.0
    seconds = (last[-1].compute_time - last[0].compute_time).total_seconds()
    return (last[-1].step - last[0].step) / seconds if seconds > 0 else 0.0


def _is_from_here(request: Request) -> bool:
    """Say whether a request comes from this machine itself, not through a proxy on it."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
