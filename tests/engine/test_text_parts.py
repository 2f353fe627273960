"""Models that also read images: only the part for text is loaded, which computes what the whole model computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from tests.engine.tiny_bases import tiny_tokenizer
from tests.fakes import random_rows
from tunery.engine.adapter import write_adapter
from tunery.engine.base import network_of
from tunery.engine.export import WRITERS, Source
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.network import Network

_TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_PATCHES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_IMAGES = {**_PATCHES, "image_size": 28, "patch_size": 14}

# family → settings of its part for text, settings of the others
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gemma3": (
        {"model_type": "gemma3_text", "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
        {"vision_config": {"model_type": "siglip_vision_model", **_IMAGES}, "mm_tokens_per_image": 4},
    ),
    "mistral3": (
        {"model_type": "mistral", "head_dim": 8},
        {"vision_config": {"model_type": "pixtral", "head_dim": 8, **_IMAGES}},
    ),
    "lfm2_vl": (
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
        {"vision_config": {"model_type": "siglip2_vision_model", "num_patches": 16, "patch_size": 4, **_PATCHES}},
    ),
    "qwen3_5": (
        {
            "model_type": "qwen3_5_text", "head_dim": 8, "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        {"vision_config": {
            "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 4,
        }},
    ),
    "gemma4": (
        {
            "model_type": "gemma4_text", "head_dim": 8, "global_head_dim": 8, "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"], "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 300, "num_kv_shared_layers": 0,
        },
        {"vision_config": None, "audio_config": None},
    ),
}  # fmt: skip
OWN = ("gemma3", "mistral3", "lfm2_vl")  # whose part for text is a family of the decoder


def whole_model(family: str, folder: Path) -> Any:
    """Write a tiny random model with all its parts; return it as transformers computes it."""
    text, others = MODELS[family]
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, text_config={**_TEXT, **text}, **others)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model


def text_loss(model: Any, rows: list[Any]) -> float:
    """Return the sum of the cross-entropy of the answers, row by row."""
    total = 0.0
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.token_ids])).logits[0, row.answer_offset - 1 : -1]
        targets = torch.tensor(row.token_ids[row.answer_offset :])
        total += float(torch.nn.functional.cross_entropy(logits.double(), targets, reduction="sum"))
    return total


@pytest.mark.parametrize("family", MODELS)
def test_text_is_computed_as_by_the_whole_model(family: str, tmp_path: Path) -> None:
    """With an adapter, the loss is that of PEFT on the part for text of the whole model; nothing else is loaded."""
    model = whole_model(family, tmp_path)

    network = network_of(tmp_path, torch.float32)

    assert isinstance(network, Network if family in OWN else FallbackNetwork)
    adapter = network.fresh_adapter(4, 8, seed=1)
    adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    network.install(0, adapter)
    assert not [path for path in network.linears if "vision" in path or "visual" in path]
    names = "|".join(sorted({path.rpartition(".")[2] for path in network.linears}))
    twin = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=rf".*language_model.*\.({names})"))
    weights = dict(twin.named_parameters())
    for path, down, up in adapter.shape.pairs(adapter.flat):
        place = "base_model.model." + path.replace("model.", "model.language_model.", 1)
        weights[f"{place}.lora_A.default.weight"].data.copy_(down)
        weights[f"{place}.lora_B.default.weight"].data.copy_(up)
    assert network.loss(random_rows(4)) == pytest.approx(text_loss(twin.eval(), random_rows(4)), rel=1e-5)


@pytest.mark.parametrize("prefix", ["model.language_model.", "model."])
def test_tensors_are_read_under_other_names(prefix: str, tmp_path: Path) -> None:
    """`language_model.model.…`, `model.language_model.…`, and those of a model for text alone, mean the same tensor."""
    model = whole_model("mistral3", tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    renamed = {name.replace("language_model.model.", prefix): value for name, value in stored.items()}
    assert renamed.keys() != stored.keys()
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})

    network = network_of(tmp_path, torch.float32)

    assert network.loss(random_rows(3)) == pytest.approx(text_loss(model, random_rows(3)), rel=1e-5)


@pytest.mark.parametrize("family", ["gemma3", "qwen3_5"])
def test_a_merged_export_is_a_model_for_text(family: str, tmp_path: Path) -> None:
    """Stock transformers loads it without the other parts."""
    whole_model(family, tmp_path / "base")
    network = network_of(tmp_path / "base", torch.float32)
    adapter = network.fresh_adapter(4, 8, seed=1)
    adapter.flat.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    network.install(0, adapter)
    write_adapter(tmp_path / "adapter", adapter, base_model="tiny")
    (tmp_path / "merged").mkdir()

    WRITERS["merged"](Source(tmp_path / "base", tmp_path / "adapter", "tiny tuned"), tmp_path / "merged")

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert "vision" not in " ".join(name for name, _ in merged.named_parameters())
    assert text_loss(merged, random_rows(3)) == pytest.approx(network.loss(random_rows(3)), rel=2e-2)
