"""
Finds and loads the compiled step that the package was built with; says None where there is none for this machine.

The library carries a digest of the source it was built from: one of another source is not loaded, so that structures
cannot disagree.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).parent  # of step.c and its headers
LIBRARY = SOURCE / "libstep.so"

_X86_64 = frozenset({"x86_64", "amd64"})


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled step, None if it is missing, of another source, or not for this processor."""
    if not LIBRARY.is_file() or not can_run():
        return None
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
        loaded.tunery_source.restype = ctypes.c_char_p
        is_ours = loaded.tunery_source() == source_digest(SOURCE).encode()
    except (OSError, AttributeError):
        return None
    return loaded if is_ours else None


def can_run() -> bool:
    """Say whether this processor has the instructions that `hatch_build.py` lets the compiler use."""
    if platform.machine().lower() not in _X86_64:
        return True
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def source_digest(folder: Path) -> str:
    """Return the name under which a library knows its source; `hatch_build.py` computes the same."""
    sources = sorted([*folder.glob("*.c"), *folder.glob("*.h")])
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
