"""
From one GGUF file to the folder that tuning and serving read: bfloat16 safetensors, config, tokenizer, chat template.

Llama files are read here, tensor by tensor; others by transformers' own loader. Q4_1 weights go through `four_bit`, so
that 4-bit decoding multiplies the numbers that tuning saw; where such blocks lie is kept in `four_bit.json`.
It knows nothing of downloads, of the catalog or of where the folder will be published.
"""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stderr
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tunery.engine.bases import four_bit
from tunery.engine.bases.gguf_file import GgufFile
from tunery.engine.bases.gguf_llama import is_plain_llama, llama_config, llama_weights
from tunery.engine.bases.quiet import quiet_transformers
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.files import OnProgress, Progress, ignore, write_json

WEIGHTS_FILE = "model.safetensors"

# llama.cpp splits digits one by one for these (llama-vocab.cpp, `LLAMA_VOCAB_PRE_TYPE_SMOLLM` and neighbours), as the
# original tokenizers do; transformers' GGUF reader does not, and "\n\n5" would become three tokens where it was two
DIGIT_SPLITTING = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"})


def convert(gguf_file: Path, folder: Path, on_progress: OnProgress = ignore) -> None:
    """
    Write the base in `gguf_file` into `folder`, with a copy of the file itself as `original.gguf`.

    Raises InvalidArgument when the file is no GGUF file or holds something that cannot be converted exactly.
    """
    file = GgufFile(gguf_file)
    file.require_complete()
    on_progress(Progress("convert", 0, gguf_file.stat().st_size))
    with quiet_transformers():
        if is_plain_llama(file):
            config = llama_config(file)
            weights, places = llama_weights(file, config, on_progress)
        else:
            config, weights = _generic(gguf_file)
            places = {}
        tokenizer = _tokenizer(gguf_file, file.metadata.get("tokenizer.ggml.pre"))
    _write(folder, config, weights, tokenizer)
    if places:
        write_json(folder / four_bit.INDEX_FILE, {name: asdict(place) for name, place in places.items()})
    shutil.copyfile(gguf_file, folder / four_bit.ORIGINAL_FILE)


def _generic(gguf_file: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return config and bfloat16 weights as transformers' own GGUF loader reads them."""
    from transformers import AutoModelForCausalLM, GgufConfig

    try:
        with redirect_stderr(io.StringIO()):  # this loader draws a bar that cannot be switched off
            model = AutoModelForCausalLM.from_pretrained(
                gguf_file.parent,
                gguf_file=gguf_file.name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                trust_remote_code=False,
            )
    except ImportError as error:
        raise FailedPrecondition(
            f"{gguf_file.name} needs one more package to be read: pip install accelerate"
        ) from error
    except (ValueError, NotImplementedError) as error:
        raise InvalidArgument(f"{gguf_file.name} cannot be converted: {error}") from error
    settings = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    settings.pop("quantization_config", None)  # the weights are not quantized any more
    config = type(model.config)(**settings)
    own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}  # a tied head is listed once
    state = {name: value for name, value in model.state_dict().items() if name in own}
    return config, {name: value.bfloat16().contiguous() for name, value in state.items()}


def _tokenizer(gguf_file: Path, pre_type: str | None) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    if pre_type in DIGIT_SPLITTING:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


def _write(folder: Path, config: Any, weights: dict[str, torch.Tensor], tokenizer: Any) -> None:
    from safetensors.torch import save_file

    config.dtype = torch.bfloat16
    config.name_or_path = ""
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
