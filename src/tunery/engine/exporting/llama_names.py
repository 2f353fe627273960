"""
Names and shapes of Llama-type models in GGUF: which families llama.cpp reads, what it calls their tensors.

Names come from the table of the gguf package. Knows configs of transformers and tensors; writes nothing.
"""

from __future__ import annotations

from typing import Any

import torch

from tunery.errors import FailedPrecondition

# model_type of transformers -> architecture of llama.cpp; the first two have their rotated rows in another order there
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_REORDERED = "llama"


def architecture_of(config: Any) -> str:
    """Return llama.cpp's name of the architecture; raises FailedPrecondition if it cannot be written exactly."""
    found = ARCHITECTURES.get(config.model_type)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise FailedPrecondition(
            f"GGUF can be written for the families {known}; this base is of the family {config.model_type}."
            " Export it merged."
        )
    positions = getattr(config, "rope_parameters", None) or {}
    if positions.get("rope_type", "default") != "default":
        raise FailedPrecondition("The rotary positions of this base are scaled, which GGUF cannot say exactly here.")
    return found


class TensorNames:
    """llama.cpp's names for the parameters of one config, and the order of rows it wants."""

    def __init__(self, config: Any) -> None:
        import gguf

        self.architecture = architecture_of(config)
        number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        self._table = gguf.get_tensor_name_map(number, config.num_hidden_layers)
        self._heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}

    def of(self, parameter: str) -> str:
        """Return the name in GGUF of `model.layers.0.self_attn.q_proj.weight` and its like."""
        module, _, kind = parameter.rpartition(".")
        found = self._table.get_name(module)
        if found is None:
            raise FailedPrecondition(f"llama.cpp has no place for {parameter}. Export the model merged.")
        return f"{found}.{kind}"

    def ordered(self, parameter: str, value: torch.Tensor) -> torch.Tensor:
        """Return the rows of a parameter as llama.cpp wants them; `value` is `[rows, ...]`."""
        heads = self._heads.get(parameter.split(".")[-2])
        if self.architecture != _REORDERED or heads is None:
            return value
        return alternating_rows(value, heads)


def alternating_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the rows in llama.cpp's order: those of a head alternate between its two rotated halves."""
    rows, *rest = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, *rest).transpose(1, 2).reshape(rows, *rest)
