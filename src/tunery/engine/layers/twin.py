"""A second set of modules around the same tensors, so that two threads can use one model."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def twin(module: M) -> M:
    """Return a copy of a module and all below it that shares every tensor: weights, buffers and plain attributes."""
    shared = {id(tensor): tensor for part in module.modules() for tensor in _tensors(part)}
    return copy.deepcopy(module, shared)


def _tensors(module: nn.Module) -> list[object]:
    own = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
    return [value for value in own if isinstance(value, Tensor)] + [getattr(module, "config", None)]
