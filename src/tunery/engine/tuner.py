"""
The tuning loop: yields a TuningSnapshot after each optimizer step; to stop, the consumer breaks out of the loop.

The same base, examples, settings and seed give the same adapter bytes, even after a resume.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tunery.engine.adapter import CONFIG, WEIGHTS, read_adapter, write_adapter
from tunery.engine.catalog import tensor_shapes
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.engine.rows import EncodedExample, shares_of_answers
from tunery.errors import (
    AnswersRuined,
    CheckpointDamaged,
    InvalidArgument,
    OtherCheckpoint,
    OutOfMemory,
    TuningRuined,
    TuningUnstable,
)
from tunery.files import sha256_of, write_whole
from tunery.types import EpochLoss, Hyperparameters, TuningSnapshot, WeightFormat

LABEL_LOSS = 2  # version of the loss of labels, for tasks that use it
ENGINE = 2  # version of the arithmetic: a task resumes under the version it began with, or starts over
HEALTH_ROWS = 16
RUINED_FACTOR, RUINED_NATS = 1.25, 0.25  # of the loss before tuning, and more than that: rounding is far below
ASKED_ROWS, LEAST_ASKED = 8, 4  # examples with different inputs and outputs
SWAPPED_PAIRS, LEAST_PAIRS = 6, 3
IGNORED_NATS = 0.25  # per pair; runs that ignored their input had up to 0.04, healthy ones above 3 (experiments.md)
CHECKPOINT_SECONDS = 10.0  # at most this much work can be lost
EPOCH_CHECKPOINT_SECONDS = 2.0  # with four steps per epoch, this would otherwise write 30 MB every second
KEPT_EPOCHS = 20  # 100 epochs of 10 MB would take 1 GB per model
HELD_OUT_TOKENS = 2048  # of rows measured together
RECOMPUTED = "Memory is short: layers are computed twice, with {} examples at a time. The result stays the same."


class Tuner:
    """
    One tuning task.

    `examples` and `held_out` are encoded rows; `folder` keeps the checkpoint and the adapter of each epoch. Tuning
    resumes from a checkpoint there, else starts from `source`, else from scratch. `template_settings` are those that
    the rows were encoded with, to be recorded. Raises InvalidArgument for settings that do not fit, FailedPrecondition
    or CheckpointDamaged for a checkpoint that cannot be resumed.
    """

    def __init__(
        self,
        network: Network | FallbackNetwork,
        examples: Sequence[EncodedExample],
        hyperparameters: Hyperparameters,
        *,
        folder: Path,
        base_name: str,
        base_digest: str = "",
        held_out: Sequence[EncodedExample] = (),
        seed: int = 0,
        recipe: Recipe | None = None,
        source: Adapter | None = None,
        template_settings: Mapping[str, object] | None = None,
    ) -> None:
        self.template_settings = template_settings or {}
        self.network, self.examples, self.held_out = network, examples, held_out
        self.folder, self.base_name = folder, base_name
        self.recipe = recipe or Recipe()
        self._answers = shares_of_answers(examples)
        self.schedule = Schedule(len(examples), hyperparameters.resolve(), self.recipe, seed)
        self.fingerprint = _fingerprint(network, base_digest, self.schedule, examples, held_out)
        self.snapshots: list[TuningSnapshot] = []
        self.epoch_losses: list[EpochLoss] = []
        self.kept_epochs: dict[int, str] = {}  # with the digest of each adapter
        self.notices: list[str] = []
        if isinstance(network, FallbackNetwork) and network.reason:
            self.notices.append(f"This base runs through transformers, which is exact but slower: {network.reason}.")
        self.micro_batch_size = hyperparameters.batch_size
        self.adapter = network.fresh_adapter(self.recipe.rank, self.recipe.alpha, seed)
        if source is not None:
            self._begin_with(source)
        self._start = self.adapter.flat.clone()
        own = sum(map(len, self._answers)) if hyperparameters.label_share else 0
        lengths = [len(row.token_ids) + own for row in examples]
        self.micro_batch_size = network.fit(lengths, self.micro_batch_size, self.adapter.flat.nbytes)
        self.notices += [RECOMPUTED.format(self.micro_batch_size)] if network.recomputes else []
        self.healthy_epoch: int | None = None  # to be served instead of the chosen one, which is ruined
        self.constant_answer: str | None = None  # the answer to every example, at a learning rate that is not too high
        self.checkpoint_step = 0
        self._checkpoint_time = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)  # not created again later, because it may be removed on purpose
        self._restore()

    @property
    def completed_steps(self) -> int:
        return len(self.snapshots)

    @property
    def _is_done(self) -> bool:
        return self.completed_steps == self.schedule.total_steps

    @property
    def best_epoch(self) -> int | None:
        """
        Return the epoch to serve: the kept epoch with the lowest held-out loss or, without held-out rows, the last one
        if tuning is at its end and it is kept; None if neither is known yet.

        If that epoch is ruined, `require_health` has set another one.
        """
        if self.healthy_epoch is not None:
            return self.healthy_epoch
        measured = [e for e in self.epoch_losses if e.held_out_loss is not None and e.epoch in self.kept_epochs]
        if measured:
            return min(measured, key=lambda e: (e.held_out_loss, e.epoch)).epoch
        at_an_end = self.completed_steps > 0 and self.schedule.ends_epoch(self.completed_steps)
        return self.epoch_losses[-1].epoch if at_an_end and self.epoch_losses[-1].epoch in self.kept_epochs else None

    def epoch_folder(self, epoch: int) -> Path:
        return self.folder / "epochs" / str(epoch)

    def run(self) -> Iterator[TuningSnapshot]:
        """
        Tune from the checkpoint to the last step.

        Raises TuningUnstable if the loss or the gradient is not finite, OutOfMemory if even a single example needs too
        much memory.
        """
        for step in range(self.completed_steps + 1, self.schedule.total_steps + 1):
            batch = [self.examples[index] for index in self.schedule.batch(step)]
            mean_loss = self._forward_backward(batch)
            norm = float(self._grad.norm())
            if not (math.isfinite(mean_loss) and math.isfinite(norm)):
                raise TuningUnstable(step)
            if norm > self.recipe.clip_norm:  # the norm of the whole gradient, as in clip_grad_norm_
                self._grad.mul_(self.recipe.clip_norm / norm)
            self._optimizer.step(self.schedule.learning_rate(step))
            self._grad.zero_()
            self._record(step, mean_loss)
            yield self.snapshots[-1]

    def write_checkpoint(self) -> None:
        """Write the state after the last finished step; `run` does so every CHECKPOINT_SECONDS."""
        write_checkpoint(
            self.folder,
            Checkpoint(
                fingerprint=self.fingerprint,
                step=self.completed_steps,
                micro_batch_size=self.micro_batch_size,
                snapshots=tuple(self.snapshots),
                epoch_losses=tuple(self.epoch_losses),
                kept_epochs=dict(self.kept_epochs),
                flat=self.adapter.flat.detach(),
                first_moment=self._optimizer.first_moment,
                second_moment=self._optimizer.second_moment,
            ),
        )
        self.checkpoint_step = self.completed_steps
        self._checkpoint_time = time.monotonic()

    def require_health(self, ask: Ask | None = None) -> None:
        """
        Serve the best healthy epoch if the one that would be served is ruined; raise the reason if none is healthy.

        TuningRuined means that the loss on up to HEALTH_ROWS of its examples is far above the loss before tuning; this
        is not measured if the last epoch has a lower loss than the first step. AnswersRuined means that `ask`, if
        given, gets the same answer to examples with different inputs and outputs, and that swapping their outputs does
        not raise the loss. At a learning rate up to the default, this is not a failure unless the answer is empty,
        because there may be nothing to learn; `constant_answer` is then the answer that was given.
        """
        found = self._ruin(self.chosen_adapter(), ask)
        if found is None:
            return
        is_low = (self.schedule.hyperparameters.learning_rate or 0) <= Hyperparameters.DEFAULT_LEARNING_RATE
        if isinstance(found, AnswersRuined) and found.answer and is_low:
            self.constant_answer = found.answer
            return
        healthy = [epoch for epoch in self.kept_epochs if self._ruin(self._epoch_adapter(epoch), ask) is None]
        if not healthy:
            raise found
        held_out = {loss.epoch: loss.held_out_loss or loss.mean_loss for loss in self.epoch_losses}
        self.healthy_epoch = min(healthy, key=lambda epoch: (held_out[epoch], epoch))

    def _ruin(self, adapter: Adapter, ask: Ask | None) -> InvalidArgument | None:
        rate = self.schedule.hyperparameters.learning_rate or 0
        if not self.epoch_losses[-1].mean_loss < self.snapshots[0].mean_loss:
            rows = self.examples[:: -(-len(self.examples) // HEALTH_ROWS)]
            start, loss = self._loss_of(rows, self._start), self._loss_of(rows, adapter.flat)
            if not loss <= RUINED_FACTOR * start + RUINED_NATS:
                return TuningRuined(loss, start, rate)
        asked = _different(self.examples)
        if ask is None or len(asked) < LEAST_ASKED:
            return None
        answers = set(ask(adapter, asked))
        if len(answers) != 1 or self._depends_on_input(adapter):
            return None
        before = ask(Adapter(adapter.shape, self._start), asked)
        return AnswersRuined(answers.pop(), rate) if len(set(before)) > 1 else None

    def _depends_on_input(self, adapter: Adapter) -> bool:
        """
        Return whether examples become less likely if their outputs are swapped in pairs, or there are too few to tell.

        How likely an output is by itself cancels out; what remains is how much it depends on its input.
        """
        pairs = _pairs(self.examples)
        if len(pairs) < LEAST_PAIRS:
            return True
        own = [row for pair in pairs for row in pair]
        swapped = [row for one, other in pairs for row in (_with_answer(one, other), _with_answer(other, one))]
        lost, tokens = self._loss_of(swapped, adapter.flat), sum(row.answer_tokens for row in own)
        return (lost - self._loss_of(own, adapter.flat)) * tokens / len(pairs) >= IGNORED_NATS

    def _loss_of(self, rows: Sequence[EncodedExample], flat: Tensor) -> float:
        """Return the mean loss of rows with other adapter weights, infinity if it is not a number."""
        kept = self.adapter.flat.clone()
        try:
            self.adapter.flat.copy_(flat)
            loss = math.fsum(self.network.loss(part) for part in _portions(rows, HELD_OUT_TOKENS))
        finally:
            self.adapter.flat.copy_(kept)
        return loss / sum(row.answer_tokens for row in rows) if math.isfinite(loss) else math.inf

    def chosen_adapter(self) -> Adapter:
        """Return the adapter to serve: that of the best epoch if known, else the current one."""
        epoch = self.best_epoch
        if epoch is None or (epoch == self.epoch_losses[-1].epoch and self._is_done):
            return self.adapter
        return self._epoch_adapter(epoch)

    def _epoch_adapter(self, epoch: int) -> Adapter:
        require_epoch(self.epoch_folder(epoch), self.kept_epochs[epoch])
        return read_adapter(self.epoch_folder(epoch), self.network)

    def _begin_with(self, source: Adapter) -> None:
        if source.shape != self.adapter.shape:
            raise InvalidArgument(
                f"The tuned model to start from has rank {source.shape.rank} and alpha {source.shape.alpha}, not"
                f" rank {self.recipe.rank} and alpha {self.recipe.alpha}. Tune from the base instead."
            )
        self.adapter.flat.copy_(source.flat)
        self.fingerprint = f"{self.fingerprint} from {weights_digest(source.flat)}"

    def _restore(self) -> None:
        checkpoint = read_checkpoint(self.folder, self.fingerprint)
        if checkpoint is not None:
            if checkpoint.flat.shape != self.adapter.flat.shape:
                raise CheckpointDamaged(f"The checkpoint in {self.folder} is of another adapter.")
            for epoch, digest in checkpoint.kept_epochs.items():
                require_epoch(self.epoch_folder(epoch), digest)
            self.kept_epochs = dict(checkpoint.kept_epochs)
            self.adapter.flat.copy_(checkpoint.flat)
            self.snapshots, self.epoch_losses = list(checkpoint.snapshots), list(checkpoint.epoch_losses)
            self.micro_batch_size = checkpoint.micro_batch_size
            self.checkpoint_step = checkpoint.step
        # one flat parameter and gradient (adapter size,), so that the optimizer and clipping handle a single tensor
        self._grad = torch.zeros_like(self.adapter.flat)
        self.network.install(0, self.adapter, self._grad)
        self._optimizer = AdamW(self.adapter.flat, self._grad, self.recipe)
        if checkpoint is not None:
            self._optimizer.resume(checkpoint.step, checkpoint.first_moment, checkpoint.second_moment)

    def _forward_backward(self, batch: Sequence[EncodedExample]) -> float:
        """
        Add the gradient of the batch's mean loss and return the loss; halve the micro-batch when memory runs out.
        """
        tokens = sum(row.answer_tokens for row in batch)
        while True:
            try:
                return self._accumulate(batch, tokens)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro_batch_size == 1:
                    raise OutOfMemory from error
            self._grad.zero_()
            self.micro_batch_size = -(-min(self.micro_batch_size, len(batch)) // 2)  # half, rounded up
            self.notices.append(
                f"Memory ran out at step {self.completed_steps + 1}; continuing with {self.micro_batch_size} of"
                f" {len(batch)} examples at a time. The batch size and the result stay the same."
            )

    def _accumulate(self, batch: Sequence[EncodedExample], tokens: int) -> float:
        total, share = 0.0, self.schedule.hyperparameters.label_share
        for start in range(0, len(batch), self.micro_batch_size):
            part = batch[start : start + self.micro_batch_size]
            # scaled by the whole batch, so that the parts add up to its gradient
            if share:
                weights = (1 - share) / tokens, share / len(batch)
                total += self.network.add_label_gradient(part, self._answers, *weights)[0]
            else:
                total += self.network.add_gradient(part, 1 / tokens)
        return total / tokens

    def _record(self, step: int, mean_loss: float) -> None:
        now = datetime.now(UTC)
        if self.snapshots and self.snapshots[-1].compute_time > now:  # the clock has been set back
            now = self.snapshots[-1].compute_time
        self.snapshots.append(TuningSnapshot(step, self.schedule.epoch(step), mean_loss, now))
        ends_epoch = self.schedule.ends_epoch(step)
        if ends_epoch:
            self._end_epoch(step)
        age = time.monotonic() - self._checkpoint_time
        if age >= (EPOCH_CHECKPOINT_SECONDS if ends_epoch else CHECKPOINT_SECONDS) or step == self.schedule.total_steps:
            self.write_checkpoint()

    def _end_epoch(self, step: int) -> None:
        """
        Measure and keep each epoch that this step finished (several if the batch is larger than the data).
        """
        held_out_loss = self.held_out_loss() if self.held_out else None
        for epoch in range(self.schedule.epoch(step - 1) + 1, self.schedule.epoch(step) + 1):
            # an epoch that lies within a single step has no snapshot of its own
            losses = [s.mean_loss for s in self.snapshots if self.schedule.pass_of(s.step) == epoch] or [
                self.snapshots[-1].mean_loss
            ]
            self.epoch_losses.append(EpochLoss(epoch, math.fsum(losses) / len(losses), held_out_loss))
            if self._keeps(epoch):
                self._keep(epoch)

    def keep_last_epoch(self) -> None:
        """Keep the epoch at whose end tuning stopped, which thinning may have left out; do so before publishing."""
        if self.snapshots and self.schedule.ends_epoch(self.completed_steps):
            epoch = self.epoch_losses[-1].epoch
            if epoch not in self.kept_epochs:
                self._keep(epoch)

    def _keep(self, epoch: int) -> None:
        (self.folder / "epochs").mkdir(exist_ok=True)
        write_adapter(self.epoch_folder(epoch), self.adapter, base_model=self.base_name)
        self.kept_epochs[epoch] = epoch_digest(self.epoch_folder(epoch))

    def held_out_loss(self) -> float:
        """Return the mean loss over all answer tokens of the held-out rows, in nats."""
        total = math.fsum(self.network.loss(rows) for rows in _portions(self.held_out, HELD_OUT_TOKENS))
        return total / sum(row.answer_tokens for row in self.held_out)

    def _keeps(self, epoch: int) -> bool:
        """Keep up to KEPT_EPOCHS epochs, evenly spaced, always including the last and the best."""
        epochs = self.schedule.hyperparameters.epoch_count
        measured = [e.held_out_loss for e in self.epoch_losses if e.held_out_loss is not None]
        is_best = bool(measured) and measured[-1] == min(measured)
        return epoch % -(-epochs // KEPT_EPOCHS) == 0 or epoch == epochs or is_best


Ask = Callable[[Adapter, Sequence[int]], Sequence[str]]  # returns an adapter's answers to examples, given by index


def _different(rows: Sequence[EncodedExample]) -> list[int]:
    """Return the indexes of up to ASKED_ROWS rows, the shortest that differ in both prompt and answer."""
    by_length = sorted(range(len(rows)), key=lambda index: (len(rows[index].token_ids), index))
    found: list[int] = []
    prompts, answers = set[tuple[int, ...]](), set[tuple[int, ...]]()
    for is_repeated in (False, True):  # then also rows with an answer that has occurred, such as a label
        for index in by_length:
            prompt, answer = _parts(rows[index])
            if len(found) < ASKED_ROWS and prompt not in prompts and (is_repeated or answer not in answers):
                found.append(index)
                prompts.add(prompt)
                answers.add(answer)
    return found if len(answers) > 1 else []


def _pairs(rows: Sequence[EncodedExample]) -> list[tuple[EncodedExample, EncodedExample]]:
    """Return up to SWAPPED_PAIRS disjoint pairs of short rows with different answers."""
    by_answer: dict[tuple[int, ...], list[EncodedExample]] = {}
    for row in sorted(rows, key=lambda row: -len(row.token_ids)):
        by_answer.setdefault(_parts(row)[1], []).append(row)
    pairs: list[tuple[EncodedExample, EncodedExample]] = []
    while len(pairs) < SWAPPED_PAIRS:
        most = sorted((group for group in by_answer.values() if group), key=len)[-2:]
        if len(most) < 2:
            break
        pairs.append((most[0].pop(), most[1].pop()))
    return pairs


def _with_answer(row: EncodedExample, other: EncodedExample) -> EncodedExample:
    return EncodedExample((*_parts(row)[0], *_parts(other)[1]), row.answer_offset)


def _parts(row: EncodedExample) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return row.token_ids[: row.answer_offset], row.token_ids[row.answer_offset :]


class AdamW:
    """
    AdamW on one flat tensor, in one fused operation.

    It gives the same result as `torch.optim.AdamW`, whose first use imports torch's compiler, which takes as long as
    all other imports together.
    """

    def __init__(self, weights: Tensor, grad: Tensor, recipe: Recipe) -> None:
        self._weights, self._grad, self._recipe = weights, grad, recipe
        self.first_moment, self.second_moment = torch.zeros_like(weights), torch.zeros_like(weights)
        self._steps = torch.zeros((), device=weights.device)

    def resume(self, steps: int, first_moment: Tensor, second_moment: Tensor) -> None:
        """Continue after this many steps."""
        self._steps.fill_(steps)
        self.first_moment.copy_(first_moment)
        self.second_moment.copy_(second_moment)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self._steps.add_(1)
        beta1, beta2 = self._recipe.betas
        torch._fused_adamw_(
            *([self._weights], [self._grad], [self.first_moment], [self.second_moment], [], [self._steps]),
            lr=rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=self._recipe.weight_decay,
            eps=self._recipe.epsilon,
            amsgrad=False,
            maximize=False,
        )


def _portions(rows: Sequence[EncodedExample], tokens: int) -> Iterator[Sequence[EncodedExample]]:
    portion: list[EncodedExample] = []
    for row in rows:
        if portion and sum(len(r.token_ids) for r in portion) + len(row.token_ids) > tokens:
            yield portion
            portion = []
        portion.append(row)
    yield portion


def _fingerprint(
    network: Network | FallbackNetwork,
    base_digest: str,
    schedule: Schedule,
    examples: Sequence[EncodedExample],
    held_out: Sequence[EncodedExample],
) -> str:
    """Hash everything that the result depends on; a checkpoint with a different fingerprint is not resumed."""
    parts = {
        "base": base_digest,
        "dtype": str(network.dtype),
        "packed": network.is_packed,
        "device": network.device.type,
        "engine": ENGINE,
        # what was asked for counts as what it came to
        "hyperparameters": replace(schedule.hyperparameters, weights=WeightFormat.AUTO).facts(),
        "recipe": asdict(schedule.recipe),
        "seed": schedule.seed,
        "examples": [[row.token_ids, row.answer_offset] for row in examples],
        "held_out": [[row.token_ids, row.answer_offset] for row in held_out],
        **({"weights": network.quantized_kinds} if network.quantized_kinds else {}),
        **({"label_loss": LABEL_LOSS} if schedule.hyperparameters.label_share else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def weights_digest(flat: Tensor) -> str:
    """Return the sha256 of the adapter's bytes."""
    return hashlib.sha256(flat.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


FILE = "checkpoint.safetensors"
_TENSORS = ("flat", "first_moment", "second_moment")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    The state after `step` optimizer steps.

    `flat`, `first_moment`, `second_moment`: `[adapter size]`; `fingerprint` names base, data and settings;
    `kept_epochs` has the digest of each epoch folder that belongs to it.
    """

    fingerprint: str
    step: int
    micro_batch_size: int
    snapshots: tuple[TuningSnapshot, ...]
    epoch_losses: tuple[EpochLoss, ...]
    flat: Tensor
    first_moment: Tensor
    second_moment: Tensor
    kept_epochs: Mapping[int, str] = field(default_factory=dict)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    header = {
        "engine": ENGINE,
        "fingerprint": checkpoint.fingerprint,
        "step": checkpoint.step,
        "micro_batch_size": checkpoint.micro_batch_size,
        "snapshots": [[s.step, s.epoch, s.mean_loss, s.compute_time.isoformat()] for s in checkpoint.snapshots],
        "epoch_losses": [[e.epoch, e.mean_loss, e.held_out_loss] for e in checkpoint.epoch_losses],
        "kept_epochs": list(checkpoint.kept_epochs.items()),
    }
    text, tensors = json.dumps(header), {name: getattr(checkpoint, name).cpu() for name in _TENSORS}
    write_whole(folder / FILE, safetensors.torch.save(tensors, {"checkpoint": text, "sha256": _sha256(text, tensors)}))


def read_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """
    Return the checkpoint of a folder, None when there is none.

    Raises OtherCheckpoint if it belongs to different data, settings or a different engine; it is then left as it is.
    Raises CheckpointDamaged if it has changed since it was written, or the disk cannot read it.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        header, tensors = _read_whole(path)
        if header["fingerprint"] != fingerprint:
            raise OtherCheckpoint(folder, "belongs to different data or settings")
        return Checkpoint(
            fingerprint=fingerprint,
            step=header["step"],
            micro_batch_size=header["micro_batch_size"],
            snapshots=tuple(
                TuningSnapshot(s, e, loss, datetime.fromisoformat(t)) for s, e, loss, t in header["snapshots"]
            ),
            epoch_losses=tuple(EpochLoss(*values) for values in header["epoch_losses"]),
            kept_epochs=dict(header["kept_epochs"]),
            **tensors,
        )
    except (InvalidArgument, safetensors.SafetensorError, ValueError, TypeError, LookupError) as error:
        raise CheckpointDamaged(f"The checkpoint in {folder} is damaged ({error}).") from error
    except OSError as error:
        if error.errno != errno.EIO:  # a temporary error, such as no free file descriptor
            raise
        raise CheckpointDamaged(f"The checkpoint in {folder} cannot be read ({error.strerror}).") from error


def _read_whole(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """
    Return the header and tensors of a checkpoint file; raises ValueError if they have changed since they were written.
    """
    shapes = tensor_shapes(path)
    if len({shapes[name] for name in _TENSORS}) > 1:
        raise ValueError("its tensors differ in length")
    with safetensors.safe_open(path, framework="pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in _TENSORS}
    header: dict[str, Any] = json.loads(facts["checkpoint"])
    if header.get("engine", 1) != ENGINE:  # the earliest checkpoints have no sha256 either
        raise OtherCheckpoint(path.parent, "was made by an earlier engine, which rounds differently")
    if facts.get("sha256") != _sha256(facts["checkpoint"], tensors):
        raise ValueError("its sha256 does not match")
    return header, tensors


def _sha256(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in _TENSORS:
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()


def epoch_digest(folder: Path) -> str:
    """Return the sha256 of both files of an epoch's adapter."""
    return hashlib.sha256((sha256_of(folder / CONFIG) + sha256_of(folder / WEIGHTS)).encode()).hexdigest()


def require_epoch(folder: Path, digest: str) -> None:
    """Raise CheckpointDamaged if the adapter of an epoch has changed since it was written."""
    try:
        is_same = epoch_digest(folder) == digest
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        raise CheckpointDamaged(f"{error.filename or folder} cannot be read ({error.strerror}).") from error
    if not is_same:
        raise CheckpointDamaged(f"The adapter in {folder} has changed since it was written.")


def settings_in_force(tuner: Tuner) -> dict[str, object]:
    """Return recipe, number format, threads, micro-batch size, the epoch to serve if known, and template settings."""
    return {
        **asdict(tuner.recipe),
        "betas": list(tuner.recipe.betas),
        "dtype": str(tuner.network.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "micro_batch_size": tuner.micro_batch_size,
        "best_epoch": tuner.best_epoch,
        **tuner.template_settings,
        **({"label_share": share} if (share := tuner.schedule.hyperparameters.label_share) else {}),
        **({"weights": str(format)} if (format := tuner.network.weight_format) != WeightFormat.FULL else {}),
    }


def versions() -> dict[str, str]:
    """Return the versions of all libraries that affect the result, as far as they are installed."""
    libraries = {name: version(name) for name in ("tunery", "torch", "transformers") if find_spec(name)}
    return {**libraries, "python": platform.python_version()}


# torch raises a plain RuntimeError for CPU memory (c10/core/impl/alloc_cpu.cpp) and for oneDNN's
_MESSAGES = ("can't allocate memory", "not enough memory", "could not create a memory object", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that an allocation failed."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    Settings that users do not choose: adapter shape, optimizer and schedule.

    `rank` ≥ 1, `alpha` (scale = alpha / rank), `schedule` "constant", "linear" or "cosine" (to 0 at the end),
    `warmup_fraction` of all steps, `weight_decay` of AdamW, `clip_norm` of the whole gradient, `betas`, `epsilon`.
    Chosen by measurement: docs/experiments.md.
    """

    rank: int = 16
    alpha: float = 32.0
    schedule: str = "linear"
    warmup_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True, slots=True)
class Schedule:
    """The optimizer steps of a task."""

    examples: int
    hyperparameters: Hyperparameters
    recipe: Recipe
    seed: int

    @property
    def total_steps(self) -> int:
        return self.hyperparameters.total_steps(self.examples)

    def batch(self, step: int) -> list[int]:
        """
        Return the example indexes of a step (from 1); batches may cross epoch borders, and the last one may be short.
        """
        size = self.hyperparameters.batch_size
        last = min(step * size, self.examples * self.hyperparameters.epoch_count)
        return [self._order(index // self.examples)[index % self.examples] for index in range((step - 1) * size, last)]

    def epoch(self, step: int) -> int:
        """Return the passes finished after this step: floor(step × batch_size / examples), at most epoch_count."""
        finished = step * self.hyperparameters.batch_size // self.examples
        return min(finished, self.hyperparameters.epoch_count)

    def pass_of(self, step: int) -> int:
        """Return the pass, from 1, in which a step ends: ceil(step × batch_size / examples)."""
        return min(-(-step * self.hyperparameters.batch_size // self.examples), self.hyperparameters.epoch_count)

    def ends_epoch(self, step: int) -> bool:
        return self.epoch(step) > self.epoch(step - 1)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step (from 1)."""
        rate = self.hyperparameters.resolve().learning_rate or 0.0
        warmup = self.recipe.warmup_fraction * self.total_steps
        if step <= warmup:
            return rate * step / math.ceil(warmup)
        progress = (step - 1 - warmup) / max(self.total_steps - warmup, 1)
        if self.recipe.schedule == "linear":
            return rate * (1 - progress)
        if self.recipe.schedule == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * progress))
        return rate

    def _order(self, epoch: int) -> tuple[int, ...]:
        return _permutation(self.examples, self.seed, epoch)


@lru_cache(maxsize=4)
def _permutation(examples: int, seed: int, epoch: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return tuple(torch.randperm(examples, generator=generator).tolist())
