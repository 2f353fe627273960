"""A provider on this machine that answers a number with the next one, or fails as planned."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

KEY = "k-123"


class Provider(BaseHTTPRequestHandler):
    """Answers a number with the next one, or with the next planned failure or reply."""

    failures: ClassVar[list[tuple[int, dict[str, str]]]] = []
    replies: ClassVar[list[object]] = []
    asked: ClassVar[list[tuple[str, dict[str, str], dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
        if self.failures:
            status, headers = self.failures.pop(0)
            self._reply(status, headers, {"error": "planned"})
        elif self.replies:
            self._reply(200, {}, self.replies.pop(0))
        elif "messages" in body:
            text = str(int(body["messages"][0]["content"]) + 1)
            self._reply(200, {}, {"choices": [{"message": {"content": text}}]})
        else:
            text = str(int(body["contents"][0]["parts"][0]["text"]) + 1)
            is_blocked = text == "4"
            self._reply(200, {}, {"candidates": [] if is_blocked else [{"content": {"parts": [{"text": text}]}}]})

    def _reply(self, status: int, headers: dict[str, str], value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def providing() -> Iterator[str]:
    """Give the address of a provider that has not been asked yet."""
    Provider.failures, Provider.replies, Provider.asked = [], [], []
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
