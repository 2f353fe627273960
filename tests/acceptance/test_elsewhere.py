"""Systems without POSIX: real commands, where tunery's modules find of the system what Windows has of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_gguf
from tests.live import Server

PRETENCE = Path(__file__).parent / "elsewhere"
SECONDS = 60


@dataclass(frozen=True)
class Elsewhere:
    """A folder to work in, with a base and rows, and the environment of a system that is not POSIX."""

    folder: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        told = {"PYTHONPATH": str(PRETENCE), "TUNERY_HOME": str(self.folder / "home"), "TUNERY_BASE": "tiny"}
        environment = {**os.environ, **told, "HOME": str(self.folder), "TUNERY_DEBUG": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> str:
        with self.start(*command) as process:
            output, said = process.communicate()
        assert process.returncode == 0, said
        assert "ELSEWHERE" not in said
        return output

    def tunery(self, *arguments: str) -> str:
        return self.run("-m", "tunery", *arguments)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    make_gguf(tmp_path / "tiny.gguf")
    rows = "".join(f"charged twice {n},billing\nbroken {n},repair\n" for n in range(6))
    (tmp_path / "tickets.csv").write_text(f"message,team\n{rows}", "utf-8")
    return Elsewhere(tmp_path)


def test_the_pretence_holds(elsewhere: Elsewhere) -> None:
    """Names and modules are hidden from a module of tunery, and from no other."""
    code = (
        "import os, signal, tunery.files as ours, tunery.service.process as process\n"
        "print(ours.os.name, process.sys.platform, hasattr(ours.os, 'fork'), hasattr(process.signal, 'SIGKILL'))\n"
        "print(os.name, hasattr(os, 'fork'), hasattr(signal, 'SIGKILL'))"
    )

    assert elsewhere.run("-c", code).splitlines() == ["nt win32 False False", "posix True True"]


def test_a_file_is_tuned_answered_served_and_removed(elsewhere: Elsewhere) -> None:
    """From a base's file to nothing left, by commands alone and then through a server."""
    elsewhere.tunery("bases", "add", "tiny.gguf")
    elsewhere.tunery("tune", "tickets.csv", "--id", "alone", "--base-model", "tiny", "--epochs", "1", "--hold-out", "4")

    with elsewhere.start("-m", "tunery", "serve", "--port", "0") as server:
        try:
            served = Server(elsewhere.folder / "home", _address(server))
            with served.client() as client:
                assert client.get("/healthz").status_code == 200
                served.tune(client, "served")
                elsewhere.tunery("generate", "served", "3", "--max-output-tokens", "3")
                assert client.delete("/v1beta/tunedModels/served").status_code == 200
        finally:
            server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=SECONDS)
    assert "Stopped." in said
    assert "ELSEWHERE" not in said

    elsewhere.tunery("uninstall", "--yes")
    assert not list((elsewhere.folder / "home").glob("*"))


def _address(server: subprocess.Popen[str]) -> str:
    """Return where a server says that it is serving."""
    assert server.stderr is not None
    give_up, said = time.monotonic() + SECONDS, ""
    while time.monotonic() < give_up and (line := server.stderr.readline()):
        said += line
        if line.startswith("Serving at"):
            return line.split()[-1]
    raise AssertionError(said)
