"""Tests of `engine.tuner`: learning, repeating, resuming, giving up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fakes import any_network, random_rows, tiny_network
from tunery.engine import tuner as tuning
from tunery.engine.adapter import WEIGHTS, Adapter, read_adapter, write_adapter
from tunery.engine.encoding import EncodedExample
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.network import Network
from tunery.engine.tuner import KEPT_EPOCHS, AdamW, Recipe, Tuner, epoch_digest, settings_in_force, weights_digest
from tunery.errors import AnswersRuined, FailedPrecondition, OutOfMemory, TuningRuined, TuningUnstable
from tunery.types import Hyperparameters

ROWS = random_rows(10)


def make_tuner(folder: Path, network: Network | FallbackNetwork | None = None, **changes: Any) -> Tuner:
    values: dict[str, Any] = {"hyperparameters": Hyperparameters(4, 4, 0.01), "recipe": Recipe(rank=4, alpha=8)}
    values |= changes
    examples: Sequence[EncodedExample] = values.pop("examples", ROWS)
    return Tuner(network or tiny_network("llama", torch.float32), examples, folder=folder, base_name="tiny", **values)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_of_the_optimizer_are_those_of_torch(weight_decay: float) -> None:
    """The same bytes as torch's class, also where it goes on after some steps."""
    recipe, random = Recipe(weight_decay=weight_decay), torch.Generator().manual_seed(0)
    ours, grad = torch.randn(40, generator=random), torch.zeros(40)
    theirs = torch.nn.Parameter(ours.clone())
    theirs.grad = grad
    reference = torch.optim.AdamW(
        [theirs], betas=recipe.betas, eps=recipe.epsilon, weight_decay=weight_decay, fused=True
    )
    optimizer = AdamW(ours, grad, recipe)

    for step in range(6):
        if step == 3:
            moments = optimizer.first_moment.clone(), optimizer.second_moment.clone()
            optimizer = AdamW(ours, grad, recipe)
            optimizer.resume(3, *moments)
        grad.normal_(generator=random)
        reference.param_groups[0]["lr"] = 0.01 / (1 + step)
        reference.step()
        optimizer.step(0.01 / (1 + step))
        assert torch.equal(ours, theirs.detach())


def test_loss_falls(tmp_path: Path) -> None:
    """Ten rows lose more than 40 % of their loss in 100 steps, on a model of random weights."""
    tuner = make_tuner(tmp_path, hyperparameters=Hyperparameters(40, 4, 0.03))

    losses = [snapshot.mean_loss for snapshot in tuner.run()]

    assert len(losses) == 100
    assert tuner.epoch_losses[-1].mean_loss < 0.6 * tuner.epoch_losses[0].mean_loss


def test_snapshots_count_steps_and_epochs(tmp_path: Path) -> None:
    """One snapshot per step, with floor(step × batch / examples), and a mean loss for each epoch."""
    tuner = make_tuner(tmp_path)

    snapshots = list(tuner.run())

    assert [s.step for s in snapshots] == list(range(1, 11))
    assert [s.epoch for s in snapshots] == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4]
    assert [e.epoch for e in tuner.epoch_losses] == [1, 2, 3, 4]


def test_equal_seed_equal_bytes(tmp_path: Path) -> None:
    """Two tasks of one seed write the same adapter, another seed another."""
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tuner = make_tuner(tmp_path / name, seed=seed)
        list(tuner.run())
        digests.append(weights_digest(tuner.adapter.flat))

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("stop", [1, 3, 7, 9])
def test_resumed_task_gives_the_bytes_of_an_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    """Adapter, curve and files of each epoch are the same after a break at any step."""
    whole = make_tuner(tmp_path / "whole")
    list(whole.run())
    first = make_tuner(tmp_path / "broken")
    for snapshot in first.run():
        if snapshot.step == stop:
            break
    first.write_checkpoint()

    second = make_tuner(tmp_path / "broken")
    assert second.completed_steps == stop
    list(second.run())

    assert torch.equal(second.adapter.flat, whole.adapter.flat)
    assert [s.mean_loss for s in second.snapshots] == [s.mean_loss for s in whole.snapshots]
    assert second.epoch_losses == whole.epoch_losses
    for epoch in range(1, 5):
        broken, undisturbed = (tuner.epoch_folder(epoch) / WEIGHTS for tuner in (second, whole))
        assert broken.read_bytes() == undisturbed.read_bytes()


def test_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    """Nothing is mixed and nothing is thrown away."""
    tuner = make_tuner(tmp_path)
    next(tuner.run())
    tuner.write_checkpoint()

    with pytest.raises(FailedPrecondition, match="different data or settings"):
        make_tuner(tmp_path, seed=5)


def test_too_high_a_rate_stops_the_task(tmp_path: Path) -> None:
    """A loss that is not a number names the step, and the snapshots before it stay."""
    tuner = make_tuner(
        tmp_path, hyperparameters=Hyperparameters(4, 4, 1e30), recipe=Recipe(rank=4, alpha=8, clip_norm=1e30)
    )

    with pytest.raises(TuningUnstable, match="smaller learning rate") as caught:
        list(tuner.run())

    assert caught.value.step == len(tuner.snapshots) + 1 <= 5
    assert tuner.snapshots


@pytest.fixture(scope="module")
def able(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """Return an adapter that knows the rows well: a model of random weights cannot get worse."""
    tuner = make_tuner(tmp_path_factory.mktemp("able"), hyperparameters=Hyperparameters(60, 4, 0.03))
    list(tuner.run())
    return tuner.adapter


@pytest.mark.parametrize("rate", [10.0, 100.0, 1e6, 1e12])
def test_a_destroyed_model_is_refused(tmp_path: Path, able: Adapter, rate: float) -> None:
    """Where every epoch is far worse on its own rows than its beginning, the task fails and says what to change."""
    tuner = make_tuner(tmp_path, hyperparameters=Hyperparameters(3, 4, rate), source=able)
    try:
        list(tuner.run())
    except TuningUnstable:
        return

    with pytest.raises(TuningRuined, match=r"before tuning\. The learning rate of .* is too high") as caught:
        tuner.require_health()
    assert caught.value.loss > caught.value.start_loss + 0.25


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory, able: Adapter) -> Adapter:
    """Return an adapter with which every token is as likely as any other, whatever the input."""
    tuner = make_tuner(tmp_path_factory.mktemp("blind"), hyperparameters=Hyperparameters(3, 4, 1e6), source=able)
    list(tuner.run())
    return tuner.adapter


def ended_as(tuner: Tuner, adapter: Adapter) -> Tuner:
    """Let all epochs be those of an adapter, with a loss that fell, and count the questions put to `asking`."""
    list(tuner.run())
    tuner.adapter.flat.copy_(adapter.flat)
    for loss in tuner.epoch_losses:
        write_adapter(tuner.epoch_folder(loss.epoch), tuner.adapter, base_model="tiny")
        tuner.kept_epochs[loss.epoch] = epoch_digest(tuner.epoch_folder(loss.epoch))
    tuner.epoch_losses[-1] = replace(tuner.epoch_losses[-1], mean_loss=0.0)
    return tuner


def asking(tuner: Tuner, answer: str) -> Any:
    """Return answers that are equal, except those of the adapter that tuning began with."""

    def ask(adapter: Adapter, places: Sequence[int]) -> list[str]:
        is_first = torch.equal(adapter.flat, tuner._start)
        return [str(place) for place in places] if is_first else [answer] * len(places)

    return ask


@pytest.mark.parametrize(("answer", "said"), [("bug", "the same answer, “bug”, whatever"), ("", "an empty answer to")])
def test_a_model_that_ignores_its_input_is_refused(
    tmp_path: Path, able: Adapter, blind: Adapter, answer: str, said: str
) -> None:
    """One answer to all examples, with a loss that fell: ruined, by a learning rate that is too high."""
    tuner = ended_as(make_tuner(tmp_path, source=able), blind)

    with pytest.raises(AnswersRuined, match=f"{said}.* learning rate of 0.01 is too high") as caught:
        tuner.require_health(asking(tuner, answer))
    assert caught.value.answer == answer


def test_one_answer_at_a_low_rate_is_told_and_no_failure(tmp_path: Path, able: Adapter, blind: Adapter) -> None:
    """There may be nothing to learn, as where outputs do not belong to their inputs."""
    tuner = ended_as(make_tuner(tmp_path, source=able, hyperparameters=Hyperparameters(3, 4, 0.001)), blind)

    tuner.require_health(asking(tuner, "bug"))

    assert (tuner.constant_answer, tuner.healthy_epoch) == ("bug", None)


def test_equal_answers_of_a_model_that_reads_its_input_are_no_ruin(tmp_path: Path, able: Adapter) -> None:
    """Hardly tuned, it may give one answer, but swapped outputs are less likely than its own."""
    tuner = ended_as(make_tuner(tmp_path, source=able), able)

    tuner.require_health(asking(tuner, "bug"))

    assert (tuner.constant_answer, tuner.healthy_epoch) == (None, None)


@pytest.mark.parametrize("rows", [[ROWS[0]] * 10, [EncodedExample((*r.token_ids[: r.answer_offset], 5), r.answer_offset)
                                                   for r in ROWS]])  # fmt: skip
def test_data_with_one_output_is_no_ruin(
    tmp_path: Path, able: Adapter, blind: Adapter, rows: list[EncodedExample]
) -> None:
    """One row many times, or one output for all rows: one answer is what was to be learned."""
    tuner = ended_as(make_tuner(tmp_path, source=able, examples=rows), blind)

    tuner.require_health(asking(tuner, "bug"))

    assert (tuner.constant_answer, tuner.healthy_epoch) == (None, None)


def ruined_after(tuner: Tuner, epoch: int) -> None:
    """Replace the epochs after this one, and what was tuned, by noise."""
    for later in tuner.epoch_losses[epoch:]:
        noise = 100 * torch.randn(tuner.adapter.flat.shape, generator=torch.Generator().manual_seed(later.epoch))
        tuner.adapter.flat.copy_(noise)
        write_adapter(tuner.epoch_folder(later.epoch), tuner.adapter, base_model="tiny")
        tuner.kept_epochs[later.epoch] = epoch_digest(tuner.epoch_folder(later.epoch))
    tuner.epoch_losses[-1] = replace(tuner.epoch_losses[-1], mean_loss=50.0)


def test_a_healthy_epoch_is_served_when_later_ones_are_ruined(tmp_path: Path, able: Adapter) -> None:
    """The best of the kept ones; the weights that tuning would go on with stay as they are."""
    tuner = make_tuner(tmp_path, source=able)
    list(tuner.run())
    ruined_after(tuner, 2)
    after = tuner.adapter.flat.clone()

    tuner.require_health()

    assert tuner.healthy_epoch in (1, 2)
    assert torch.equal(tuner.adapter.flat, after)
    assert settings_in_force(tuner)["best_epoch"] == tuner.healthy_epoch  # the one that is marked as served
    served = read_adapter(tuner.epoch_folder(tuner.healthy_epoch), tuner.network)
    assert torch.equal(tuner.chosen_adapter().flat, served.flat)


@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.03])
def test_a_healthy_run_keeps_its_epoch(tmp_path: Path, rate: float) -> None:
    """Also one that hardly learns, whose loss may end above that of its first batch."""
    tuner = make_tuner(tmp_path, hyperparameters=Hyperparameters(3, 4, rate))
    list(tuner.run())

    tuner.require_health()

    assert tuner.healthy_epoch is None


def test_outputs_that_cannot_be_told_are_no_ruin(tmp_path: Path) -> None:
    """The same inputs with other outputs cannot be learned, but the model is as good as before."""
    twice = [EncodedExample((*row.token_ids[: row.answer_offset], number), row.answer_offset)
             for row in ROWS[:4] for number in (3, 4, 5)]  # fmt: skip
    tuner = make_tuner(tmp_path, examples=twice)
    list(tuner.run())

    tuner.require_health()

    assert tuner.healthy_epoch is None


class NarrowNetwork(Network):
    """A network on a machine whose memory holds only so many rows: asks the real allocator for the impossible."""

    def __init__(self, most_rows: int) -> None:
        plain = tiny_network("llama", torch.float64)
        super().__init__(plain.spec, plain.weights)
        self.most_rows = most_rows

    def add_gradient(self, rows: Sequence[EncodedExample], weight: float = 1.0, *, share_prefix: bool = True) -> float:
        if len(rows) > self.most_rows:
            torch.empty(2**50)
        return super().add_gradient(rows, weight, share_prefix=share_prefix)


def test_out_of_memory_halves_the_micro_batch(tmp_path: Path) -> None:
    """The effective batch and the result stay the same, and the user is told."""
    plain = make_tuner(tmp_path / "plain", tiny_network("llama", torch.float64))
    list(plain.run())
    narrow = make_tuner(tmp_path / "narrow", NarrowNetwork(1))

    list(narrow.run())

    assert narrow.micro_batch_size == 1
    assert ["2 of 4" in narrow.notices[0], "1 of 4" in narrow.notices[1]] == [True, True]
    assert torch.allclose(narrow.adapter.flat, plain.adapter.flat, rtol=1e-6, atol=1e-9)


LABELLED = [
    EncodedExample((*row.token_ids[: row.answer_offset], *((7, 2), (7, 8, 2), (9, 2))[place % 3]), row.answer_offset)
    for place, row in enumerate(ROWS)
]


def test_labels_are_learned_by_their_own_loss(tmp_path: Path) -> None:
    """After as many steps the right label of each row is likelier among the labels than with the plain loss alone."""
    found = []
    for share in (0.0, 0.9):
        network = tiny_network("llama", torch.float32)
        settings = Hyperparameters(4, 4, 0.01, label_share=share)
        tuner = make_tuner(tmp_path / str(share), network, examples=LABELLED, hyperparameters=settings)
        list(tuner.run())
        options = sorted({row.token_ids[row.answer_offset :] for row in LABELLED})
        scores = network.option_scores(LABELLED, options, 0).log_softmax(1)
        right = [options.index(row.token_ids[row.answer_offset :]) for row in LABELLED]
        found.append(float(scores[torch.arange(len(LABELLED)), right].mean()))

    assert found[1] > found[0]


def test_rare_labels_are_learned_like_frequent_ones(tmp_path: Path) -> None:
    """Where the prompt says nothing, a label of three rows is about as likely as one of a single row."""
    prompt = ROWS[0].token_ids[: ROWS[0].answer_offset]
    rows = [EncodedExample((*prompt, *label), len(prompt)) for label in ((7, 2), (7, 2), (9, 2), (7, 2))]
    found = []
    for share in (0.0, 1.0):
        network = tiny_network("llama", torch.float32)
        settings = Hyperparameters(40, 4, 0.01, label_share=share)
        list(make_tuner(tmp_path / str(share), network, examples=rows, hyperparameters=settings).run())
        found.append(float(network.option_scores(rows[:1], [(7, 2), (9, 2)], 0).softmax(1)[0, 0]))

    assert found[0] > 0.7
    assert found[1] == pytest.approx(0.47, abs=0.03)  # smoothed targets say 0.725, three quarters of the rows have it


def test_parts_of_a_batch_add_up_with_the_loss_of_labels(tmp_path: Path) -> None:
    """One row at a time gives what all rows of a batch give, and a task that goes on gives the same bytes."""
    adapters = []
    for rows in (4, 1):
        network = tiny_network("llama", torch.float64)
        settings = Hyperparameters(4, 4, 0.01, label_share=0.5)
        tuner = make_tuner(tmp_path / str(rows), network, examples=LABELLED, hyperparameters=settings)
        tuner.micro_batch_size = rows
        list(tuner.run())
        adapters.append(tuner.adapter.flat.clone())

    assert torch.allclose(*adapters, rtol=1e-6, atol=1e-9)


def test_the_share_of_labels_belongs_to_a_checkpoint(tmp_path: Path) -> None:
    """With another share a checkpoint is not continued; one of a time before there was a share is."""
    shared = Hyperparameters(4, 4, 0.01, label_share=0.5)

    assert make_tuner(tmp_path / "a", hyperparameters=shared).fingerprint != make_tuner(tmp_path / "b").fingerprint
    assert set(Hyperparameters().facts()) == {"epoch_count", "batch_size", "learning_rate", "learning_rate_multiplier"}
    assert shared.facts()["label_share"] == 0.5


def test_the_loss_of_labels_belongs_to_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that began with the loss of an earlier version starts over; one without that loss goes on."""
    before, after = [], []
    for found, version in ((before, 1), (after, 2)):
        monkeypatch.setattr(tuning, "LABEL_LOSS", version)
        for share in (0.0, 0.5):
            settings = Hyperparameters(4, 4, 0.01, label_share=share)
            found.append(make_tuner(tmp_path / f"{share}-{version}", hyperparameters=settings).fingerprint)

    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]


def test_memory_that_holds_no_example_ends_the_task(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(OutOfMemory, match="smaller batch size or base model"):
        list(make_tuner(tmp_path, NarrowNetwork(0)).run())


def test_best_epoch_is_the_one_with_the_lowest_held_out_loss(tmp_path: Path) -> None:
    """Rows that contradict what is learned make an early epoch the best, and that one is served."""
    contrary = [
        EncodedExample(
            (*row.token_ids[: row.answer_offset], *((t + 40) % 90 + 3 for t in row.token_ids[row.answer_offset :])),
            row.answer_offset,
        )
        for row in ROWS
    ]
    tuner = make_tuner(tmp_path, held_out=contrary, hyperparameters=Hyperparameters(12, 4, 0.03))

    list(tuner.run())

    losses = {epoch.epoch: epoch.held_out_loss for epoch in tuner.epoch_losses}
    assert tuner.best_epoch == min(losses, key=lambda epoch: losses[epoch] or 0.0) < 12
    tuner.network.install(0, tuner.chosen_adapter())
    assert tuner.held_out_loss() == pytest.approx(losses[tuner.best_epoch], rel=1e-5)


def test_without_held_out_rows_the_last_epoch_is_served(tmp_path: Path) -> None:
    """There is nothing to choose by."""
    tuner = make_tuner(tmp_path)
    list(tuner.run())

    assert tuner.best_epoch == 4
    assert tuner.chosen_adapter() is tuner.adapter


def test_stopped_task_serves_what_it_learned(tmp_path: Path) -> None:
    """After leaving the loop the adapter of the last step is the chosen one."""
    tuner = make_tuner(tmp_path)
    for snapshot in tuner.run():
        if snapshot.step == 6:
            break

    assert tuner.chosen_adapter() is tuner.adapter
    assert tuner.completed_steps == 6


def test_many_epochs_are_thinned(tmp_path: Path) -> None:
    """Of 50 epochs at most KEPT_EPOCHS and the last are kept."""
    tuner = make_tuner(tmp_path, examples=ROWS[:2], hyperparameters=Hyperparameters(50, 2))
    list(tuner.run())

    kept = sorted(int(path.name) for path in (tmp_path / "epochs").iterdir())
    assert len(kept) <= KEPT_EPOCHS + 1
    assert kept[-1] == 50


def test_batch_larger_than_the_data_ends_several_epochs_at_once(tmp_path: Path) -> None:
    """Five epochs of three rows in batches of eight are two steps, and each epoch has its loss."""
    tuner = make_tuner(tmp_path, examples=ROWS[:3], hyperparameters=Hyperparameters(5, 8))

    snapshots = list(tuner.run())

    assert [s.epoch for s in snapshots] == [2, 5]
    assert [e.epoch for e in tuner.epoch_losses] == [1, 2, 3, 4, 5]


def test_family_without_a_packed_path_learns_too(tmp_path: Path) -> None:
    """The slow exact path tunes as well."""
    tuner = make_tuner(tmp_path, any_network("opt", torch.float32), hyperparameters=Hyperparameters(20, 4, 0.03))
    list(tuner.run())

    assert tuner.epoch_losses[-1].mean_loss < 0.9 * tuner.epoch_losses[0].mean_loss
