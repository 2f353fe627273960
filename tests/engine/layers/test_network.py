"""Tests of `engine.layers.network`: both ways through a model give what stock PEFT on the plain padded batch gives."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from tests.fakes import random_rows, tiny_model
from tunery.engine.encoding import EncodedExample
from tunery.engine.layers import packing
from tunery.engine.layers.lora import Adapter
from tunery.engine.layers.network import PACKED_FAMILIES, Network
from tunery.engine.layers.norms import replace_norms

# transformers has no attention in float64 for gemma2: its soft cap needs the eager form, whose softmax is in float32
FLOAT64_FAMILIES = sorted(PACKED_FAMILIES - {"gemma2"})
UNRECOGNISED = ("opt", "bloom", "mamba", "gptj")


def adapted(network: Network, seed: int = 1) -> tuple[Adapter, Tensor]:
    """Install an adapter of random weights with a place for its gradient."""
    adapter = network.fresh_adapter(4, 8, seed)
    adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(seed))
    gradient = torch.zeros_like(adapter.flat)
    network.install(0, adapter, gradient)
    return adapter, gradient


def peft_twin(model: Any, adapter: Adapter) -> Any:
    names = sorted({path.rpartition(".")[2] for path, _, _ in adapter.shape.layers})
    is_transposed = model.config.model_type == "gpt2"
    twin = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=names, fan_in_fan_out=is_transposed)).to(
        adapter.flat.dtype
    )
    weights = dict(twin.named_parameters())
    for path, down, up in adapter.shape.pairs(adapter.flat):
        weights[f"base_model.model.{path}.lora_A.default.weight"].data.copy_(down)
        weights[f"base_model.model.{path}.lora_B.default.weight"].data.copy_(up)
    return twin.eval()


def padded_loss(model: Any, rows: Sequence[EncodedExample]) -> Tensor:
    """The plain way: a padded rectangle, a mask, cross-entropy on the answer tokens."""
    longest = max(len(row.token_ids) for row in rows)
    token_ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(token_ids)
    for index, row in enumerate(rows):
        token_ids[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
        mask[index, : len(row.token_ids)] = 1
    logits = model(input_ids=token_ids, attention_mask=mask, use_cache=False).logits
    total = torch.zeros((), dtype=torch.float64)
    for row, scores in zip(rows, logits, strict=True):
        targets = torch.tensor(row.token_ids[row.answer_offset :])
        chosen = scores[row.answer_offset - 1 : len(row.token_ids) - 1]
        total = total + torch.nn.functional.cross_entropy(chosen.double(), targets, reduction="sum")
    return total


def peft_gradient(twin: Any, adapter: Adapter) -> Tensor:
    weights = dict(twin.named_parameters())
    gradient = torch.zeros_like(adapter.flat)
    for path, down, up in adapter.shape.pairs(gradient):
        for part, name in ((down, "A"), (up, "B")):
            grad = weights[f"base_model.model.{path}.lora_{name}.default.weight"].grad
            if grad is not None:  # mamba reads the weight of dt_proj past its module
                part.copy_(grad)
    return gradient


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("block_tokens", [256, 5])
@pytest.mark.parametrize("family", FLOAT64_FAMILIES)
def test_packed_step_equals_padded_step_in_float64(
    family: str, block_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradient of the packed, shared-prefix step equal those of PEFT on the padded batch to 1e-9."""
    monkeypatch.setattr(packing, "BLOCK_TOKENS", block_tokens)
    model = tiny_model(family, attention="sdpa")
    reference = copy.deepcopy(model)
    replace_norms(
        reference
    )  # transformers' own RMS norms round to float32 on the way; test_norms.py holds ours to them
    network = Network(model)
    adapter, gradient = adapted(network)
    rows = random_rows(4)

    loss = network.add_gradient(rows)

    twin = peft_twin(reference, adapter)
    expected = padded_loss(twin, rows)
    expected.backward()
    assert abs(loss - float(expected.detach())) <= 1e-9 * float(expected.detach())
    assert relative_difference(gradient, peft_gradient(twin, adapter)) <= 1e-9


@pytest.mark.parametrize("family", sorted(PACKED_FAMILIES))
def test_packed_step_equals_padded_step_in_float32(family: str) -> None:
    """Against the model just as transformers loads it, the packed step in float32 agrees to 1e-5."""
    model = tiny_model(family, torch.float32, "eager" if family == "gemma2" else "sdpa")
    reference = copy.deepcopy(model)
    network = Network(model)
    adapter, gradient = adapted(network)
    rows = random_rows(4)

    loss = network.add_gradient(rows)

    twin = peft_twin(reference, adapter)
    expected = padded_loss(twin, rows)
    expected.backward()
    assert abs(loss - float(expected.detach())) <= 1e-5 * float(expected.detach())
    assert relative_difference(gradient, peft_gradient(twin, adapter)) <= 1e-5


@pytest.mark.parametrize("family", UNRECOGNISED)
def test_unrecognised_family_takes_the_slow_exact_path(family: str) -> None:
    """A family without a packed path is tuned by the padded pass and gives PEFT's loss and gradient."""
    model = tiny_model(family, torch.float32)
    reference = copy.deepcopy(model)
    network = Network(model)
    adapter, gradient = adapted(network)
    rows = random_rows(3)

    loss = network.add_gradient(rows)

    twin = peft_twin(reference, adapter)
    expected = padded_loss(twin, rows)
    expected.backward()
    assert not network.is_packed
    assert abs(loss - float(expected.detach())) <= 1e-5 * float(expected.detach())
    assert relative_difference(gradient, peft_gradient(twin, adapter)) <= 2e-5


def test_sharing_the_prefix_changes_nothing() -> None:
    """The packed row with and without a shared prefix has the same loss and gradient."""
    network = Network(tiny_model("llama"))
    _, gradient = adapted(network)
    rows = random_rows(4)

    network.add_gradient(rows)
    shared = gradient.clone()
    gradient.zero_()
    network.add_gradient(rows, share_prefix=False)

    assert relative_difference(shared, gradient) <= 1e-12


def test_fresh_adapter_answers_like_the_base() -> None:
    """A new adapter changes no loss."""
    network = Network(tiny_model("llama"))
    rows = random_rows(3)
    plain = network.loss(rows)

    network.install(0, network.fresh_adapter(4, 8, seed=0))
    fresh = network.loss(rows)

    assert fresh == pytest.approx(plain, abs=1e-12)


def test_head_is_not_adapted() -> None:
    """Every linear layer has a place for an adapter, the vocabulary projection has none."""
    network = Network(tiny_model("llama"))

    names = {path.rpartition(".")[2] for path in network.layers}

    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(network.layers) == 14
