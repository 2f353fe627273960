"""The real server process with a fake trainer: killed, stopped, sent duplicate and malformed requests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.chaos import double_submit
from tests.chaos.served import REAL, Served, children, of_living, proof, wait_until
from tests.chaos.trainer import FATAL
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog
from tunery.service.tuning import MAX_SERVER_DEATHS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither kill -9 nor SIGSTOP")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the base `tiny`, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    return folder / "home"


@pytest.fixture
def new_home(template: Path, tmp_path: Path) -> Callable[[], Path]:
    return lambda: shutil.copytree(template, tmp_path / "home")


@pytest.fixture(scope="module")
def running(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a server that the tests of this module share; each uses ids of its own."""
    home = shutil.copytree(template, tmp_path_factory.mktemp("running") / "home")
    with Served.fake(home) as server:
        yield server


def test_fake_children_load_no_torch() -> None:
    """It takes seconds to load, and every start and takeover with the fake trainer would take that much longer."""
    script = "import sys; import tests.chaos.server, tests.chaos.trainer; print('torch' in sys.modules)"

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert shown.stdout == "False\n"


def test_a_killed_server_loses_nothing(new_home: Callable[[], Path]) -> None:
    """kill -9 of the server: its children end, the next server has every task, and the running one continues."""
    server = Served.fake(new_home(), step_seconds=0.05).start()
    ids = [f"numbers-{number}" for number in range(8)]
    assert [server.create(model_id)[0] for model_id in ids] == [200] * 8
    wait_until(lambda: len(server.steps) > 7)
    left = children(server.pid)

    server.kill()
    with server:
        wait_until(lambda: not any(_runs(child) for child in left))
        wait_until(lambda: {server.phase(model_id) for model_id in ids} == {"SUCCEEDED"})
        assert sorted(model["name"] for model in server.models()) == [f"tunedModels/{model_id}" for model_id in ids]


@pytest.mark.parametrize("name", ["lock", "."])
def test_a_server_whose_folder_was_taken_away_stops(new_home: Callable[[], Path], name: str) -> None:
    """With its lock file or its whole folder gone, it names the path and ends; it makes nothing anew."""
    home = new_home()
    server = Served.fake(home).start()
    server.create("numbers", epochs=200)
    wait_until(lambda: len(server.steps) > 3)

    _remove(home) if name == "." else (home / name).unlink()
    wait_until(lambda: server.exit_status() is not None)

    assert server.exit_status() != 0
    assert "was removed while tunery was using it" in server.said
    assert not home.exists() if name == "." else (home / "tunery.sqlite3").exists()


def _remove(folder: Path) -> None:
    while folder.exists():  # the server may be writing into it
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.full
def test_a_task_that_takes_the_server_with_it_is_found_out(new_home: Callable[[], Path]) -> None:
    """A task that kills the server each time ends FAILED and says so; the task behind it is done before that."""
    server = Served.fake(new_home()).start()
    server.create("first", epochs=50)
    server.create("fatal", displayName=FATAL)
    server.create("behind")
    for _ in range(MAX_SERVER_DEATHS):
        wait_until(lambda: server.exit_status() is not None)
        server.start()
    with_it = server.operation("fatal")

    assert (with_it["metadata"]["phase"], with_it["error"]["code"]) == ("FAILED", 13)
    assert "the server died 5 times" in with_it["error"]["message"]
    assert server.phase("behind") == "SUCCEEDED"
    server.stop()


@pytest.mark.full
def test_a_killed_process_group_never_costs_a_job(new_home: Callable[[], Path]) -> None:
    """Server and children killed together eight times before the first step: the job is tuned all the same."""
    server = Served.fake(new_home(), step_seconds=0.5).start()
    server.create("numbers", epochs=2)
    for _ in range(MAX_SERVER_DEATHS + 3):
        wait_until(lambda: server.phase("numbers") == "RUNNING")
        server.kill_group()
        server.start()
    wait_until(lambda: server.phase("numbers") == "SUCCEEDED")
    server.stop()


@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_puts_the_task_back_with_its_steps(new_home: Callable[[], Path], name: str) -> None:
    """The server ends with status 0 and keeps the task's steps; the next server continues after them."""
    server = Served.fake(new_home()).start()
    server.create("numbers", epochs=200)
    wait_until(lambda: len(server.steps) > 4)

    again = threading.Timer(0.2, _send, (server.pid, signal.Signals[name]))  # while it is stopping
    again.start()
    server.stop(signal.Signals[name])
    done = len(server.steps)
    again.join()
    assert server.exit_status() == 0, server.said
    with server:
        wait_until(lambda: len(server.steps) > done)
        assert server.steps[done][4] == server.steps[done - 1][4] + 1
        server.ask("DELETE", "tunedModels/numbers")


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.full
def test_a_second_server_on_the_same_folder_says_who_holds_it(running: Served) -> None:
    """`tunery serve` on a folder already served: one message with process and address, exit status 19."""
    environment = {**os.environ, "TUNERY_HOME": str(running.home), "TUNERY_BASE": "tiny"}
    second = subprocess.run([sys.executable, *REAL], env=environment, capture_output=True, text=True, timeout=60)

    assert second.returncode == 19
    assert f"Your server already serves the data folder {running.home}" in second.stderr
    assert f"at http://127.0.0.1:{running.port} (process {running.pid})" in second.stderr


def test_a_killed_child_is_replaced(running: Served) -> None:
    """kill -9 of the tuning child in the middle of a task: another continues from the last checkpoint."""
    running.create("killed-child", epochs=60)
    wait_until(lambda: _completed(running, "killed-child") > 5)
    child = running.tuning_child()
    assert child is not None
    child.kill()

    wait_until(lambda: running.phase("killed-child") == "SUCCEEDED")


def test_cancel_and_delete_of_a_running_task(running: Served) -> None:
    """Cancelled while it runs: CANCELLED with what was tuned; deleted while it runs: 404, its files gone."""
    running.create("cancelled", epochs=2000)
    wait_until(lambda: _completed(running, "cancelled") > 2)
    running.ask("POST", "tunedModels/cancelled:cancel", {})
    wait_until(lambda: running.phase("cancelled") == "CANCELLED")
    assert running.ask("GET", "tunedModels/cancelled")[1]["state"] == "ACTIVE"

    running.create("deleted", epochs=2000)
    wait_until(lambda: _completed(running, "deleted") > 2)
    assert running.ask("DELETE", "tunedModels/deleted") == (200, {})
    assert running.ask("GET", "tunedModels/deleted")[0] == 404
    wait_until(lambda: not any((running.home / "checkpoints").iterdir()))


def test_one_of_many_equal_creations_wins(running: Served) -> None:
    """Of 30 simultaneous creations of one id, one returns 200 and the others 409."""
    statuses = double_submit.at_once(running, 30)

    assert sorted(statuses) == [200] + [409] * 29


@pytest.mark.full
def test_a_creation_cut_before_its_reply_is_not_made_twice(running: Served) -> None:
    """10 creations whose client left before the reply and sent them again make 10 tasks."""
    assert double_submit.cut_and_repeated(running, 10) == 10


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"displayName": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": [1,], "b": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"tuningTask": {"seed": ' + b"1" * 5000 + b"}}", "Invalid JSON payload"),
        (b'{"displayName": NaN}', "NaN"),
        (b'{"a": "' + b'\\"' * 1_000_000, "Invalid JSON payload"),
        (b'{"a": ' + b'"\\' * 1_000_000, "Invalid JSON payload"),
        (b'{"displayName": "\\ud800"}', "'displayName'"),
        (b'{"tuningTask": {"a": [{"\\udfff": 1}]}}', "'tuningTask.a[0].a name'"),
        (b"[]", "must be an object"),
        (b'{"tuningTask": 7}', "tuningTask"),
    ],
)
def test_bodies_that_cannot_be(running: Served, body: bytes, said: str) -> None:
    """Malformed, deeply nested and hostile bodies get 400 with the reason; the server survives."""
    status, reply = running.ask("POST", "tunedModels", body)

    assert (status, reply["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert said in reply["error"]["message"]


def test_examples_that_cannot_be(running: Served) -> None:
    """NUL and lone surrogates in examples are refused with the path of the field."""
    for text in ("a\0b", "\ud800"):  # the second comes as \ud800 in ASCII
        status, reply = running.create(examples=[("1", "2"), (text, "3")])
        assert status == 400
        assert "tuningTask.trainingData.examples.examples[1].textInput" in reply["error"]["message"]


def test_a_body_is_refused_while_it_comes_in(running: Served) -> None:
    """A body over 4 MiB is refused when it passes the limit, though its end was never sent."""
    with socket.create_connection(("127.0.0.1", running.port)) as line:
        token = proof(running.home)["Authorization"]
        head = f"POST /v1beta/tunedModels HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        head += "Transfer-Encoding: chunked"
        line.sendall(head.encode() + b"\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(64):
            line.sendall(chunk)
        line.sendall(b"1\r\n \r\n")  # a whole chunk could meet a connection that is closed already

        assert line.recv(1000).startswith(b"HTTP/1.1 400")


@pytest.mark.full
def test_a_frozen_answering_child_is_replaced(new_home: Callable[[], Path]) -> None:
    """A stopped answering child counts as frozen; the server keeps answering requests and starts another."""
    with Served.fake(new_home(), lease_seconds=4) as server:
        body = {"contents": [{"parts": [{"text": "x" * 30_000}], "role": "user"}]}
        wait_until(lambda: server.tuning_child() is not None)
        assert server.ask("POST", "models/tiny:generateContent", body)[1]["error"]["message"].startswith("Nothing is")
        frozen = server.answering_child()
        assert frozen is not None
        frozen.send_signal(signal.SIGSTOP)

        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(server.ask, "POST", "models/tiny:generateContent", body) for _ in range(8)]
            assert server.ask("GET", "tunedModels")[0] == 200
            said = {reply.result()[1]["error"]["message"] for reply in asked}
            assert said == {"The answering process froze. Ask again."}

        assert not _runs(frozen)


@pytest.mark.full
def test_tokens_and_texts_are_in_no_log(running: Served) -> None:
    """Examples, prompts and tokens appear neither in the server's output nor in the process list."""
    canaries = [f"canary{number}rq7" for number in range(50)]
    running.create("canaries", examples=[(canary, canary) for canary in canaries[:30]])
    for canary in canaries[30:40]:
        prompt = {"contents": [{"parts": [{"text": canary}], "role": 7}]}
        running.ask("POST", "models/tiny:generateContent", prompt)
    for canary in canaries[40:]:
        running.ask("GET", "tunedModels", headers={"Authorization": f"Bearer {canary}"})
        running.ask("GET", f"tunedModels?key={canary}", headers={"Authorization": ""})
    wait_until(lambda: running.phase("canaries") == "SUCCEEDED")

    _, errors = running.ask("POST", "tunedModels?tuned_model_id=canaries", b"{")
    commands = of_living(children(running.pid), lambda child: " ".join(child.cmdline()))
    seen = running.said + str(errors) + "".join(commands)
    assert [canary for canary in canaries if canary in seen] == []


def _completed(server: Served, model_id: str) -> int:
    return int(server.operation(model_id)["metadata"].get("completedSteps", 0))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
