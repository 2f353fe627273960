"""
Repeated creations: at the same time under one id, and again because the reply never arrived.

    python -m tests.chaos.double_submit    # 200 at once; 100 cut and repeated; prints one line of JSON
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter

from tests.chaos.served import Served, creation_body, proof
from tests.chaos.template import in_a_new_home


def at_once(server: Served, times: int) -> list[int]:
    """Create one tuned model many times at once; return the statuses."""
    return asyncio.run(_at_once(server, times))


def cut_and_repeated(server: Served, times: int) -> int:
    """
    Send creations, disconnect before the reply, then send each again; return the number of tasks.

    They disconnect after 0 to 20 ms: some before the server has begun, most between its commit and its reply.
    """
    before = len(server.models())
    bodies = [
        creation_body([(f"{server.pid} {time.monotonic()} {n}", "x")], displayName=f"cut {n}") for n in range(times)
    ]
    for number, body in enumerate(bodies):
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(_request(server, body))
            time.sleep(number % 10 * 0.002)
    time.sleep(1)  # until the handlers have found out that nobody is there
    for body in bodies:
        status, reply = server.ask("POST", "tunedModels", body)
        assert status == 200, reply
    return len(server.models()) - before


async def _at_once(server: Served, times: int) -> list[int]:
    lines = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(times)]
    request = _request(server, creation_body(), "?tuned_model_id=at-once")
    for _, writer in lines:
        writer.write(request)
    heads = await asyncio.gather(*(reader.readline() for reader, _ in lines))
    for _, writer in lines:
        writer.close()
    return [int(head.split()[1]) for head in heads]


def _request(server: Served, value: object, query: str = "") -> bytes:
    body = json.dumps(value).encode()
    headers = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **proof(server.home)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1beta/tunedModels{query} HTTP/1.1\r\n{lines}\r\n".encode() + body


def main() -> None:
    """Measure the full figures."""
    with in_a_new_home() as home, Served.fake(home) as server:
        counts = Counter(at_once(server, 200))
        tasks = cut_and_repeated(server, 100)
        print(json.dumps({"at once": counts, "tasks of 100 creations cut and repeated": tasks}))  # noqa: T201


if __name__ == "__main__":
    main()
