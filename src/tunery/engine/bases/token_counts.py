"""
The tokens of a dataset's rows for a base, without loading its weights.

Reads the tokenizer only; what is longer than the window says `checks.long_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunery.engine.bases.base import PLAIN_CHAT_TEMPLATE
from tunery.engine.bases.catalog import Catalog
from tunery.engine.bases.quiet import quiet_transformers
from tunery.engine.encoding import EncodedExample, Encoder
from tunery.types import CatalogEntry, TuningExample

_NO_LIMIT_TOKENS = 1 << 30


def token_counts(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[int]:
    """
    Return the tokens of each example, prompt and answer, as the tuner would read it.

    Raises FailedPrecondition when the base is not on this machine.
    """
    return [len(row.token_ids) for row in encoded(entry, data_folder, examples)]


def encoded(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[EncodedExample]:
    """Return the rows of the examples, however long; raises as `token_counts` does."""
    from transformers import AutoTokenizer

    folder = Catalog(data_folder).folder(entry.alias_of or entry.name)
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    encoder = Encoder(tokenizer, _NO_LIMIT_TOKENS)
    return encoder.examples(examples)
