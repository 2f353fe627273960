"""
The kept epochs of a tuned model, each of which can be served and exported: `x@epoch-3` beside `x`, the chosen one.

The sign `@` stands in no id, so the two never collide. Knows published folders; nothing of what is in an adapter.
"""

from __future__ import annotations

import re
from pathlib import Path

from tunery.errors import NotFound

FOLDER = "epochs"
_NAME = re.compile(r"(?P<model>.+)@epoch-(?P<epoch>[0-9]{1,6})")


def split(name: str) -> tuple[str, int | None]:
    """Return the name of the model and the epoch that is asked for, None for the chosen one."""
    found = _NAME.fullmatch(name)
    return (found["model"], int(found["epoch"])) if found else (name, None)


def kept(published: Path) -> list[int]:
    """Return the epochs that were kept with a published adapter, the first first."""
    folder = published / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def folder_of(published: Path, epoch: int | None) -> Path:
    """Return the adapter folder of an epoch; raises NotFound with the epochs that there are."""
    if epoch is None:
        return published
    there = kept(published)
    if epoch not in there:
        which = ", ".join(map(str, there)) or "none"
        raise NotFound(f"Epoch {epoch} of this tuned model was not kept. Kept epochs: {which}.")
    return published / FOLDER / str(epoch)
