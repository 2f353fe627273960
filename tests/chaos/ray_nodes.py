"""
Workers on two Ray nodes in networks of their own: a node is killed, its cable is pulled and put back, the head is lost.

    sudo .venv/bin/python -m tests.chaos.ray_nodes --kills 5 --cuts 5 --heads 5    # prints a line for each

The head, the server, PostgreSQL and an S3 store are in this machine's own network; each node is in a network
namespace and reaches them through a bridge. A job is disturbed after its first checkpoint has been copied to the
store. Its curve has to have each step once, and its adapter the bytes of an undisturbed run. Only root may make
namespaces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
from sqlalchemy import select

from tests.chaos.served import Served, of_living, wait_until
from tests.engine.tiny_bases import make_folder
from tests.postgres import serving_postgres
from tests.ray_cluster import Node, free_port, serving_ray
from tests.s3 import serving_s3
from tunery.config import Shared
from tunery.engine.catalog import Catalog
from tunery.service.database.tables import tuning_tasks
from tunery.service.database.tasks import LEASE_SECONDS
from tunery.service.library import Library
from tunery.service.tuning import TuningRequest
from tunery.types import DataFacts, Hyperparameters, State, TunedModel, TuningExample

BRIDGE, HERE = "tunery-bridge", "10.77.0.1"
NODES = 2
OPTIONS = ("-m", "tunery", "serve", "--port", "0", "--executor", "ray", "--ray-workers", str(NODES), "--no-evaluation")
HEAL_SECONDS = 5.0  # after another worker has taken over
HEAD_SECONDS = 5.0  # without a head
ROWS = 200


@dataclass(slots=True)
class Machine:
    """A Ray node that can be killed and started again."""

    home: Path
    start_node: Callable[[], object]  # a context manager that yields a Node
    cable: str | None = None
    node: Node = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        self._stack.close()
        self.node = self._stack.enter_context(self.start_node())  # type: ignore[arg-type]

    def stop(self) -> None:
        self._stack.close()

    def cut(self) -> None:
        _ip("link", "set", str(self.cable), "down")

    def heal(self) -> None:
        _ip("link", "set", str(self.cable), "up")

    @property
    def is_ready(self) -> bool:
        """Whether a worker has loaded its base here."""
        workers = self.node.workers()
        children = [child for worker in workers for child in of_living([worker], _tuning_children)]
        return any(children)


@dataclass(slots=True)
class Team:
    """The cluster, the server, and the library that they share."""

    head: Machine
    machines: list[Machine]
    library: Library
    server: Served
    digest: str

    def ready(self) -> None:
        """Start lost nodes again and wait until each has a worker."""
        for machine in self.machines:
            if machine.node.process.poll() is not None:
                machine.start()
        wait_until(lambda: all(machine.is_ready for machine in self.machines), pause=0.3)

    def begin(self, epochs: int) -> TunedModel:
        """Create a model and wait for the first checkpoint that another worker can go on from."""
        rows = tuple(TuningExample(f"{n} and", f"{n + 1}") for n in range(ROWS))
        facts = DataFacts(len(rows), "numbers", "numbers")
        settings = Hyperparameters(epoch_count=epochs).resolve()
        return self.library.create(TuningRequest("tiny", self.digest, facts, rows, settings, display_name="numbers"))

    def begun(self, epochs: int) -> TunedModel:
        model = self.begin(epochs)
        store = self.library.store
        assert store is not None
        wait_until(lambda: store._names(f"checkpoints/{model.task.id}"), pause=0.2)
        return model

    def machine_of(self, model: TunedModel) -> Machine:
        with self.library.database.reading() as connection:
            name = connection.scalar(select(tuning_tasks.c.worker).where(tuning_tasks.c.tuned_model_id == model.id))
        pid = int(str(name).rpartition("(")[2].rstrip(")"))
        return next(one for one in self.machines if pid in [worker.pid for worker in one.node.workers()])

    def ended(self, model: TunedModel) -> dict[str, object]:
        """Wait for the end; return what is wrong with it, if anything."""
        wait_until(lambda: self.library.find(model.id).task.phase.is_final, pause=0.3)
        found = self.library.find(model.id)
        steps = [snapshot.step for snapshot in found.task.snapshots]
        adapter = self.library.artifact(found)[0] if found.state is State.ACTIVE else None
        return {
            "lost": found.state is not State.ACTIVE,
            "steps recorded twice or not": len(steps) - len(set(steps)) + found.task.total_steps - len(set(steps)),
            "claims": found.task.claim_number,
            "adapter": None if adapter is None else _digest(adapter),
        }


def killed(team: Team, epochs: int) -> dict[str, object]:
    """Kill all processes of the node that tunes."""
    model = team.begun(epochs)
    machine = team.machine_of(model)
    begin = time.monotonic()
    machine.node.kill()
    seconds = _taken_over(team, model, begin)
    machine.start()
    return {"takeover": seconds, **team.ended(model)}


def cut(team: Team, epochs: int) -> dict[str, object]:
    """Cut off the node that tunes without a word, and heal it once another one has taken over."""
    model = team.begun(epochs)
    machine = team.machine_of(model)
    tuning = [child for worker in machine.node.workers() for child in _tuning_children(worker)]
    begin = time.monotonic()
    machine.cut()
    seconds = _taken_over(team, model, begin)
    still = [child.pid for child in tuning if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    time.sleep(HEAL_SECONDS)
    machine.heal()
    return {"takeover": seconds, "went on beside the next one": len(still), **team.ended(model)}


def headless(team: Team, epochs: int) -> dict[str, object]:
    """Kill the head in the middle of a job, with another one waiting, and start it again."""
    models = [team.begun(epochs), team.begin(1)]
    pid, begin = team.server.pid, time.monotonic()
    team.head.node.kill()
    time.sleep(HEAD_SECONDS)
    team.head.start()

    def is_over() -> bool:
        for machine in team.machines:  # a node ends by itself when it has lost its head; a supervisor starts it again
            if machine.node.process.poll() is not None:
                machine.start()
        return all(team.library.find(model.id).task.phase.is_final for model in models)

    wait_until(is_over, pause=0.5)
    ends = [team.ended(model) for model in models]
    assert team.server.exit_status() is None, team.server.said[-2000:]
    assert team.server.pid == pid
    return {"seconds": round(time.monotonic() - begin, 1), **ends[0], "lost": any(end["lost"] for end in ends)}


def _taken_over(team: Team, model: TunedModel, begin: float) -> float:
    def is_claimed_again() -> bool:
        task = team.library.find(model.id).task
        assert task.claim_number > 1 or not task.phase.is_final, "it ended before it was disturbed: give more --epochs"
        return task.claim_number > 1

    wait_until(is_claimed_again, pause=0.05)
    return round(time.monotonic() - begin, 1)


@contextmanager
def two_nodes() -> Iterator[Team]:
    """Yield a team with two nodes in networks of their own; all of it is removed again."""
    with (
        _bridge() as cables,
        serving_postgres(is_safe=True, address=HERE) as postgres,
        serving_s3(HERE) as bucket,
        tempfile.TemporaryDirectory(prefix="ray-nodes-", ignore_cleanup_errors=True) as place,
        ExitStack() as stack,
    ):
        folder = Path(place)
        shared = Shared(f"postgresql://postgres@{HERE}/{_database(postgres.url())}", f"{bucket}/tunery")
        base = make_folder(folder / "base", max_position_embeddings=512)
        homes = [folder / name for name in ("server", "head", *cables)]
        for home in homes:
            Catalog(home).add(str(base), "tiny")
        head = Machine(homes[1], partial(serving_ray, homes[1], ip=HERE, port=free_port(), cpus=0))
        stack.callback(head.stop)
        head.start()
        environment = head.node.environment
        # the next head has the token and the port of this one
        head.start_node = partial(
            serving_ray, homes[1], ip=HERE, port=int(head.node.address.rpartition(":")[2]), cpus=0,
            environment=environment,
        )  # fmt: skip
        machines = []
        for number, (cable, home) in enumerate(zip(cables, homes[2:], strict=True), start=2):
            enter = ("ip", "netns", "exec", cable)
            start = partial(
                serving_ray, home, head=head.node.address, environment=environment, prefix=enter,
                ip=f"10.77.0.{number}", cpus=1,
            )  # fmt: skip
            machines.append(Machine(home, start, cable))
            stack.callback(machines[-1].stop)
            machines[-1].start()
        of_server = {
            "TUNERY_DATABASE_URL": str(shared.database_url),
            "TUNERY_STORE_URL": str(shared.store_url),
            "TUNERY_BASE": "tiny",
        }
        server = stack.enter_context(Served(homes[0], *OPTIONS, environment=of_server | environment))
        library = stack.enter_context(Library.own(folder / "watcher", shared=shared))
        yield Team(head, machines, library, server, Catalog(homes[0]).digest("tiny"))


@contextmanager
def _bridge() -> Iterator[list[str]]:
    """Yield the names of namespaces, which are those of their cables too, all plugged into one bridge."""
    names = [f"tunery-node{number}" for number in range(NODES)]
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names, start=2):
            _ip("netns", "add", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", name, "master", BRIDGE, "up")
            for settings in (["addr", "add", f"10.77.0.{number}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
                _ip("-n", name, *settings)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "route", "add", "default", "via", HERE)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _database(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def _tuning_children(worker: psutil.Process) -> list[psutil.Process]:
    return [child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())]


def _digest(adapter: Path) -> str:
    return hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()[:12]


KINDS = {"kills": killed, "cuts": cut, "heads": headless}


def main() -> None:
    """Run the trials with the options of the command line; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--head-epochs", type=int, default=24)
    given = vars(parser.parse_args())
    wrong = 0
    with two_nodes() as team:
        team.ready()
        whole = team.ended(team.begin(given["epochs"]))["adapter"]
        for kind, trial in KINDS.items():
            epochs = given["head_epochs"] if kind == "heads" else given["epochs"]
            seconds: list[float] = []
            for _ in range(given[kind]):
                team.ready()
                found = trial(team, epochs)
                print(kind, json.dumps(found), flush=True)  # noqa: T201
                is_other = kind != "heads" and found["adapter"] != whole
                wrong += bool(found["lost"] or found["steps recorded twice or not"] or is_other)
                seconds.append(float(str(found.get("takeover", found.get("seconds")))))
            if seconds:
                print(f"{kind}: {statistics.median(seconds)} s, at most {max(seconds)} s (lease {LEASE_SECONDS} s)")  # noqa: T201
    print(f"wrong: {wrong}")  # noqa: T201
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
