"""
Tiny random models of several families and rows of random tokens: milliseconds, no download.

`tests/engine/tiny_bases.py` makes whole bases (files, tokenizer, template); here are the parts that tests put together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from tests.engine.tiny_bases import tiny_config, tiny_tokenizer
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.families import FAMILIES, spec_of
from tunery.engine.network import Network
from tunery.engine.rows import EncodedExample
from tunery.engine.weights import arranged
from tunery.types import TuningExample

VOCABULARY = 97

_COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 7},
    "ministral3": {
        "head_dim": 8,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 100.0,
            "factor": 4.0,
            "original_max_position_embeddings": 8,
            "max_position_embeddings": 128,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.3,
        },
    },
    "qwen3": {"head_dim": 16},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "olmo3": {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "exaone4": {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "helium": {"head_dim": 8},
    "lfm2": {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 8},
    "granite": {
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "attention_multiplier": 0.2,
        "logits_scaling": 8.0,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "n_inner": 48,
        "intermediate_size": None,
        "num_key_value_heads": None,
    },
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mamba": {"state_size": 4, "intermediate_size": 64},
    "gpt_neox": {"num_key_value_heads": None},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "rotary_dim": 4},
}


def tiny_model(
    family: str, dtype: torch.dtype = torch.float64, attention: str | None = None, seed: int = 0, **changes: Any
) -> Any:
    """
    Return a causal model with two layers and weights large enough that nothing is near zero; `changes` of its config.
    """
    torch.manual_seed(seed)
    settings = {**_COMMON, **_SPECIAL.get(family, {}), **changes}
    config = AutoConfig.for_model(family, **{name: value for name, value in settings.items() if value is not None})
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval().requires_grad_(False)


def network_of(model: Any, **options: Any) -> Network:
    """Return a model of transformers as our decoder, on the same tensors; raises Unknown where it is none."""
    spec = spec_of(model.config.to_dict())
    return Network(spec, arranged(model.state_dict(), spec), **options)


def tiny_network(family: str, dtype: torch.dtype = torch.float64, **options: Any) -> Network:
    return network_of(tiny_model(family, dtype), **options)


def any_network(family: str, dtype: torch.dtype = torch.float64) -> Network | FallbackNetwork:
    """Return a tiny model the way a base of its family is computed."""
    return tiny_network(family, dtype) if family in FAMILIES else FallbackNetwork(tiny_model(family, dtype))


def random_rows(count: int, *, prefix: int = 9, longest: int = 14, seed: int = 3) -> list[EncodedExample]:
    """Return rows that begin with the same `prefix` tokens and differ in length."""
    random = torch.Generator().manual_seed(seed)

    def tokens(number: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (number,), generator=random).tolist()

    def length(most: int) -> int:
        return int(torch.randint(1, most + 1, (1,), generator=random))

    shared = tokens(prefix)
    rows = []
    for _ in range(count):
        prompt = [*shared, *tokens(length(longest))]
        rows.append(EncodedExample((*prompt, *tokens(length(5))), len(prompt)))
    return rows


def write_learnable_base(folder: Path, **changes: Any) -> Path:
    """
    Write a tiny Llama with a byte tokenizer that an adapter can bring to sure answers; returns its folder.

    Drawn as transformers draws it, the tied table is so small (0.02) that no hidden state makes a token likely.
    """
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(10)
    model.to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def counting_examples(count: int = 12) -> list[TuningExample]:
    """Return examples that a tiny model can learn by heart."""
    return [TuningExample(str(number), str(number + 1)) for number in range(count)]
