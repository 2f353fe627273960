"""
A merged model as one GGUF file, as llama.cpp and Ollama read it: in float16, or with 8 bits a weight (Q8_0).

Weights with one row stay float32, as llama.cpp's converter leaves them; of 8 bits the table of tokens and the head stay
in float16, which costs a sixth of the file and keeps answers. Knows Llama-type models of transformers and the
gguf package; nothing of adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunery.engine.bases.four_bit import ORIGINAL_FILE
from tunery.engine.bases.gguf_file import GgufFile
from tunery.engine.exporting.gguf_tokenizer import add_tokenizer
from tunery.engine.exporting.llama_names import TensorNames

KINDS = ("f16", "q8_0")
_BLOCK = 32  # weights in a block of Q8_0; a matrix of other width stays float16
_WIDE = ("token_embd.weight", "output.weight")  # 8 bits there turn 3 of 100 answers: docs/experiments.md


def write_gguf(path: Path, model: Any, tokenizer: Any, kind: str, *, name: str, pre_type: str | None = None) -> None:
    """
    Write a model into a GGUF file of `kind` "f16" or "q8_0".

    Raises FailedPrecondition for a family or a tokenizer that llama.cpp would read differently.
    """
    import gguf

    names = TensorNames(model.config)
    writer = gguf.GGUFWriter(path, names.architecture)
    _add_facts(writer, model.config, kind, name)
    add_tokenizer(writer, tokenizer, model.config.vocab_size, pre_type)
    for parameter, value in model.named_parameters():  # a tied head is listed once
        rows = names.ordered(parameter, value.detach().float())
        _add_tensor(writer, names.of(parameter), rows, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pre_type_of(base_folder: Path) -> str | None:
    """Return llama.cpp's name for how the tokenizer of a base splits text, if the base came as GGUF."""
    original = base_folder / ORIGINAL_FILE
    return GgufFile(original).metadata.get("tokenizer.ggml.pre") if original.is_file() else None


def _add_facts(writer: Any, config: Any, kind: str, name: str) -> None:
    import gguf

    writer.add_name(name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tensor(writer: Any, name: str, value: torch.Tensor, kind: str) -> None:
    import gguf

    types = gguf.GGMLQuantizationType
    if value.ndim == 1:
        writer.add_tensor(name, value.contiguous().numpy())
        return
    in_blocks = kind == "q8_0" and name not in _WIDE and value.shape[-1] % _BLOCK == 0
    chosen = types.Q8_0 if in_blocks else types.F16
    writer.add_tensor(name, gguf.quantize(value.contiguous().numpy(), chosen), raw_dtype=chosen)
