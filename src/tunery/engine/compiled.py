"""
Loads the compiled library: the decoding step (`answers/native/step.py`), and the widening of quantized weights.

Everything works without it, more slowly.
"""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent / "answers" / "native"  # folder of step.c and its headers
LIBRARY = SOURCE / "libstep.so"


def widen(type_id: int, blocks: int, count: int, to: int) -> bool:
    """
    Widen blocks of a type of ggml to float32; return False if no compiled code can.

    `blocks` and `to` are addresses: of `count` contiguous blocks, and of the numbers that they hold.
    """
    loaded = library()
    if loaded is None:
        return False
    addresses = ctypes.c_void_p(blocks), ctypes.c_int64(count), ctypes.c_void_p(to)
    return bool(loaded.tunery_widen(type_id, *addresses))


@cache
def library() -> ctypes.CDLL | None:
    """
    Return the library in the build for this CPU; None if it is missing or was built from a different source.

    It carries a digest of its source, so that the structures cannot disagree.
    """
    if not LIBRARY.is_file():
        return None
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
        loaded.tunery_source.restype = ctypes.c_char_p
        is_ours = loaded.tunery_source() == source_digest(SOURCE).encode()
    except (OSError, AttributeError):
        return None
    return loaded if is_ours and use_build(loaded) else None


def use_build(loaded: ctypes.CDLL, name: str | None = None) -> str | None:
    """
    Make a library use its best build, or the one named "avx2" or "plain"; call this before anything else.

    Return the name of the build in use, None if this CPU cannot run it.
    """
    loaded.tunery_use.restype = ctypes.c_char_p
    used: bytes | None = loaded.tunery_use(name and name.encode())
    return used.decode() if used else None


def source_digest(folder: Path) -> str:
    """Return the name by which a library identifies its source; `hatch_build.py` computes the same name."""
    sources = sorted([*folder.glob("*.c"), *folder.glob("*.h")])
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
