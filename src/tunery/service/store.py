"""
An object store (S3, GCS, Azure, or a folder that all machines mount) for adapters and checkpoints.

The data folder of each machine is then a cache of bounded size: missing folders are fetched once, however many
wait for it. An object is written once and never changed. A folder counts from the moment its manifest is there, which
is written last, and every file is compared with it when it is fetched.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunery.errors import DataLoss, FailedPrecondition, TuneryError, Unavailable
from tunery.files import MANIFEST, all_below, open_published, staging, sync, temporary_folder
from tunery.types import TuningTask

CACHE_BYTES = 50 * 10**9  # of adapters on this machine
LOOK_SHARE = 0.05  # of these may be added between two looks at the whole cache: 0.15 s for each 1,000 adapters
IN_USE_SECONDS = 600.0  # how long an adapter is kept after its last use: a question may still be waiting for it
LOOK_AGAIN_SECONDS = 60.0  # after a look that found too much in use
CHUNK_BYTES = 1 << 20

CHECKPOINT, _ENDING = "checkpoint.safetensors", ".safetensors"  # `engine.tuner` writes it
# a checkpoint in the store, named by its time on the machine that claimed the task
_STEP = re.compile(r"[0-9]{20}\.safetensors")
_log = logging.getLogger("tunery.store")


class Store:
    """
    The store at a URL such as `s3://bucket/prefix`; credentials come from the environment, as the cloud's tools do.

    Names in it are paths relative to the data folder. Raises FailedPrecondition for a URL that cannot be used, and in
    each call Unavailable if the store cannot be reached, DataLoss if an object is not what was written.
    """

    def __init__(self, url: str, *, cache_bytes: int = CACHE_BYTES) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise FailedPrecondition(
                "The driver for object stores is not installed. Install it with: pip install 'tunery[store]'"
            ) from error
        self.url, self._cache_bytes, self._api = url, cache_bytes, obstore
        self._added_bytes = 0  # to the cache since the last look
        self._look_by = 0.0  # monotonic time of the next look, however little was added
        self._counting = threading.Lock()
        try:
            self._store = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
        except (obstore.exceptions.BaseError, ValueError) as error:
            raise FailedPrecondition(
                f"TUNERY_STORE_URL must look like s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER, not {url!r}"
                f" ({_reason(error)})."
            ) from error

    def try_out(self) -> None:
        """Write, read and delete a small object."""
        name, content = f"tunery-doctor/{secrets.token_hex(8)}", b"tunery doctor"
        with self._errors(name):
            self._api.put(self._store, name, content, mode="create", use_multipart=False)
        is_whole = self._get(name) == content
        self._delete([name])
        if not is_whole:
            raise DataLoss(f"{name} in the store {self.url} is not what was written.")

    def put_folder(self, name: str, folder: Path) -> None:
        """Copy a published folder, its manifest last; if it already exists, from the same claim, it must be equal."""
        manifest = folder / MANIFEST
        for path in (path for path in all_below(folder) if path.is_file() and path != manifest):
            self._put_once(f"{name}/{path.relative_to(folder).as_posix()}", path)
        self._put_once(f"{name}/{MANIFEST}", manifest)

    def fetch_folder(self, name: str, target: Path, manifest_sha256: str) -> bool:
        """
        Make a published folder available at `target`; return whether it was fetched, False if it was already there.

        Others that need it at the same time wait until it has been fetched.
        """
        if target.exists():
            _note_use(target)
            return False
        with staging(target) as staged:
            if target.exists():  # fetched while this call was waiting
                return False
            manifest = self._get(f"{name}/{MANIFEST}")
            if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
                raise DataLoss(f"{name}/{MANIFEST} in the store is not the file that was published.")
            for file in json.loads(manifest)["files"]:
                path = staged / file
                path.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(f"{name}/{file}", path)
            (staged / MANIFEST).write_bytes(manifest)
            open_published(staged, manifest_sha256)
            staged.rename(target)
            sync(target.parent)
        _log.info("Fetched %s", name)
        return True

    def put_checkpoint(self, task: TuningTask, folder: Path) -> None:
        """Copy the newest checkpoint of a claim, with the epochs it names, and then remove earlier ones."""
        place = f"checkpoints/{task.id}/{task.claim_number:06}"
        with temporary_folder(".store-", folder.parent) as work:
            current = work / CHECKPOINT
            try:
                os.link(folder / CHECKPOINT, current)  # it is replaced, never changed
            except FileNotFoundError:
                return
            known = set(self._names(place))
            written = current.stat().st_mtime_ns  # an epoch that is newer may not be complete yet
            for path in all_below(folder):
                name = f"{place}/{path.relative_to(folder).as_posix()}"
                if path.parent != folder and path.is_file() and name not in known and path.stat().st_mtime_ns < written:
                    self._put_once(name, path)
            newest = f"{place}/{written:020}{_ENDING}"
            if newest not in known:
                self._put_once(newest, current)
        outdated = [name for name in self._names(f"checkpoints/{task.id}") if name < place]
        self._delete(outdated + [name for name in known if name.endswith(_ENDING) and name < newest])

    def fetch_checkpoint(self, task_id: str, folder: Path) -> None:
        """
        Put the newest checkpoint of a task into a folder that has none; the file itself shows whether it is complete.
        """
        if (folder / CHECKPOINT).exists():
            return
        names = self._names(f"checkpoints/{task_id}")
        newest = max((name for name in names if _STEP.fullmatch(name.rpartition("/")[2])), default=None)
        if newest is None:
            return
        place = newest.rpartition("/")[0]
        epochs = [
            name for name in names if name.startswith(f"{place}/") and not _STEP.fullmatch(name.rpartition("/")[2])
        ]
        for name in (*epochs, newest):
            path = folder / (CHECKPOINT if name == newest else name.removeprefix(f"{place}/"))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.fetched")
            self._fetch(name, partial)
            partial.replace(path)

    def remove(self, name: str) -> None:
        """Delete all objects below a name, manifests first, so that nothing incomplete looks complete."""
        names = self._names(name)
        self._delete([one for one in names if one.endswith(f"/{MANIFEST}")])
        self._delete([one for one in names if not one.endswith(f"/{MANIFEST}")])

    def discard(self, *names: str) -> None:
        """Delete all objects below names that no row has any more; objects that cannot be deleted now are logged."""
        for name in names:
            try:
                self.remove(name)
            except TuneryError as error:
                _log.warning("%s stays in the store and can be deleted there: %s", name, error)

    def note_added(self, folder: Path, models: Path) -> None:
        """
        Count an adapter that is new in the cache `models`, and trim the cache from time to time.

        Others that add one meanwhile wait until there is room.
        """
        with self._counting:
            self._added_bytes += _size(folder)
            if self._added_bytes > LOOK_SHARE * self._cache_bytes or time.monotonic() > self._look_by:
                try:
                    is_within = self.trim(models)
                except OSError as error:  # what was published or fetched counts; there is another look
                    _log.warning("The cache %s was not trimmed: %s", models, error)
                    is_within = False
                self._added_bytes, self._look_by = 0, math.inf if is_within else time.monotonic() + LOOK_AGAIN_SECONDS

    def trim(self, models: Path) -> bool:
        """
        Remove the least recently used adapters until the cache has room for what is added before the next look, but
        none that are in use; return whether there is that much room.
        """
        published = [path for task in _folders(models) for path in _folders(task) if not path.name.startswith(".")]
        sizes = {path: _size(path) for path in published}
        excess = sum(sizes.values()) - (1 - LOOK_SHARE) * self._cache_bytes
        for path in sorted(published, key=_last_use):
            if excess <= 0 or time.time() - _last_use(path) < IN_USE_SECONDS:
                break
            # immediately invisible to readers, and removed by any sweep
            hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
            with suppress(FileNotFoundError):
                path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)
            excess -= sizes[path]
        return excess <= 0

    def _delete(self, names: list[str]) -> None:
        if names:
            with self._errors(names[0]):
                self._api.delete(self._store, names)

    def _names(self, prefix: str) -> list[str]:
        with self._errors(prefix):
            return [entry["path"] for batch in self._api.list(self._store, f"{prefix}/") for entry in batch]

    def _put_once(self, name: str, path: Path) -> None:
        try:
            with self._errors(name):
                self._api.put(self._store, name, path, mode="create", use_multipart=False)
        except _Exists:
            with self._errors(name):
                size = self._api.head(self._store, name)["size"]
            if size != path.stat().st_size or hashlib.sha256(self._get(name)).digest() != _sha256(path):
                raise DataLoss(f"{name} in the store is another file than the one to be written.") from None

    def _get(self, name: str) -> bytes:
        with self._errors(name):
            return bytes(self._api.get(self._store, name).bytes())

    def _fetch(self, name: str, path: Path) -> None:
        with self._errors(name), path.open("wb") as file:
            for chunk in self._api.get(self._store, name).stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        api = self._api.exceptions
        try:
            yield
        except api.AlreadyExistsError as error:
            raise _Exists(name) from error
        except FileNotFoundError as error:
            raise DataLoss(f"{name} is missing in the store {self.url}. Tune the model again.") from error
        except (api.PermissionDeniedError, api.UnauthenticatedError) as error:
            raise FailedPrecondition(f"The store {self.url} refuses {name} ({_reason(error)}).") from error
        except api.BaseError as error:
            raise Unavailable(f"The store {self.url} cannot be reached ({_reason(error)}). Try again.") from error


class _Exists(TuneryError):
    """An object with this name already exists."""


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in all_below(folder) if file.is_file())
    except FileNotFoundError:  # its model has just been deleted
        return 0


def _note_use(folder: Path) -> None:
    with suppress(OSError):
        os.utime(folder / MANIFEST)


def _last_use(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return time.time()


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
