"""A wheel from a package index, on a machine without compiler, Node, git, transformers: it tunes, answers, serves."""

from __future__ import annotations

import re
import site
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.test_container import read_containerfile
from tests.engine.tiny_bases import make_gguf

ROOT = Path(__file__).parents[2]
LIBRARY = "tunery/engine/answers/native/libstep.so"
# what a user does not have: the tools of development, and this checkout
NOT_INSTALLED = re.compile(r"tunery|__editable__|.*\.pth|transformers|accelerate|peft|trl|nodejs|hatch|ziglang", re.I)


@dataclass(frozen=True)
class Machine:
    """An environment with tunery and nothing else to run, and an empty data folder."""

    folder: Path

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"

    @property
    def environment(self) -> dict[str, str]:
        told = {"PATH": str(self.bin), "HOME": str(self.folder), "TUNERY_HOME": str(self.folder / "home")}
        return {**told, "TUNERY_BASE": "tiny", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def index(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the wheel as a package index."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "tunery").symlink_to(wheels)
    serve = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


# the second takes minutes: `make wheel-test`
@pytest.fixture(scope="module", params=["borrowed", pytest.param("fetched", marks=pytest.mark.full)])
def machine(request: pytest.FixtureRequest, index: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Install tunery from the index; what it needs is borrowed from this environment or fetched as a user would."""
    made = Machine(tmp_path_factory.mktemp("machine"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.folder / "venv"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", made.bin / "python", "install", "-q", "--disable-pip-version-check"]
    if request.param == "borrowed":
        (packages,) = made.folder.glob("venv/lib/*/site-packages")
        _borrow(made.folder / "borrowed", packages)
        pip += ["--no-deps", "--index-url", index]
    else:
        pip += ["--extra-index-url", index, "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "--only-binary=tunery", "tunery"], check=True)
    return made


def _borrow(folder: Path, packages: Path) -> None:
    """Let an environment use the packages of this one, but for those that a user does not have."""
    folder.mkdir()
    places = [Path(place) for place in sys.path if place.endswith("site-packages")] or map(Path, site.getsitepackages())
    for path in (path for place in places for path in place.iterdir()):
        if not NOT_INSTALLED.fullmatch(path.name.partition("-")[0]) and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    (packages / "borrowed.pth").write_text(f"{folder}\n")


def test_a_file_is_tuned_and_answered_and_the_studio_is_there(machine: Machine) -> None:
    """From `pip install` to answers, by the compiled step; a GGUF file, as the default base is one, needs no more."""
    data = machine.folder / "tickets.csv"
    data.write_text(
        "message,team\n" + "".join(f"I was charged twice {n},billing\nIt is broken {n},repair\n" for n in range(12))
    )
    make_gguf(machine.folder / "tiny.gguf")
    tunery = machine.bin / "tunery"

    machine.run(tunery, "bases", "add", "tiny.gguf")
    machine.run(tunery, "bases", "pull", "tiny")
    machine.run(tunery, "tune", data.name, "--id", "tickets", "--epochs", "1", "--no-verdict")
    machine.run(tunery, "generate", "tickets", "It is broken 3", "--max-output-tokens", "3")

    assert machine.run(machine.bin / "python", "-c", _BUILD).strip() in ("avx2", "plain")
    _visit_studio(machine)


_BUILD = "from tunery.engine.compiled import library, use_build; print(use_build(library()))"


def _visit_studio(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program, *arguments = read_containerfile().command
    command = [str(machine.bin / program), *arguments, "--port", str(port)]
    with subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            page = _first_page(f"http://127.0.0.1:{port}/studio/", server)
            script = re.search(r'src="(/studio/assets/[^"]+\.js)"', page)
            assert script is not None
            assert httpx2.get(f"http://127.0.0.1:{port}{script[1]}").status_code == 200
        finally:
            server.terminate()


def _first_page(address: str, server: subprocess.Popen[str]) -> str:
    while server.poll() is None:
        try:
            return str(httpx2.get(address).text)
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError(server.stderr and server.stderr.read())


def test_what_goes_with_the_wheel(machine: Machine) -> None:
    """The licence, and those of the packages whose code is in the Studio, are installed with it."""
    (packages,) = machine.folder.glob("venv/lib/*/site-packages")
    notices = (packages / "tunery" / "server" / "studio" / "third-party.txt").read_text("utf-8")

    assert "react-aria-components" in notices
    assert "Permission is hereby granted" in notices
    assert list(packages.glob("tunery-*.dist-info/licenses/LICENSE"))


@pytest.mark.full  # only `make wheel-test` has a wheel for other machines
def test_the_step_runs_on_any_linux_with_this_c_library(machine: Machine) -> None:
    """A made wheel asks for nothing newer than the C library of its tag."""
    (library,) = machine.folder.glob(f"venv/lib/*/site-packages/{LIBRARY}")
    (tag,) = re.findall(r"^Tag: (.*)$", next(library.parents[4].glob("tunery-*/WHEEL")).read_text(), re.MULTILINE)
    assert "manylinux" in tag
    versions = {tuple(map(int, found.split(b"."))) for found in re.findall(rb"GLIBC_([\d.]+)", library.read_bytes())}

    assert max(versions) <= (2, 17)
