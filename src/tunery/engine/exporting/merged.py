"""
A tuned model without tunery and without PEFT: the low-rank products added to the weights of the base, once.

Writes what stock transformers loads: safetensors, config, tokenizer, chat template, generation config. Knows folders of
bases and of adapters; nothing of libraries or of other programs' formats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from tunery.engine.adapter import CONFIG, WEIGHTS
from tunery.engine.bases.base import PLAIN_CHAT_TEMPLATE
from tunery.engine.bases.quiet import quiet_transformers
from tunery.engine.encoding import Encoder
from tunery.errors import InvalidArgument

_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def merge(base_folder: Path, adapter_folder: Path) -> Any:
    """
    Return the base as a model of transformers in float32, the adapter added to its weights.

    `W + alpha / rank · B A`, computed in float32. Raises InvalidArgument if the adapter is not one of this base.
    """
    model = unmerged(base_folder)
    config = json.loads((adapter_folder / CONFIG).read_text("utf-8"))
    scale = float(config["lora_alpha"]) / int(config["r"])
    tensors = safetensors.torch.load_file(adapter_folder / WEIGHTS)
    with torch.no_grad():
        for name in [name for name in tensors if name.endswith(_DOWN)]:
            path = name.removeprefix(_PREFIX).removesuffix(_DOWN)
            delta = scale * (tensors[_PREFIX + path + _UP].float() @ tensors[name].float())
            _add(model, path, delta, is_transposed=bool(config.get("fan_in_fan_out")))
    return model.eval()


def unmerged(base_folder: Path) -> Any:
    """Return a base alone as a model of transformers in float32."""
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(
            base_folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )


def tokenizer_of(base_folder: Path) -> Any:
    """Return the tokenizer of a base, always with the chat template that tuning used."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(base_folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    return tokenizer


def write_merged(folder: Path, model: Any, tokenizer: Any, *, dtype: torch.dtype = torch.float32) -> None:
    """
    Write a merged model into a folder, with weights in `dtype`.

    Its generation config ends answers where tunery ends them and takes the likeliest token, as tunery does by default.
    """
    from transformers import GenerationConfig

    encoder = Encoder(tokenizer, window_tokens=1 << 30)
    first_end = encoder.end_token_id
    ends = [first_end, *sorted(encoder.stop_token_ids - {first_end})]
    padding = tokenizer.pad_token_id
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=ends, pad_token_id=first_end if padding is None else padding
    )
    with quiet_transformers():
        model.to(dtype).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _add(model: Any, path: str, delta: torch.Tensor, *, is_transposed: bool) -> None:
    try:
        weight = model.get_submodule(path).weight
    except AttributeError:
        raise InvalidArgument(f"The adapter changes {path}, which this base does not have.") from None
    change = delta.T if is_transposed else delta
    if weight.shape != change.shape:
        raise InvalidArgument(f"The adapter does not fit this base: {path} is {tuple(weight.shape)} there.")
    weight += change
