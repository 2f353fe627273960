"""Tests of `engine.layers.loss`: blocks of rows give what the full matrix gives."""

from __future__ import annotations

import pytest
import torch

from tunery.engine.layers import loss
from tunery.engine.layers.loss import Head, answer_loss


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("has_bias", [False, True])
def test_loss_and_gradient_equal_the_full_matrix(
    softcap: float | None, has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sum of the cross-entropy and its gradient do not depend on the blocks."""
    monkeypatch.setattr(loss, "BLOCK_ROWS", 3)
    torch.manual_seed(0)
    head = Head(torch.randn(11, 6).double(), torch.randn(11).double() if has_bias else None, softcap)
    hidden = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 11, (8,))

    total = answer_loss(hidden, targets, head)
    (gradient,) = torch.autograd.grad(2 * total, hidden)

    expected = torch.nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")
    (wanted,) = torch.autograd.grad(2 * expected, hidden)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-12)


def test_no_gradient_is_made_where_none_is_asked() -> None:
    """Measuring held-out rows gives the same number without a gradient."""
    head = Head(torch.randn(11, 6))
    hidden, targets = torch.randn(4, 6), torch.tensor([1, 2, 3, 4])

    total = answer_loss(hidden, targets, head)

    assert not total.requires_grad
    assert float(total) == pytest.approx(
        float(torch.nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")), rel=1e-5
    )
