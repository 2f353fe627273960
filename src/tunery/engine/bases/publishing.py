"""
Make a folder of large files visible all at once or not at all.

A staging folder beside the target is filled, its files are hashed, forced to disk and moved into place; the manifest
comes last, and a folder without manifest does not count. A kill at any moment leaves at most files that nobody lists;
the next staging sweeps them. Knows nothing of models.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunery.engine.bases.progress import OnProgress, Progress, ignore
from tunery.engine.files import sha256_of, sync, write_whole
from tunery.errors import DataLoss

MANIFEST = "manifest.json"


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """
    Hold the lock of `target` and yield an empty folder beside it.

    Waits while another process holds the lock; the operating system frees it when that process dies. What a killed
    process left is removed first. `_` is not allowed in names of bases, so that no name is the beginning of another's.
    """
    from filelock import FileLock

    target.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the data folder, perhaps for the first time
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.parent / f".{target.name}_lock"):
        _sweep(target)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}_staging_", dir=target.parent))
        try:
            yield folder
        finally:
            _sweep(target)


def publish(
    staged: Path, target: Path, facts: dict[str, Any], *, keep: Collection[str] = (), on_progress: OnProgress = ignore
) -> None:
    """
    Move the files of `staged` into `target` and write its manifest, `facts` and `files` with size and sha256 each.

    Of what `target` held before only files named in `keep` stay. Nothing is published until the manifest is renamed
    into place, one atomic step.
    """
    sources = sorted(path for path in staged.iterdir() if path.is_file())
    files = _hash_all(sources, on_progress)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)  # before anything that it lists
    for path in target.iterdir():
        if path.is_file() and path.name not in keep:
            path.unlink()
    for path in sources:
        sync(path)
        path.replace(target / path.name)
    sync(target)
    write_json(target / MANIFEST, {**facts, "files": files})


def write_json(path: Path, value: object) -> None:
    """Write JSON so that readers see the old file or the new one, also after a crash."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote; raises DataLoss when it is something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataLoss(f"{path} is not JSON ({error}). Delete it and add or pull the base again.") from error
    if not isinstance(value, dict):
        raise DataLoss(f"{path} holds no JSON object. Delete it and add or pull the base again.")
    return value


def _sweep(target: Path) -> None:
    """Remove all staging folders of `target`; only the holder of its lock may."""
    for leftover in target.parent.glob(f".{target.name}_staging_*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _hash_all(paths: list[Path], on_progress: OnProgress) -> dict[str, dict[str, Any]]:
    sizes = [path.stat().st_size for path in paths]
    files: dict[str, dict[str, Any]] = {}
    for index, path in enumerate(paths):
        on_progress(Progress("check", sum(sizes[:index]), sum(sizes)))
        files[path.name] = {"size": sizes[index], "sha256": sha256_of(path)}
    on_progress(Progress("check", sum(sizes), sum(sizes)))
    return files
