"""The worker of a task is killed or frozen, and another one continues."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
from sqlalchemy import select

from tests.engine.tiny_bases import make_folder
from tests.postgres import serving_postgres
from tunery.config import Shared
from tunery.engine.catalog import Catalog
from tunery.service.database.tables import tuning_tasks
from tunery.service.library import Library
from tunery.service.tuning import TuningRequest
from tunery.types import DataFacts, Hyperparameters, Phase, State, TunedModel, TuningExample

TAKEOVERS = 1  # of each kind
EPOCHS = 8


def takeover() -> None:
    """Print how long a task is without a worker after its worker was killed or frozen, and whether its end is right."""
    with serving_postgres(is_safe=True) as postgres, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shared = Shared(postgres.url(), (folder / "store").as_uri())
        base = make_folder(folder / "base", max_position_embeddings=512)
        homes = [folder / name for name in ("alone", "one", "two")]
        for home in homes:
            Catalog(home).add(str(base), "tiny")
        with Library.own(folder / "watcher", shared=shared) as library, ExitStack() as stack:
            workers = [stack.enter_context(_worker(home, shared)) for home in homes[1:]]
            whole = _tuned(library, homes[0], lambda *_: None)
            for number, kind in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "frozen")):
                for _ in range(TAKEOVERS):
                    seconds: list[float] = []
                    same = _tuned(library, homes[0], partial(_stop_worker, workers, number, seconds)) == whole
                    print(f"{kind}: another worker after {seconds[0]:.1f} s, same adapter: {same}", flush=True)
                    for worker, home in zip(workers, homes[1:], strict=True):
                        worker.send_signal(signal.SIGCONT)
                        if worker.poll() is not None:
                            workers[workers.index(worker)] = stack.enter_context(_worker(home, shared))


def _tuned(library: Library, home: Path, disturb: Callable[[Library, TunedModel], None]) -> str:
    """Have a model tuned, disturb it once, and return the digest of its weights."""
    rows = tuple(TuningExample(f"{n} and", f"{n + 1}") for n in range(200))
    digest = Catalog(home).digest("tiny")
    facts = DataFacts(len(rows), "numbers", "numbers")
    request = TuningRequest(
        "tiny", digest, facts, rows, Hyperparameters(epoch_count=EPOCHS).resolve(), display_name="n"
    )
    model = library.create(request)
    disturb(library, model)
    while not (model := library.find(model.id)).task.phase.is_final:
        time.sleep(0.1)
    assert model.state is State.ACTIVE, model.task.error_message
    return hashlib.sha256((library.adapter_folder(model) / "adapter_model.safetensors").read_bytes()).hexdigest()


def _stop_worker(
    workers: list[subprocess.Popen[bytes]], number: int, seconds: list[float], library: Library, model: TunedModel
) -> None:
    """Send a signal to the worker of a task in the middle of it, and wait for the next one."""
    while library.find(model.id).task.checkpoint_step == 0 or library.find(model.id).task.phase is not Phase.RUNNING:
        time.sleep(0.1)
    with library.database.reading() as connection:
        name = connection.scalar(select(tuning_tasks.c.worker).where(tuning_tasks.c.tuned_model_id == model.id))
    pid, begun = int(str(name).rpartition("(")[2].rstrip(")")), time.monotonic()
    stopped = next(worker for worker in workers if worker.pid == pid)
    for child in psutil.Process(pid).children(recursive=True):  # a frozen machine freezes all of them
        with suppress(psutil.NoSuchProcess):
            child.send_signal(number)
    stopped.send_signal(number)
    while library.find(model.id).task.claim_number == 1:
        time.sleep(0.05)
    seconds.append(time.monotonic() - begun)


@contextmanager
def _worker(home: Path, shared: Shared) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "TUNERY_HOME": str(home),
        "TUNERY_BASE": "tiny",
        "TUNERY_DATABASE_URL": str(shared.database_url),
        "TUNERY_STORE_URL": str(shared.store_url),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "tunery", "worker", "--no-evaluation"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGCONT)
        worker.terminate()
        worker.wait()
