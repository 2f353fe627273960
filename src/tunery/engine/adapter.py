"""
Adapters in PEFT's file layout: `adapter_config.json` and `adapter_model.safetensors`.

Stock `peft` loads what is written here; adapters made by PEFT (plain LoRA on linear layers) can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from tunery.engine.catalog import tensor_shapes
from tunery.engine.lora import Adapter, AdapterShape, shape_of
from tunery.errors import InvalidArgument, NotFound
from tunery.files import write_whole

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PICKLED_WEIGHTS = "adapter_model.bin"
MAX_ALPHA = 1e6
_PREFIX = "base_model.model."


class Adaptable(Protocol):
    """A base with places for adapters; `linears` maps module paths to (out, in)."""

    @property
    def linears(self) -> Mapping[str, tuple[int, int]]: ...
    @property
    def is_transposed(self) -> bool: ...
    @property
    def device(self) -> torch.device: ...


def write_adapter(folder: Path, adapter: Adapter, *, base_model: str) -> None:
    """Write an adapter as a PEFT folder; `base_model` is the name by which its base can be found again."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(adapter.shape, base_model)
    write_whole(folder / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    write_whole(folder / WEIGHTS, safetensors.torch.save(_named(adapter), {"format": "pt"}))


def read_adapter(folder: Path, network: Adaptable) -> Adapter:
    """
    Read a PEFT folder for a base.

    Raises NotFound when a file is missing and InvalidArgument when it is not a plain LoRA adapter of this base.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            if name == WEIGHTS and (folder / PICKLED_WEIGHTS).exists():
                raise InvalidArgument(
                    f"{folder} has its weights only as {PICKLED_WEIGHTS}: this is a pickle, and loading it runs the"
                    f" code in it. Convert it to {WEIGHTS} on a machine where you trust it."
                )
            raise NotFound(f"{folder} has no {name}; it is not an adapter folder.")
    config = read_config(folder)
    _refuse_variants(config, folder)
    rank, alpha = _rank_and_alpha(config, folder)
    shapes = tensor_shapes(folder / WEIGHTS)
    paths = [path for path in network.linears if f"{_PREFIX}{path}.lora_A.weight" in shapes]
    if not paths or 2 * len(paths) != len(shapes):
        raise InvalidArgument(f"{folder} has {len(shapes)} tensors, of which {2 * len(paths)} fit this base model.")
    shape = shape_of({path: network.linears[path] for path in paths}, rank, alpha, network.is_transposed)
    _require_shapes(shape, shapes, folder)
    return _fill(shape, safetensors.torch.load_file(folder / WEIGHTS)).to(network.device)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings of an adapter folder; raises InvalidArgument unless they are a JSON object."""
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{folder / CONFIG} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InvalidArgument(f"{folder / CONFIG} is not a JSON object.")
    return config


def _named(adapter: Adapter) -> dict[str, Tensor]:
    named = {}
    for path, down, up in adapter.shape.pairs(adapter.flat.cpu()):
        named[f"{_PREFIX}{path}.lora_A.weight"] = down.contiguous()
        named[f"{_PREFIX}{path}.lora_B.weight"] = up.contiguous()
    return named


def _config(shape: AdapterShape, base_model: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": shape.is_transposed,
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": sorted({path.rpartition(".")[2] for path, _, _ in shape.layers}),
    }


def _refuse_variants(config: dict[str, Any], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise InvalidArgument(f"{folder} is an adapter of type {config.get('peft_type')}; only LORA can be read.")
    for name in (
        "use_dora",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "alora_invocation_tokens",
    ):
        if config.get(name):
            raise InvalidArgument(f"{folder} uses {name}, which is not supported; only plain LoRA is.")
    if config.get("bias", "none") != "none":
        raise InvalidArgument(f"{folder} tunes biases, which is not supported; only plain LoRA is.")


def _rank_and_alpha(config: dict[str, Any], folder: Path) -> tuple[int, float]:
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise InvalidArgument(f"{folder / CONFIG}: r must be a number from 1, not {rank!r}.")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < MAX_ALPHA:
        raise InvalidArgument(f"{folder / CONFIG}: lora_alpha must be a number above 0, not {alpha!r}.")
    return rank, float(alpha)


def _require_shapes(shape: AdapterShape, found: dict[str, tuple[int, ...]], folder: Path) -> None:
    """Raise InvalidArgument unless a file has the tensors of an adapter; no tensor has been read yet."""
    for path, rows, columns in shape.layers:
        for name, needed in (("A", (shape.rank, columns)), ("B", (rows, shape.rank))):
            actual = found.get(f"{_PREFIX}{path}.lora_{name}.weight")
            if actual != needed:
                raise InvalidArgument(
                    f"{folder}: {path} lora_{name} has shape {actual}; this base needs {needed} with rank {shape.rank}."
                )


def _fill(shape: AdapterShape, tensors: dict[str, Tensor]) -> Adapter:
    flat = torch.zeros(shape.size, dtype=torch.float32)
    for path, down, up in shape.pairs(flat):  # views into flat: A (r, in), B (out, r)
        for target, name in ((down, "A"), (up, "B")):
            target.copy_(tensors[f"{_PREFIX}{path}.lora_{name}.weight"])
    return Adapter(shape, flat)
