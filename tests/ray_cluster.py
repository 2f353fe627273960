"""A Ray cluster of the tests' own: one small node on this machine, with a token."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 90.0
OBJECT_STORE_BYTES = 80_000_000  # about the least that Ray takes


@dataclass(slots=True)
class Node:
    """A running node; `kill` ends all of its processes at one moment, as a power cut does."""

    process: subprocess.Popen[bytes]
    address: str
    environment: dict[str, str]  # of programs that use the cluster

    def kill(self) -> None:
        found = self._processes()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for one in found:  # some have a group of their own
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """Return the processes of the actors."""
        return [one for one in self._processes() if "ray::TuningActor" in _command(one)]

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


@contextmanager
def serving_ray(
    home: Path,
    *,
    port: int | None = None,
    cpus: int = 2,
    head: str | None = None,
    environment: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
    ip: str = "127.0.0.1",
) -> Iterator[Node]:
    """
    Run a node with this data folder within the block: the head of a new cluster, or one that joins `head`.

    `environment` is that of the other nodes' cluster, with its token; `prefix` starts the command in another network.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # a short path for sockets
        address = head or f"{ip}:{port or free_port()}"
        shared = environment or {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        own = {**shared, "RAY_ADDRESS": address}
        start = ["--address", address] if head else ["--head", "--port", address.rpartition(":")[2]]
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *start, "--block"]
        command += ["--num-cpus", str(cpus), "--object-store-memory", str(OBJECT_STORE_BYTES)]
        command += ["--disable-usage-stats", "--temp-dir", folder]
        command += [] if head else ["--include-dashboard=false"]
        command += [] if ip == "127.0.0.1" else ["--node-ip-address", ip]
        with (Path(folder) / "said").open("wb") as said:
            given = {**os.environ, **shared, "TUNERY_HOME": str(home), "HF_HUB_OFFLINE": "1"}
            given.pop("RAY_ADDRESS", None)  # of another cluster, or of the one that this is the new head of
            process = subprocess.Popen(command, env=given, stdout=said, stderr=said, start_new_session=True)
        node = Node(process, address, own)
        try:
            _wait(process, Path(folder) / "said")
            yield node
        finally:
            node.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], said: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while "Ray runtime started" not in (text := said.read_text(errors="replace")):
        assert process.poll() is None, text
        assert time.monotonic() < give_up, text
        time.sleep(0.1)


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
