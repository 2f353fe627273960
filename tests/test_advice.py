"""Advice on a loss curve."""

from __future__ import annotations

import pytest

from tunery.curve import advise, best_epoch, knee, summary
from tunery.types import EpochLoss


def curve(*losses: float, held_out: tuple[float, ...] = ()) -> list[EpochLoss]:
    measured = held_out or (None,) * len(losses)
    return [EpochLoss(index, *pair) for index, pair in enumerate(zip(losses, measured, strict=True), 1)]


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ((2.0, 1.0, 0.5, 0.02, 0.0), 4),  # 0.02 is within 5 % of a drop of 2
        ((2.0, 1.0, 0.5, 0.2, 0.0), 5),
        ((2.0, 0.1, 0.0), 2),  # exactly 5 % counts
        ((2.0, 1.0), None),
        ((1.0, 1.5, 2.0), None),
        ((1.0, 1.0, 1.0), None),
    ],
)
def test_knee_is_the_first_epoch_within_five_percent_of_the_drop(losses: tuple[float, ...], epoch: int | None) -> None:
    """The knee on curves with a known answer."""
    assert knee(losses) == epoch


@pytest.mark.parametrize(
    ("epochs", "kind", "text", "count"),
    [
        (
            curve(2, 0.5, 0.01, 0),
            "flat",
            "Training loss has been flat since epoch 3. Only held-out rows tell which epoch is best.",
            None,
        ),
        (
            curve(2, 1.99, 1.98),
            "unlearned",
            "Loss hardly changed. Check the examples or increase the learning rate.",
            None,
        ),
        (curve(2, 0.5, 1), "rose", "Training loss rose again after epoch 2. Use a smaller learning rate.", None),
        (
            curve(2, 1, 0.5, 0.2, held_out=(1.0, 0.8, 0.9, 1.1)),
            "memorised",
            "Held-out loss was lowest after epoch 2; then the model began to memorize the examples.",
            2,
        ),
        (
            curve(2, 0.5, 0.01, 0, held_out=(1.0, 0.8, 0.6, 0.5)),  # flat in training loss
            "falling",
            "Held-out loss was still falling at the end. A longer run may be better or worse; compare their scores.",
            None,
        ),
    ],
)
def test_each_case_has_its_sentence(epochs: list[EpochLoss], kind: str, text: str, count: int | None) -> None:
    """Advice has a kind, a sentence and, if it names one, the epoch to use."""
    advice = advise(epochs)

    assert advice is not None
    assert (advice.kind, advice.text, advice.epoch_count) == (kind, text, count)


@pytest.mark.parametrize(
    "epochs",
    [
        curve(2, 1),  # too few epochs
        curve(2, 1.5, 1, 0.5),  # falling, which says nothing about other rows
        curve(2, 1, 0.5, 0.2, held_out=(1.0, 0.8, 0.79, 0.80)),  # flat on held-out rows
        curve(2, 1, 0.5, 0.2, held_out=(1.0, 0.8, 0.7, 0.69)),
    ],
)
def test_nothing_is_said_where_nothing_is_known(epochs: list[EpochLoss]) -> None:
    """Never to use fewer epochs while held-out loss falls, nor more while it is flat or rises."""
    assert advise(epochs) is None


def test_only_held_out_loss_tells_the_best_epoch() -> None:
    """The lowest one; from training loss nothing is concluded."""
    assert best_epoch(curve(2, 1, 0.5, held_out=(0.9, 0.7, 0.8))) == 2
    assert best_epoch(curve(2, 0.01, 0)) is None


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        (curve(2.31, 1, 0.6, 0.43, 0.42), "Loss fell from 2.31 to 0.42 over 5 epochs; flat after epoch 4."),
        (curve(2), "Loss was 2.00 over the first epoch."),
        ([], "No epoch has finished."),
    ],
)
def test_summary_is_a_sentence(epochs: list[EpochLoss], text: str) -> None:
    """Screen readers get the curve as one sentence."""
    assert summary(epochs) == text


def test_one_answer_to_everything_is_named() -> None:
    """Also where the loss fell: the answer, what may be wrong, and what to do."""
    advice = advise(curve(2, 1, 0.9), constant_answer="bug")

    assert advice is not None
    assert (advice.kind, advice.epoch_count) == ("constant", None)
    assert advice.text.startswith("The model gives the same answer, “bug”, whatever the input. Check that each output")


def test_a_ruined_run_is_not_praised() -> None:
    """Whatever the means say, the advice names the epoch that is used, and the cause."""
    epochs = [EpochLoss(number, loss, None) for number, loss in enumerate((11.4, 10.9, 10.8), 1)]

    advice = advise(epochs, healthy_epoch=1)

    assert advice is not None
    assert (advice.kind, advice.epoch_count) == ("ruined", None)
    assert "epoch 1 is used. The learning rate is too high" in advice.text
