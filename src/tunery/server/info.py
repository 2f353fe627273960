"""
What a server says of itself: serverInfo for pages and people, healthz and readyz for who watches over it.

Knows the services; measures nothing that takes time.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery import __version__
from tunery.engine.catalog import available_memory
from tunery.errors import TuneryError
from tunery.server.auth import CallerOf
from tunery.server.parameters import described
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.server.wire.generation import MAX_CANDIDATES, MAX_TEXT_CHARACTERS
from tunery.server.wire.info import DefaultBaseOut, DeviceOut, HealthOut, LimitsOut, ServerInfoOut
from tunery.service.answering import MAX_WAITING
from tunery.service.creation import MAX_WAITING_TASKS
from tunery.service.database import tasks
from tunery.service.phases import RUNNING_PHASES
from tunery.types import MAX_DATASET_BYTES, MAX_OUTPUT_CHARACTERS, MAX_TEXT_INPUT_CHARACTERS, Phase

router = APIRouter(tags=["operation (extension)"])
health = APIRouter(tags=["operation (extension)"])

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
    "tunedModels.evaluate",
    "tunedModels.examine",
    "tunedModels.dataCurve",
    "inquiries.cancel",
    "tunedModels.examples",
    "prompts",
)


@router.get("/serverInfo", name="GetServerInfo", **described(ServerInfoOut))
def server_info(request: Request, caller: CallerOf) -> Response:
    """Say what this server is and offers; what it is busy with only to known callers."""
    services = services_of(request)
    modes = getattr(services.accounts, "sign_in_modes", ("token", "key"))
    out = ServerInfoOut(version=__version__, sign_in_modes=list(modes), features=list(FEATURES))
    if caller.user_id is None and not caller.has_key:
        return JsonReply(out.json_object())
    with services.library.database.reading() as connection:
        phases = tasks.tasks_by_phase(connection)
    base = services.catalog.resolve(services.catalog.default_base)
    more = out.model_copy(
        update={
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
    return JsonReply(more.json_object())


@health.get("/healthz", name="GetHealth", **described(HealthOut))
def healthz() -> Response:
    """Say that the server answers at all."""
    return JsonReply(HealthOut(status="ok").json_object())


@health.get("/readyz", name="GetReadiness", **described(HealthOut))
def readyz(request: Request) -> Response:
    """Say whether the server can work: 503 if the database, the worker or the answering process is gone."""
    services = services_of(request)
    parts = {
        "database": _database_answers(services),
        "worker": services.worker.is_alive,
        "answering": services.answering.is_ready(),
    }
    is_ready = all(parts.values())
    out = HealthOut(status="ok" if is_ready else "not ready", **parts)
    return JsonReply(out.json_object(), 200 if is_ready else 503)


def _database_answers(services: Services) -> bool:
    try:
        services.library.places_in_queue()
    except TuneryError:
        return False
    return True


_LIMITS = LimitsOut(
    request_bytes=MAX_DATASET_BYTES,
    text_input_characters=MAX_TEXT_INPUT_CHARACTERS,
    output_characters=MAX_OUTPUT_CHARACTERS,
    prompt_characters=MAX_TEXT_CHARACTERS,
    candidates=MAX_CANDIDATES,
    waiting_tasks=MAX_WAITING_TASKS,
    waiting_answers=MAX_WAITING,
)


def _device() -> DeviceOut:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return DeviceOut(
        kind="cpu",
        name=_processor(),
        cores=cores,
        memory_bytes=_memory(),
        free_memory_bytes=available_memory(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if names:
        return names[0]
    return platform.processor() or platform.machine()  # the first starts a process


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
