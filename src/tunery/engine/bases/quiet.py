"""
Keep transformers quiet while it reads models: its bars and notes are not what tunery shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars off stderr; ours are drawn by the consumer of Progress."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # views of the file are read-only memory; nothing writes to them
            warnings.filterwarnings("ignore", message="The given (NumPy array|buffer) is not writable")
            yield
    finally:
        if was_on:
            logging.enable_progress_bar()
