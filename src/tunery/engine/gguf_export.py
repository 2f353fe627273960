"""
Writes GGUF files for llama.cpp and Ollama: a merged model in float16 or with 8 bits per weight (Q8_0), or an adapter.

One-dimensional weights stay float32, as in llama.cpp's converter. With 8 bits, the token table and the head stay
float16: the file is a sixth larger, and the answers stay the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from tunery.engine.conversion import ORIGINAL_FILE
from tunery.engine.families import spec_of
from tunery.engine.gguf import GgufFile
from tunery.engine.lora import Adapter
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import FailedPrecondition, InvalidArgument

Config = Mapping[str, Any]  # the settings of config.json

KINDS = {16: "f16", 8: "q8_0"}  # by bits per weight
_BLOCK = 32  # weights per block of Q8_0; a matrix whose width is not a multiple stays float16
_WIDE = ("token_embd.weight", "output.weight")  # with 8 bits there, 3 of 100 answers change, see docs/experiments.md


def kinds_of(bits: int | None) -> tuple[str, ...]:
    """
    Return the kinds of files with this many bits per weight, all kinds for None; raises InvalidArgument for other
    numbers.
    """
    if bits is None:
        return tuple(KINDS.values())
    if bits not in KINDS:
        raise InvalidArgument(f"bits must be {' or '.join(map(str, KINDS))}, not {bits}.")
    return (KINDS[bits],)


def write_gguf(
    path: Path,
    config: Config,
    tensors: Mapping[str, torch.Tensor],
    tokenizer: Tokenizer,
    kind: str,
    *,
    name: str,
    pre_type: str | None = None,
) -> None:
    """
    Write a model into a GGUF file of `kind` "f16" or "q8_0": settings and tensors by name; a tied head is written once.

    Raises FailedPrecondition for a family or a tokenizer that llama.cpp would read differently.
    """
    import gguf

    names = TensorNames(config)
    writer = gguf.GGUFWriter(path, names.architecture)
    _add_facts(writer, config, kind, name)
    add_tokenizer(writer, tokenizer, config["vocab_size"], pre_type)
    factors = _stretching(config)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors.numpy())
    for parameter, value in tensors.items():
        rows = names.ordered(parameter, value.float())
        _add_tensor(writer, names.of(parameter), rows, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pre_type_of(base_folder: Path) -> str | None:
    """Return llama.cpp's name for how the tokenizer of a base splits text, if the base came as GGUF."""
    original = base_folder / ORIGINAL_FILE
    return GgufFile(original).metadata.get("tokenizer.ggml.pre") if original.is_file() else None


def _add_facts(writer: Any, config: Config, kind: str, name: str) -> None:
    import gguf

    spec = spec_of(config)
    writer.add_name(name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(spec.hidden)
    writer.add_feed_forward_length(spec.inner)
    writer.add_block_count(len(spec.layers))
    writer.add_head_count(spec.heads)
    kinds = [0 if layer.kernel else spec.key_heads for layer in spec.layers]
    writer.add_head_count_kv(kinds if 0 in kinds else spec.key_heads)
    if 0 in kinds:
        writer.add_shortconv_l_cache(max(layer.kernel for layer in spec.layers))
    writer.add_key_length(spec.width)
    writer.add_value_length(spec.width)
    writer.add_rope_dimension_count(spec.width)
    writer.add_rope_freq_base(_theta(config))
    writer.add_layer_norm_rms_eps(spec.norm.epsilon)


def _theta(config: Config) -> float:
    stated = config.get("rope_parameters") or {}
    return float(stated.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def _stretching(config: Config) -> torch.Tensor | None:
    """Return what llama.cpp divides the plain frequencies by, `[width/2]`; None where they are plain."""
    spec = spec_of(config)
    rotation = spec.rotations["all"]
    plain = 1.0 / _theta(config) ** (torch.arange(0, spec.width, 2, dtype=torch.float) / spec.width)
    if torch.equal(plain, rotation.frequencies):
        return None
    if architecture_of(config) not in _STRETCHED:
        raise FailedPrecondition("config.json does not give rope_theta, the base of the rotary positions. Add it.")
    return plain / rotation.frequencies


def _add_tensor(writer: Any, name: str, value: torch.Tensor, kind: str) -> None:
    import gguf

    types = gguf.GGMLQuantizationType
    if value.ndim == 1 or name.endswith(".shortconv.conv.weight"):  # these, norms and biases stay float32
        writer.add_tensor(name, value.contiguous().numpy())
        return
    in_blocks = kind == "q8_0" and name not in _WIDE and value.shape[-1] % _BLOCK == 0
    chosen = types.Q8_0 if in_blocks else types.F16
    writer.add_tensor(name, gguf.quantize(value.contiguous().numpy(), chosen), raw_dtype=chosen)


Pair = tuple[str, torch.Tensor, torch.Tensor]  # path of the layer, A [r, in], B [out, r]


def write_gguf_adapter(path: Path, adapter: Adapter, config: Config) -> None:
    """Write an adapter for a base with this config, in float32, which is the converter's default."""
    write_pairs(path, adapter.shape.pairs(adapter.flat), adapter.shape.alpha, config)


def write_pairs(path: Path, pairs: Iterable[Pair], alpha: float, config: Config) -> None:
    """Write the low-rank pairs of an adapter; raises FailedPrecondition for a family without GGUF support."""
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


_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # llama_token_type of llama.cpp

# llama.cpp's names for ways to split text (llama-vocab.cpp), by the regular expression in tokenizer.json
_LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA: "llama-bpe", _LLAMA.replace("{1,3}", ""): "qwen2"}


def add_tokenizer(writer: Any, tokenizer: Tokenizer, vocabulary_size: int, pre_type: str | None = None) -> None:
    """
    Write a tokenizer into GGUF's metadata.

    `vocabulary_size` is the size in the weights; `pre_type` is llama.cpp's name for how text is split, if known.
    Raises FailedPrecondition for a tokenizer that would split texts differently in llama.cpp.
    """
    description = json.loads(tokenizer.backend.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_type or _pre_type(description))
    tokens, kinds = _tokens(description, vocabulary_size)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = description["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name in ("bos", "eos", "unk", "pad"):
        number = tokenizer.token_id(f"{name}_token")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(False)  # the template writes its own beginning-of-text token
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _pre_type(description: dict[str, Any]) -> str:
    model, splitter = description["model"], description["pre_tokenizer"] or {}
    parts = splitter.get("pretokenizers", [splitter])
    kinds = [part.get("type") for part in parts]
    if model["type"] == "BPE" and not model.get("byte_fallback") and not description.get("normalizer"):
        if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
            return "smollm"
    if model["type"] == "BPE" and kinds == ["Split", "ByteLevel"]:
        found = _SPLITS.get(parts[0].get("pattern", {}).get("Regex", ""))
        if found is not None:
            return found
    raise FailedPrecondition(
        "This tokenizer cannot be represented exactly in GGUF (supported: byte-level BPE as in Llama 3, Qwen 2 and"
        " SmolLM). Export the merged model and convert it with llama.cpp's own converter."
    )


def _tokens(description: dict[str, Any], vocabulary_size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{number}]" for number in range(vocabulary_size)]
    kinds = [_UNUSED] * vocabulary_size
    for token, number in description["model"]["vocab"].items():
        tokens[number], kinds[number] = token, _NORMAL
    for added in description["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    return tokens, kinds


# model_type of transformers -> architecture of llama.cpp
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "arcee": "arcee", "exaone4": "exaone4",
    "lfm2": "lfm2",
}  # fmt: skip
# there, the rows of a head alternate between its two rotated halves
_REORDERED = ("llama", "arcee")
# positions that `rope_freqs.weight` represents, and the architectures that read it
_STRETCHES, _STRETCHED = ("llama3", "linear"), ("llama", "arcee", "exaone4")


def architecture_of(config: Config) -> str:
    """Return llama.cpp's name of the architecture; raises FailedPrecondition if it cannot be represented exactly."""
    found = ARCHITECTURES.get(config["model_type"])
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise FailedPrecondition(
            f"GGUF can be written for the families {known}; this base belongs to the family {config['model_type']}."
            " Export it merged."
        )
    positions = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = positions.get("rope_type", positions.get("type", "default"))
    if kind != "default" and (kind not in _STRETCHES or found not in _STRETCHED):
        raise FailedPrecondition(
            f"This base scales its rotary positions ({kind}), which cannot be represented exactly in GGUF."
            " Export it merged."
        )
    if found == "exaone4" and any(layer.rule.window for layer in spec_of(config).layers):
        raise FailedPrecondition("llama.cpp has attention windows of its own for this family. Export it merged.")
    return found


class TensorNames:
    """llama.cpp's names and row order for the parameters of one config."""

    def __init__(self, config: Config) -> None:
        import gguf

        self.architecture, spec = architecture_of(config), spec_of(config)
        number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        self._table = gguf.get_tensor_name_map(number, len(spec.layers))
        self._heads = {"q_proj": spec.heads, "k_proj": spec.key_heads}

    def of(self, parameter: str) -> str:
        """Return the GGUF name of a parameter such as `model.layers.0.self_attn.q_proj.weight`."""
        module, _, kind = parameter.rpartition(".")
        found = self._table.get_name(module)
        if found is None:
            raise FailedPrecondition(f"llama.cpp has no place for {parameter}. Export the merged model instead.")
        return f"{found}.{kind}"

    def ordered(self, parameter: str, value: torch.Tensor) -> torch.Tensor:
        """Return the rows of a parameter in llama.cpp's order; `value` is `[rows, ...]`."""
        if parameter.endswith(".conv.conv.weight"):
            return value.flatten(1)
        heads = self._heads.get(parameter.split(".")[-2])
        if self.architecture not in _REORDERED or heads is None:
            return value
        return alternating_rows(value, heads)


def alternating_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the rows in llama.cpp's order, where the rows of a head alternate between its two rotated halves."""
    rows, *rest = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, *rest).transpose(1, 2).reshape(rows, *rest)
