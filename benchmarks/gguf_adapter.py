"""
An adapter as the GGUF file that llama.cpp reads, for the benchmark.

Names and order of rows follow llama.cpp's converter (`convert_lora_to_gguf.py`). Knows Llama's layers only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch

from tunery.engine.layers.lora import Adapter

NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def write_gguf_adapter(path: Path, adapter: Adapter, settings: Any) -> None:
    """Write an adapter of a Llama model with these settings (a LlamaConfig) in float32, the converter's default."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", adapter.shape.alpha)
    heads = {"q_proj": settings.num_attention_heads, "k_proj": settings.num_key_value_heads}
    for module, down, up in adapter.shape.pairs(adapter.flat):
        parts = module.split(".")
        name = f"blk.{parts[2]}.{NAMES[parts[-1]]}.weight"
        rows = alternating_rows(up, heads[parts[-1]]) if parts[-1] in heads else up
        writer.add_tensor(f"{name}.lora_a", down.contiguous().numpy())
        writer.add_tensor(f"{name}.lora_b", rows.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def alternating_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the rows in llama.cpp's order: those of a head alternate between its two rotated halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)
