"""Tests of `engine.layers.whole_layers`: a layer as one function is the layer, and steps aside where it must."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.fakes import random_rows, tiny_model
from tunery.engine.layers import attention
from tunery.engine.layers.lora import Adapter, RowGroup
from tunery.engine.layers.network import PACKED_FAMILIES, Network
from tunery.engine.layers.packing import pack

WHOLE_FAMILIES = ("gemma", "llama", "mistral", "qwen2", "smollm3")


def tuned(network: Network) -> tuple[Adapter, Tensor]:
    adapter = network.fresh_adapter(4, 8, 1)
    adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    gradient = torch.zeros_like(adapter.flat)
    network.install(0, adapter, gradient)
    return adapter, gradient


def same(ours: Tensor, theirs: Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("family", sorted(PACKED_FAMILIES))
def test_layers_of_the_shape_are_recognised(family: str) -> None:
    """All layers of these families and none of the others are computed as one function."""
    network = Network(tiny_model(family, torch.float32))

    assert len(network._whole.layers) == (2 if family in WHOLE_FAMILIES else 0)


@pytest.mark.parametrize("family", WHOLE_FAMILIES)
def test_a_whole_layer_gives_what_its_modules_give(family: str) -> None:
    """Loss and gradient do not depend on the way, biases and gates of either kind included."""
    network = Network(tiny_model(family), lanes=False)
    _, gradient = tuned(network)
    loss = network.add_gradient(random_rows(4))
    whole = gradient.clone()
    gradient.zero_()

    network._whole.remove()
    plain_loss = network.add_gradient(random_rows(4))

    assert loss == pytest.approx(plain_loss, rel=1e-12)
    assert same(whole, gradient)


def test_a_layer_that_computes_something_else_stays() -> None:
    """Parts of the right names are not enough: the trial notices a layer that scales what it adds."""
    model = tiny_model("llama", torch.float32)
    strange = type(model.model.layers[1])

    class ScaledLayer(strange):  # type: ignore[misc, valid-type]
        def forward(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> Tensor:
            return 1.1 * super().forward(hidden_states, *args, **keywords)  # type: ignore[no-any-return]

    model.model.layers[1].__class__ = ScaledLayer

    assert list(Network(model)._whole.layers) == ["model.layers.0"]


def test_an_adapter_without_some_layer_goes_through_the_modules() -> None:
    """An adapter of other makers may lack pairs: the layers that lack one step aside, the result stays."""
    network = Network(tiny_model("llama"), lanes=False)
    adapter, _ = tuned(network)
    path = "model.layers.0.mlp.up_proj"
    up = {name: up for name, _, up in adapter.shape.pairs(adapter.flat)}[path]
    up.zero_()
    expected = network.loss(random_rows(3))
    shape = replace(adapter.shape, layers=tuple(layer for layer in adapter.shape.layers if layer[0] != path))
    parts = [part for name, *both in adapter.shape.pairs(adapter.flat) if name != path for part in both]
    lacking = Adapter(shape, torch.cat([part.flatten() for part in parts]))

    network.remove(0)
    network.install(0, lacking)

    assert network.loss(random_rows(3)) == pytest.approx(expected, rel=1e-12)
    assert [whole.pairs is None for whole in network._whole.layers.values()] == [True, False]


def test_removed_adapter_leaves_the_base() -> None:
    """After `remove` the loss is that of the base, in both lanes."""
    network = Network(tiny_model("llama"))
    plain = network.loss(random_rows(3))
    tuned(network)

    network.remove(0)

    assert network.loss(random_rows(3)) == pytest.approx(plain, rel=1e-12)


def test_served_rows_go_through_the_modules() -> None:
    """While rows are named, only their slots count, whatever is being tuned in slot 0."""
    network = Network(tiny_model("llama"))
    batch = pack(random_rows(2))
    plain = network.hidden(batch.token_ids, batch.positions, batch.layout)
    tuned(network)

    with network.rows([RowGroup(0, None, None)]):
        served = network.hidden(batch.token_ids, batch.positions, batch.layout)

    assert same(served, plain)


def test_each_pass_reads_the_weights_as_they_are() -> None:
    """A change of the flat adapter counts from the next pass on, in both lanes."""
    network = Network(tiny_model("llama"))
    adapter, _ = tuned(network)
    network.add_gradient(random_rows(3))
    adapter.flat.mul_(0.5)

    loss = network.add_gradient(random_rows(3))

    other = Network(tiny_model("llama"))
    other.install(0, Adapter(adapter.shape, adapter.flat.clone()))
    assert loss == pytest.approx(other.loss(random_rows(3)), rel=1e-12)


def test_nothing_is_retained_after_a_pass() -> None:
    """No tensor of a pass is alive when it has ended."""
    network = Network(tiny_model("llama", torch.float32), lanes=False)
    tuned(network)

    def living() -> int:
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    network.add_gradient(random_rows(3))
    gc.collect()
    before = living()
    for _ in range(3):
        network.add_gradient(random_rows(3))

    assert living() == before


def test_weights_exist_once_for_modules_and_both_lanes() -> None:
    """Query, key and value weights are views of one tensor; the twin reads it too, and the same working copies."""
    network = Network(tiny_model("llama", torch.float32))
    tuned(network)
    assert network._second is not None

    for path, whole in network._whole.layers.items():
        other = network._second._whole.layers[path]
        start = whole.weights.qkv.weight.data_ptr()
        assert network.layers[f"{path}.self_attn.q_proj"].weight.data_ptr() == start
        assert network.layers[f"{path}.self_attn.k_proj"].weight.untyped_storage().data_ptr() == start
        assert other.weights is whole.weights
        assert other.layer is not whole.layer
        assert other.pairs is not None
        assert whole.pairs is not None
        assert other.pairs.qkv is whole.pairs.qkv
        assert other.pairs.places[0][0].down.data_ptr() != whole.pairs.places[0][0].down.data_ptr()


def test_attention_weights_kept_or_made_anew_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long blocks compute them again for the gradient: the same bytes."""
    network = Network(tiny_model("llama", torch.float32))
    _, gradient = tuned(network)
    network.add_gradient(random_rows(4))
    kept = gradient.clone()
    gradient.zero_()
    monkeypatch.setattr(attention, "KEPT_KEYS", 0)

    network.add_gradient(random_rows(4))

    assert torch.equal(kept, gradient)
