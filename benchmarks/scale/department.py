"""
A department in one process: workers, servers, users and their questions, in simulated time and with faults.

    python -m benchmarks.scale department                  # an hour of 200 workers and 1,000 tasks, and every fault
    python -m benchmarks.scale department --hours 0.2      # a quicker look

Library, queue, store, database and files are the real ones (`world.py`); tuning is a wait, an answer is what is written
in the adapter. Everything that was acknowledged is kept in a book, and compared with what the database and the bucket
hold: nothing acknowledged may be lost, no task may end twice or never, no answer may come from another adapter.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, count
from pathlib import Path
from typing import Any
from zlib import crc32

from benchmarks.scale.book import Book
from benchmarks.scale.world import Killed, Machine, World
from tests.postgres import serving_postgres
from tests.service.samples import a_curve, a_request
from tunery.errors import DataLoss, FailedPrecondition, NotFound, TuneryError, Unavailable
from tunery.service import store as store_module
from tunery.service.database.models import get_model
from tunery.service.library import Fenced, Library
from tunery.service.tuning import Loss, Progress, TuningRequest
from tunery.service.worker import BACKOFF_SECONDS, GIVE_UP_SECONDS, RENEW_SECONDS
from tunery.types import DataFacts, Phase, State, TunedModel, TuningExample, TuningTask

SERVERS, USERS = 3, 50
TRY_AGAIN_SECONDS = 1.0
AUDIT_SECONDS = 300.0
TICK_SECONDS = 0.5  # questions of this time are asked together
DRAIN_HOURS = 3.0  # after the last task was added, all must have ended
CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Size:
    """How large the department is, and how much goes wrong in an hour."""

    hours: float = 1.0
    workers: int = 200
    tasks: float = 1000  # an hour
    rows: int = 1000  # of a task
    minutes: float = 9.0  # of tuning for a task, from 0.3 to 1.7 times as long
    adapters: int = 1024
    answers: float = 200  # a second
    look_seconds: float = 10.0  # between two looks of an idle worker for a task; 1 in a real one
    resident: int = 256  # adapters in the memory of a server
    on_disk: int = 700  # adapters in the folder of a server
    faults: float = 1.0  # of those in FAULTS
    seed: int = 0


# an hour
FAULTS = {
    "kill a worker": 40, "freeze a worker": 20, "cut off a worker": 25, "kill a server": 12, "cut off a server": 12,
    "set a clock": 30, "lose the bucket": 6, "spoil objects on their way": 6, "fail over": 5,
    "set the clock of the database": 2,
}  # fmt: skip


class Department:
    """Machines, users and questions in a world, and a book of what they were told."""

    def __init__(self, world: World, size: Size) -> None:
        self.world, self.size, self.book = world, size, Book(world)
        self.random = random.Random(size.seed)
        self.end = size.hours * 3600
        self.servers = [self._machine(f"server-{n}") for n in range(SERVERS)]
        self.workers = [self._machine(f"worker-{n}") for n in range(size.workers)]
        for worker in self.workers:
            worker.life = partial(self._working, worker)
        self.active = [f"active-{n}" for n in range(size.adapters)]
        self.done: Counter[str] = Counter()
        self.waiting_users = 0  # whose task has not been acknowledged yet

    def run(self) -> dict[str, Any]:
        """Live through the hours, wait until all tasks have ended, and return what was found."""
        begun = time.monotonic()
        world = self.world
        with _short_use():
            world.run(0.0)
            self.fill()
            filled = time.monotonic()
            lives = [self._arriving(), self._questioning(), self._harming(), self._auditing()]
            for life in lives:
                world.start(life)
            for worker in self.workers:
                world.start(worker.life(), worker)
            world.run(self.end)
            lived = time.monotonic()
            world.run(self.end + DRAIN_HOURS * 3600, self._is_over)
            self.book.judge(at_end=True)
            self.book.judge_adapters(self._machine("judge").library)
        return {
            **asdict(self.size),
            "simulated hours": round(world.now / 3600, 2),
            "done": dict(sorted(self.done.items())),
            "kills": world.kills,
            **self.book.summary(),
            "seconds": {"filled": round(filled - begun), "lived": round(lived - filled)},
        }

    def _is_over(self) -> bool:
        return self.world.now > self.end and not self.waiting_users and not self.book.unended()

    def _machine(self, name: str) -> Machine:
        return Machine(name, self.world, self.world.folder / name)

    def fill(self) -> None:
        """Tune the adapters that are there from the start."""
        machine = self.servers[0]
        for model_id in self.active:
            model = machine.library.create(_request(model_id, 5, model_id))
            self.book.created(model)
            task = machine.library.claim("filling", task_id=model.task.id)
            assert task is not None
            machine.library.heartbeat(task, Phase.RUNNING)
            machine.library.heartbeat(task, Phase.PUBLISHING)
            published = machine.library.folder.publish(task, partial(_write, task))
            self.book.ended(machine.library.finish(task, Phase.SUCCEEDED, published=published), task)

    # users

    def _arriving(self) -> Generator[float]:
        for number in count():
            yield self.random.expovariate(self.size.tasks / 3600)
            if self.world.now > self.end:
                return
            self.world.start(self._using(number))

    def _using(self, number: int) -> Generator[float]:
        """Add a task, one in six under the id of a model that is in use; then change, cancel or delete some."""
        self.waiting_users += 1
        model_id = self.random.choice(self.active) if self.random.random() < 1 / 6 else None
        if model_id is not None:
            if model_id in self.book.in_doubt or self.book.task_of(model_id) in self.book.unended():
                model_id = None  # another user is doing so
            else:
                yield from self._delete(model_id)
        request = _request(f"Task {number}", self.size.rows, model_id, user_id=f"user-{number % USERS}")
        create = partial(_create, request, f"key-{number}")
        model: TunedModel = yield from self._request(create)
        self.book.created(model)
        self.waiting_users -= 1
        self.done["rows"] += len(request.examples)
        yield self.random.uniform(0, self.size.minutes * 90)
        what = self.random.random()
        if what < 0.1:
            name = f"Task {number} renamed"
            with suppress(NotFound):
                yield from self._request(lambda at: at.library.update(model.id, display_name=name))
                self.book.renamed(model.id, name)
        elif what < 0.16:
            with suppress(NotFound):
                yield from self._request(lambda at: at.library.request_cancel(model.id))
                self.done["cancels"] += 1
        elif what < 0.19 and model_id is None:
            yield from self._delete(model.id)

    def _delete(self, model_id: str) -> Generator[float]:
        self.book.in_doubt.add(model_id)
        with suppress(NotFound):  # an earlier try came through, and its reply was lost
            yield from self._request(lambda at: at.library.delete(model_id))
        self.book.deleted(model_id)

    def _request(self, act: Callable[[Machine], Any]) -> Generator[float, None, Any]:
        """Ask a server, and another one as long as there is no reply."""
        while True:
            try:
                return self.world.at(self.random.choice(self.servers), act)
            except Unavailable:
                self.done["requests without a reply"] += 1
            yield TRY_AGAIN_SECONDS

    def _questioning(self) -> Generator[float]:
        """Ask for adapters, a few of them often, each at the server to which it belongs."""
        weights = list(accumulate(1 / rank for rank in range(1, len(self.active) + 1)))
        due = 0.0
        while self.active and self.world.now < self.end:
            yield TICK_SECONDS
            due += self.size.answers * TICK_SECONDS
            chosen = self.random.choices(self.active, cum_weights=weights, k=int(due))
            due -= int(due)
            for number in range(SERVERS):
                self._ask([model_id for model_id in chosen if crc32(model_id.encode()) % SERVERS == number], number)

    def _ask(self, model_ids: list[str], first: int) -> None:
        """Ask a server, and the next ones for what has no answer yet."""
        if not model_ids:
            return
        for server in self.servers[first:] + self.servers[:first]:
            answers: dict[str, str] = {}
            with suppress(Unavailable):
                self.world.at(server, partial(self.answer, model_ids, answers))
            for model_id in model_ids:
                if model_id in answers:
                    self.done[self.book.judge_answer(model_id, answers[model_id])] += 1
            model_ids = [model_id for model_id in model_ids if model_id not in answers]
        self.done["questions that no server could answer"] += len(model_ids)

    def answer(self, model_ids: list[str], answers: dict[str, str], server: Machine) -> None:
        """Answer as many as possible; the rows are read in one transaction, since each costs four trips otherwise."""
        with server.library.database.reading() as connection:
            found = {model_id: get_model(connection, model_id) for model_id in set(model_ids)}
        for model_id, model in found.items():
            try:
                answers[model_id] = "NotFound" if model is None else self._answer_of(server, model)
            except (NotFound, FailedPrecondition) as error:
                answers[model_id] = type(error).__name__
            except DataLoss:
                self.done["spoilt objects refused"] += 1
                assert self.world.now < self.world.bucket_rots_until, "nothing is damaged"

    def _answer_of(self, server: Machine, model: TunedModel) -> str:
        digest = model.manifest_sha256 or ""
        if digest in server.resident and model.state is State.ACTIVE:
            server.resident.move_to_end(digest)
            return server.resident[digest]
        answer = (server.library.adapter_folder(model) / CONFIG).read_text()
        self.done["adapters loaded"] += 1
        server.resident[digest] = answer
        if len(server.resident) > self.size.resident:
            server.resident.popitem(last=False)
        return answer

    # workers, as service/worker.py and service/task.py have them

    def _working(self, machine: Machine) -> Generator[float]:
        library = machine.library
        yield self.random.uniform(0, self.size.look_seconds)
        while True:
            machine.holds = None
            try:
                library.take_back_lost_tasks(Loss.ERROR)
                task = _claim(library, machine.name)
                if task is None:
                    yield self.size.look_seconds
                    continue
                machine.holds, machine.kept_at = task.id, self.world.now
                yield from self._work(machine, task)
            except NotFound:
                library.tidy(task)
            except Fenced:
                self.done["late writes refused"] += 1
            except TuneryError:
                yield BACKOFF_SECONDS[1]

    def _work(self, machine: Machine, task: TuningTask) -> Generator[float]:
        library = machine.library
        with suppress(Unavailable):
            library.add_to_log(task.tuned_model_id, f"Claimed by {machine.name}, claim {task.claim_number}")
        try:
            model = library.find(task.tuned_model_id)
            yield from self._tune(machine, model, task)
        except Unavailable:  # put back, if the database can be reached; else the lease expires
            self.done["jobs put back or left"] += 1
            with suppress(Unavailable):
                library.release(task)
            raise

    def _tune(self, machine: Machine, model: TunedModel, task: TuningTask) -> Generator[float]:
        library = machine.library
        checkpoint = library.folder.checkpoint(task.id) / store_module.CHECKPOINT
        checkpoint.parent.mkdir(exist_ok=True)
        if task.checkpoint_step:
            machine.store.fetch_checkpoint(task.id, checkpoint.parent)
        used, held_out, _ = library.inputs(model, task)
        self.done["rows read"] += len(used) + len(held_out)
        step = float(checkpoint.read_text()) if checkpoint.exists() else 0.0
        self.done["resumed at a checkpoint"] += step > 0
        self.done["resumed before the row's checkpoint"] += step < task.checkpoint_step
        pace = task.total_steps / self._seconds(task)
        is_cancelled = yield from self._patiently(machine, lambda: library.heartbeat(task, Phase.RUNNING))
        for beat in count():
            if step >= task.total_steps or is_cancelled:
                break
            yield RENEW_SECONDS
            step = min(task.total_steps, step + pace * RENEW_SECONDS)
            if beat % 2:
                yield from self._patiently(machine, lambda: library.renew(task))
                continue
            progress = Progress(step=int(step), checkpoint_step=_save(checkpoint, step))
            report = partial(library.heartbeat, task, Phase.RUNNING, progress)
            is_cancelled = yield from self._patiently(machine, report)
            with suppress(TuneryError):
                library.keep_checkpoint(task)
        if not is_cancelled:
            is_cancelled = yield from self._patiently(machine, lambda: library.heartbeat(task, Phase.PUBLISHING))
        yield self.random.random()
        published = library.folder.publish(task, partial(_write, task)) if step or not is_cancelled else None
        yield self.random.random()
        phase = Phase.CANCELLED if is_cancelled else Phase.SUCCEEDED
        progress = Progress(step=int(step), snapshots=a_curve(int(step)))
        finish = partial(library.finish, task, phase, progress, published=published)
        self.book.ended((yield from self._patiently(machine, finish)), task)

    def _patiently(self, machine: Machine, act: Callable[[], Any]) -> Generator[float, None, Any]:
        """Do something, again if database or bucket cannot be reached, until another worker may soon take the task."""
        while True:
            begun = self.world.now
            try:
                done = act()
            except Unavailable:
                if self.world.now - machine.kept_at > GIVE_UP_SECONDS:
                    raise
            else:
                machine.kept_at = begun
                return done
            yield TRY_AGAIN_SECONDS

    def _seconds(self, task: TuningTask) -> float:
        return random.Random(task.id).uniform(0.3, 1.7) * 60 * self.size.minutes

    # faults

    def _harming(self) -> Generator[float]:
        """Do everything in FAULTS at random times."""
        share = self.size.faults * self.size.hours
        wanted = [kind for kind, number in FAULTS.items() for _ in range(max(1, round(number * share)) if share else 0)]
        times = sorted(self.random.uniform(0.02, 0.98) * self.end for _ in wanted)
        self.random.shuffle(wanted)
        for at, kind in zip(times, wanted, strict=True):
            yield max(0.0, at - self.world.now)
            self.done[kind] += 1
            self._harm(kind)

    def _harm(self, kind: str) -> None:
        world, chance = self.world, self.random
        worker, server = chance.choice(self.workers), chance.choice(self.servers)
        match kind:
            case "kill a worker":
                self._doom(worker, _kill, 40)
            case "kill a server":
                self._doom(server, _kill, 300)
            case "freeze a worker":
                world.note_lost(worker, "frozen")
                worker.frozen_until = world.now + chance.uniform(5, 60)
            case "cut off a worker":
                self._doom(worker, partial(self._cut, worker, chance.uniform(3, 60)), 10)
            case "cut off a server":
                self._doom(server, partial(self._cut, server, chance.uniform(3, 30)), 100)
            case "set a clock":
                chance.choice([worker, server]).clock_offset = chance.choice([-86400.0, -3600.0, 3600.0, 86400.0])
            case "lose the bucket":
                world.bucket_down_until = world.now + chance.uniform(2, 45)
            case "spoil objects on their way":
                world.bucket_rots_until = world.now + chance.uniform(2, 20)
            case "fail over":
                jump = chance.choice([0.0, 5.0, -5.0])
                self._doom(worker, partial(world.fail_over, chance.uniform(0.5, 20), jump), 4)
            case "set the clock of the database":
                world.database_offset += chance.choice([-60.0, 60.0])

    def _doom(self, machine: Machine, doom: Callable[[], None], most: int) -> None:
        """Let something happen within the next operations of a machine, around statements, commits and objects."""
        machine.doom, machine.doom_in = doom, self.random.randint(1, most)

    def _cut(self, machine: Machine, seconds: float) -> None:
        self.world.note_lost(machine, "cut off" if seconds > GIVE_UP_SECONDS else "cut off for a moment")
        machine.cut_until = self.world.now + seconds

    def _auditing(self) -> Generator[float]:
        while True:
            yield AUDIT_SECONDS
            self.book.judge()


def _kill() -> None:
    raise Killed


def _create(request: TuningRequest, key: str, at: Machine) -> TunedModel:
    model = at.library.create(request, idempotency_key=key)
    with suppress(Unavailable):  # the reply is on its way
        at.library.mark_reply_sent(model)
    return model


def _claim(library: Library, name: str) -> TuningTask | None:
    for is_cancelled in (True, False):
        task = library.claim(name, is_cancelled=is_cancelled)
        if task is not None:
            return task
    return None


def _save(checkpoint: Path, step: float) -> int:
    partial = checkpoint.with_suffix(".partial")
    partial.write_text(str(step))
    partial.replace(checkpoint)
    return int(step)


def _write(task: TuningTask, folder: Path) -> None:
    (folder / CONFIG).write_text(f"{task.id} {task.claim_number}")
    (folder / "adapter_model.safetensors").write_bytes(task.id.encode() * 100)


def _request(name: str, rows: int, model_id: str | None, *, user_id: str = "user-0") -> TuningRequest:
    examples = tuple(TuningExample(f"{name}, row {n}", str(n % 7)) for n in range(rows))
    return a_request(
        id=model_id, display_name=name, user_id=user_id, examples=examples, data=DataFacts(rows, "digest", "rows.csv")
    )


@contextmanager
def _short_use() -> Any:
    """Let an adapter count as in use for a moment only: a simulated hour takes minutes."""
    before, store_module.IN_USE_SECONDS = store_module.IN_USE_SECONDS, 0.2
    try:
        yield
    finally:
        store_module.IN_USE_SECONDS = before


def lived(size: Size) -> dict[str, Any]:
    """Return what was found in a department of this size, with a database and folders of its own."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the disk is not what is simulated
    with serving_postgres() as postgres, tempfile.TemporaryDirectory(dir=place) as folder:
        world = World(postgres, Path(folder), size.seed, cache_bytes=size.on_disk * 4096)
        try:
            return Department(world, size).run()
        finally:
            world.close()


def department(arguments: Sequence[str] = ()) -> None:
    """Print what was found, one JSON document; the exit status is 1 if anything is wrong."""
    logging.getLogger("tunery").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale department")
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    found = lived(Size(**vars(parser.parse_args(arguments))))
    print(json.dumps(found, indent=1))
    raise SystemExit(1 if found["wrong"] else 0)
