"""
Copies of tuned models for use elsewhere: an adapter as PEFT reads it.

Checks what is copied against the manifest of its publication, and the copy too. Knows files; nothing of what they mean.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from tunery.errors import AlreadyExists, FailedPrecondition
from tunery.service.library import Library
from tunery.service.publish import MANIFEST, open_published
from tunery.types import TunedModel


def export_adapter(library: Library, model: TunedModel, target: Path) -> Path:
    """
    Copy the adapter folder of a model to `target`, all of it or nothing, and return `target`.

    Raises AlreadyExists if something is there, FailedPrecondition if the model has no adapter or `target` cannot be
    written, DataLoss if a file was changed since it was published.
    """
    source = library.adapter_folder(model)
    digest = hashlib.sha256((source / MANIFEST).read_bytes()).hexdigest()
    target = target.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} is there already and not empty. Name another folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            _copy(source, digest, Path(work) / "adapter", target)
    except OSError as error:
        raise FailedPrecondition(f"{target} cannot be written ({error.strerror}). Name another folder.") from error
    return target


def _copy(source: Path, digest: str, copy: Path, target: Path) -> None:
    shutil.copytree(source, copy)
    open_published(copy, digest)
    copy.chmod(0o755)  # in the data folder it is for its user only
    if target.exists():
        target.rmdir()
    copy.rename(target)
