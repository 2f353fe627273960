"""
What a loss curve says: the one rule for the knee and the sentence that goes with it.

Command line, Studio and API all show what is computed here. Knows losses per epoch only.

The rule: the knee is the first epoch whose mean loss is at most min + 5 % of (first - min); it needs three epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunery.types import Advice, EpochLoss

FLAT_SHARE = 0.05  # of the whole drop: below this the rest of the curve is flat
ROSE_SHARE = 0.10  # of the whole drop above the minimum: the end is worse than it was
SMALL_DROP = 0.03  # of the first loss: nothing was learned
KNEE_EPOCHS = 3


def knee(losses: Sequence[float]) -> int | None:
    """Return the 1-based epoch after which the curve is flat; None below three epochs or without any drop."""
    if len(losses) < KNEE_EPOCHS:
        return None
    lowest = min(losses)
    drop = losses[0] - lowest
    if drop <= 0:
        return None
    return next(index for index, loss in enumerate(losses, 1) if loss <= lowest + FLAT_SHARE * drop)


def advise(epochs: Sequence[EpochLoss]) -> Advice | None:
    """Return what to do next time; None when there are too few epochs to tell."""
    losses = [epoch.mean_loss for epoch in epochs]
    if len(losses) < KNEE_EPOCHS:
        return None
    return _memorised(epochs) or _unlearned(losses) or _rose(losses) or _flat(losses)


def best_epoch(epochs: Sequence[EpochLoss]) -> int | None:
    """Return the epoch to mark on a chart: the lowest held-out loss, else the knee."""
    measured = [epoch for epoch in epochs if epoch.held_out_loss is not None]
    if measured:
        return min(measured, key=lambda epoch: (epoch.held_out_loss, epoch.epoch)).epoch
    return knee([epoch.mean_loss for epoch in epochs])


def summary(epochs: Sequence[EpochLoss]) -> str:
    """Return the curve as one sentence, for who does not see it."""
    if not epochs:
        return "No epoch was finished."
    first, last = epochs[0].mean_loss, epochs[-1].mean_loss
    if len(epochs) == 1:
        return f"Loss was {last:.2f} over the first epoch."
    verb = "fell" if last < first else "went"
    flat = knee([epoch.mean_loss for epoch in epochs])
    tail = f"; flat after epoch {flat}" if flat is not None and flat < len(epochs) else ""
    return f"Loss {verb} from {first:.2f} to {last:.2f} over {len(epochs)} epochs{tail}."


def _memorised(epochs: Sequence[EpochLoss]) -> Advice | None:
    held_out = [epoch.held_out_loss for epoch in epochs if epoch.held_out_loss is not None]
    for index in range(len(held_out) - 2):
        if held_out[index] < held_out[index + 1] < held_out[index + 2]:
            return Advice("memorised", f"The model began to memorise after epoch {index + 1}.", index + 1)
    return None


def _unlearned(losses: Sequence[float]) -> Advice | None:
    if losses[0] - min(losses) >= SMALL_DROP * losses[0]:
        return None
    return Advice("unlearned", "Loss hardly changed. Check the examples or raise the learning rate.")


def _rose(losses: Sequence[float]) -> Advice | None:
    lowest = min(losses)
    if losses[-1] - lowest <= ROSE_SHARE * (losses[0] - lowest):
        return None
    epoch = losses.index(lowest) + 1
    text = f"Loss rose again after epoch {epoch}. Use a smaller learning rate or fewer epochs."
    return Advice("rose", text, epoch)


def _flat(losses: Sequence[float]) -> Advice | None:
    epoch = knee(losses)
    if epoch is None:
        return None
    if epoch == len(losses):
        return Advice("falling", "Loss was still falling. Try more epochs.")
    epochs = f"{epoch} epoch{'s' if epoch > 1 else ''}"
    give = "give" if epoch > 1 else "gives"
    return Advice("flat", f"Loss is flat after epoch {epoch}. Next time {epochs} {give} about the same result.", epoch)
