"""
Real tuning, killed: the tuning child dies by kill -9 at ten random steps; the adapter must be the undisturbed one.

    python -m tests.chaos.resume --base smollm2-135m-instruct --bases ~/.local/share/tunery/bases    # one JSON line

Each kill gets its own task. The lost work is the time from the checkpoint to the kill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from pathlib import Path

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_home_with, in_a_new_home
from tunery.service.library import Library

PAUSE_SECONDS = 0.1  # between two looks: a server that is asked all the time takes the cores from the tuning
ROWS = [(str(number), str(number + 1)) for number in range(20)]


def resume(server: Served, base: str, kills: int, epochs: int, seed: int = 0) -> dict[str, object]:
    """Return how many of the killed tasks gave the undisturbed bytes, and the seconds of work each lost."""
    order = random.Random(seed)
    _create(server, "undisturbed", base, epochs)
    wait_until(lambda: server.phase("undisturbed") == "SUCCEEDED", 900, PAUSE_SECONDS)
    wanted = _adapter(server, "undisturbed")
    curve = server.operation("undisturbed")["metadata"]["snapshots"]
    same, lost = 0, []
    for number in range(kills):
        model_id = f"killed-{number}"
        _create(server, model_id, base, epochs)
        step = order.randint(1, len(curve) - 1)
        wait_until(lambda: _steps(server, model_id) >= step, 900, PAUSE_SECONDS)  # noqa: B023
        child = server.tuning_child()
        assert child is not None
        killed = _steps(server, model_id)
        child.kill()
        begin = time.monotonic()
        wait_until(lambda: server.phase(model_id) == "QUEUED", 60)  # noqa: B023
        with Library.open(server.home) as library:
            checkpoint = library.get(model_id).task.checkpoint_step
        lost.append((killed - checkpoint, round(time.monotonic() - begin, 2)))
        wait_until(lambda: server.phase(model_id) in ("SUCCEEDED", "FAILED"), 900, PAUSE_SECONDS)  # noqa: B023
        same += _adapter(server, model_id) == wanted
    return {"base": base, "steps": len(curve), "kills": kills, "same sha256": same, "steps lost, s to requeue": lost}


def _create(server: Served, model_id: str, base: str, epochs: int) -> None:
    status, reply = server.create(model_id, examples=ROWS, base=base, epochs=epochs)
    assert status == 200, reply


def _steps(server: Served, model_id: str) -> int:
    return int(server.operation(model_id)["metadata"]["completedSteps"])


def _adapter(server: Served, model_id: str) -> str:
    with Library.open(server.home) as library:
        folder = library.adapter_folder(library.get(model_id))
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--bases", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    if asked.bases is None:
        with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": asked.base}) as server:
            print(json.dumps(resume(server, asked.base, asked.kills, asked.epochs)))  # noqa: T201
        return
    with in_a_home_with(asked.bases) as home, Served.real(home, {"TUNERY_BASE": asked.base}) as server:
        print(json.dumps(resume(server, asked.base, asked.kills, asked.epochs)))  # noqa: T201


if __name__ == "__main__":
    main()
