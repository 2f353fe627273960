"""What a default server offers to other machines: nothing (B-14)."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import psutil
import pytest

from tests.chaos.served import Served, family, of_living
from tests.needs import missing

_SPACE, _HERE, _THERE = "tunery-test", "10.254.254.1", "10.254.254.2"
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a server as it starts after an installation: no option but the port, an empty data folder."""
    with Served.real(tmp_path_factory.mktemp("listening") / "home") as server:
        yield server


@pytest.fixture
def other_machine() -> Iterator[None]:
    """Join a second network namespace to this one, which has the address `_HERE`; it stands for another machine."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("a second network namespace needs root and iproute2")
    with ExitStack() as undo:
        _ip("netns", "add", _SPACE)
        undo.callback(_ip, "netns", "delete", _SPACE)
        _ip("link", "add", "tunery0", "type", "veth", "peer", "name", "tunery1", "netns", _SPACE)
        _ip("address", "add", f"{_HERE}/30", "dev", "tunery0")
        _ip("link", "set", "tunery0", "up")
        _ip("-n", _SPACE, "address", "add", f"{_THERE}/30", "dev", "tunery1")
        _ip("-n", _SPACE, "link", "set", "tunery1", "up")
        yield


def test_nothing_listens_beyond_loopback(server: Served) -> None:
    """The server and its children listen at loopback addresses only."""
    heard = _listening(server)

    assert server.port in {port for _, port in heard}
    assert [address for address, _ in heard if not ipaddress.ip_address(address).is_loopback] == []


@pytest.mark.full
def test_another_machine_cannot_connect(server: Served, other_machine: None) -> None:  # noqa: ARG001
    """Every port of the server refuses another machine, which reaches a program that listens to all."""
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        assert _reaches(open_to_all.getsockname()[1])

    assert [port for _, port in _listening(server) if _reaches(port)] == []


def _listening(server: Served) -> list[tuple[str, int]]:
    found = chain.from_iterable(of_living(family(server.pid), lambda process: process.net_connections("inet")))
    return [(each.laddr.ip, each.laddr.port) for each in found if each.status == psutil.CONN_LISTEN or not each.raddr]


def _reaches(port: int) -> bool:
    command = ["ip", "netns", "exec", _SPACE, sys.executable, "-c", _CONNECT, _HERE, str(port)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
