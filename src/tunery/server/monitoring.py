"""
Monitoring for operators: a log line per request, serverInfo, healthz and readyz, and Prometheus metrics.

Log lines and metric labels contain only method names, status codes and phases, never a path, header, body, user or
model id, because these may contain keys and prompts. A user is logged as a hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO
from urllib.parse import urlsplit

from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tunery import __version__, config
from tunery.data.json_text import one_line
from tunery.engine.memory import available_memory, total_memory
from tunery.errors import PermissionDenied, TuneryError
from tunery.server.http import ApiRouter, JsonReply, Services, ServicesOf, services_of
from tunery.server.security import CallerOf, address_of, caller_of, is_loopback
from tunery.server.shares import Places
from tunery.server.wire.generation import MAX_CANDIDATES, MAX_TEXT_CHARACTERS
from tunery.server.wire.messages import Message
from tunery.service.answering import MAX_WAITING
from tunery.service.creation import MAX_WAITING_TASKS
from tunery.service.database import tasks
from tunery.service.tuning import ID_PATTERN, MAX_NAME_CHARACTERS, RUNNING_PHASES
from tunery.types import (
    MAX_DATASET_BYTES,
    MAX_OUTPUT_CHARACTERS,
    MAX_TEXT_INPUT_CHARACTERS,
    Caller,
    Hyperparameters,
    Phase,
    TuningSnapshot,
)

FORMATS = ("text", "json")
READINESS = Places("checks are running", size=4, line=256)
UNKNOWN = "unknown"  # a request without a route; its path may contain anything, so it is not logged

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = ("method", "status", "duration_ms", "user", "request_id")

_log = logging.getLogger("tunery.requests")


class RequestLog:
    """ASGI middleware that logs and counts requests."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, then log its reply."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        begin, status = time.monotonic(), 500

        async def send_named(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            seconds = time.monotonic() - begin
            method = str(getattr(scope.get("route"), "name", UNKNOWN))
            self._metrics.observe(method, status, seconds)
            values = (method, status, round(1000 * seconds, 1), _user_hash(scope), request_id)
            _log.info("%s %s in %s ms", *values[:3], extra=dict(zip(_FIELDS, values, strict=True)))


def _user_hash(scope: Scope) -> str | None:
    caller: Caller | None = scope.get("state", {}).get("caller")
    return None if caller is None or caller.user_id is None else user_hash(caller.user_id)


def user_hash(user_id: str) -> str:
    """Return the name of a user in logs."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]


def start_logging(form: str, stream: TextIO | None = None) -> None:
    """Log to standard error or a stream, as plain lines or as one JSON object per line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _PlainLines("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.INFO)
    root = logging.getLogger("tunery")
    for known in list(root.handlers):
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False


class _PlainLines(logging.Formatter):
    """Lines with the time in UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        fields = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        line |= fields or {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return one_line(json.dumps(line, ensure_ascii=False))


class DeviceOut(Message):
    """The device that computes; cores and memory are those of the machine."""

    kind: str
    name: str
    cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None


class LimitsOut(Message):
    """Limits above which a request is refused."""

    request_bytes: int
    text_input_characters: int
    output_characters: int
    prompt_characters: int
    candidates: int
    waiting_tasks: int
    waiting_answers: int
    display_name_characters: int
    id_pattern: Annotated[str, Field(description="Regular expression that the whole ID of a tuned model matches.")]


class TuningDefaultsOut(Message):
    """Settings of a tuning task that does not set them."""

    epoch_count: int
    batch_size: int
    learning_rate: float
    seed: int


class DefaultBaseOut(Message):
    """The base for which API names in old code stand."""

    name: str
    display_name: str
    description: str
    is_present: bool


class ServerInfoOut(Message):
    """A server; unknown callers see only the fields they need for signing in."""

    version: str
    sign_in_modes: list[str]
    features: list[str]
    address: Annotated[
        str | None, Field(description="The address at which other machines reach it, if it serves them.")
    ] = None
    tuning_defaults: TuningDefaultsOut
    device: DeviceOut | None = None
    limits: LimitsOut | None = None
    default_base: DefaultBaseOut | None = None
    queue_length: int | None = None
    running_tasks: int | None = None
    running_answers: int | None = None
    waiting_answers: int | None = None
    hourly_price: Annotated[str | None, Field(description="Not set: this server is free of charge.")] = None


class HealthOut(Message):
    """Whether the server and its parts work."""

    status: str
    database: bool | None = None
    worker: bool | None = None
    answering: bool | None = None


info_router = ApiRouter(tags=["operation (extension)"])
health_router = ApiRouter(tags=["operation (extension)"])
metrics_router = ApiRouter(tags=["operation (extension)"])

FEATURES = (
    "datasets.parse",
    "tunedModels.validateOnly",
    "tunedModels.log",
    "tunedModels.export",
    "tunedModels.card",
    "promptContract",
    "answerForms",
    "holdOut",
    "advice",
    "openai",
    "decisions",
    "tunedModels.evaluate",
    "tunedModels.examine",
    "tunedModels.dataCurve",
    "inquiries.cancel",
    "tunedModels.examples",
    "prompts",
    "bases",
)


@info_router.get("/serverInfo", name="GetServerInfo")
def server_info(services: ServicesOf, caller: CallerOf) -> ServerInfoOut:
    """Return what this server is and offers, and its load to known callers only."""
    out = ServerInfoOut(
        version=__version__, sign_in_modes=["token", "key"], features=list(FEATURES), tuning_defaults=_TUNING_DEFAULTS
    )
    if caller.user_id is None and not caller.has_key:
        return out
    with services.library.database.reading() as connection:
        phases = tasks.tasks_by_phase(connection)
    base = services.catalog.resolve(services.catalog.default_base)
    return out.model_copy(
        update={
            "address": None if is_loopback(urlsplit(services.address).hostname or "") else services.address,
            "device": _device(),
            "limits": _LIMITS,
            "default_base": DefaultBaseOut(
                name=f"models/{base.name}",
                display_name=base.display_name,
                description=base.description,
                is_present=base.is_present,
            ),
            "queue_length": phases[Phase.QUEUED],
            "running_tasks": sum(phases[phase] for phase in RUNNING_PHASES),
            "running_answers": services.answering.running,
            "waiting_answers": services.answering.waiting,
        }
    )


@health_router.get("/healthz", name="GetHealth")
async def healthz() -> HealthOut:  # async, so that it does not have to wait for a thread
    """Return ok if the server answers at all."""
    return HealthOut(status="ok")


@health_router.get("/readyz", name="GetReadiness", responses={200: {"model": HealthOut}, 503: {"model": HealthOut}})
async def readyz(request: Request, services: ServicesOf) -> Response:
    """Check whether the server can work; 503 if the database, the worker or what answers is not available."""
    return await READINESS.run(address_of(request), partial(_readiness, services))


def _readiness(services: Services) -> Response:
    parts = {
        "database": _database_answers(services),
        "worker": services.worker is None or services.worker.is_alive,
        "answering": services.answering.is_ready(),
    }
    is_ready = all(parts.values())
    return JsonReply(HealthOut(status="ok" if is_ready else "not ready", **parts), 200 if is_ready else 503)


def _database_answers(services: Services) -> bool:
    try:
        services.library.places_in_queue()
    except TuneryError:
        return False
    return True


_TUNING_DEFAULTS = TuningDefaultsOut(
    epoch_count=Hyperparameters().epoch_count,
    batch_size=Hyperparameters().batch_size,
    learning_rate=Hyperparameters.DEFAULT_LEARNING_RATE,
    seed=0,
)
_LIMITS = LimitsOut(
    request_bytes=MAX_DATASET_BYTES,
    text_input_characters=MAX_TEXT_INPUT_CHARACTERS,
    output_characters=MAX_OUTPUT_CHARACTERS,
    prompt_characters=MAX_TEXT_CHARACTERS,
    candidates=MAX_CANDIDATES,
    waiting_tasks=MAX_WAITING_TASKS,
    waiting_answers=MAX_WAITING,
    display_name_characters=MAX_NAME_CHARACTERS,
    id_pattern=ID_PATTERN,
)


def _device() -> DeviceOut:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = config.device()
    return DeviceOut(
        kind=chosen.partition(":")[0],
        name=_processor() if chosen == "cpu" else chosen,
        cores=cores,
        memory_bytes=total_memory(),
        free_memory_bytes=available_memory(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if names:
        return names[0]
    return platform.processor() or platform.machine()  # platform.processor starts a process


BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)  # seconds, from a poll to a long answer
STEPS_IN_RATE = 20
STALE_SECONDS = 60.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Metrics:
    """The metrics of one server."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tunery_requests", "Requests answered.", ("method", "status"), registry=self.registry)
        self._seconds = Histogram(
            "tunery_request_seconds",
            "Seconds until the last byte of the reply.",
            ("method",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._differences = Counter(
            "tunery_prompt_differences",
            "Inputs to tuned models that differed from their examples.",
            ("kind",),
            registry=self.registry,
        )
        self.registry.register(_Now(services))

    def observe(self, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, str(status)).inc()
        self._seconds.labels(method).observe(seconds)

    def observe_prompt(self, kinds: Iterable[str]) -> None:
        """Count the differences of an input from the examples of its model."""
        for kind in kinds:
            self._differences.labels(kind).inc()


@metrics_router.get("/metrics", name="GetMetrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    if not _is_open_here(request) and not caller_of(request).is_admin:
        raise PermissionDenied(
            "Metrics need an administrator's token on a server with passwords or a public address, and from elsewhere."
        )
    counted: Metrics = request.app.state.metrics
    return Response(generate_latest(counted.registry), media_type=CONTENT_TYPE_LATEST)


class _Now(Collector):
    """Gauges that are evaluated when the metrics are requested."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        return []  # otherwise registering them would read the database

    def collect(self) -> Iterator[Metric]:
        services = self._services
        with services.library.database.reading() as connection:
            phases, running = tasks.tasks_by_phase(connection), tasks.running_task(connection)
        by_phase = GaugeMetricFamily("tunery_tasks", "Tuning tasks by phase.", labels=["phase"])
        for phase, count in phases.items():
            by_phase.add_metric([phase], count)
        yield by_phase
        curve = running.snapshots if running is not None else ()
        for name, text, value in (
            ("tunery_queue_length", "Tuning tasks in the queue.", phases[Phase.QUEUED]),
            ("tunery_answers_waiting", "Requests waiting for an answer.", services.answering.waiting),
            ("tunery_answers_running", "Requests being answered.", services.answering.running),
            ("tunery_tuning_steps_per_second", "Speed of the running task.", step_rate(curve, datetime.now(UTC))),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "tunery_generated_tokens", "Tokens of finished answers.", value=services.answering.generated_tokens
        )


def step_rate(curve: tuple[TuningSnapshot, ...], now: datetime) -> float:
    """Return steps per second over the last steps, 0 if the last one is more than a minute old."""
    last = curve[-STEPS_IN_RATE:]
    if len(last) < 2 or (now - last[-1].compute_time).total_seconds() > STALE_SECONDS:
        return 0.0
    seconds = (last[-1].compute_time - last[0].compute_time).total_seconds()
    return (last[-1].step - last[0].step) / seconds if seconds > 0 else 0.0


def _is_open_here(request: Request) -> bool:
    """
    Return whether a request needs no token, because it comes from this machine and the server is only for this machine.

    A proxy on this machine may not add a header, so a server with another address or with passwords trusts no address.
    """
    services = services_of(request)
    if not is_loopback(urlsplit(services.address).hostname or "") or services.accounts.users.have_passwords():
        return False
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.client.host)
