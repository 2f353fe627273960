"""
Recognising that memory ran out.

Knows the messages of torch's allocators; nothing of what was being computed.
"""

from __future__ import annotations

import torch

# torch raises a plain RuntimeError for the processor's memory (c10/core/impl/alloc_cpu.cpp) and for oneDNN's
_MESSAGES = ("can't allocate memory", "not enough memory", "could not create a memory object", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that an allocation failed."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)
