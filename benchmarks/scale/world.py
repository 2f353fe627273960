"""
A simulated world around the real library: one clock, machines that die, freeze and are cut off, a database, a bucket.

Everything runs in one thread, as generators that yield how many simulated seconds to wait. PostgreSQL is real; only its
`clock_timestamp()`, by which leases are judged, is the simulation's. The bucket is obstore's, in memory.
"""

from __future__ import annotations

import heapq
import random
import shutil
import sys
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import obstore
import psycopg
import pytest
from obstore.store import MemoryStore
from sqlalchemy import Connection

from tests.postgres import Postgres
from tunery.errors import Unavailable
from tunery.service.database.connection import Database
from tunery.service.database.postgres import PostgresDatabase, up_to_date
from tunery.service.folder import DataFolder
from tunery.service.library import Library
from tunery.service.store import Store

T = TypeVar("T")

START = datetime(2030, 1, 1, tzinfo=UTC)
DATABASE_CLOCK_SECONDS = 0.1  # how far the database's clock may be behind: it is set by a statement
RESTART_SECONDS = 5.0  # from the death of a machine's process to its next start

# What an unchanged statement sees: a function of the schema that is searched before the system's. A sequence has no
# transactions, so what it holds is the same for all. The trigger writes what happened to each task, whoever did it.
_SQL = """
CREATE SEQUENCE simulated_clock MINVALUE -1000000000;  -- by which leases are judged; it may jump
CREATE SEQUENCE simulated_time MINVALUE 0 START 0;
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT timestamptz ''2030-01-01 00:00:00+00'' + last_value * interval ''1 ms'' FROM public.simulated_clock';
CREATE TABLE simulated_events (number bigserial PRIMARY KEY, task_id text, model_id text, operation text, was text,
    phase text, was_claim integer, claim integer, was_steps integer, steps integer, at bigint);
CREATE FUNCTION simulated_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO simulated_events (task_id, model_id, operation, was, phase, was_claim, claim, was_steps, steps, at)
        SELECT NEW.id, NEW.tuned_model_id, TG_OP, CASE TG_OP WHEN 'UPDATE' THEN OLD.phase END, NEW.phase,
        CASE TG_OP WHEN 'UPDATE' THEN OLD.fencing_epoch END, NEW.fencing_epoch,
        CASE TG_OP WHEN 'UPDATE' THEN OLD.completed_steps END, NEW.completed_steps, last_value FROM simulated_time;
    RETURN NEW; END $$;
CREATE TRIGGER simulated_created AFTER INSERT ON tuning_tasks FOR EACH ROW EXECUTE FUNCTION simulated_note();
CREATE TRIGGER simulated_changed AFTER UPDATE ON tuning_tasks FOR EACH ROW WHEN (OLD.phase IS DISTINCT FROM NEW.phase
    OR OLD.fencing_epoch IS DISTINCT FROM NEW.fencing_epoch OR OLD.completed_steps > NEW.completed_steps)
    EXECUTE FUNCTION simulated_note();
"""


class Killed(BaseException):
    """The process of a machine is killed at this moment; nothing of it can go on."""


@dataclass
class Machine:
    """A machine with one process of tunery; `doom` happens at its operation number `doom_in` from now."""

    name: str
    world: World
    path: Path
    life: Callable[[], Generator[float]] = field(repr=False, default=lambda: _nothing())
    clock_offset: float = 0.0  # seconds that its wall clock is ahead
    cut_until: float = 0.0  # from the database
    frozen_until: float = 0.0
    is_dead: bool = False
    holds: str | None = None  # the task it works on
    kept_at: float = 0.0  # when it last claimed that task, reported on it or renewed its lease
    resident: OrderedDict[str, str] = field(repr=False, default_factory=OrderedDict)  # what it answers from memory
    doom: Callable[[], None] | None = None
    doom_in: int = 0

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start with nothing in memory."""
        self.holds, self.doom, self.is_dead = None, None, False
        self.resident.clear()
        for name in ("models", "checkpoints", "bases"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        self.store = Store("memory:///", cache_bytes=self.world.cache_bytes)
        self.store._store, self.store._api = self.world.bucket, _Bucket(self)
        self.library = Library(DataFolder(self.path), _Line(self), self.store)

    def operation(self) -> None:
        """Pass a moment at which this machine may be killed or cut off: around each statement, commit and object."""
        if self.doom is not None:
            self.doom_in -= 1
            if self.doom_in <= 0:
                doom, self.doom = self.doom, None
                doom()

    def require_line(self) -> None:
        """Raise Unavailable while this machine cannot reach the database, or while there is none."""
        if self.world.now < max(self.cut_until, self.world.database_down_until):
            raise Unavailable("The database cannot be reached.")


class World:
    """The clock, the machines, the database and the bucket."""

    def __init__(self, postgres: Postgres, folder: Path, seed: int, *, cache_bytes: int) -> None:
        self.postgres, self.folder, self.random = postgres, folder, random.Random(seed)
        self.cache_bytes = cache_bytes
        self.now = 0.0
        self.machine: Machine | None = None  # whose turn it is
        self.bucket = MemoryStore()
        self.bucket_down_until = self.bucket_rots_until = self.database_down_until = 0.0
        self.database_offset = 0.0  # seconds that the database's clock is ahead
        self.kills = 0
        self.lost: list[tuple[str, float, str]] = []  # task, time, how
        self._due: list[tuple[float, int, Machine | None, Generator[float]]] = []
        self._numbers = count()
        self._clock_set = float("-inf")
        url = postgres.url()
        self.database: PostgresDatabase = up_to_date(url)
        self._url = url
        self._connect()
        self._admin.execute(_SQL)
        name = self.seen("SELECT current_database()")[0][0]
        self._admin.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
        self.database.close()  # the next connections search in this order

    def close(self) -> None:
        self._admin.close()
        self.database.close()

    def seen(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the database, past all faults."""
        return self._admin.execute(sql).fetchall()

    def start(self, life: Generator[float], machine: Machine | None = None) -> None:
        """Begin what yields how long to wait: the process of a machine, or something outside of all of them."""
        heapq.heappush(self._due, (self.now, next(self._numbers), machine, life))

    def at(self, machine: Machine, act: Callable[[Machine], T]) -> T:
        """Have a server do something; raises Unavailable if it is dead or dies meanwhile, or does not react."""
        if machine.is_dead or machine.frozen_until > self.now:
            raise Unavailable(f"{machine.name} does not answer.")
        before, self.machine = self.machine, machine
        try:
            return act(machine)
        except Killed:
            self._die(machine)
            raise Unavailable(f"{machine.name} was killed.") from None
        finally:
            self.machine = before

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let simulated time pass, with the wall clocks of the machines."""
        with _wall_clocks(self):
            while self._due and self._due[0][0] <= until and not is_over():
                at, _, machine, life = heapq.heappop(self._due)
                self.now = max(self.now, at)
                self._set_clock()
                if machine is not None and machine.frozen_until > self.now:
                    heapq.heappush(self._due, (machine.frozen_until, next(self._numbers), machine, life))
                    continue
                self._turn(machine, life)
        self.now = max(self.now, until) if not is_over() else self.now

    def _turn(self, machine: Machine | None, life: Generator[float]) -> None:
        self.machine = machine
        try:
            pause = next(life)
        except StopIteration:
            return
        except Killed:
            assert machine is not None
            self._die(machine)
            return
        finally:
            self.machine = None
        heapq.heappush(self._due, (self.now + pause, next(self._numbers), machine, life))

    def _die(self, machine: Machine) -> None:
        self.kills += 1
        self.note_lost(machine, "killed")
        machine.is_dead, machine.doom = True, None
        heapq.heappush(self._due, (self.now + RESTART_SECONDS, next(self._numbers), machine, self._again(machine)))

    def note_lost(self, machine: Machine, how: str) -> None:
        """Note when a task lost its worker."""
        if machine.holds is not None:
            self.lost.append((machine.holds, self.now, how))

    def _again(self, machine: Machine) -> Generator[float]:
        """Start the process of a killed machine again; every second time on a new machine, with an empty folder."""
        if self.random.random() < 0.5:
            shutil.rmtree(machine.path)
        machine.begin()
        with suppress(Unavailable):
            machine.library.sweep()
        yield from machine.life()

    def fail_over(self, seconds: float, clock_jump: float = 0.0) -> None:
        """Kill the database in the middle of what it does; it is back after some time, perhaps with another clock."""
        self.postgres.restart()
        with suppress(psycopg.Error):
            self._admin.close()
        self._connect()
        self.database_down_until = self.now + seconds
        self.database_offset += clock_jump
        self._set_clock(is_new=True)

    def _connect(self) -> None:
        self._admin = psycopg.connect(self._url, autocommit=True)

    def _set_clock(self, *, is_new: bool = False) -> None:
        if is_new or self.now - self._clock_set >= DATABASE_CLOCK_SECONDS:
            self._clock_set = self.now
            times = (int((self.now + self.database_offset) * 1000), int(self.now * 1000))
            self._admin.execute("SELECT setval('simulated_clock', %s), setval('simulated_time', %s)", times)


class _Line(Database):
    """The shared database as one machine sees it."""

    is_shared = True

    def __init__(self, machine: Machine) -> None:
        self._machine, self._database = machine, machine.world.database
        self.name, self.changes, self.before_writing = "the database", 0, lambda: None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._passing(self._database.reading) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._passing(self._database.writing) as connection:
            yield connection

    @contextmanager
    def updating(self) -> Iterator[Connection]:
        with self._passing(self._database.updating) as connection:
            yield connection

    @contextmanager
    def _passing(self, begin: Callable[[], Any]) -> Iterator[Connection]:
        self._machine.operation()
        self._machine.require_line()
        with begin() as connection:
            yield connection
            self._machine.operation()  # after the statements, before the commit
            self._machine.require_line()
        self._machine.operation()  # committed, but the reply is still on its way
        self._machine.require_line()


class _Bucket:
    """obstore as one machine sees it: the bucket may be out of reach, or give back other bytes than were put."""

    exceptions = obstore.exceptions

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(obstore, name)

        def act(*arguments: Any, **options: Any) -> Any:
            world = self._machine.world
            self._machine.operation()
            if world.now < world.bucket_down_until:
                raise obstore.exceptions.GenericError("the bucket cannot be reached")
            found = call(*arguments, **options)
            self._machine.operation()
            is_rotten = name == "get" and world.now < world.bucket_rots_until and world.random.random() < 0.5
            return _Rotten(bytes(found.bytes())) if is_rotten else found

        return act


class _Rotten:
    """An object of which one bit is another on the way."""

    def __init__(self, content: bytes) -> None:
        self._content = bytes([content[0] ^ 1]) + content[1:] if content else b"\0"

    def bytes(self) -> bytes:
        return self._content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


@contextmanager
def _wall_clocks(world: World) -> Iterator[None]:
    """Let what the library writes as the time be that of the machine whose turn it is."""

    class Simulated(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # noqa: ARG003  # always UTC
            offset = 0.0 if world.machine is None else world.machine.clock_offset
            return START + timedelta(seconds=world.now + offset)

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("tunery.service.") and getattr(module, "datetime", None) is datetime:
                patch.setattr(module, "datetime", Simulated)
        yield


def _nothing() -> Generator[float]:
    yield from ()
