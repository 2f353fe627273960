"""A small hub on this machine that speaks the routes of huggingface.co, with the faults that a test asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", "tokenizer.json")  # files that the hub keeps in LFS, with a sha256
CHUNK_BYTES = 4096


@dataclass
class Hub:
    """The repositories of a hub (folders by OWNER/NAME), its faults, and what it was asked."""

    address: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)  # repositories that want a token
    refuses: int = 0  # a status with which everything is answered
    breaks: int = 0  # this many replies end after half of their bytes
    wrong: set[str] = field(default_factory=set)  # files whose first byte is another
    ignores_ranges: bool = False
    sends_to: str = ""  # files are at this other address, as on the hub
    holds: bool = False  # files stop after half of their bytes until `go_on` is set
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path and headers

    def ranges(self, name: str) -> list[str]:
        """Return the ranges that were asked of a file, "" for all of it."""
        return [headers.get("Range", "") for path, headers in self.asked if path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, *args: Any, hub: Hub, **settings: Any) -> None:
        self.hub = hub
        super().__init__(*args, **settings)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.hub.asked.append((unquote(address.path), dict(self.headers)))
        if self.hub.refuses:
            self._answer(self.hub.refuses, b"{}")
            return
        match [unquote(part) for part in address.path.split("/") if part]:
            case ["api", "models"]:
                self._found(parse_qs(address.query).get("search", [""])[0])
            case ["api", "models", owner, name, "revision", revision]:
                self._listing(f"{owner}/{name}", revision)
            case [owner, name, "resolve", commit, file]:
                self._resolve(f"{owner}/{name}", commit, file)
            case _:
                self._refuse(404, "EntryNotFound")

    def _found(self, words: str) -> None:
        models = [name for name in self.hub.repositories if words.lower() in name.lower()]
        self._json([{"id": name, "downloads": 7, "tags": ["license:apache-2.0"]} for name in models])

    def _listing(self, repository: str, revision: str) -> None:
        folder = self.hub.repositories.get(repository)
        if folder is None:
            self._refuse(401, "RepoNotFound")  # as the hub answers somebody without a token
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            files = [self._entry(path) for path in sorted(folder.iterdir())]
            self._json({"id": repository, "sha": COMMIT, "siblings": files})

    def _entry(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        entry: dict[str, Any] = {"rfilename": path.name, "size": len(content)}
        if path.name.endswith(LARGE):
            return entry | {"lfs": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
        return entry | {"blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}

    def _resolve(self, repository: str, commit: str, name: str) -> None:
        file = self.hub.repositories.get(repository, Path("/nothing")) / name
        if repository in self.hub.gated and "Authorization" not in self.headers:
            self._refuse(401, "GatedRepo")
        elif commit != COMMIT or not file.is_file():
            self._refuse(404, "EntryNotFound")
        elif self.hub.sends_to:
            self.send_response(302)
            self.send_header("Location", self.hub.sends_to + urlsplit(self.path).path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(file)

    def _send(self, file: Path) -> None:
        content = file.read_bytes()
        if file.name in self.hub.wrong:
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not self.hub.ignores_ranges else 0
        rest = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        half = len(rest) // 2
        if self.hub.breaks and len(rest) > CHUNK_BYTES:
            self.hub.breaks -= 1
            self.wfile.write(rest[:half])
            self.close_connection = True
            return
        if self.hub.holds and len(rest) > CHUNK_BYTES:
            self.wfile.write(rest[:half])
            self.wfile.flush()
            self.hub.go_on.wait(60)
            rest = rest[half:]
        try:
            self.wfile.write(rest)
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode())

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, b"{}", code)

    def _answer(self, status: int, content: bytes, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def hub_of(repositories: dict[str, Path]) -> Iterator[Hub]:
    """Run a hub with these repositories within the block."""
    hub = Hub(repositories=repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub=hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
