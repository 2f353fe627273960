"""
What happens to a server at odd hours: signals twice, no room for temporary files, a folder that is copied, and so on.

    python -m tests.chaos.odd_hours    # a few minutes; one JSON line; the file systems need root and Linux

Each trial has a data folder of its own, a tuned model and a job at work. It returns what fell, in words; a job must end
with the bytes of one that nothing disturbed, and no trial may count a loss.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from tests.chaos.disk_faults import FILE, QUESTION, RIGHT, TUNED, _asked, _exported, _parsed
from tests.chaos.served import Served, proof, wait_until
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog
from tunery.errors import DataLoss
from tunery.service.library import Library

JOB, EPOCHS = "job", 150
Trial = Callable[[Path], list[str]]


def signals_twice(home: Path) -> list[str]:
    """SIGHUP, SIGINT and SIGTERM, each sent twice while a job is at work, end the server in ten seconds."""
    fell = []
    server = _serving(home).start()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        _begin(server)
        begin = time.monotonic()
        for _ in range(2):
            with suppress(ProcessLookupError):
                os.kill(server.pid, number)
            time.sleep(0.3)
        wait_until(lambda: server.exit_status() is not None, 30)
        if time.monotonic() - begin > 10:
            fell.append(f"{number.name} twice took {time.monotonic() - begin:.0f} s")
        server.start()
    return fell + _ended(server)


def no_temporary_folder(home: Path) -> list[str]:
    """The folder for temporary files is not there, or has no room."""
    fell = []
    for name, place in (("missing", home.parent / "nowhere"), ("full", _full(home.parent / "full"))):
        with _serving(home, TMPDIR=str(place)) as server:
            fell += _wrong(server, f"temporary folder {name}")
            shutil.rmtree(home.parent / "nowhere", ignore_errors=True)
    subprocess.run(["umount", str(home.parent / "full")], check=True)
    return fell


def few_descriptors(home: Path) -> list[str]:
    """The limit of open files is what the server has open, for three seconds."""
    with _serving(home) as server:
        _begin(server)
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (psutil.Process(server.pid).num_fds() + 1, before[1]))
        fell = _wrong(server, "few descriptors")
        time.sleep(3)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        return fell + _ended(server)


def copied_while_running(home: Path) -> list[str]:
    """A plain copy of the folder opens with whole models, or is refused as damaged."""
    fell = []
    with _serving(home) as server:
        _begin(server)
        for number in range(5):
            copy = Path(shutil.copytree(home, home.parent / f"copy-{number}", ignore_dangling_symlinks=True))
            try:
                with Library.own(copy) as library:
                    adapters = [library.adapter_folder(model) for model in library.list() if model.artifact]
                    fell += [] if adapters else ["a copy without its model"]
            except DataLoss:
                pass
            time.sleep(0.2)
        return fell + _ended(server)


def child_killed_in_a_stream(home: Path) -> list[str]:
    """The answering process is killed after the first piece: the stream says so, and the next answer is right."""
    with _serving(home) as server:
        wanted = _asked(server)
        body = json.dumps(QUESTION | {"generationConfig": {"maxOutputTokens": 400}}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", f"/v1beta/tunedModels/{TUNED}:streamGenerateContent?alt=sse", body, proof(home))
        reply = connection.getresponse()
        first = reply.readline()
        child = server.answering_child()
        assert child is not None
        child.kill()
        rest = b""
        with suppress(http.client.HTTPException, OSError):
            rest = reply.read()
        fell = [] if b"error" in rest or b"finishReason" in first + rest else [f"a stream ended with {rest[-80:]!r}"]
        wait_until(lambda: _asked(server)[0] != 503, 60, 0.2)
        return fell + ([] if _asked(server) == wanted else ["another answer afterwards"])


def uploads_cut(home: Path) -> list[str]:
    """Twenty uploads and creations that break off half-way leave nothing and keep nobody waiting."""
    with _serving(home) as server:
        before = psutil.Process(server.pid).num_fds()
        for number in range(20):
            path = ("datasets:parse?fileName=x.csv", "tunedModels")[number % 2]
            head = f"POST /v1beta/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(FILE)}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in proof(home).items())
            with socket.create_connection(("127.0.0.1", server.port)) as line:
                line.sendall(head.encode() + b"\r\n" + FILE[: len(FILE) // 2])
        time.sleep(2)
        names = [model["name"] for model in server.models()]
        fell = [] if names == [f"tunedModels/{TUNED}"] else [f"models {names}"]
        fell += _wrong(server, "after cut uploads")
        return fell + ([] if psutil.Process(server.pid).num_fds() <= before + 5 else ["descriptors stay open"])


def deleted_meanwhile(home: Path) -> list[str]:
    """A model is deleted while it is exported, evaluated, tuned and answers: right statuses, nothing is left of it."""
    fell = []
    with _serving(home) as server:
        for number in range(3):
            model_id = f"gone-{number}"
            server.create(model_id, examples=8, epochs=2, displayName=model_id)
            wait_until(lambda: server.phase(model_id) == "SUCCEEDED", 300, 0.1)  # noqa: B023
            asked = {"ask": f"tunedModels/{model_id}:generateContent", "evaluate": f"tunedModels/{model_id}:evaluate"}
            threads = [
                threading.Thread(target=_note, args=(fell, "POST", server, path, QUESTION if name == "ask" else {}))
                for name, path in asked.items()
            ]
            threads.append(threading.Thread(target=_note, args=(fell, "GET", server, f"tunedModels/{model_id}:export")))
            for thread in threads:
                thread.start()
            time.sleep(0.1 * number)
            status, reply = server.ask("DELETE", f"tunedModels/{model_id}")
            fell += [] if status == 200 else [f"deleting gave {status} {reply}"]
            for thread in threads:
                thread.join()
        time.sleep(1)
        with Library.open(home) as library:
            known = {model.task.id for model in library.list()}
        left = [path.name for place in ("models", "checkpoints") for path in (home / place).iterdir()]
        return fell + [f"{name} is left" for name in left if name not in known]


def _note(fell: list[str], method: str, server: Served, path: str, body: object = None) -> None:
    try:
        status, reply = server.ask_raw(method, path, body)
    except (http.client.HTTPException, OSError):  # a download that breaks off is its client's to notice
        return
    if status not in RIGHT | {404}:
        fell.append(f"{path} gave {status} {reply[-200:]!r}")


def _wrong(server: Served, when: str) -> list[str]:
    """Call what uses files, and return what was not answered right."""
    fell = []
    calls = {"ask": _asked, "parse": _parsed, "export": _exported, "create": lambda one: one.create(epochs=1)}
    for name, call in calls.items():
        status, reply = call(server)
        if status not in RIGHT:
            fell.append(f"{when}: {name} gave {status} {str(reply)[:200]}")
    return fell


def _begin(server: Served) -> None:
    """Have a job at work, or go on with it."""
    with suppress(AssertionError, IndexError):
        if server.phase(JOB) not in ("SUCCEEDED", "FAILED"):
            wait_until(lambda: server.phase(JOB) == "RUNNING", 120, 0.05)
            return
    server.create(JOB, examples=8, epochs=EPOCHS)
    wait_until(lambda: server.phase(JOB) == "RUNNING", 120, 0.05)


def _ended(server: Served) -> list[str]:
    """Wait for the job, and return what is wrong with its end."""
    wait_until(lambda: server.phase(JOB) in ("SUCCEEDED", "FAILED"), 600, 0.2)
    server.create("undisturbed", examples=8, epochs=EPOCHS)
    wait_until(lambda: server.phase("undisturbed") in ("SUCCEEDED", "FAILED"), 600, 0.2)
    fell = []
    with Library.open(server.home) as library:
        job, other = library.get(JOB), library.get("undisturbed")
        if job.artifact is None or other.artifact is None:
            return [f"the job ended with {job.task.error_message or other.task.error_message}"]
        same_format = job.task.settings.get("dtype") == other.task.settings.get("dtype")
        weights = [(library.adapter_folder(one) / "adapter_model.safetensors").read_bytes() for one in (job, other)]
        fell += ["other bytes"] if same_format and weights[0] != weights[1] else []
    server.stop()
    with closing(sqlite3.connect(server.home / "tunery.sqlite3")) as database:
        losses = database.execute("SELECT sum(losses) FROM tuning_tasks").fetchone()[0]
        deaths = database.execute("SELECT coalesce(sum(deaths), 0) FROM server_deaths").fetchone()[0]
    return fell + ([] if losses == deaths == 0 else [f"{losses} losses and {deaths} deaths counted"])


def _serving(home: Path, **environment: str) -> Served:
    return Served.real(home, {"TUNERY_BASE": "tiny", **environment})


def _full(place: Path) -> Path:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    with suppress(OSError):
        (place / "fill").write_bytes(bytes(1 << 20))
    return place


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a data folder on a file system of its own, with a base and a tuned model."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(home)], check=True)
        try:
            Catalog(home).add(str(make_folder(Path(folder) / "base", max_position_embeddings=512)), "tiny")
            with _serving(home) as server:
                server.create(TUNED, examples=8, epochs=3)
                wait_until(lambda: server.phase(TUNED) == "SUCCEEDED", 300, 0.2)
            yield home
        finally:
            subprocess.run(["umount", "-l", str(home)], check=True)


TRIALS: tuple[Trial, ...] = (
    signals_twice, no_temporary_folder, few_descriptors, copied_while_running, child_killed_in_a_stream,
    uploads_cut, deleted_meanwhile,
)  # fmt: skip


def main() -> None:
    """Run all trials."""
    found = {}
    for trial in TRIALS:
        with _home() as home:
            try:
                found[trial.__name__] = trial(home) or "held"
            except AssertionError as error:
                found[trial.__name__] = [f"{error}"]
        print(json.dumps({trial.__name__: found[trial.__name__]}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
