"""
Disk faults: system calls of the running server and its children fail with ENOSPC, EIO, EMFILE or EACCES.

    python -m tests.chaos.disk_faults --faults 100           # one JSON line; needs strace
    python -m tests.chaos.disk_faults --faults 100 --real    # with real tuning and answers, and killed children

Each fault lasts half a second, while a model is created and another is tuned. The server must live, answer with the
right status, and finish every job it accepted once the disk is well again. With --real, a tuned model answers, a file
is parsed and an adapter is exported too; answers must have the text of a well disk, and adapters its bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psutil

from tests.chaos.served import Served, family, of_living, wait_until
from tests.chaos.template import in_a_new_home
from tunery.service.library import Library

FAULT_SECONDS = 0.5
# What a disk can answer to a call; `write` is left out, since it also carries the channel between the processes.
FAULTS = (
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("fsync", "EIO"),
    ("fsync", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("openat", "EMFILE"),
    ("openat", "EACCES"),
    ("rename", "EACCES"),
    ("rename", "ENOSPC"),
    ("mkdir", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("unlink", "EIO"),
)
KILLS = ("tuning child", "answering child", "import child")
RIGHT = {200, 400, 429, 503}  # 400: the data folder cannot be written to
TUNED = "first"
QUESTION = {"contents": [{"parts": [{"text": "7"}]}], "generationConfig": {"maxOutputTokens": 8}}
FILE = b"text_input,output\n" + b"".join(b"%d,%d\n" % (number, number + 1) for number in range(2000))


def suffer(server: Served, faults: int, seed: int = 0) -> dict[str, object]:
    """Return what was answered during the faults, and how the accepted jobs ended."""
    order, answers, accepted = random.Random(seed), Counter[str](), []
    first = server.pid
    for number in range(faults):
        call, error = FAULTS[number % len(FAULTS)]
        with _failing(server, call, error, order.choice((1, 2, 3))):
            end = time.monotonic() + FAULT_SECONDS
            status, reply = server.create(f"job-{number}", examples=8, epochs=3)
            time.sleep(max(0.0, end - time.monotonic()))
        answers[f"{call} {error} {status}"] += status not in RIGHT
        if status == 200:
            accepted.append(f"job-{number}")
        elif status not in RIGHT:
            answers[str(reply)[:120]] += 1
    alive = server.exit_status() is None and server.pid == first
    wait_until(lambda: not _waiting(server, accepted), 900, 0.5)
    failed = [server.operation(one)["error"]["message"] for one in accepted if server.phase(one) == "FAILED"]
    phases = Counter(server.phase(model_id) for model_id in accepted)
    return {
        "faults": faults, "the same server lives": alive, "accepted": len(accepted), "ended": dict(phases),
        "failed": failed,
        "wrong answers": {what: count for what, count in answers.items() if count},
        "ready": server.ask("GET", "tunedModels?page_size=1")[0],
    }  # fmt: skip


def suffer_really(server: Served, faults: int, seed: int = 0) -> dict[str, object]:
    """Return what was answered during faults and kills of children, and how jobs, answers and adapters ended."""
    order, answers, accepted = random.Random(seed), Counter[str](), []
    first, kinds = server.pid, [*FAULTS, *((child, "KILL") for child in KILLS)]
    server.create(TUNED, examples=8, epochs=3)
    wait_until(lambda: server.phase(TUNED) == "SUCCEEDED", 300, 0.2)
    status, wanted = _asked(server)
    assert status == 200, wanted
    for number in range(faults):
        what, error = kinds[number % len(kinds)]
        with ThreadPoolExecutor() as pool, _harmed(server, what, error, order):
            created = pool.submit(server.create, f"job-{number}", examples=8, epochs=3)
            others = [pool.submit(one, server) for one in (_asked, _parsed, _exported)]
            time.sleep(FAULT_SECONDS)
            replies = [future.result() for future in (created, *others)]
        for name, (status, reply) in zip(("create", "ask", "parse", "export"), replies, strict=True):
            is_wrong = status not in RIGHT or (name == "ask" and status == 200 and reply != wanted)
            if is_wrong:
                answers[f"{what} {error} {name} {status} {str(reply)[:160]}"] += 1
        if replies[0][0] == 200:
            accepted.append(f"job-{number}")
        if len(accepted) % 8 == 0:  # the queue stays short, so that all kinds of faults meet a running job
            wait_until(lambda: not _waiting(server, accepted), 900, 0.2)
    wait_until(lambda: not _waiting(server, accepted), 900, 0.5)
    failed = [server.operation(one)["error"]["message"] for one in accepted if server.phase(one) == "FAILED"]
    with Library.open(server.home) as library:
        made = Counter(_adapter(library, model_id) for model_id in [TUNED, *accepted] if model_id not in failed)
    return {
        "faults": faults, "the same server lives": server.exit_status() is None and server.pid == first,
        "accepted": len(accepted), "ended": dict(Counter(server.phase(model_id) for model_id in accepted)),
        "failed": failed, "different adapters of one number format": len(made) - len({dtype for dtype, _ in made}),
        "wrong answers": dict(answers), "asked at the end": _asked(server) == (200, wanted),
        "open files": psutil.Process(server.pid).num_fds(),
    }  # fmt: skip


@contextmanager
def _harmed(server: Served, what: str, error: str, order: random.Random) -> Iterator[None]:
    """Let a call fail, or kill a child of the server, within the block."""
    if error != "KILL":
        with _failing(server, what, error, order.choice((1, 2, 3))):
            yield
        return
    killing = threading.Timer(order.uniform(0.0, FAULT_SECONDS), _kill, (server, what))
    killing.start()
    yield
    killing.join()


def _kill(server: Served, what: str) -> None:
    if what == KILLS[2]:
        found = of_living(family(server.pid), lambda child: (child, child.cmdline()))
        child = next((child for child, command in found if "tunery.data.sandbox" in command), None)
    else:
        child = server.tuning_child() if what == KILLS[0] else server.answering_child()
    if child is not None:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _asked(server: Served) -> tuple[int, object]:
    status, reply = server.ask("POST", f"tunedModels/{TUNED}:generateContent", QUESTION)
    return status, reply["candidates"][0]["content"] if status == 200 else reply


def _parsed(server: Served) -> tuple[int, object]:
    headers = {"Content-Type": "application/octet-stream"}
    status, reply = server.ask("POST", "datasets:parse?fileName=rows.csv", FILE, headers)
    return status, reply


def _exported(server: Served) -> tuple[int, object]:
    """Export the adapter; a reply that breaks off is the client's to notice, and counts as 503."""
    try:
        return server.ask_raw("GET", f"tunedModels/{TUNED}:export")
    except (http.client.HTTPException, OSError) as error:
        return 503, repr(error)


def _adapter(library: Library, model_id: str) -> tuple[object, str]:
    model = library.get(model_id)
    weights = library.adapter_folder(model) / "adapter_model.safetensors"
    return model.task.settings.get("dtype"), hashlib.sha256(weights.read_bytes()).hexdigest()


def _waiting(server: Served, accepted: list[str]) -> bool:
    return any(server.phase(model_id) not in ("SUCCEEDED", "FAILED") for model_id in accepted)


@contextmanager
def _failing(server: Served, call: str, error: str, begin: int) -> Iterator[None]:
    """Let a call of the server and its children fail, from the `begin`-th of each process on."""
    attached = [argument for process in family(server.pid) for argument in ("-p", str(process.pid))]
    inject = f"inject={call}:error={error}:when={begin}+"
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *attached],
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.2)  # until it is attached
        yield
    finally:
        strace.terminate()
        strace.wait()


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.real:
        with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
            print(json.dumps(suffer_really(server, asked.faults, asked.seed)))  # noqa: T201
        return
    with in_a_new_home() as home, Served.fake(home, step_seconds=0.05) as server:
        print(json.dumps(suffer(server, asked.faults)))  # noqa: T201


if __name__ == "__main__":
    main()
