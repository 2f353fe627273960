"""Workers on a Ray cluster: what is refused, which are needed, and a real cluster whose worker is killed."""

from __future__ import annotations

import math
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.served import Served, wait_until
from tests.engine.tiny_bases import make_folder
from tests.postgres import Postgres
from tests.ray_cluster import free_port, serving_ray
from tunery.config import Shared
from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition, InvalidArgument, Unavailable
from tunery.server import ray_executor as module
from tunery.server.ray_executor import (
    SILENT_SECONDS,
    Cluster,
    RayExecutor,
    RaySettings,
    require_listening,
    require_ray,
)
from tunery.server.ray_worker import Answer, WorkerSpec, node_folder
from tunery.service.library import Library

OPTIONS = ("-m", "tunery", "serve", "--port", "0", "--executor", "ray", "--ray-workers", "1-2", "--no-evaluation")


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    """Return the data folders of a server and of a node of the cluster, both with the base `tiny`."""
    base, found = make_folder(tmp_path / "base"), (tmp_path / "home", tmp_path / "node")
    for home in found:
        Catalog(home).add(str(base), "tiny")
    return found


@pytest.mark.full  # 50 s: `make scale`
def test_a_killed_worker_is_replaced_and_its_task_ends(homes: tuple[Path, Path], postgres: Postgres) -> None:
    """A model is tuned on the cluster; in a second one, the actor's process is killed, and the model is tuned too."""
    home, node_home = homes
    environment = {
        "TUNERY_DATABASE_URL": postgres.url(),
        "TUNERY_STORE_URL": (home.parent / "store").as_uri(),
        "TUNERY_BASE": "tiny",
    }
    with (
        serving_ray(node_home) as node,
        Served(home, *OPTIONS, environment=environment | node.environment) as server,
    ):
        server.create("first")
        wait_until(lambda: server.phase("first") == "SUCCEEDED", pause=0.2)

        server.create("second", examples=40, epochs=40)
        wait_until(lambda: server.phase("second") == "RUNNING", pause=0.2)
        (worker,) = node.workers()
        worker.kill()
        wait_until(lambda: server.phase("second") == "SUCCEEDED", pause=0.2)

        with Library.open(home, Shared(environment["TUNERY_DATABASE_URL"])) as library:
            assert library.find("second").task.claim_number == 2
        assert worker.pid not in [one.pid for one in node.workers()]


@pytest.mark.parametrize(("workers", "least", "most"), [("3", 3, 3), ("0-5", 0, 5), ("1-4", 1, 4)])
def test_a_range_of_workers(workers: str, least: int, most: int) -> None:
    settings = RaySettings.read("auto", workers, 1.0, 0.0)

    assert (settings.least, settings.most) == (least, most)


@pytest.mark.parametrize("workers", ["", "4-1", "0", "-3", "a", "1-b", "1.5", "1-", "٣"])
def test_other_ranges_are_refused(workers: str) -> None:
    with pytest.raises(InvalidArgument, match="--ray-workers is a number or a range"):
        RaySettings.read("auto", workers, 1.0, 0.0)


@pytest.mark.parametrize("number", [-1.0, 1.5, math.nan, math.inf, 0.00001])
def test_what_ray_cannot_reserve_is_refused(number: float) -> None:
    """Ray itself would refuse it when it places a worker, again and again."""
    with pytest.raises(InvalidArgument, match="--ray-gpus is 0, a share"):
        RaySettings.read("auto", "1", 1.0, number)


SHARED = Shared("postgresql://team/tunery", "s3://bucket/tunery")
TOKEN = {"RAY_AUTH_MODE": "token"}


@pytest.mark.parametrize("shared", [Shared(), replace(SHARED, store_url=None), replace(SHARED, database_url=None)])
def test_what_is_not_shared_is_refused(shared: Shared) -> None:
    with pytest.raises(FailedPrecondition, match="TUNERY_DATABASE_URL and TUNERY_STORE_URL"):
        require_ray(shared, TOKEN)


@pytest.mark.parametrize("environment", [{}, {"RAY_AUTH_MODE": "disabled"}])
def test_a_cluster_without_token_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(FailedPrecondition, match="Anyone who can reach a Ray cluster can run code on it"):
        require_ray(SHARED, environment)


def test_without_ray_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(FailedPrecondition, match=re.escape("pip install 'tunery[ray]'")):
        require_ray(SHARED, TOKEN)


def test_a_head_that_does_not_listen_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(Unavailable, match=f"The Ray cluster at {address} cannot be reached"):
        require_listening(address)


def test_a_server_goes_on_without_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says once that the cluster cannot be reached, tries again, and can be stopped."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.01)
    tries: list[str] = []
    listening = module.require_listening
    monkeypatch.setattr(module, "require_listening", lambda address: (tries.append(address), listening(address)))
    with Library.own(tmp_path / "home") as library:
        executor = RayExecutor(library, RaySettings(f"127.0.0.1:{free_port()}"), WorkerSpec("tiny", SHARED))
        executor.start()
        wait_until(lambda: len(tries) > 2)
        executor.stop()

    assert executor.child_pid is None
    assert caplog.text.count("cannot be reached") == 1


def test_a_worker_has_a_folder_of_its_own_and_the_bases_of_its_node(tmp_path: Path) -> None:
    (tmp_path / "bases" / "tiny").mkdir(parents=True)

    folders = [node_folder(tmp_path, name) for name in ("one", "two", "one")]

    assert folders[0] == folders[2] != folders[1]
    assert all((folder / "bases" / "tiny").is_dir() for folder in folders)


class Place:
    """Stands in for Ray: actors are kept here and answer at once, unless they are cut off."""

    exceptions = SimpleNamespace(RayError=RuntimeError, ActorUnavailableError=ConnectionError)

    def __init__(self) -> None:
        self.actors: dict[str, SimpleNamespace] = {}
        self.util = SimpleNamespace(list_named_actors=lambda: list(self.actors))

    def remote(self, _: type) -> Any:
        return SimpleNamespace(options=lambda name, **_: SimpleNamespace(remote=lambda *_: self._made(name)))

    def get_actor(self, name: str) -> SimpleNamespace:
        return self.actors[name]

    def wait(self, questions: list[str], **_: object) -> tuple[list[str], list[str]]:
        cut_off = [one for one in questions if (actor := self._of(one)) is not None and actor.is_cut_off]
        return [one for one in questions if one not in cut_off], cut_off

    def get(self, question: str) -> Answer:
        actor = self._of(question)
        if actor is None:
            raise RuntimeError("the actor died")
        return Answer(actor.is_busy, False, actor.fault)

    def _of(self, question: str) -> SimpleNamespace | None:
        return self.actors.get(question.rpartition(" ")[0])

    def _made(self, name: str) -> SimpleNamespace:
        actor = SimpleNamespace(is_busy=False, is_cut_off=False, fault=None, is_needed=[])
        numbers = iter(range(1_000))

        def look(is_needed: bool) -> str:
            actor.is_needed.append(is_needed)
            return f"{name} {next(numbers)}"

        actor.look = SimpleNamespace(remote=look)
        return self.actors.setdefault(name, actor)


def a_cluster(place: Place, workers: str = "1-3", **changes: Any) -> Cluster:
    spec = replace(WorkerSpec("tiny", SHARED), **changes)
    return Cluster(RaySettings.read("auto", workers, 1.0, 0.0), spec, "a library", ray=place)


def test_workers_follow_the_queue_within_their_limits() -> None:
    place = Place()
    cluster = a_cluster(place)

    numbers = []
    for tasks in (0, 2, 9):
        cluster.look(tasks)
        numbers.append(len(place.actors))

    assert numbers == [1, 2, 3]


def test_busy_workers_are_needed_first() -> None:
    place = Place()
    cluster = a_cluster(place)
    cluster.look(3)
    *_, last = place.actors.values()
    last.is_busy = True

    for _ in range(3):
        cluster.look(1)

    assert [actor.is_needed[-1] for actor in place.actors.values()] == [False, False, True]


def test_a_lost_worker_is_named_and_replaced() -> None:
    place = Place()
    cluster = a_cluster(place)
    cluster.look(1)
    cluster.look(1)
    (name,) = place.actors
    del place.actors[name]

    seen = cluster.look(1)

    assert seen.faults == (f"{name} was lost (RuntimeError: the actor died)",)
    assert len(place.actors) == 1


def test_a_worker_that_was_cut_off_is_replaced_until_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    cluster = a_cluster(place, "1")
    cluster.look(1)
    cluster.look(1)
    (lost,) = place.actors.values()
    lost.is_cut_off = True
    cluster.look(1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + SILENT_SECONDS + 1)

    cluster.look(1)
    assert len(place.actors) == 2

    lost.is_cut_off = False
    for _ in range(3):
        cluster.look(1)
    assert sorted(actor.is_needed[-1] for actor in place.actors.values()) == [False, True]


def test_two_servers_mean_the_same_workers() -> None:
    place = Place()
    clusters = [a_cluster(place), a_cluster(place)]

    for cluster in clusters * 3:
        cluster.look(2)

    assert len(place.actors) == 2


def test_other_settings_make_other_workers() -> None:
    place = Place()

    a_cluster(place).look(1)
    a_cluster(place, version="another").look(1)

    assert len(place.actors) == 2


def test_what_a_worker_lacks_is_said_once() -> None:
    place = Place()
    cluster = a_cluster(place)
    cluster.look(1)
    (actor,) = place.actors.values()
    actor.fault = "no base"

    faults = [fault for _ in range(3) for fault in cluster.look(1).faults]

    assert len(faults) == 1
    assert faults[0].endswith("cannot work: no base")
