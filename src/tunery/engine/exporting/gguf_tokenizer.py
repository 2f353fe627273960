"""
The tokenizer of a base in GGUF's metadata: tokens, their kinds, merges, how text is split before merging.

Byte-level BPE tokenizers, as Llama 3, Qwen and SmolLM have them. Knows tokenizers and the writer of the gguf package;
nothing of weights.
"""

from __future__ import annotations

import json
from typing import Any

from tunery.errors import FailedPrecondition

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # llama_token_type of llama.cpp

# how llama.cpp calls the ways to split (llama-vocab.cpp), by the regular expression in tokenizer.json
_LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA: "llama-bpe", _LLAMA.replace("{1,3}", ""): "qwen2"}


def add_tokenizer(writer: Any, tokenizer: Any, vocabulary_size: int, pre_type: str | None = None) -> None:
    """
    Write a tokenizer of transformers into GGUF's metadata.

    `vocabulary_size` is that of the weights; `pre_type` is llama.cpp's name of the splitting where it is known already.
    Raises FailedPrecondition for a tokenizer that would read texts differently there.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_type or _pre_type(description))
    tokens, kinds = _tokens(description, vocabulary_size)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = description["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name in ("bos", "eos", "unk", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(False)  # the template writes its own
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _pre_type(description: dict[str, Any]) -> str:
    model, splitter = description["model"], description["pre_tokenizer"] or {}
    parts = splitter.get("pretokenizers", [splitter])
    kinds = [part.get("type") for part in parts]
    if model["type"] == "BPE" and not model.get("byte_fallback") and not description.get("normalizer"):
        if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
            return "smollm"
    if model["type"] == "BPE" and kinds == ["Split", "ByteLevel"]:
        found = _SPLITS.get(parts[0].get("pattern", {}).get("Regex", ""))
        if found is not None:
            return found
    raise FailedPrecondition(
        "The tokenizer of this base is not one that GGUF can say exactly here (byte-level BPE as in Llama 3, Qwen 2 and"
        " SmolLM). Export it merged, and convert that with llama.cpp's own converter."
    )


def _tokens(description: dict[str, Any], vocabulary_size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{number}]" for number in range(vocabulary_size)]
    kinds = [_UNUSED] * vocabulary_size
    for token, number in description["model"]["vocab"].items():
        tokens[number], kinds[number] = token, _NORMAL
    for added in description["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    return tokens, kinds
