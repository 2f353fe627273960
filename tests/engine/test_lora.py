"""Tests of `engine.lora`: pairs taken together give what each gives alone."""

from __future__ import annotations

import torch
from torch import Tensor

from tunery.engine.lora import LowRank, Pair

SCALE = 0.7


def random_pairs(rank: int = 2, width: int = 5) -> list[list[Pair]]:
    """Two layers beside each other in the first output, one alone in the second."""
    sizes = [[4, 3], [6]]
    return [
        [Pair(torch.randn(rank, width).double(), torch.randn(out, rank).double()) for out in output] for output in sizes
    ]


def plain(rows: Tensor, pairs: list[list[Pair]]) -> list[Tensor]:
    return [torch.cat([SCALE * rows @ pair.down.t() @ pair.up.t() for pair in output], 1) for output in pairs]


def test_outputs_and_gradients_are_those_of_the_single_pairs() -> None:
    """Forward, gradient of the rows and of every A and B agree with autograd on the plain formula."""
    pairs = random_pairs()
    rows = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    learned = [weight.requires_grad_() for output in pairs for pair in output for weight in (pair.down, pair.up)]
    expected = plain(rows, pairs)
    grads = [torch.randn_like(output) for output in expected]
    wanted = torch.autograd.grad(expected, [rows, *learned], grads)

    with torch.no_grad():
        low_rank = LowRank(pairs, SCALE, torch.float64)
        outputs = [torch.zeros_like(output) for output in expected]
        narrow = low_rank.add(rows, outputs)
        total, flat = torch.zeros_like(rows), [torch.zeros_like(weight) for weight in learned]
        places = [Pair(flat[index], flat[index + 1]) for index in range(0, len(flat), 2)]
        low_rank.add_gradient(rows, narrow, grads, total, places)

    for ours, theirs in zip([*outputs, total, *flat], [*expected, *wanted], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_are_added_in_the_type_of_their_place() -> None:
    """Products in bfloat16, sums in float32: what is there already stays."""
    pair = Pair(torch.ones(1, 2), torch.ones(3, 1))
    low_rank = LowRank([[pair]], 1.0, torch.bfloat16)
    rows = torch.ones(4, 2, dtype=torch.bfloat16)
    place = Pair(torch.full((1, 2), 2.0**-12), torch.zeros(3, 1))

    low_rank.add_gradient(rows, rows @ low_rank.down.t(), [torch.ones(4, 3).bfloat16()], None, [place])

    assert torch.equal(place.down, torch.full((1, 2), 12 + 2.0**-12))
    assert torch.equal(place.up, torch.full((3, 1), 8.0))


def test_copies_follow_the_weights() -> None:
    """Working copies written from the named weights give the changed outputs."""
    pairs = random_pairs()
    low_rank, rows = LowRank(pairs, SCALE, torch.float64), torch.randn(3, 5).double()
    for output in pairs:
        for pair in output:
            pair.down.mul_(2)
            pair.up.add_(1)

    copies, weights = low_rank.copies()
    for copy, weight in zip(copies, weights, strict=True):
        copy.copy_(weight)

    outputs = [torch.zeros(3, 7).double(), torch.zeros(3, 6).double()]
    low_rank.add(rows, outputs)
    for ours, theirs in zip(outputs, plain(rows, pairs), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12)


def test_nothing_is_written_without_places() -> None:
    """The gradient of the rows comes out alone."""
    pair = Pair(torch.ones(1, 2), torch.ones(3, 1))
    total = torch.zeros(4, 2)

    LowRank([[pair]], 2.0, torch.float32).add_gradient(
        torch.ones(4, 2), torch.ones(4, 1), [torch.ones(4, 3)], total, ()
    )

    assert torch.equal(total, torch.full((4, 2), 6.0))
