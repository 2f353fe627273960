"""Tests of `engine.decoder`: norms are those of transformers, and gradients those of the formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.fakes import tiny_model, tiny_network
from tunery.engine.decoder import ACTIVATIONS, norm_gradient, normed, rotated, rotated_back
from tunery.engine.weights import Norm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text", "mistral", "olmo2", "phi"])
def test_norms_give_the_bits_of_transformers(family: str, dtype: torch.dtype) -> None:
    """Rounding before or after the weight, with an offset or a bias."""
    model, network = tiny_model(family, dtype), tiny_network(family, dtype)
    theirs = model.model.final_layernorm if family == "phi" else model.model.norm
    x = torch.randn(5, 32, dtype=dtype)

    assert torch.equal(normed(x, network.weights.last_norm)[0], theirs(x))


@pytest.mark.parametrize("bias", [None, torch.randn(6, dtype=torch.float64)], ids=["root mean square", "layer norm"])
def test_gradient_of_a_norm_is_that_of_the_formula(bias: Tensor | None) -> None:
    """The hand-written gradient agrees with autograd's."""
    norm = Norm(torch.randn(6, dtype=torch.float64), bias, 1e-5, rounds_first=True)
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    output, statistics = normed(x, norm)
    grad = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, x, grad)

    with torch.no_grad():
        ours = norm_gradient(grad, x, norm, tuple(part.detach() for part in statistics))

    assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("part", [8, 4])
def test_gradient_of_a_rotation_is_that_of_the_formula(part: int) -> None:
    """Of whole heads and of their first half."""
    turn = torch.randn(5, 1, part).double(), torch.randn(5, 1, part).double()
    heads = torch.randn(5, 3, 8, dtype=torch.float64, requires_grad=True)
    grad = torch.randn_like(heads)
    (expected,) = torch.autograd.grad(rotated(heads, turn), heads, grad)

    assert torch.allclose(rotated_back(grad, turn), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_of_an_activation_is_that_of_the_formula(name: str) -> None:
    """Autograd finds the same."""
    x = torch.randn(40, dtype=torch.float64, requires_grad=True)
    grad = torch.randn_like(x)
    (expected,) = torch.autograd.grad(ACTIVATIONS[name].function(x), x, grad)

    assert torch.allclose(ACTIVATIONS[name].gradient(grad, x.detach()), expected, rtol=1e-12, atol=1e-12)
