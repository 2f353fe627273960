"""Tests of `engine.answers.products`: every form of a product holds the same numbers."""

from __future__ import annotations

import pytest
import torch

from tunery.engine.answers.products import (
    FOUR_BIT_ROWS,
    HALF_ROWS,
    Product,
    fits_half,
    has_fast_four_bit_products,
    has_fast_half_products,
    has_reordered_products,
    pack_four_bit,
)
from tunery.engine.conversion import FourBitWeight

# bfloat16 keeps 8 bits: rounding errs by up to 2^-9 of a value; weights of a dense product were rounded once, and so is
# every result
ROUNDING = 2**-9


def random_weight(rows: int, columns: int, seed: int) -> FourBitWeight:
    random = torch.Generator().manual_seed(seed)
    quants = torch.randint(0, 16, (rows, columns), generator=random, dtype=torch.uint8)
    blocks = rows, columns // 32
    scales = (torch.rand(blocks, generator=random) * 0.02 + 0.01).bfloat16()
    return FourBitWeight(quants, scales, (torch.randn(blocks, generator=random) * 0.02).bfloat16())


@pytest.mark.parametrize("rows", [1, FOUR_BIT_ROWS, FOUR_BIT_ROWS + 1, 40])
@pytest.mark.parametrize("has_bias", [False, True])
def test_every_number_of_rows_gives_the_dense_product(rows: int, has_bias: bool) -> None:
    """Fused 4-bit or reordered weights give the exact product up to the rounding of weights and of the result."""
    four_bit = [random_weight(64, 96, 1), random_weight(32, 96, 2)]
    dense = [weight.dense().bfloat16() for weight in four_bit]
    biases = [torch.randn(len(weight)).bfloat16() if has_bias else None for weight in dense]
    x = torch.randn(rows, 96, generator=torch.Generator().manual_seed(3)).bfloat16()

    ours = Product(dense, biases, four_bit).form(rows)(x).double()

    exact = torch.cat([x.double() @ weight.dense().double().t() for weight in four_bit], dim=1)
    if has_bias:
        exact += torch.cat([bias.double() for bias in biases if bias is not None])
    size = x.double().abs() @ torch.cat([weight.dense().double() for weight in four_bit]).abs().t()
    assert ((ours - exact).abs() <= ROUNDING * (size + 2 * exact.abs() + 1)).all()


def test_weights_that_float16_cannot_hold_are_multiplied_as_they_are() -> None:
    """In float32 the product of weights with more bits is exactly that of the linear layers."""
    weights = [torch.randn(24, 32), torch.randn(8, 32)]
    x = torch.randn(2, 32)
    assert not fits_half(weights[0])

    ours = Product(weights, [None, None], None).form(2)(x)

    assert torch.equal(ours, torch.cat([x @ weight.t() for weight in weights], dim=1))


@pytest.mark.parametrize("rows", [1, 3, HALF_ROWS, HALF_ROWS + 1])
@pytest.mark.parametrize("has_bias", [False, True])
def test_float32_rows_times_stored_weights(rows: int, has_bias: bool) -> None:
    """Weights that were stored in bfloat16 and read as float32 give float32's own product, whatever form is taken."""
    random = torch.Generator().manual_seed(5)
    weights = [torch.randn(count, 96, generator=random).mul_(0.05).bfloat16().float() for count in (64, 32)]
    biases = [torch.randn(len(weight), generator=random) if has_bias else None for weight in weights]
    x = torch.randn(rows, 96, generator=random)

    ours = Product(weights, biases, None).form(rows)(x)

    parts = [weight.double() for weight in weights]
    exact = torch.cat([x.double() @ part.t() for part in parts], dim=1)
    if has_bias:
        exact += torch.cat([bias.double() for bias in biases if bias is not None])
    assert torch.allclose(ours.double(), exact, rtol=1e-5, atol=1e-6)


def test_what_fits_float16() -> None:
    """Numbers of bfloat16 do, down to those that are rounded to nothing; too large or too precise ones do not."""
    stored = torch.randn(64, 64, generator=torch.Generator().manual_seed(6)).mul_(0.05).bfloat16().float()
    tiny = stored.clone()
    tiny[0, :8] = 1e-9

    assert fits_half(stored)
    assert fits_half(tiny)
    assert not fits_half(stored * 1e-6)
    assert not fits_half(torch.full((4, 4), 1e6))


def test_packed_four_bits_multiply_the_numbers_that_tuning_saw() -> None:
    """The kernel's weights are `(q − 8)·scale + zero` to the last bit: seen through products with unit rows."""
    if not has_fast_four_bit_products():
        pytest.skip("this build of torch has no fast 4-bit product")
    weight = random_weight(32, 64, 4)
    quants, scales = pack_four_bit([weight])

    shown = torch.ops.aten._weight_int4pack_mm_for_cpu(torch.eye(64).bfloat16(), quants, 32, scales)

    assert torch.equal(shown.t(), weight.dense().bfloat16())


def test_probes_answer() -> None:
    """What a machine can do is found out without an error on any."""
    assert has_reordered_products() in (True, False)
    assert has_fast_four_bit_products() in (True, False)
    assert has_fast_half_products() in (True, False)
