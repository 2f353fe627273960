"""
Clients that vanish: two hundred streams are cut in the middle; slots, threads, descriptors and adapters must be free.

    python -m tests.chaos.vanished --clients 200    # one JSON line

A slot is free when a question of another client is answered; the base is tiny, so that only waiting takes time.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import struct
import time

import psutil

from tests.chaos.served import Served, of_living, proof, wait_until
from tests.chaos.template import in_a_new_home

AT_ONCE = 8
QUESTION = {"contents": [{"parts": [{"text": "Count."}]}]}
LONG = QUESTION | {"generationConfig": {"maxOutputTokens": 200, "temperature": 2.0}}
SHORT = QUESTION | {"generationConfig": {"maxOutputTokens": 1}}
LONGEST_SECONDS = 60.0


def vanish(server: Served, clients: int) -> dict[str, object]:
    """Return how long slots stayed taken, and what was left behind."""
    _cut(server)  # threads are started with the first requests
    server.ask("POST", "models/tiny:generateContent", SHORT)
    before, seconds, failed = _resources(server), [], 0
    for _ in range(-(-clients // AT_ONCE)):
        _cut(server)
        begin = time.monotonic()
        status, _ = server.ask("POST", "models/tiny:generateContent", SHORT)
        failed += status != 200
        seconds.append(time.monotonic() - begin)
    wait_until(lambda: _resources(server)["descriptors"] <= before["descriptors"], LONGEST_SECONDS, 0.2)
    after = _resources(server)
    return {
        "clients": len(seconds) * AT_ONCE, "not answered": failed, "free after s, median": _rounded(seconds, 0.5),
        "p99": _rounded(seconds, 0.99), "more": {name: after[name] - before[name] for name in before},
    }  # fmt: skip


def _cut(server: Served) -> None:
    """Begin some streams, and reset their connections when the answers have begun."""
    lines = [_stream(server) for _ in range(AT_ONCE)]
    for line in lines:
        line.recv(200)
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as of a dead host
        line.close()


def _stream(server: Served) -> socket.socket:
    body = json.dumps(LONG).encode()
    head = ["POST /v1beta/models/tiny:streamGenerateContent?alt=sse HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
    head += [f"{name}: {value}" for name, value in proof(server.home).items()]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    line = socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST_SECONDS)
    line.sendall("\r\n".join(head).encode() + body)
    return line


def _resources(server: Served) -> dict[str, int]:
    """Return threads and descriptors of the server and its answering child."""
    child = server.answering_child()
    processes = [psutil.Process(server.pid), *([child] if child else [])]
    return {
        "threads": sum(of_living(processes, psutil.Process.num_threads)),
        "descriptors": sum(of_living(processes, psutil.Process.num_fds)),
    }


def _rounded(seconds: list[float], share: float) -> float:
    return round(statistics.quantiles(seconds, n=100)[round(share * 100) - 1], 3)


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    asked = parser.parse_args()
    with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        print(json.dumps(vanish(server, asked.clients)))  # noqa: T201


if __name__ == "__main__":
    main()
