"""
An adapter as the GGUF file that llama.cpp loads beside its base (`--lora`).

Names and order of rows follow llama.cpp's converter (`convert_lora_to_gguf.py`). Knows Llama-type layers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from tunery.engine.exporting.llama_names import TensorNames
from tunery.engine.layers.lora import Adapter

Pair = tuple[str, torch.Tensor, torch.Tensor]  # path of the layer, A [r, in], B [out, r]


def write_gguf_adapter(path: Path, adapter: Adapter, config: Any) -> None:
    """Write an adapter of a base with this config in float32, the converter's default."""
    write_pairs(path, adapter.shape.pairs(adapter.flat), adapter.shape.alpha, config)


def write_pairs(path: Path, pairs: Iterable[Pair], alpha: float, config: Any) -> None:
    """Write low-rank pairs as they stand in an adapter; raises FailedPrecondition for a family that has no GGUF."""
    import gguf

    names = TensorNames(config)
    writer = gguf.GGUFWriter(path, names.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for layer, down, up in pairs:
        parameter = f"{layer}.weight"
        name, rows = names.of(parameter), names.ordered(parameter, up)
        writer.add_tensor(f"{name}.lora_a", down.float().contiguous().numpy())
        writer.add_tensor(f"{name}.lora_b", rows.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
