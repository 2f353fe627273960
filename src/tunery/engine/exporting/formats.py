"""
One call for each format of export: from a base folder and an adapter folder to the files that other programs read.

Knows folders; nothing of libraries or of who asks. Large work: it belongs into a process of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from tunery.engine.adapter import CONFIG, WEIGHTS
from tunery.engine.exporting.gguf_adapter import Pair, write_pairs
from tunery.engine.exporting.gguf_model import KINDS, pre_type_of, write_gguf
from tunery.engine.exporting.llama_names import architecture_of
from tunery.engine.exporting.merged import merge, tokenizer_of, unmerged, write_merged
from tunery.engine.exporting.modelfile import modelfile
from tunery.errors import InvalidArgument

ADAPTER_GGUF = "adapter.gguf"
MERGED_DTYPE = torch.float16  # as small as bfloat16, with eight times finer steps: see docs/experiments.md


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: folders of base and adapter (checked), a name, and how the model answers by default."""

    base_folder: Path
    adapter_folder: Path
    name: str
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    files: tuple[str, ...] = field(default=(CONFIG, WEIGHTS))


def write_adapter_export(source: Source, folder: Path) -> None:
    """Copy the adapter as PEFT reads it, with the tokenizer and chat template of its base beside it."""
    for name in source.files:
        shutil.copyfile(source.adapter_folder / name, folder / name)


def write_merged_export(source: Source, folder: Path) -> None:
    """Write merged safetensors with tokenizer, chat template and generation config."""
    model = merge(source.base_folder, source.adapter_folder)
    write_merged(folder, model, tokenizer_of(source.base_folder), dtype=MERGED_DTYPE)


def write_gguf_export(source: Source, folder: Path) -> None:
    """
    Write `model-f16.gguf`, `model-q8_0.gguf`, `adapter.gguf` and a Modelfile for Ollama.

    Raises FailedPrecondition for a family or tokenizer that cannot be said exactly in GGUF.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source.base_folder, local_files_only=True, trust_remote_code=False)
    architecture_of(config)  # refuse before weights are read
    tokenizer = tokenizer_of(source.base_folder)
    model, pre_type = merge(source.base_folder, source.adapter_folder), pre_type_of(source.base_folder)
    for kind in KINDS:
        write_gguf(folder / f"model-{kind}.gguf", model, tokenizer, kind, name=source.name, pre_type=pre_type)
    pairs, alpha = _pairs(source.adapter_folder)
    write_pairs(folder / ADAPTER_GGUF, pairs, alpha, config)
    text = modelfile(
        "model-q8_0.gguf",
        tokenizer,
        temperature=source.temperature,
        top_p=source.top_p,
        top_k=source.top_k,
    )
    (folder / "Modelfile").write_text(text, "utf-8")


def write_base_gguf(base_folder: Path, path: Path, name: str) -> None:
    """
    Write a base alone in float16, for `adapter.gguf` to stand beside.

    Raises FailedPrecondition for a family or tokenizer that cannot be said exactly in GGUF.
    """
    from transformers import AutoConfig

    architecture_of(AutoConfig.from_pretrained(base_folder, local_files_only=True, trust_remote_code=False))
    tokenizer, pre_type = tokenizer_of(base_folder), pre_type_of(base_folder)
    write_gguf(path, unmerged(base_folder), tokenizer, "f16", name=name, pre_type=pre_type)


def base_gguf(base_model: str) -> str:
    """Return the file name of a base as GGUF."""
    return f"{base_model}-f16.gguf"


def format_of(folder: Path) -> str:
    """Return the format of an exported folder by its files; raises InvalidArgument if it is none."""
    for name, file in (("adapter", CONFIG), ("gguf", ADAPTER_GGUF), ("merged", "config.json")):
        if (folder / file).is_file():
            return name
    raise InvalidArgument(f"{folder} is no exported model: it has no {CONFIG}, {ADAPTER_GGUF} or config.json.")


WRITERS = {"adapter": write_adapter_export, "merged": write_merged_export, "gguf": write_gguf_export}


def _pairs(adapter_folder: Path) -> tuple[Iterator[Pair], float]:
    config: dict[str, Any] = json.loads((adapter_folder / CONFIG).read_text("utf-8"))
    tensors = safetensors.torch.load_file(adapter_folder / WEIGHTS)
    before, down, up = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
    layers = [name.removeprefix(before).removesuffix(down) for name in tensors if name.endswith(down)]
    pairs = ((layer, tensors[f"{before}{layer}{down}"], tensors[f"{before}{layer}{up}"]) for layer in layers)
    return pairs, float(config["lora_alpha"])
