"""Tests of `engine.conversion`: a GGUF file becomes bfloat16 safetensors with the same numbers and tokenizer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.engine.tiny_bases import HEADS, HIDDEN, TEMPLATE, VOCABULARY, make_gguf
from tunery.engine import conversion
from tunery.engine.conversion import convert
from tunery.engine.fallback import gguf_tokenizer_parts, quiet_transformers
from tunery.engine.gguf import GgufFile
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.files import Progress


def converted(gguf_file: Path, folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir()
    convert(gguf_file, folder)
    return dict(load_file(folder / "model.safetensors"))


def as_transformers_reads(gguf_file: Path) -> Any:
    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32)


def test_weights_equal_those_that_transformers_reads(tmp_path: Path) -> None:
    """Without 4-bit blocks every weight is the bfloat16 of what transformers reads, query and key rows included."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf", quantization="Q8_0")

    weights = converted(gguf_file, tmp_path / "out")

    expected = dict(as_transformers_reads(gguf_file).named_parameters())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name].bfloat16()) for name in weights)


@pytest.mark.parametrize("quantization", ["Q8_0", "Q4_1", "F16"])
def test_weights_are_written_as_safetensors_writes_them(tmp_path: Path, quantization: str) -> None:
    """One at a time, which takes less memory, and with the same bytes, whose digest tuned models remember."""
    weights = converted(make_gguf(tmp_path / "tiny.gguf", quantization=quantization), tmp_path / "out")

    save_file(weights, tmp_path / "whole.safetensors", metadata={"format": "pt"})

    written = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert written == (tmp_path / "whole.safetensors").read_bytes()


def test_four_bit_weights_are_close_to_those_that_transformers_reads(tmp_path: Path) -> None:
    """Rounding scale and zero to bfloat16 moves no weight by more than a tenth of a quantization step."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf")

    weights = converted(gguf_file, tmp_path / "out")

    expected = dict(as_transformers_reads(gguf_file).named_parameters())
    for name, four_bits in conversion.read_four_bit(tmp_path / "out").items():
        step = four_bits.scales.float().repeat_interleave(32, dim=1)
        assert ((weights[name].float() - expected[name]).abs() <= 0.1 * step.abs()).all(), name


def test_four_bit_file_gives_the_dense_weights(tmp_path: Path) -> None:
    """What 4-bit decoding multiplies, rounded to bfloat16, is what tuning sees."""
    weights = converted(make_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")

    four_bits = conversion.read_four_bit(tmp_path / "out")

    assert len(four_bits) == 2 * 7
    assert all(torch.equal(weight.dense().bfloat16(), weights[name]) for name, weight in four_bits.items())
    assert conversion.has_four_bit_weights(tmp_path / "out")


def test_four_bit_kernel_multiplies_the_same_weights(tmp_path: Path) -> None:
    """The 4-bit product of torch equals the product with the dense weights up to the rounding of its result."""
    converted(make_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")
    weight = conversion.read_four_bit(tmp_path / "out")["model.layers.1.self_attn.q_proj.weight"]
    row = torch.randn(1, HIDDEN, generator=torch.Generator().manual_seed(0)).bfloat16()

    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.quants.int(), 1)
    scales_and_zeros = torch.stack([weight.scales, weight.zeros], dim=-1).transpose(0, 1).contiguous()
    product = torch.ops.aten._weight_int4pack_mm_for_cpu(row, packed, 32, scales_and_zeros)

    torch.testing.assert_close(product.float(), row.float() @ weight.dense().T, rtol=2**-8, atol=1e-3)


def test_q4_1_blocks_decode_as_gguf_does() -> None:
    """Blocks whose d and m are exact in bfloat16 decode to exactly the numbers of the gguf package."""
    values = torch.randint(0, 16, (4, 64), generator=torch.Generator().manual_seed(0)).float() * 0.25 - 2
    values[:, 0::32], values[:, 1::32] = -2, -2 + 15 * 0.25
    blocks = gguf.quantize(values.numpy(), gguf.GGMLQuantizationType.Q4_1)

    weight = conversion.decode_four_bit(torch.from_numpy(blocks))

    assert torch.equal(weight.dense(), values)


def test_config_equals_that_of_transformers_and_is_not_quantized(tmp_path: Path) -> None:
    """Shape, positions and token ids are as transformers reads them; nothing says that weights are quantized."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf")

    converted(gguf_file, tmp_path / "out")

    with quiet_transformers():
        config = AutoModelForCausalLM.from_pretrained(tmp_path / "out").config
    expected = as_transformers_reads(gguf_file).config
    ours, theirs = config.to_dict(), expected.to_dict()
    only_about_files = {
        "_name_or_path",
        "_model_name_or_path",
        "architectures",
        "dtype",
        "quantization_config",
        "unk_token_id",
    }
    assert {k: v for k, v in ours.items() if k not in only_about_files} == {
        k: v for k, v in theirs.items() if k not in only_about_files
    }
    assert "quantization_config" not in ours
    assert ours["tie_word_embeddings"]


def test_tokenizer_keeps_template_and_splits_digits_as_the_original(tmp_path: Path) -> None:
    """Two line breaks before a digit stay one token: digits are split off first, as llama.cpp does it."""
    converted(make_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")

    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("a\n\n5  12")) == ["a", "ĊĊ", "5", "ĠĠ", "1", "2"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)


def test_tokenizer_is_the_one_that_transformers_makes(tmp_path: Path) -> None:
    """All of its pipeline: vocabulary, merges, special tokens; only digits are split first."""
    file = GgufFile(make_gguf(tmp_path / "tiny.gguf"))

    ours, theirs = conversion.tokenizer_of(file), Tokenizer(*gguf_tokenizer_parts(file.path))

    described = [json.loads(tokenizer.backend.to_str()) for tokenizer in (ours, theirs)]
    digits = described[0].pop("pre_tokenizer")["pretokenizers"]
    assert described[1].pop("pre_tokenizer") == digits[1]
    assert digits[0] == {"type": "Digits", "individual_digits": True}
    assert described[0] == described[1]
    assert {ours.token_id(name) for name in ("bos_token", "eos_token", "pad_token")} == {1, 2}
    assert ours.chat_template == TEMPLATE


def test_without_transformers_a_base_that_needs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small Llamas are converted; another architecture names the package to install."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    converted(make_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")

    with pytest.raises(FailedPrecondition, match=r"pip install 'tunery\[transformers\]'"):
        converted(make_gguf(tmp_path / "other.gguf", architecture="qwen2"), tmp_path / "other")


def test_other_architectures_are_read_by_transformers(tmp_path: Path) -> None:
    """A Qwen2 file is converted through transformers' own loader, with the same numbers in bfloat16."""
    pytest.importorskip("accelerate")
    gguf_file = make_gguf(tmp_path / "tiny.gguf", architecture="qwen2", quantization="Q8_0")

    weights = converted(gguf_file, tmp_path / "out")

    expected = dict(as_transformers_reads(gguf_file).named_parameters())
    assert all(torch.equal(weights[name], expected[name].bfloat16()) for name in expected)
    with quiet_transformers():
        config = AutoModelForCausalLM.from_pretrained(tmp_path / "out").config
    assert config.architectures == ["Qwen2ForCausalLM"]
    assert "quantization_config" not in config.to_dict()
    assert not conversion.has_four_bit_weights(tmp_path / "out")


def test_original_is_kept_and_progress_reaches_its_total(tmp_path: Path) -> None:
    """The GGUF file lies beside the weights; the last report says that all bytes are done."""
    gguf_file, seen = make_gguf(tmp_path / "tiny.gguf"), list[Progress]()
    (tmp_path / "out").mkdir()

    convert(gguf_file, tmp_path / "out", seen.append)

    assert (tmp_path / "out" / "original.gguf").read_bytes() == gguf_file.read_bytes()
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total


def test_scaled_positions_are_refused(tmp_path: Path) -> None:
    """Metadata that transformers would ignore, and so change what the model computes, is an error with the way out."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf", llama__rope__scaling__type="linear")

    with pytest.raises(InvalidArgument, match=r"scales its rotary positions.*safetensors"):
        convert(gguf_file, tmp_path)


@pytest.mark.parametrize("size", [0, 3, 40, 2000])
def test_incomplete_header_is_an_error_that_names_the_file(tmp_path: Path, size: int) -> None:
    """A file that ends in its header is refused."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf")
    gguf_file.write_bytes(gguf_file.read_bytes()[:size])

    with pytest.raises(InvalidArgument, match=r"tiny\.gguf is not a complete GGUF file"):
        convert(gguf_file, tmp_path)


def test_missing_end_is_an_error(tmp_path: Path) -> None:
    """A file that ends in its tensors is refused before anything is converted."""
    gguf_file = make_gguf(tmp_path / "tiny.gguf")
    gguf_file.write_bytes(gguf_file.read_bytes()[:-100])

    with pytest.raises(InvalidArgument, match=r"bytes where .* are needed"):
        convert(gguf_file, tmp_path)


def test_reader_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    """Names, shapes, offsets, metadata and bytes are those of the gguf package's own slow reader."""
    path = make_gguf(tmp_path / "tiny.gguf")

    ours, theirs = GgufFile(path), gguf.GGUFReader(path)

    assert [(t.name, t.shape, t.offset) for t in ours.tensors] == [
        (t.name, tuple(int(size) for size in reversed(t.shape)), int(t.data_offset)) for t in theirs.tensors
    ]
    assert all(ours.data(a).tobytes() == b.data.tobytes() for a, b in zip(ours.tensors, theirs.tensors, strict=True))
    assert ours.metadata["llama.attention.head_count"] == HEADS
    assert ours.metadata["tokenizer.ggml.tokens"] == len(VOCABULARY)
    assert ours.metadata["tokenizer.chat_template"] == TEMPLATE
