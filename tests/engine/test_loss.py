"""Tests of `engine.loss`: blocks of rows give what the full matrix gives."""

from __future__ import annotations

import pytest
import torch

from tunery.engine import loss
from tunery.engine.loss import Head, answer_loss


@pytest.mark.parametrize("divisor", [1.0, 8.0])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("has_bias", [False, True])
def test_loss_and_gradient_equal_the_full_matrix(
    softcap: float | None, has_bias: bool, divisor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sum of the cross-entropy and its gradient do not depend on the blocks."""
    monkeypatch.setattr(loss, "BLOCK_ROWS", 3)
    torch.manual_seed(0)
    head = Head(torch.randn(11, 6).double(), torch.randn(11).double() if has_bias else None, softcap, divisor)
    hidden = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 11, (8,))

    total, gradient = answer_loss(hidden.detach(), targets, head, 2.0)

    expected = torch.nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")
    (wanted,) = torch.autograd.grad(2 * expected, hidden)
    assert float(total) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert gradient is not None
    assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-12)


def test_no_gradient_is_made_where_none_is_asked() -> None:
    """Measuring held-out rows gives the same number without a gradient."""
    head = Head(torch.randn(11, 6))
    hidden, targets = torch.randn(4, 6), torch.tensor([1, 2, 3, 4])

    total, gradient = answer_loss(hidden, targets, head)

    assert gradient is None
    assert float(total) == pytest.approx(
        float(torch.nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")), rel=1e-5
    )


@pytest.mark.parametrize("softcap", [None, 30.0])
@pytest.mark.parametrize("has_bias", [False, True])
def test_tokens_are_drawn_from_exact_logits_where_it_counts(softcap: float | None, has_bias: bool) -> None:
    """In bfloat16 the likeliest tokens have one logit; computed again they have float32's, the others their own."""
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(64, 32, generator=random)
    weight[3:6] = weight[3] * 2 + torch.randn(3, 32, generator=random) * 0.01  # three that are nearly alike
    bias = torch.randn(64, generator=random) * 0.01
    head = Head(weight.bfloat16(), bias.bfloat16() if has_bias else None, softcap)
    hidden = torch.stack([weight[3], -weight[3], weight[9]]).bfloat16()
    wide = Head(head.weight.float(), None if head.bias is None else head.bias.float(), softcap)
    plain, exact = head.logits(hidden), wide.logits(hidden.float())

    drawn = head.drawn_logits(hidden)

    near = plain >= plain.amax(1, keepdim=True) - loss.NEAR
    assert near[0, 3:6].all()
    assert len(plain[0, 3:6].unique()) < 3 == len(drawn[0, 3:6].unique())
    torch.testing.assert_close(drawn[near], exact[near], rtol=1e-5, atol=1e-4)
    assert torch.equal(drawn[~near], plain[~near])


def test_logits_of_float32_are_left_alone() -> None:
    """They are exact already; the same tensor comes back."""
    head, hidden = Head(torch.randn(11, 6)), torch.randn(4, 6)
    logits = head.logits(hidden)

    assert head.sharpen(logits, hidden) is logits
    assert torch.equal(logits, head.logits(hidden))
