"""Tests of the hub in `engine.fetch`: the real client of the hub against a small server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.engine.tiny_bases import WINDOW, make_folder
from tunery.engine.catalog import wanted_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
from tunery.engine.catalog import Catalog
from tunery.engine.catalog import pull
from tunery.errors import TuneryError

home, source = Path(sys.argv[1]), sys.argv[2]
reports = []
try:
    added = Catalog(home).add(source)
    pulled = pull(added.name, home, on_progress=reports.append)
    folder = Catalog(home).folder(source.partition("@")[0])
except TuneryError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
else:
    files = sorted(path.name for path in folder.iterdir())
    stages = sorted({report.stage for report in reports})
    added = dataclasses.asdict(added)
    print(json.dumps({"added": added, "present": pulled.is_present, "files": files, "stages": stages}))
"""


class Hub(BaseHTTPRequestHandler):
    """The three questions that the client asks: which commit, which files, give me one."""

    def __init__(self, *args: Any, folder: Path, **settings: Any) -> None:
        self.folder = folder
        super().__init__(*args, **settings)

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        match parts:
            case ["api", "models", "tiny-labs", "Tiny-Base", "revision", _] | [
                "api",
                "models",
                "tiny-labs",
                "Tiny-Base",
            ]:
                self._json({"id": "tiny-labs/Tiny-Base", "sha": COMMIT, "siblings": []})
            case ["api", "models", "tiny-labs", "Tiny-Base", "tree", *_]:
                self._json([self._entry(path) for path in sorted(self.folder.iterdir())])
            case ["tiny-labs", "Tiny-Base", "resolve", _, name] if (self.folder / name).is_file():
                self._file(self.folder / name)
            case _:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _entry(self, path: Path) -> dict[str, Any]:
        return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _oid(path)}

    def _file(self, path: Path) -> None:
        self._answer(200, path.read_bytes(), {"ETag": f'"{_oid(path)}"', "X-Repo-Commit": COMMIT})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder that the hub shows as tiny-labs/Tiny-Base."""
    folder = make_folder(tmp_path / "shown")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    return folder


@pytest.fixture
def address(model: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=model))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def add_and_pull(home: Path, source: str, **environment: str) -> dict[str, Any]:
    """Add and pull in a process of its own: the client reads its settings once, when it is imported."""
    settings = {**os.environ, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1", **environment}
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home), source], env=settings, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "%" not in shown.stderr  # no bars of the client
    return dict(json.loads(shown.stdout))


def test_hub_id_is_pinned_and_fetched_without_code_and_pickles(tmp_path: Path, address: str) -> None:
    """The commit is recorded, only safe files come, and the base is found by its hub id."""
    result = add_and_pull(tmp_path / "home", "tiny-labs/Tiny-Base", HF_ENDPOINT=address)

    assert result.get("error") is None, result
    assert result["added"]["name"] == "tiny-base"
    assert result["added"]["source"] == f"hub:tiny-labs/Tiny-Base@{COMMIT}"
    assert (result["added"]["licence"], result["added"]["input_token_limit"]) == ("apache-2.0", WINDOW)
    assert (result["added"]["is_present"], result["present"]) == (False, True)
    assert {"model.safetensors", "config.json", "tokenizer.json", "base.json", "manifest.json"} <= set(result["files"])
    assert not [name for name in result["files"] if name.endswith((".py", ".bin"))]
    assert result["stages"] == ["check", "download"]


def test_revision_can_be_named(tmp_path: Path, address: str) -> None:
    """A commit in the source is the commit in the record."""
    result = add_and_pull(tmp_path / "home", f"tiny-labs/Tiny-Base@{COMMIT}", HF_ENDPOINT=address)

    assert result["added"]["source"] == f"hub:tiny-labs/Tiny-Base@{COMMIT}"


def test_code_in_the_config_is_refused_before_the_weights_are_fetched(
    tmp_path: Path, address: str, model: Path
) -> None:
    """What asks for its own code is not added."""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "x.Y"}}))

    result = add_and_pull(tmp_path / "home", "tiny-labs/Tiny-Base", HF_ENDPOINT=address)

    assert result["error"] == "InvalidArgument"
    assert "auto_map" in result["message"]


def test_pickles_only_are_refused(tmp_path: Path, address: str, model: Path) -> None:
    """A model that has no safetensors is not added."""
    (model / "model.safetensors").unlink()

    result = add_and_pull(tmp_path / "home", "tiny-labs/Tiny-Base", HF_ENDPOINT=address)

    assert result["error"] == "InvalidArgument"
    assert "pytorch_model.bin" in result["message"]


def test_unknown_model_is_an_error(tmp_path: Path, address: str) -> None:
    """The message says what the hub does not know."""
    result = add_and_pull(tmp_path / "home", "nobody/nothing", HF_ENDPOINT=address)

    assert (result["error"], "has no nobody/nothing" in result["message"]) == ("Unavailable", True)


@pytest.mark.parametrize("setting", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}])
def test_offline_machine_is_told_how_to_add_weights(tmp_path: Path, setting: dict[str, str]) -> None:
    """Offline by setting or by fact: one sentence with the way out."""
    result = add_and_pull(tmp_path / "home", "tiny-labs/Tiny-Base", **setting)

    assert result["error"] == "Unavailable"
    assert "The weights of tiny-labs/Tiny-Base are not on this machine, and it is offline." in result["message"]
    assert "tunery bases add" in result["message"]


def test_only_known_files_are_wanted() -> None:
    """Files in subfolders, other formats, other precisions and code stay where they are."""
    names = [
        "model.safetensors",
        "model.fp16.safetensors",
        "consolidated.safetensors",
        "onnx/model.safetensors",
        "x.py",
    ]

    assert wanted_files([*names, "tokenizer.json", "merges.txt"]) == [
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
    ]


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
