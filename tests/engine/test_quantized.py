"""Tests of `engine.quantized`: weights that stay in 8 or 4 bits stand for exactly the numbers of their file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.tiny_bases import make_folder, make_gguf, random_blocks
from tests.fakes import random_rows, tiny_model
from tunery.engine import base, compiled
from tunery.engine.base import network_of
from tunery.engine.base_config import Unknown
from tunery.engine.catalog import folder_entry, inspect_folder
from tunery.engine.conversion import convert
from tunery.engine.fallback import quiet_transformers
from tunery.engine.families import spec_of
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.engine.quantized import KINDS, Blocks, Kind, QuantizedWeight, product, product_back, stacked
from tunery.engine.weights import arranged, read_config, read_tensors
from tunery.types import WeightFormat

FORMATS = {"Q8_0": "8bit", "Q4_0": "4bit", "Q4_1": "4bit", "Q4_K": "4bit", "Q6_K": "8bit", "Q5_0": "8bit"}


def random_weight(name: str, rows: int = 48, columns: int = 512) -> tuple[QuantizedWeight, torch.Tensor]:
    """Return a random weight in blocks, and the same numbers as the gguf package reads them."""
    its = gguf.GGMLQuantizationType[name]
    data = random_blocks(np.random.default_rng(1), (rows, columns), its, 0.3)
    blocks = Blocks(Kind.of(its.value), torch.from_numpy(data))
    return QuantizedWeight((blocks,), torch.float32), torch.from_numpy(gguf.dequantize(data, its))


def base_folder(tmp_path: Path, quantization: str) -> Path:
    """Return a converted tiny base whose layers have this type and whose table is in 8 bits."""
    folder = tmp_path / quantization
    folder.mkdir()
    sizes = {"hidden": 256, "feed_forward": 512}
    convert(make_gguf(tmp_path / "tiny.gguf", quantization=quantization, **sizes), folder)
    return folder


def in_float32(folder: Path) -> Network:
    """Return the network of the numbers of a folder's GGUF file, as transformers reads them."""
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="original.gguf", dtype=torch.float32)
    model.requires_grad_(False)
    spec = spec_of(read_config(folder))
    return Network(spec, arranged(dict(model.named_parameters()), spec))


def with_adapter(network: Network) -> torch.Tensor:
    """Install a random adapter; return the place of its gradient."""
    fresh = network.fresh_adapter(4, 8.0, 0)
    flat = torch.randn(fresh.flat.shape, generator=torch.Generator().manual_seed(3)) * 0.05
    grad = torch.zeros_like(flat)
    network.install(0, Adapter(fresh.shape, flat), grad)
    return grad


@pytest.fixture(params=["avx2", "plain", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Widen with a build of the compiled library, or with torch's operations, as a package without it does."""
    loaded = compiled.library()
    if request.param == "torch":
        monkeypatch.setattr("tunery.engine.quantized.widen", lambda *_given: False)
    elif loaded is None or compiled.use_build(loaded, request.param) is None:
        pytest.skip("this processor does not run this build")
    yield request.param
    if loaded is not None:
        compiled.use_build(loaded)


@pytest.mark.parametrize("name", FORMATS)
def test_widened_numbers_are_those_that_the_gguf_package_reads(name: str, way: str) -> None:
    """Each type widens to the stored numbers bit by bit, as a whole and row by row, in every way there is."""
    weight, expected = random_weight(name)

    assert torch.equal(weight.widened(), expected)
    assert torch.equal(weight[torch.tensor([5, 0, 5])], expected[[5, 0, 5]])
    if way != "torch":
        (part,) = weight.parts
        assert isinstance(part, Blocks)
        count = part.data.numel() // part.kind.bytes
        numbers = torch.empty(48, 512)
        assert compiled.widen(part.kind.id, part.data.data_ptr(), count, numbers.data_ptr()) is (name != "Q5_0")


def test_all_types_of_the_issue_are_widened_without_the_gguf_package() -> None:
    """The types that bases come in have a widening of their own."""
    assert {kind.name for kind in KINDS.values()} >= {"Q8_0", "Q4_0", "Q4_1", "Q4_K"}


def test_parts_of_different_types_are_one_weight() -> None:
    """Query, key and value may be stored in different types, one of them plain."""
    weights, numbers = zip(*(random_weight(name) for name in ("Q4_K", "Q6_K")), strict=True)
    plain = torch.randn(3, 512)

    joined = stacked([*weights, plain])

    assert joined.shape == (99, 512)
    assert isinstance(joined, QuantizedWeight)
    assert torch.equal(joined.widened(), torch.cat([*numbers, plain]))
    assert joined.kinds == {"Q4_K", "Q6_K"}


def test_products_with_a_table_are_those_of_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is multiplied in portions, forwards and backwards."""
    monkeypatch.setattr("tunery.engine.quantized.TABLE_ROWS", 20)
    table, numbers = random_weight("Q4_1")
    rows, grad = torch.randn(7, 512), torch.randn(7, 48)

    torch.testing.assert_close(product(rows, table), rows @ numbers.t(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product_back(grad, table), grad @ numbers, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quantization", FORMATS)
def test_losses_and_gradients_are_those_of_the_same_numbers_in_float32(tmp_path: Path, quantization: str) -> None:
    """Tuning with weights as they came equals tuning with the numbers they stand for."""
    folder = base_folder(tmp_path, quantization)
    network = network_of(folder, torch.float32, weights=WeightFormat(FORMATS[quantization]))
    plain, rows = in_float32(folder), random_rows(4)

    grads = [with_adapter(one) for one in (network, plain)]
    losses = [one.add_gradient(rows) for one in (network, plain)]

    assert network.quantized_kinds == sorted({"Q8_0", quantization})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-5 * float(grads[1].abs().max()))


# families that store layers joined, transposed, with a head of their own, with a table of positions, with a convolution
SIZES = {"hidden_size": 64, "intermediate_size": 96}
FULL = {
    "llama": SIZES,
    "phi3": SIZES,
    "gpt2": {"n_embd": 64, "hidden_size": 64, "n_inner": 96},
    "qwen2": {**SIZES, "tie_word_embeddings": False},
    "lfm2": SIZES,
}


def rounded(name: str, weight: torch.Tensor, *, is_transposed: bool, bits: str) -> torch.Tensor:
    """Return the numbers that the gguf package rounds a weight of a base to."""
    is_table = name.startswith(("lm_head", "model.embed", "transformer.wte"))
    if weight.dim() != 2 or name.startswith("transformer.wpe"):
        return weight
    turned = weight.t() if is_transposed and not is_table else weight
    kind = gguf.GGMLQuantizationType.Q8_0 if is_table or bits == "8bit" else gguf.GGMLQuantizationType.Q4_1
    numbers = gguf.dequantize(gguf.quantize(turned.float().contiguous().numpy(), kind), kind)
    return torch.from_numpy(numbers if turned is weight else numbers.T.copy())


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("family", FULL)
def test_full_weights_are_rounded_if_asked(tmp_path: Path, family: str, bits: str) -> None:
    """Losses and gradients of a base that came full are those of the rounded numbers in float32."""
    tiny_model(family, torch.bfloat16, **FULL[family]).save_pretrained(tmp_path)
    spec, stored = spec_of(read_config(tmp_path)), read_tensors(tmp_path, torch.float32)
    is_transposed = spec.is_transposed
    numbers = {name: rounded(name, one, is_transposed=is_transposed, bits=bits) for name, one in stored.items()}
    plain, rows = Network(spec, arranged(numbers, spec)), random_rows(4)
    full = Network(spec, arranged(stored, spec))

    network = network_of(tmp_path, torch.float32, weights=WeightFormat(bits))
    grads = [with_adapter(one) for one in (network, plain, full)]
    losses = [one.add_gradient(rows) for one in (network, plain, full)]

    assert (network.weight_format, network.weights.mapped_bytes) == (bits, 0)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] != pytest.approx(losses[2], rel=1e-5)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-5 * float(grads[1].abs().max()))


def test_what_becomes_of_the_weights_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded weights, and weights that stay full on a graphics card, in transformers or in rows of odd sizes."""
    names = {"whole": make_folder(tmp_path / "whole", hidden_size=64, intermediate_size=96)}
    names["odd"] = make_folder(tmp_path / "odd", hidden_size=40, intermediate_size=56, head_dim=10)

    def notice(folder: Path) -> str:
        entry = folder_entry(inspect_folder(folder))
        return base._load(entry, folder, "", torch.float32, base.CPU, WeightFormat.FOUR_BIT).notice

    assert notice(names["whole"]) == ("The weights of the base are rounded to 4 bits; tuning sees the rounded ones.")
    assert "stay full: its rows are not whole blocks of 32" in notice(names["odd"])
    monkeypatch.setattr("tunery.engine.base.spec_of", refuse)
    assert "stay full: transformers computes this base" in notice(names["whole"])
    entry = folder_entry(inspect_folder(names["whole"]))
    chosen = base.chosen_format(WeightFormat.FOUR_BIT, entry, names["whole"], torch.bfloat16, torch.device("cuda"))
    assert chosen == base.Choice(
        WeightFormat.FULL, "The weights of the base stay full: cuda cannot keep them in fewer bits."
    )


def refuse(_config: object) -> None:
    raise Unknown("a model of another kind")
