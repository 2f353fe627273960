"""Tests of `engine.layers.norms`: our RMS norm is theirs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.fakes import tiny_model
from tunery.engine.layers.norms import RMSNorm, replace_norms


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text", "mistral", "olmo2"])
def test_every_norm_is_replaced_by_one_with_equal_output(family: str, dtype: torch.dtype) -> None:
    """All RMS norms of the family are recognised and give the same bits."""
    model = tiny_model(family, dtype)
    before = {path: module for path, module in model.named_modules() if type(module).__name__.endswith("RMSNorm")}

    count = replace_norms(model)

    assert count == len(before) > 0
    for path, theirs in before.items():
        x = torch.randn(5, theirs.weight.numel(), dtype=dtype)
        assert torch.equal(model.get_submodule(path)(x), theirs(x))


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_gradient_is_that_of_the_formula(offset: float) -> None:
    """The hand-written gradient agrees with numerical differentiation."""
    norm = RMSNorm(torch.randn(6, dtype=torch.float64), 1e-5, not offset, offset)
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(norm, (x,))


def test_another_norm_of_that_name_stays() -> None:
    """A module that is called an RMS norm but computes something else is left alone."""

    class StrangeRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))
            self.eps = 1e-5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight / x.abs().mean(-1, keepdim=True)

    model = nn.Sequential(StrangeRMSNorm())

    assert replace_norms(model) == 0
    assert type(model[0]) is StrangeRMSNorm
