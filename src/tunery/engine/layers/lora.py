"""
The adapted linear layer: a frozen product plus a low-rank one, with a gradient of its own.

    y = x Wᵀ + b + s · (x Aᵀ) Bᵀ          W [out, in] frozen, A [r, in], B [out, r] learned, s = alpha / r

Adapter weights are float32; products run in the type of the base. All weights of one adapter lie in one flat tensor, so
that optimizer, clipping and checkpoints are single operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """
    Rank, scale and the adapted layers (module path → out, in) of an adapter; two adapters of one base may differ.

    `is_transposed`: the base keeps its linear weights as GPT-2 does, which PEFT wants to be told.
    """

    rank: int
    alpha: float
    layers: tuple[tuple[str, int, int], ...]
    is_transposed: bool = False

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def size(self) -> int:
        """Number of values of the flat tensor."""
        return sum(self.rank * (rows + columns) for _, rows, columns in self.layers)

    def pairs(self, flat: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield for each layer its path and views `A [r, in]`, `B [out, r]` of the flat tensor."""
        start = 0
        for path, rows, columns in self.layers:
            middle, end = start + self.rank * columns, start + self.rank * (rows + columns)
            yield path, flat[start:middle].view(self.rank, columns), flat[middle:end].view(rows, self.rank)
            start = end


@dataclass(frozen=True, slots=True)
class Adapter:
    """The weights of an adapter: `flat` `[shape.size]`, float32 (float64 in tests)."""

    shape: AdapterShape
    flat: Tensor

    @classmethod
    def fresh(cls, shape: AdapterShape, seed: int, dtype: torch.dtype = torch.float32) -> Adapter:
        """A is drawn as PEFT draws it (Kaiming uniform, a = √5), B is zero: the model answers like the base."""
        generator = torch.Generator().manual_seed(seed)
        flat = torch.zeros(shape.size, dtype=dtype)
        for _, down, _ in shape.pairs(flat):
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        return cls(shape, flat)

    def to(self, device: torch.device) -> Adapter:
        return Adapter(self.shape, self.flat.to(device))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """
    Rows `start:end` of the packed row (to its end if None) use the adapter of this slot; slot None is the plain base.
    """

    start: int
    end: int | None
    slot: int | None


class LoraLinear(nn.Module):
    """
    A frozen linear layer with a place for adapters.

    In tuning the pair of slot 0 takes part in the whole row; in serving `groups` say which rows use which slot.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, is_transposed: bool = False) -> None:
        super().__init__()
        self.weight = weight  # [out, in]
        self.is_transposed = is_transposed
        self.bias = bias
        self.pairs: dict[int, tuple[Tensor, Tensor, float]] = {}
        self.groups: Sequence[RowGroup] | None = None

    weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.groups is None:
            if 0 not in self.pairs:
                return functional.linear(x, self.weight, self.bias)
            return _LoraLinear.apply(x, self.weight, self.bias, *self.pairs[0])  # type: ignore[no-any-return, no-untyped-call]
        output = functional.linear(x, self.weight, self.bias)
        for group in self.groups:
            if group.slot is not None and group.slot in self.pairs:
                down, up, scale = self.pairs[group.slot]
                rows = x.view(-1, x.shape[-1])[group.start : group.end]
                part = output.view(-1, output.shape[-1])[group.start : group.end]
                part += functional.linear(functional.linear(rows, down), up) * scale
        return output


class _LoraLinear(torch.autograd.Function):
    """
    `down` and `up` come in the type of the weight; their gradients leave in the same type and are summed in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        output = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
        low_down, low_up = down.to(x.dtype), up.to(x.dtype)
        narrow = rows @ low_down.t()
        output.addmm_(narrow, low_up.t(), alpha=scale)
        ctx.save_for_backward(rows, narrow, weight, low_down, low_up)
        ctx.scale = scale
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        rows, narrow, weight, down, up = ctx.saved_tensors
        grad = grad_outputs[0].reshape(-1, weight.shape[0])
        wide = torch.promote_types(grad.dtype, torch.float32)
        grad_narrow = (grad @ up).mul_(ctx.scale)
        grad_down = (grad_narrow.t() @ rows).to(wide)
        grad_up = (grad.t() @ narrow).to(wide).mul_(ctx.scale)
        if not ctx.needs_input_grad[0]:
            return None, None, None, grad_down, grad_up, None
        grad_rows = (grad @ weight).addmm_(grad_narrow, down)
        return grad_rows.view(*grad_outputs[0].shape[:-1], -1), None, None, grad_down, grad_up, None


def adapt(model: nn.Module, head: nn.Module | None, skip: frozenset[str] = frozenset()) -> dict[str, LoraLinear]:
    """
    Replace every linear layer but the head and those named in `skip` by a LoraLinear, in place; return them by module
    path.

    Weights are taken over, not copied. GPT-2's transposed Conv1D counts as linear.
    """
    layers: dict[str, LoraLinear] = {}
    for path, module in list(model.named_modules()):
        if module is head or path.rpartition(".")[2] in skip or not isinstance(module, nn.Linear | Conv1D):
            continue
        weight = module.weight.detach()
        bias = module.bias
        is_transposed = isinstance(module, Conv1D)
        layer = LoraLinear(
            weight.t() if is_transposed else weight, None if bias is None else bias.detach(), is_transposed
        )
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, layer)
        layers[path] = layer
    return layers


def shape_of(layers: dict[str, LoraLinear], rank: int, alpha: float) -> AdapterShape:
    """Return the shape of an adapter for these layers."""
    is_transposed = any(layer.is_transposed for layer in layers.values())
    return AdapterShape(
        rank, alpha, tuple((path, *layer.weight.shape) for path, layer in layers.items()), is_transposed
    )


def install(
    layers: dict[str, LoraLinear], slot: int, adapter: Adapter, dtype: torch.dtype, grad: Tensor | None
) -> None:
    """Put the weights of an adapter into a slot: with a place for their gradient, or in `dtype` for answers alone."""
    for path, down, up in adapter.shape.pairs(adapter.flat):
        pair = (down.to(dtype), up.to(dtype)) if grad is None else (nn.Parameter(down), nn.Parameter(up))
        layers[path].pairs[slot] = (*pair, adapter.shape.scale)
    if grad is not None:
        for path, down, up in adapter.shape.pairs(grad):
            layers[path].pairs[slot][0].grad, layers[path].pairs[slot][1].grad = down, up


@contextmanager
def row_groups(layers: dict[str, LoraLinear], groups: Sequence[RowGroup] | None) -> Iterator[None]:
    """Say which rows of the packed row use which slot, for the calls inside."""
    for layer in layers.values():
        layer.groups = groups
    try:
        yield
    finally:
        for layer in layers.values():
            layer.groups = None
