"""
Converts a GGUF file to the folder that tuning and answering read: bfloat16 safetensors, config, tokenizer, template.

Llama files, and tokenizers like SmolLM's, are read here, and others by transformers' loader. The positions of Q4_1
blocks are stored in `four_bit.json`, so that 4-bit decoding multiplies exactly the numbers that were used in tuning.
"""

from __future__ import annotations

import json
import mmap
import shutil
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from tunery.engine.fallback import gguf_tokenizer_parts, read_gguf
from tunery.engine.families import spec_of
from tunery.engine.gguf import GgufFile, GgufTensor
from tunery.engine.quantized import PORTION_WEIGHTS, Blocks, Kind, QuantizedWeight, Weight
from tunery.engine.tokenizer import Tokenizer
from tunery.engine.weights import parameter_names, read_config
from tunery.errors import InvalidArgument
from tunery.files import OnProgress, Progress, ignore, read_json, write_json

WEIGHTS_FILE = "model.safetensors"

# For these, llama.cpp splits digits one by one (llama-vocab.cpp, `LLAMA_VOCAB_PRE_TYPE_SMOLLM` and neighbours), as the
# original tokenizers do. The GGUF reader of transformers does not, so "\n\n5" would become three tokens instead of two
DIGIT_SPLITTING = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"})


def convert(gguf_file: Path, folder: Path, on_progress: OnProgress = ignore) -> None:
    """
    Write the base in `gguf_file` into `folder`, with a copy of the file as `original.gguf`.

    Raises InvalidArgument when the file is not GGUF or cannot be converted exactly.
    """
    file = GgufFile(gguf_file)
    file.require_complete()
    on_progress(Progress("convert", 0, gguf_file.stat().st_size))
    places: dict[str, Place] = {}
    if is_plain_llama(file):
        config = llama_config(file)
        places = write_llama(file, config, folder / WEIGHTS_FILE, on_progress)
    else:
        config, weights = read_gguf(gguf_file)
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    write_json(folder / "config.json", {**config, "dtype": "bfloat16"})
    tokenizer_of(file).save(folder)
    if places:
        write_json(folder / INDEX_FILE, {name: asdict(place) for name, place in places.items()})
    shutil.copyfile(gguf_file, folder / ORIGINAL_FILE)


def tokenizer_of(file: GgufFile) -> Tokenizer:
    """Return the tokenizer that a GGUF file describes; raises the errors of `fallback.gguf_tokenizer_parts`."""
    is_byte_level = file.metadata.get("tokenizer.ggml.model") == "gpt2"
    if not is_byte_level or file.metadata.get("tokenizer.ggml.pre") not in DIGIT_SPLITTING:
        return Tokenizer(*gguf_tokenizer_parts(file.path))
    tokens = file.strings("tokenizer.ggml.tokens")
    ids = {name: file.metadata.get(f"tokenizer.ggml.{key}_token_id") for name, key in _NAMED_TOKENS.items()}
    names = {"unk_token": _UNKNOWN, **{name: tokens[token] for name, token in ids.items() if token is not None}}
    return Tokenizer(_byte_level(file, tokens), names, (), file.metadata.get("tokenizer.chat_template"))


_NAMED_TOKENS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_UNKNOWN = "<|endoftext|>"  # as in GPT-2's tokenizer, if the file names none
_CONTROL, _USER_DEFINED = 3, 4  # token types of ggml


def _byte_level(file: GgufFile, tokens: list[str]) -> Backend:
    """Return byte-level BPE that splits digits; tokens that GPT-2's byte alphabet cannot spell are respelled."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = [
        token if alphabet.issuperset(token) else "".join(part for part, _ in spell.pre_tokenize_str(token))
        for token in tokens
    ]
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in file.strings(_MERGES))]
    vocabulary = {token: index for index, token in enumerate(spelled)}
    backend = Backend(models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix=""))
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    # a token that is not spelled in it is a plain token that llama.cpp calls control by mistake
    kinds = zip(tokens, file.metadata.get("tokenizer.ggml.token_type") or (), strict=False)
    for token, kind in kinds:
        if kind in (_CONTROL, _USER_DEFINED) and token in vocabulary:
            backend.add_tokens([AddedToken(token, normalized=False, special=kind == _CONTROL)])
    return backend


_MERGES = "tokenizer.ggml.merges"
INDEX_FILE = "four_bit.json"
ORIGINAL_FILE = "original.gguf"

Q4_1 = 3  # ggml's number for the type
BLOCK_WEIGHTS = 32
BLOCK_BYTES = 20  # d, m as float16, then 16 bytes with weight j in the low and weight j + 16 in the high half of byte j


@dataclass(frozen=True, slots=True)
class FourBitWeight:
    """
    One weight matrix `[N, K]` in 4 bits.

    `quants` uint8 `[N, K]`, 0..15; `scales` and `zeros` bfloat16 `[N, K/32]`.
    """

    quants: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor

    def dense(self) -> torch.Tensor:
        """Return the weights `(q − 8)·scale + zero`, computed in float32: `[N, K]`."""
        # (N, K) -> (N, K/32, 32), so that each block meets its own scale and zero
        blocks = self.quants.view(*self.scales.shape, BLOCK_WEIGHTS).float() - 8
        return blocks.mul_(self.scales[..., None].float()).add_(self.zeros[..., None].float()).flatten(1)


@dataclass(frozen=True, slots=True)
class Place:
    """The position of the blocks of a weight matrix `[N, K]` in the GGUF file, and the order of its rows."""

    offset: int  # bytes from the beginning of the file
    rows: int  # N
    columns: int  # K
    rotary_heads: int | None = None  # number of heads whose rows llama.cpp has reordered, see `original_rows`


def decode_four_bit(blocks: torch.Tensor, rotary_heads: int | None = None) -> FourBitWeight:
    """
    Return the weight matrix in Q4_1 blocks: uint8 `[N, K/32·20]`.

    With `rotary_heads`, the rows are put back into the order of the original weights.
    """
    rows = blocks.shape[0]
    blocks = original_rows(blocks, rotary_heads).reshape(rows, -1, BLOCK_BYTES)  # (N, K/32, 20)
    d, m = blocks[..., :4].contiguous().view(torch.float16).float().unbind(-1)  # (N, K/32) each
    packed = blocks[..., 4:]  # (N, K/32, 16), two weights per byte
    quants = torch.cat([packed & 15, packed >> 4], dim=-1).flatten(1)  # (N, K)
    # ggml computes q·d + m; kept as (q − 8)·scale + zero, which is the same with zero = m + 8·d
    return FourBitWeight(quants, d.bfloat16(), (m + 8 * d).bfloat16())


def original_rows(weight: torch.Tensor, rotary_heads: int | None) -> torch.Tensor:
    """
    Undo the row order that llama.cpp gives to query and key weights of Llama models: `[N, ...]`.

    In GGUF, a head's rows alternate between its two rotated halves (`LlamaModel.permute` in llama.cpp's converter).
    """
    if rotary_heads is None:
        return weight
    rows, *rest = weight.shape
    halves = weight.reshape(rotary_heads, rows // rotary_heads // 2, 2, *rest)  # (heads, D/2, half, ...)
    return halves.transpose(1, 2).reshape(rows, *rest)


def has_four_bit_weights(folder: Path) -> bool:
    """Return whether the base in this folder came with 4-bit weights."""
    return (folder / INDEX_FILE).is_file()


def read_four_bit(folder: Path) -> dict[str, FourBitWeight]:
    """Return the 4-bit weights of a base by parameter name (`model.layers.0.mlp.up_proj.weight`)."""
    places = {name: Place(**values) for name, values in read_json(folder / INDEX_FILE).items()}
    with (folder / ORIGINAL_FILE).open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch warns about read-only memory
    return {name: decode_four_bit(_blocks(content, place), place.rotary_heads) for name, place in places.items()}


def _blocks(content: mmap.mmap, place: Place) -> torch.Tensor:
    row_bytes = place.columns // BLOCK_WEIGHTS * BLOCK_BYTES
    count = place.rows * row_bytes
    return torch.frombuffer(content, dtype=torch.uint8, count=count, offset=place.offset).view(place.rows, row_bytes)


def stored_bits(folder: Path) -> float | None:
    """Return the bits per weight in the layers of a base that came with quantized weights; None if it did not."""
    if not (folder / ORIGINAL_FILE).is_file() or not is_plain_llama(file := GgufFile(folder / ORIGINAL_FILE)):
        return None
    found = [tensor for tensor in file.tensors if tensor.name.startswith("blk.") and _is_quantized(tensor)]
    weights = sum(tensor.numbers for tensor in found)
    return 8 * sum(tensor.total_bytes for tensor in found) / weights if weights else None


def read_stored(folder: Path, dtype: torch.dtype, device: torch.device) -> dict[str, Weight]:
    """
    Return the weights of a base by parameter name, as its GGUF file stores them; those in blocks are memory-mapped.

    `dtype` is the type that they are widened to when they are used, and that of the others.
    """
    import gguf

    file, config = GgufFile(folder / ORIGINAL_FILE), read_config(folder)
    with file.path.open("rb") as opened:
        content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)  # torch warns about read-only memory
    names, found = _parameter_names(config), dict[str, Weight]()
    for tensor in file.tensors:
        rows = len(file.data(tensor)) if len(tensor.shape) > 1 else 1
        data = torch.frombuffer(content, dtype=torch.uint8, count=tensor.total_bytes, offset=tensor.offset)
        heads = _rotary_heads(tensor.name, config)
        data = original_rows(data.view(rows, -1), heads)
        if _is_quantized(tensor):
            blocks = Blocks(Kind.of(tensor.type_id), data.to(device), is_mapped=heads is None)
            found[names[tensor.name]] = QuantizedWeight((blocks,), dtype)
        else:
            plain = gguf.dequantize(data.numpy(), gguf.GGMLQuantizationType(tensor.type_id))
            found[names[tensor.name]] = torch.from_numpy(plain).view(tensor.shape).to(device, dtype)
    return found


def _is_quantized(tensor: GgufTensor) -> bool:
    return len(tensor.shape) == 2 and tensor.type_id not in _PLAIN_TYPES


_PLAIN_TYPES = (0, 1, 30)  # float32, float16, bfloat16


def is_plain_llama(file: GgufFile) -> bool:
    """Return whether this module can read the file: a Llama without experts."""
    return file.architecture == "llama" and not file.metadata.get("llama.expert_count")


def llama_config(file: GgufFile) -> dict[str, Any]:
    """Return the settings of a Llama that the metadata describes, as transformers makes them."""
    names = {tensor.name for tensor in file.tensors}
    _refuse_scaled_positions(file, names)
    of = {key.removeprefix("llama."): value for key, value in file.metadata.items()}
    token = {key.removeprefix("tokenizer.ggml."): value for key, value in file.metadata.items()}
    hidden, heads = of["embedding_length"], of["attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": of.get("vocab_size") or token["tokens"],
        "hidden_size": hidden,
        "hidden_act": "silu",
        "intermediate_size": of["feed_forward_length"],
        "num_hidden_layers": of["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": of.get("attention.head_count_kv", heads),
        "head_dim": of.get("rope.dimension_count", hidden // heads),
        "max_position_embeddings": of["context_length"],
        "rms_norm_eps": of["attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": of.get("rope.freq_base", 10_000.0)},
        "bos_token_id": token.get("bos_token_id"),
        "eos_token_id": token.get("eos_token_id"),
        "pad_token_id": token.get("padding_token_id"),
        "tie_word_embeddings": "output.weight" not in names,
    }


def write_llama(file: GgufFile, config: dict[str, Any], to: Path, on_progress: OnProgress) -> dict[str, Place]:
    """
    Write the weights of a Llama in bfloat16, one at a time, and return the positions of the 4-bit ones in the file.

    The bytes are those that `safetensors.torch.save_file` writes.
    """
    names, total, done = _parameter_names(config), sum(tensor.total_bytes for tensor in file.tensors), 0
    unknown = [tensor.name for tensor in file.tensors if tensor.name not in names]
    if unknown:
        raise InvalidArgument(f"{file.path} holds {unknown[0]}, which has no place in a Llama model.")
    missing = names.keys() - {tensor.name for tensor in file.tensors}
    if missing:
        raise InvalidArgument(f"{file.path} lacks {', '.join(sorted(missing))}. Fetch it again.")
    ordered = sorted(file.tensors, key=lambda tensor: names[tensor.name])
    with to.open("wb") as output:
        output.write(_safetensors_header({names[tensor.name]: tensor.shape for tensor in ordered}))
        for tensor in ordered:
            weight = _read(file, tensor, _rotary_heads(tensor.name, config))
            output.write(weight.contiguous().view(torch.uint8).numpy().data)
            done += tensor.total_bytes
            on_progress(Progress("convert", done, total))
    return {
        names[tensor.name]: Place(tensor.offset, tensor.shape[0], tensor.shape[1], _rotary_heads(tensor.name, config))
        for tensor in file.tensors
        if tensor.type_id == Q4_1
    }


def _safetensors_header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return the header of a file of bfloat16 tensors in this order (huggingface.co/docs/safetensors)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + prod(shape) * torch.bfloat16.itemsize
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _refuse_scaled_positions(file: GgufFile, names: set[str]) -> None:
    is_scaled = file.metadata.get("llama.rope.scaling.type", "none") != "none"
    if is_scaled or "rope_freqs.weight" in names:
        raise InvalidArgument(
            f"{file.path} scales its rotary positions, which cannot be converted exactly."
            " Add the base from a folder or a hub id with its original safetensors instead."
        )


def _parameter_names(config: dict[str, Any]) -> dict[str, str]:
    """Map llama.cpp's tensor names to parameter names."""
    import gguf

    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    names = parameter_names(spec_of(config))
    return {f"{table.get_name(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": name for name in names}


def _rotary_heads(name: str, config: dict[str, Any]) -> int | None:
    if ".attn_q." in name:
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if ".attn_k." in name else None


def _read(file: GgufFile, tensor: GgufTensor, heads: int | None) -> torch.Tensor:
    import gguf

    data = file.data(tensor)
    if tensor.type_id == Q4_1:
        weight = torch.empty(tensor.shape, dtype=torch.bfloat16)
        # rows of heads are reordered as a whole
        most = tensor.shape[0] if heads else max(1, PORTION_WEIGHTS // tensor.shape[1])
        for start in range(0, tensor.shape[0], most):
            blocks = torch.from_numpy(data[start : start + most].copy())
            weight[start : start + most] = decode_four_bit(blocks, heads).dense()
        return weight
    # copied, as above, because mapped memory is read-only and torch warns about it
    if _is_quantized(tensor):
        blocks = original_rows(torch.from_numpy(data.copy()), heads)
        return QuantizedWeight((Blocks(Kind.of(tensor.type_id), blocks),), torch.bfloat16).widened()
    dense = torch.from_numpy(gguf.dequantize(data, gguf.GGMLQuantizationType(tensor.type_id)).copy())
    return original_rows(dense, heads).bfloat16()
