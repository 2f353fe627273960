"""
What needs transformers: tokenizers whose class builds a pipeline of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars off stderr; the consumer of Progress draws ours."""
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


Parts = tuple[Backend, dict[str, str], list[str], str | None]


def tokenizer_parts(folder: Path) -> Parts:
    """Return what `Tokenizer` is made of, as transformers reads it from a folder; raises ValueError or OSError."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        return parts_of(AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def parts_of(theirs: Any) -> Parts:
    """Return the same of a tokenizer of transformers; raises ValueError for one not of the tokenizers package."""
    backend = getattr(theirs, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("its tokenizer has no form that the tokenizers package reads")
    template = theirs.chat_template if isinstance(theirs.chat_template, str) else None
    return Backend.from_str(backend.to_str()), theirs.special_tokens_map, theirs.extra_special_tokens, template
