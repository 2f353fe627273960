"""The container image: what `Containerfile` promises, and all its steps in a fresh root file system."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import pytest

from hatch_build import LICENCE
from tests.live import Live
from tests.needs import missing
from tunery.engine.pull import WHEELS
from tunery.types import DEFAULT_BASE_MODEL

ROOT = Path(__file__).parents[2]
PORT = "8000"
SECONDS = 120  # for the first start, which converts the base


@dataclass
class Image:
    """What a Containerfile says, as far as it was read."""

    base: str = ""
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


Step = Callable[[str, str, Image], None]


def read_containerfile(do: Step = lambda *_: None) -> Image:
    """Return the image of the Containerfile; `do` gets each RUN and COPY, its text, and the image so far."""
    image = Image()
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Containerfile").read_text("utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        keyword, _, said = line.partition(" ")
        match keyword:
            case "FROM":
                image.base = said
            case "ARG":
                name, _, value = said.partition("=")
                image.arguments[name] = value
            case "ENV":
                pairs = dict(pair.split("=", 1) for pair in shlex.split(said))
                image.environment |= {
                    name: value.replace("$PATH", image.environment["PATH"]) for name, value in pairs.items()
                }
            case "USER":
                image.user = said
            case "WORKDIR":
                image.folder = said
            case "VOLUME":
                image.volumes.append(said)
            case "EXPOSE":
                image.ports.append(said)
            case "CMD":
                image.command = json.loads(said)
            case "HEALTHCHECK":
                image.health = json.loads(said.partition("CMD")[2])
            case "RUN" | "COPY":
                do(keyword, said, image)
            case "":
                pass
            case _:
                raise AssertionError(f"this test knows no {keyword}")
    return image


def test_a_user_without_rights_runs_it_on_a_volume() -> None:
    """The server is the first process, not a shell's child; its data folder is a volume; the base needs no network."""
    image = read_containerfile()

    assert int(image.user) > 0  # Kubernetes knows only by a number that it is not root
    assert image.volumes == [image.environment["TUNERY_HOME"]]
    assert image.command == ["tunery", "serve"]
    assert image.ports == [PORT]
    assert image.environment["PIP_NO_INDEX"] == "1"
    assert f" {WHEELS[DEFAULT_BASE_MODEL].requirement}\n" in (ROOT / "Containerfile").read_text("utf-8")


def test_the_health_check_knows_a_server_from_none(live: Live) -> None:
    """It succeeds while a server answers, and fails otherwise."""
    command = read_containerfile().health
    port = live.address.rpartition(":")[2]

    def status(at: str) -> int:
        told = [part.replace(f":{PORT}/", f":{at}/") for part in command[1:]]
        return subprocess.run([sys.executable, *told], capture_output=True).returncode

    assert status(port) == 0
    assert status("1") != 0


@dataclass(frozen=True)
class Machine:
    """A root file system in which the steps of an image are done, and then its command runs."""

    root: Path

    def copy(self, said: str, wheels: Path) -> None:
        *sources, target = said.split()
        place = self.root / target.strip("/")
        place.mkdir(parents=True, exist_ok=True)
        for source in sources:
            found = list(wheels.glob(Path(source).name) if source.startswith("dist/") else ROOT.glob(source))
            assert found, source
            for path in found:
                shutil.copy(path, place)

    def run(self, said: str, image: Image) -> None:
        """Do a step with the network and the package index of this machine, as a build does."""
        around = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        around |= {name: "/run/certificates.crt" for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ}
        chosen = {name: os.environ.get(name, value) for name, value in image.arguments.items()}
        done = self._start(image, ["sh", "-c", said], {**around, **chosen}, "--fork")
        _, errors = done.communicate()
        assert done.returncode == 0, f"{said}\n{errors}"

    @contextmanager
    def running(self, image: Image) -> Iterator[Running]:
        """Start the image's command as the first process of a machine without network, and stop it at the end."""
        process = self._start(image, image.command, {}, "--fork", "--net")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            while not (first := children.read_text("ascii").split()):
                time.sleep(0.01)
            yield Running(process, int(first[0]), self, image)
        finally:
            process.kill()
            process.wait()

    def _start(self, image: Image, command: Sequence[str], around: dict[str, str], *own: str) -> subprocess.Popen[str]:
        steps = [f"mount --rbind {place} {self.root}{place}" for place in self._shared()]
        if "--net" in own:
            steps = ["ip link set lo up", *self._read_only(image), *steps]
        prepare = " && ".join([*steps, f"mount -t proc proc {self.root}/proc"])
        enter = f"{prepare} && exec chroot --userspec={self._ids(image.user)} --groups= {self.root} env -i"
        variables = [f"{name}={value}" for name, value in {**around, **image.environment}.items()]
        inside = shlex.join([f"--chdir={image.folder}", *variables, *command])
        options = ["unshare", "--mount", "--pid", "--kill-child", *own]
        return subprocess.Popen(
            [*options, "sh", "-c", f"{enter} {inside}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _shared(self) -> list[str]:
        """Return what of this machine is seen inside: devices, and a folder with packages."""
        packages = os.environ.get("PIP_FIND_LINKS", "")
        shared = ["/dev", *([packages] if Path(packages).is_absolute() and Path(packages).is_dir() else [])]
        for place in shared:
            (self.root / place[1:]).mkdir(parents=True, exist_ok=True)
        return shared

    def _read_only(self, image: Image) -> list[str]:
        """Return how all but the volumes and /tmp is made read-only, as in `deploy/`."""
        volumes = [f"mount --bind {self.root}{volume} {self.root}{volume}" for volume in image.volumes]
        whole = [f"mount --bind {self.root} {self.root}", *volumes, f"mount -o remount,bind,ro {self.root}"]
        return [*whole, f"mount -t tmpfs tmpfs {self.root}/tmp"]

    def _ids(self, user: str) -> str:
        for line in (self.root / "etc" / "passwd").read_text("utf-8").splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if user in (name, uid):
                return f"{uid}:{gid}"
        raise AssertionError(f"the image has no user {user}")


@dataclass(frozen=True)
class Running:
    """A running container: the process that started it, and its own first process, as this machine numbers it."""

    process: subprocess.Popen[str]
    first: int
    machine: Machine
    image: Image

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user."""
        uid, gid = self.machine._ids(self.image.user).split(":")
        enter = ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--root", f"--setgid={gid}"]
        variables = [f"{name}={value}" for name, value in self.image.environment.items()]
        told = [*enter, f"--setuid={uid}", "env", "-i", f"--chdir={self.image.folder}", *variables, *command]
        return subprocess.run(told, capture_output=True, text=True)

    def wait_until_healthy(self) -> None:
        give_up = time.monotonic() + SECONDS
        while (found := self.ask(*self.image.health)).returncode:
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < give_up, found.stderr
            time.sleep(0.5)

    def stop(self) -> int:
        """Ask the first process to end, as `podman stop` does, and return its exit status."""
        os.kill(self.first, signal.SIGTERM)
        self.process.communicate()
        return self.process.returncode


@pytest.fixture(scope="module")
def machine(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Do the steps of the Containerfile in a fresh root file system, with this machine's wheels."""
    absent = [tool for tool in ("debootstrap", "unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if absent or os.geteuid() != 0:
        missing(f"a root file system needs root and {', '.join(absent) or 'no more tools'}")
    root = tmp_path_factory.mktemp("root")
    root.chmod(0o755)
    release = re.fullmatch(r"debian:(\w+)-slim", read_containerfile().base)
    assert release is not None
    subprocess.run(["debootstrap", "--variant=minbase", release[1], root], check=True, capture_output=True)
    if certificates := os.environ.get("PIP_CERT"):
        shutil.copy(certificates, root / "run" / "certificates.crt")
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    made = Machine(root)
    read_containerfile(lambda kind, said, image: made.copy(said, wheels) if kind == "COPY" else made.run(said, image))
    yield made
    shutil.rmtree(root)  # gigabytes


@pytest.mark.full  # minutes: `make image-test`
def test_its_steps_make_a_server_that_tunes_without_network(machine: Machine) -> None:
    """The base is inside; a file is tuned and answered; the server ends when it is asked to, and owns nothing else."""
    image = read_containerfile()
    tickets = machine.root / image.folder.strip("/") / "tickets.csv"
    tickets.write_text("message,team\n" + "".join(f"charged twice {n},billing\nbroken {n},repair\n" for n in range(6)))

    with machine.running(image) as server:
        server.wait_until_healthy()
        tuned = server.ask("tunery", "tune", "tickets.csv", "--id", "tickets", "--epochs", "1", "--no-verdict")
        answer = server.ask("tunery", "generate", "tickets", "broken 3", "--max-output-tokens", "3")
        status = server.stop()

    assert tuned.returncode == 0, tuned.stderr
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    assert status == 0
    data = machine.root / image.volumes[0].strip("/")
    assert {path.stat().st_uid for path in data.rglob("*")} == {int(image.user)}


@pytest.mark.full
def test_the_notices_are_inside(machine: Machine) -> None:
    """The licences of Debian's packages, of the Studio's and of each Python package go with the image."""
    (packages,) = machine.root.glob("opt/tunery/lib/*/site-packages")
    notices = (packages / "tunery" / "server" / "studio" / "third-party.txt").read_text("utf-8")
    without = [
        place.name.partition("-")[0]
        for place in sorted(packages.glob("*.dist-info"))
        if not any(LICENCE.match(path.name) for path in place.rglob("*"))
    ]

    assert "react-aria-components" in notices
    assert list(machine.root.glob("usr/share/doc/python3*/copyright"))
    others = (machine.root / "usr/share/doc/tunery/third-party.txt").read_text("utf-8")
    assert without == re.findall(r"^(\w+): .* Licen[cs]e", others, re.MULTILINE)


@pytest.mark.full
def test_the_licence_of_the_base_is_inside(machine: Machine) -> None:
    """It is in the wheel as which the base is published."""
    (wheel,) = machine.root.glob("opt/bases/*.whl")
    with ZipFile(wheel) as archive:
        assert any(LICENCE.match(Path(name).name) for name in archive.namelist())
