"""
What a team's database and workers do: the figures of docs/scale.md.

    python -m benchmarks.scale control     # claims and ends a second with many tasks queued, SQLite and PostgreSQL
    python -m benchmarks.scale takeover    # the worker of a task is killed or frozen, and another one continues
    python -m benchmarks.scale router      # 20,000 questions for 400 adapters on four engines, of which one is lost
    python -m benchmarks.scale cache       # questions for a million adapters, of which a thousand have room

PostgreSQL comes from Debian's package and is started here, with fsync on; the store is a folder.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path

import psutil
from sqlalchemy import insert, select

from tests.engine.tiny_bases import make_folder
from tests.postgres import serving_postgres
from tests.service.samples import a_request
from tests.service.vllm_double import Double, Running, listening
from tunery.config import ALONE, Shared
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import Encoder
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import InvalidArgument, TuneryError
from tunery.files import open_published, publish
from tunery.service import store as store_module
from tunery.service.answering_child import Question
from tunery.service.database.models import _task_to_row
from tunery.service.database.tables import tuned_models, tuning_tasks
from tunery.service.library import Library
from tunery.service.store import Store
from tunery.service.tuning import TuningRequest
from tunery.types import DataFacts, Hyperparameters, Phase, State, TunedModel, TuningExample, Turn

QUEUED, USERS = 20_000, 50
SECONDS = 5.0
WORKERS = 3
QUESTIONS, AT_ONCE, ADAPTERS = 20_000, 32, 400
MILLION, SLOTS, CACHE_QUESTIONS = 1_000_000, 1_000, 12_000
TAKEOVERS = 1  # of each kind
EPOCHS = 8


def main() -> None:
    kinds: dict[str, Callable[[], None]] = {"control": control, "takeover": takeover, "router": router, "cache": cache}
    for name in sys.argv[1:] or list(kinds):
        kinds[name]()


def control() -> None:
    """Print claims and ends a second with many tasks queued."""
    with serving_postgres(is_safe=True) as postgres:
        for shared in (ALONE, Shared(postgres.url())):
            name = "SQLite" if shared is ALONE else "PostgreSQL"
            with tempfile.TemporaryDirectory() as folder, _libraries(Path(folder), shared) as libraries:
                _fill(libraries[0], QUEUED)
                times = _claim_and_end(libraries)
                rate = len(times) / SECONDS
                print(
                    f"{name}: {rate:.0f} claims and ends a second by {len(libraries)} workers with {QUEUED:,} queued by"
                    f" {USERS} users, median {statistics.median(times) * 1000:.1f} ms, p95"
                    f" {statistics.quantiles(times, n=20)[-1] * 1000:.1f} ms"
                )


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


def router() -> None:
    """
    Print how many answers were of a wrong adapter while one of four engines is lost in the middle.

    The engines are doubles that answer with a text in the adapter's own folder.
    """
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        Catalog(folder / "home").add(str(make_folder(folder / "base", max_position_embeddings=512)), "tiny")
        encoder = Encoder(Tokenizer.read(folder / "base"), 512)
        adapters = [_canary(folder / "adapters", number) for number in range(ADAPTERS)]
        doubles = [stack.enter_context(listening(_engine(encoder))) for _ in range(3)]
        with listening(_engine(encoder)) as lost:
            child = Running(folder / "home", [double.url for double in (*doubles, lost)])
            first = _asked(child, adapters, draw, QUESTIONS // 2)
            lost.fault = "cut"  # what it is answering breaks off
            second = _asked(child, adapters, draw, 4 * AT_ONCE)
        third = _asked(child, adapters, draw, QUESTIONS // 2)
    found = first + second + third
    loads = [len(double.loads) for double in (*doubles, lost)]
    print(f"{found.total():,} questions, {ADAPTERS} adapters, four engines, one lost: {dict(found)}; loads {loads}")


def cache() -> None:
    """
    Print how often an adapter is already here, beside an exact LRU cache, which drops the adapter used longest ago.

    The store is in memory; fetching, checking and trimming are the server's, with a short time of use.
    """
    draw = random.Random(0)
    weights = list(accumulate(1 / rank for rank in range(1, MILLION + 1)))
    wanted = draw.choices(range(MILLION), cum_weights=weights, k=CACHE_QUESTIONS)
    store_module.IN_USE_SECONDS = 0.2
    with tempfile.TemporaryDirectory() as place:
        models, source = Path(place) / "models", Path(place) / "source"
        digest = publish(source, _sample)
        size = store_module._size(source)
        store = Store("memory:///", cache_bytes=SLOTS * size)
        for number in set(wanted):
            store.put_folder(f"models/{number}/1", source)
        bytes_seen: list[int] = []

        def ask(number: int) -> bool:
            folder = models / str(number) / "1"
            is_fetched = store.fetch_folder(f"models/{number}/1", folder, digest)
            if is_fetched:
                store.note_added(folder, models)
            open_published(folder, digest)  # as a server does before it answers; fails if it was dropped meanwhile
            return not is_fetched

        hits = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(wanted), 500):
                hits += pool.map(ask, wanted[start : start + 500])
                bytes_seen.append(sum(store_module._size(path) for path in models.glob("*/1")))
    print(
        f"{len(hits):,} questions, Zipf 1.0 over {MILLION:,} adapters, room for {SLOTS:,}: after the first half"
        f" {_late(hits):.1%} were here, {_late(_lru_hits(wanted)):.1%} in an exact LRU cache; at most"
        f" {max(bytes_seen) / (SLOTS * size):.1%} of the bound, none dropped while it was used"
    )


def _sample(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def _late(hits: list[bool]) -> float:
    return statistics.mean(hits[len(hits) // 2 :])


def _lru_hits(wanted: list[int]) -> list[bool]:
    """Return for each question whether a cache that drops the adapter used longest ago would have had it."""
    kept: OrderedDict[int, None] = OrderedDict()
    hits = []
    for number in wanted:
        hits.append(number in kept)
        kept[number] = None
        kept.move_to_end(number)
        if len(kept) > SLOTS:
            kept.popitem(last=False)
    return hits


def _asked(child: Running, adapters: list[tuple[Path, str]], draw: random.Random, count: int) -> Counter[str]:
    """Ask for adapters, a few of them often, and count right, wrong and refused answers."""
    found: Counter[str] = Counter()
    weights = [1 / (rank + 1) for rank in range(len(adapters))]
    for _ in range(0, count, AT_ONCE):
        chosen = draw.choices(adapters, weights, k=AT_ONCE)
        questions = [Question("tiny", (Turn("user", "7"),), adapter=adapter) for adapter in chosen]
        for (path, _), answer in zip(chosen, child.ask(*questions), strict=True):
            is_refused = isinstance(answer, TuneryError)
            found["refused" if is_refused else "right" if answer == _canary_of(path) else "wrong"] += 1
    return found


def _engine(encoder: Encoder) -> Double:
    double = Double(encoder)
    double.answer = lambda path, *_: ([*encoder.tokenizer.encode(_canary_of(Path(str(path))))], "stop")
    return double


def _canary(folder: Path, number: int) -> tuple[Path, str]:
    def write(to: Path) -> None:
        (to / "adapter_config.json").write_text(f"adapter {number}")

    return folder / str(number), publish(folder / str(number), write)


def _canary_of(folder: Path) -> str:
    return (folder / "adapter_config.json").read_text()


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


@contextmanager
def _libraries(folder: Path, shared: Shared) -> Iterator[list[Library]]:
    with ExitStack() as stack:
        number = 1 if shared is ALONE else WORKERS
        yield [stack.enter_context(Library.own(folder / str(n), shared=shared)) for n in range(number)]


def _fill(library: Library, number: int) -> None:
    now = datetime.now(UTC)
    request = a_request()
    model = {"display_name": "x", "description": "", "base_model": "x", "base_digest": "x", "state": State.CREATING}
    model |= {"create_time": now, "update_time": now}
    task = _task_to_row(request, now)
    with library.database.writing() as connection:
        connection.execute(insert(tuned_models), [model | {"id": f"m-{n}"} for n in range(number)])
        rows = [
            task | {"id": _uuid(n), "tuned_model_id": f"m-{n}", "operation_id": f"o{n}", "user_id": f"u{n % USERS}"}
            for n in range(number)
        ]
        connection.execute(insert(tuning_tasks), rows)
        connection.exec_driver_sql("ANALYZE")  # as PostgreSQL does by itself within a minute


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _claim_and_end(libraries: list[Library]) -> list[float]:
    """Return the seconds of each claim with its end, of all workers within SECONDS."""
    end = time.perf_counter() + SECONDS

    def work(library: Library) -> list[float]:
        times: list[float] = []
        while (begun := time.perf_counter()) < end:
            task = library.claim("a benchmark")
            assert task is not None, "more tasks are needed"
            library.finish(task, Phase.FAILED, error=InvalidArgument("a benchmark"))
            times.append(time.perf_counter() - begun)
        return times

    with ThreadPoolExecutor(len(libraries)) as pool:
        return [seconds for times in pool.map(work, libraries) for seconds in times]


if __name__ == "__main__":
    main()
