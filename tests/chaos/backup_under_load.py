"""
Backups while jobs run and are created: each is restored elsewhere, and every model answers there as it does here.

    python -m tests.chaos.backup_under_load --backups 5    # one JSON line
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from pathlib import Path

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home
from tunery.service.backup import back_up, restore

PAUSE_SECONDS = 0.05
QUESTION = {
    "contents": [{"parts": [{"text": "3"}]}],
    "generationConfig": {"temperature": 0, "maxOutputTokens": 8},
}


def copy(server: Served, backups: int) -> dict[str, object]:
    """Return how many models each backup held, and how many of them answered differently after a restore."""
    is_over = threading.Event()
    changing = threading.Thread(target=_change, args=(server, is_over))
    changing.start()
    found: list[list[int]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(backups):
                wait_until(lambda: len(_active(server)) >= 2 * (number + 1), pause=PAUSE_SECONDS)  # noqa: B023
                archive = Path(folder) / f"{number}.tar"
                back_up(server.home, archive)
                found.append(_compared(server, archive, Path(folder) / f"home-{number}"))
    finally:
        is_over.set()
        changing.join()
    return {
        "backups": backups,
        "models": [models for models, _ in found],
        "different answers": sum(different for _, different in found),
    }


def _compared(server: Served, archive: Path, home: Path) -> list[int]:
    home.mkdir(mode=0o700)
    (home / "bases").symlink_to(server.home / "bases")
    restore(archive, home)
    with Served.real(home, {"TUNERY_BASE": "tiny"}) as other:
        models = _active(other)
        here = set(_active(server))  # those deleted since have no answer here
        different = sum(_answer(server, model) != _answer(other, model) for model in models if model in here)
    return [len(models), different]


def _change(server: Served, is_over: threading.Event) -> None:
    """Create models all the time, and delete every fifth."""
    number = 0
    while not is_over.is_set():
        status, _ = server.create(f"made-{number}", examples=8, epochs=2)
        assert status == 200
        wait_until(lambda: server.phase(f"made-{number}") == "SUCCEEDED", pause=PAUSE_SECONDS)  # noqa: B023
        if number % 5 == 4:
            server.ask("DELETE", f"tunedModels/made-{number}")
        number += 1


def _active(server: Served) -> list[str]:
    return [model["name"] for model in server.models() if model["state"] == "ACTIVE"]


def _answer(server: Served, model: str) -> object:
    status, reply = server.ask("POST", f"{model}:generateContent", QUESTION)
    return reply["candidates"] if status == 200 else status


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backups", type=int, default=5)
    asked = parser.parse_args()
    with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        print(json.dumps(copy(server, asked.backups)))  # noqa: T201


if __name__ == "__main__":
    main()
