"""
Lets the layers that are recognised be computed as one function each while an adapter is tuned or measured.

Serving, and whatever a function of the whole layer does not cover, goes through the modules as before: both read the
same weights. Working copies of the adapter are made once a step for all layers and both lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tunery.engine.layers.attention import PackedLayout
from tunery.engine.layers.decoder_layer import LayerPairs, LayerWeights, Setting, decoder_layer
from tunery.engine.layers.lora import Adapter
from tunery.engine.layers.low_rank import LowRank, Pair
from tunery.engine.layers.recognition import recognised_layers

# Each pair of working copies: for each of its outputs, the layers that stand in it beside each other
GROUPS = (
    (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),),
    (("self_attn.o_proj",),),
    (("mlp.gate_proj",), ("mlp.up_proj",)),
    (("mlp.down_proj",),),
)
Views = dict[str, Pair]


class WholeLayer:
    """Stands where a layer has its `forward`."""

    def __init__(self, layer: Any, weights: LayerWeights) -> None:
        self.layer, self.weights = layer, weights
        self.pairs: LayerPairs | None = None

    def __call__(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> Tensor:
        layout, pairs = keywords.get("layout"), self.pairs
        is_served = self.layer.self_attn.q_proj.groups is not None
        if pairs is None or is_served or args or not isinstance(layout, PackedLayout):
            return type(self.layer).forward(self.layer, hidden_states, *args, **keywords)  # type: ignore[no-any-return]
        cosine, sine = keywords["position_embeddings"]
        setting = Setting(self.weights, pairs, layout, cosine.transpose(0, 1), sine.transpose(0, 1))
        return decoder_layer(hidden_states, setting)


class WholeLayers:
    """The recognised layers of a decoder by module path, and the adapter that is tuned in them."""

    def __init__(self, layers: dict[str, WholeLayer]) -> None:
        self.layers = layers
        self._copies: tuple[list[Tensor], list[Tensor]] = [], []

    @classmethod
    def of(cls, model: nn.Module) -> WholeLayers:
        """Find the layers and take their `forward`."""
        layers = {path: WholeLayer(layer, weights) for path, layer, weights in recognised_layers(model)}
        for whole in layers.values():
            whole.layer.forward = whole
        return cls(layers)

    def of_twin(self, ours: nn.Module, twin: nn.Module) -> WholeLayers:
        """Return the same layers of a twin of the decoder."""
        paths = {id(whole): path for path, whole in self.layers.items()}
        pairs = [
            (vars(a).get("forward"), vars(b).get("forward"))
            for a, b in zip(ours.modules(), twin.modules(), strict=True)
        ]
        return WholeLayers({paths[id(a)]: b for a, b in pairs if isinstance(b, WholeLayer)})

    def install(self, adapter: Adapter, dtype: torch.dtype, grad: Tensor | None) -> None:
        """Use an adapter from now on; without `grad` its gradient is lost. A layer it lacks a pair of stays apart."""
        self.remove()
        views, places = _views(adapter, adapter.flat), _views(adapter, grad)
        for path, whole in self.layers.items():
            if all(name in views for name in _names(path)):
                ranks = [_low_rank(path, group, views, adapter.shape.scale, dtype) for group in GROUPS]
                qkv, output, gate_up, down = ranks
                whole.pairs = LayerPairs(qkv, output, gate_up, down, _places(path, places))
                for rank in ranks:
                    for ours, theirs in zip(self._copies, rank.copies(), strict=True):
                        ours.extend(theirs)

    def install_as(self, other: WholeLayers, adapter: Adapter, grad: Tensor | None) -> None:
        """Use what `other` uses, the same working copies, with a place of its own for the gradient."""
        places = _views(adapter, grad)
        for path, whole in self.layers.items():
            pairs = other.layers[path].pairs
            whole.pairs = pairs and LayerPairs(
                pairs.qkv, pairs.output, pairs.gate_up, pairs.down, _places(path, places)
            )

    def remove(self) -> None:
        for whole in self.layers.values():
            whole.pairs = None
        self._copies = [], []

    def refresh(self) -> None:
        """Bring the working copies up to date with the adapter's weights."""
        copies, weights = self._copies
        if copies:
            torch._foreach_copy_(copies, weights)


def _views(adapter: Adapter, flat: Tensor | None) -> Views:
    return {} if flat is None else {path: Pair(down, up) for path, down, up in adapter.shape.pairs(flat)}


def _names(path: str) -> list[str]:
    return [f"{path}.{name}" for group in GROUPS for output in group for name in output]


def _low_rank(path: str, group: Sequence[Sequence[str]], views: Views, scale: float, dtype: torch.dtype) -> LowRank:
    return LowRank([[views[f"{path}.{name}"] for name in output] for output in group], scale, dtype)


def _places(path: str, views: Views) -> tuple[Sequence[Pair], Sequence[Pair], Sequence[Pair], Sequence[Pair]]:
    if not views:
        return (), (), (), ()
    qkv, output, gate_up, down = ([views[f"{path}.{name}"] for part in group for name in part] for group in GROUPS)
    return qkv, output, gate_up, down
