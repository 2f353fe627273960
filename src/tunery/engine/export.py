"""
Exports a tuned model to files that other programs can read, with one function per format.

This takes much memory and time, so servers run it in a child process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from jinja2 import TemplateError
from safetensors.torch import save_file

from tunery.engine.adapter import CONFIG, WEIGHTS
from tunery.engine.base_config import Unknown
from tunery.engine.chat_templates import settled
from tunery.engine.conversion import WEIGHTS_FILE
from tunery.engine.encoding import Encoder
from tunery.engine.fallback import tensors_of
from tunery.engine.families import spec_of
from tunery.engine.gguf_export import Pair, architecture_of, kinds_of, pre_type_of, write_gguf, write_pairs
from tunery.engine.tokenizer import Tokenizer
from tunery.engine.weights import named, read_config, read_tensors
from tunery.errors import InvalidArgument
from tunery.files import write_json
from tunery.types import BASE_RENDERING, Rendering

ADAPTER_GGUF = "adapter.gguf"
MERGED_DTYPE = torch.float16  # as small as bfloat16 with steps eight times as fine, see docs/experiments.md


@dataclass(frozen=True, slots=True)
class Source:
    """
    A model to export: the checked folders of its base and adapter, a name, its default sampling, and the bits for GGUF.
    """

    base_folder: Path
    adapter_folder: Path
    name: str
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    bits: int | None = None  # bits per weight of a GGUF file, 16 or 8; None for one file of each
    rendering: Rendering = BASE_RENDERING  # of the model's prompts, which is written into the template
    files: tuple[str, ...] = field(default=(CONFIG, WEIGHTS))


def write_adapter_export(source: Source, folder: Path) -> None:
    """Copy the adapter in PEFT's layout, together with the tokenizer and chat template of its base."""
    for name in source.files:
        shutil.copyfile(source.adapter_folder / name, folder / name)
    write_own_template(source.base_folder, source.rendering, folder)


def write_own_template(base_folder: Path, rendering: Rendering, folder: Path) -> None:
    """
    Write tokenizer and template next to an adapter if its prompts are not those that the base's template writes.

    `base_folder` is `Path()` where the base is not on this machine: then nothing is written.
    """
    if base_folder == Path():
        return
    tokenizer = settled_tokenizer(base_folder, rendering)
    if tokenizer.chat_template != Tokenizer.read(base_folder).chat_template:
        tokenizer.save(folder)


def settled_tokenizer(base_folder: Path, rendering: Rendering) -> Tokenizer:
    """Return the tokenizer of a base whose template tells the date of a model, and has it think or not, by itself."""
    tokenizer = Tokenizer.read(base_folder)
    tokenizer.chat_template = settled(tokenizer.chat_template, rendering)
    return tokenizer


def write_merged_export(source: Source, folder: Path) -> None:
    """Write merged safetensors with tokenizer, chat template and generation config."""
    tensors = merge(source.base_folder, source.adapter_folder)
    tokenizer = settled_tokenizer(source.base_folder, source.rendering)
    save_file(
        {name: _rounded(value, MERGED_DTYPE) for name, value in tensors.items()},
        folder / WEIGHTS_FILE,
        metadata={"format": "pt"},
    )
    config = {**read_config(source.base_folder), "dtype": str(MERGED_DTYPE).removeprefix("torch.")}
    config.pop("torch_dtype", None)
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", _generation_config(tokenizer))
    tokenizer.save(folder)


def write_gguf_export(source: Source, folder: Path) -> None:
    """
    Write `model-f16.gguf`, `model-q8_0.gguf` or both, `adapter.gguf` and a Modelfile for Ollama.

    Raises InvalidArgument for other bits, FailedPrecondition for a family or tokenizer that GGUF cannot represent
    exactly.
    """
    kinds, config = kinds_of(source.bits), read_config(source.base_folder)
    architecture_of(config)  # refuse before reading any weights
    tokenizer, pre_type = settled_tokenizer(source.base_folder, source.rendering), pre_type_of(source.base_folder)
    tensors = merge(source.base_folder, source.adapter_folder)
    for kind in kinds:
        path = folder / f"model-{kind}.gguf"
        write_gguf(path, config, tensors, tokenizer, kind, name=source.name, pre_type=pre_type)
    pairs, alpha = _pairs(source.adapter_folder)
    write_pairs(folder / ADAPTER_GGUF, pairs, alpha, config)
    text = modelfile(
        f"model-{kinds[-1]}.gguf",
        tokenizer,
        temperature=source.temperature,
        top_p=source.top_p,
        top_k=source.top_k,
    )
    (folder / "Modelfile").write_text(text, "utf-8")


def write_base_gguf(base_folder: Path, path: Path, name: str) -> None:
    """
    Write a base alone in float16, for use with `adapter.gguf`.

    Raises FailedPrecondition for a family or tokenizer that GGUF cannot represent exactly.
    """
    config = read_config(base_folder)
    architecture_of(config)
    tokenizer, pre_type = Tokenizer.read(base_folder), pre_type_of(base_folder)
    write_gguf(path, config, unmerged(base_folder), tokenizer, "f16", name=name, pre_type=pre_type)


def base_gguf(base_model: str) -> str:
    """Return the name of a base's GGUF file."""
    return f"{base_model}-f16.gguf"


def format_of(folder: Path) -> str:
    """Return the format of an exported folder by its files; raises InvalidArgument if it is not an export."""
    for name, file in (("adapter", CONFIG), ("gguf", ADAPTER_GGUF), ("merged", "config.json")):
        if (folder / file).is_file():
            return name
    raise InvalidArgument(f"{folder} is not an exported model: it has no {CONFIG}, {ADAPTER_GGUF} or config.json.")


WRITERS = {"adapter": write_adapter_export, "merged": write_merged_export, "gguf": write_gguf_export}


def _pairs(adapter_folder: Path) -> tuple[Iterator[Pair], float]:
    config: dict[str, Any] = json.loads((adapter_folder / CONFIG).read_text("utf-8"))
    tensors = safetensors.torch.load_file(adapter_folder / WEIGHTS)
    layers = [name.removeprefix(_PREFIX).removesuffix(_DOWN) for name in tensors if name.endswith(_DOWN)]
    pairs = ((layer, tensors[_PREFIX + layer + _DOWN], tensors[_PREFIX + layer + _UP]) for layer in layers)
    return pairs, float(config["lora_alpha"])


_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def merge(base_folder: Path, adapter_folder: Path) -> dict[str, torch.Tensor]:
    """
    Return the tensors of a base by name in float32, with the adapter merged into its weights.

    `W + alpha / rank · B A`, computed in float32. Raises InvalidArgument if the adapter does not fit this base.
    """
    merged = unmerged(base_folder)
    config = json.loads((adapter_folder / CONFIG).read_text("utf-8"))
    scale, is_transposed = float(config["lora_alpha"]) / int(config["r"]), bool(config.get("fan_in_fan_out"))
    tensors = safetensors.torch.load_file(adapter_folder / WEIGHTS)
    for name in [name for name in tensors if name.endswith(_DOWN)]:
        path = name.removeprefix(_PREFIX).removesuffix(_DOWN)
        # B (out, r) @ A (r, in) -> (out, in), the shape of the weight
        delta = scale * (tensors[_PREFIX + path + _UP].float() @ tensors[name].float())
        weight = _weight(merged, path, delta.T if is_transposed else delta)
        merged[weight] = merged[weight] + (delta.T if is_transposed else delta)
    return merged


def unmerged(base_folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of the base alone, by name, in float32; a tied head occurs once."""
    try:
        return named(read_tensors(base_folder, torch.float32), spec_of(read_config(base_folder)))
    except Unknown:
        return tensors_of(base_folder)


def _weight(tensors: Mapping[str, torch.Tensor], path: str, change: torch.Tensor) -> str:
    name = f"{path}.weight"
    if name not in tensors:
        raise InvalidArgument(f"The adapter changes {path}, which this base does not have.")
    if tensors[name].shape != change.shape:
        raise InvalidArgument(f"The adapter does not fit this base: {path} is {tuple(tensors[name].shape)} there.")
    return name


def _rounded(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype).contiguous() if value.is_floating_point() else value


def _generation_config(tokenizer: Tokenizer) -> dict[str, object]:
    """Return settings that stop where tunery stops and decode greedily, which is tunery's default."""
    encoder = Encoder(tokenizer, window_tokens=1 << 30)
    first_end, padding = encoder.end_token_id, tokenizer.token_id("pad_token")
    ends = [first_end, *sorted(encoder.stop_token_ids - {first_end})]
    return {"do_sample": False, "eos_token_id": ends, "pad_token_id": first_end if padding is None else padding}


def modelfile(weights: str, tokenizer: Tokenizer, *, temperature: float, top_p: float, top_k: int | None) -> str:
    """
    Return the text of a Modelfile for a GGUF file in the same folder, with the settings used for serving the model.
    """
    template, system = ollama_template(tokenizer)
    stop = tokenizer.names.get("eos_token")
    lines = [
        f"FROM ./{weights}",
        f'TEMPLATE """{template}"""',
        *([f'SYSTEM """{system}"""'] if system else []),
        *([f'PARAMETER stop "{stop}"'] if stop else []),
        f"PARAMETER temperature {temperature:g}",
        f"PARAMETER top_p {top_p:g}",
        *([f"PARAMETER top_k {top_k}"] if top_k else []),
        "PARAMETER repeat_penalty 1.0",  # Ollama's default penalises labels that occur in the question
    ]
    return "\n".join(lines) + "\n"


_SYSTEM, _QUESTION, _ANSWER = (f"\u0001{role}\u0001" for role in ("system", "user", "assistant"))


def ollama_template(tokenizer: Tokenizer) -> tuple[str, str]:
    """
    Return the chat template of a base in Ollama's form, and the system text that it writes if none is given.

    Ollama renders it once for each question and its answer, with a system text only for the first (template.go). If the
    template of a base is not made of such pieces, the result is right for single questions only.
    """
    before, after = _around(_rendered(tokenizer, _QUESTION), _QUESTION)
    with_system = _rendered(tokenizer, _SYSTEM, _QUESTION)
    if _SYSTEM not in with_system or not with_system.endswith(_QUESTION + after):
        return f"{before}{{{{ .Prompt }}}}{after}", ""
    opening, rest = _around(with_system, _SYSTEM)
    closing = rest.removesuffix(_QUESTION + after)
    answer_end = _around(_rendered(tokenizer, _QUESTION, _ANSWER, is_asked=False), _ANSWER)[1]
    next_question = _around(_around(_rendered(tokenizer, _QUESTION, _ANSWER, _QUESTION), _ANSWER)[1], _QUESTION)[0]
    question = next_question.removeprefix(answer_end)
    default = before.removeprefix(opening).removesuffix(closing)
    is_in_pieces = next_question.startswith(answer_end) and closing.endswith(question)
    if is_in_pieces and before in (question, f"{opening}{default}{closing}"):
        head = f"{{{{ if .System }}}}{opening}{{{{ .System }}}}{closing.removesuffix(question)}{{{{ end }}}}"
        template = f"{head}{question}{{{{ .Prompt }}}}{after}{{{{ .Response }}}}{answer_end}"
        return template, "" if before == question else default
    head = f"{{{{ if .System }}}}{opening}{{{{ .System }}}}{closing}{{{{ else }}}}{before}{{{{ end }}}}"
    return f"{head}{{{{ .Prompt }}}}{after}", ""


def _rendered(tokenizer: Tokenizer, *texts: str, is_asked: bool = True) -> str:
    """Return a conversation with these markers as texts, empty if the template rejects it."""
    turns = [{"role": text.strip("\u0001"), "content": text} for text in texts]
    try:
        return tokenizer.render(turns, add_generation_prompt=is_asked)
    except TemplateError:
        return ""


def _around(text: str, mark: str) -> tuple[str, str]:
    before, _, after = text.partition(mark)
    return before, after
