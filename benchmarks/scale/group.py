"""
Four small tasks in turn and grouped, for docs/scale.md: `python -m benchmarks.scale group`.

Grouped tasks share a pass: their rows lie in one packed row, the frozen products are computed for all of them, and each
task has its own adapter, gradient, optimizer and schedule. A task stays within one lane, so lanes do not wait for each
other; that is the fastest way found. The engine does not tune like this, because it gains too little.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tunery import config
from tunery.data.dataset import Dataset
from tunery.engine.attention import Block, PackedLayout
from tunery.engine.decoder import (
    QUERIES,
    LayerPairs,
    LayerPlaces,
    RowPairs,
    backward,
    begin,
    embedded,
    forward,
    norm_gradient,
    normed,
)
from tunery.engine.lanes import Handover
from tunery.engine.lora import LowRank, Pair
from tunery.engine.loss import answer_loss
from tunery.engine.network import Network, _Copies
from tunery.engine.packing import PackedBatch, pack
from tunery.engine.resident import ResidentBase, loaded_base
from tunery.engine.rows import EncodedExample
from tunery.engine.tuner import Tuner
from tunery.types import Hyperparameters, TuningExample

TASKS, ROWS, HELD_OUT = 4, 20, 6
FILE = Path(__file__).parents[2] / "examples" / "messages.csv"
EPOCHS = 2
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """An adapter's place in the network: its working copies, and where its gradient is added, layer by layer."""

    copies: _Copies
    gradient: Sequence[LayerPlaces]

    @classmethod
    def of(cls, network: Network) -> Place:
        """Return the place of the adapter that was installed last."""
        return cls(network._copies[0], network._gradients[0])


@dataclass(frozen=True, slots=True)
class Task:
    """A tuner and the place of its adapter."""

    tuner: Tuner
    place: Place


@dataclass(frozen=True, slots=True)
class Together:
    """
    The batches of several tasks as one packed row.

    `rows`, `wanted` and `answers` are the tokens, the distinct rows that predict something, and the answer tokens of
    each task.
    """

    batch: PackedBatch
    rows: Sequence[slice]
    wanted: Sequence[slice]
    answers: Sequence[slice]


@dataclass(frozen=True, slots=True)
class Several:
    """The low-rank products of several adapters, each for its own rows; used like a LowRank."""

    low_ranks: Sequence[LowRank]
    parts: Sequence[slice]

    def add(self, rows: Tensor, outputs: Sequence[Tensor]) -> list[Tensor]:
        return [
            low_rank.add(rows[part], [output[part] for output in outputs])
            for low_rank, part in zip(self.low_ranks, self.parts, strict=True)
        ]

    def add_gradient(
        self,
        rows: Tensor,
        narrow: Sequence[Tensor],
        grads: Sequence[Tensor],
        total: Tensor | None,
        into: Sequence[Sequence[Pair]],
    ) -> None:
        for low_rank, part, own, places in zip(self.low_ranks, self.parts, narrow, into, strict=True):
            own_total = None if total is None else total[part]
            low_rank.add_gradient(rows[part], own, [grad[part] for grad in grads], own_total, places)


def group() -> None:
    """Print the time of four tasks in turn and grouped, without and with held-out rows, and where it goes."""
    rows = list(Dataset.read(FILE).examples)
    resident = loaded_base(config.default_base_model(), config.data_folder())
    for held_out in (0, HELD_OUT):
        times: dict[str, list[tuple[float, float]]] = {"in turn": [], "grouped": []}
        adapters: dict[str, list[Tensor]] = {}
        for _ in range(ROUNDS):
            for name, run in (("in turn", in_turn), ("grouped", grouped)):
                seconds, adapters[name] = _timed(resident, rows, held_out, run)
                times[name].append(seconds)
                print(f"{name}: {seconds[0]:.1f} s, {seconds[1]:.1f} s of processor time", flush=True)
        ratios = [
            statistics.median(found[at] for found in times["grouped"])
            / statistics.median(found[at] for found in times["in turn"])
            for at in (0, 1)
        ]
        apart = max(_apart(*pair) for pair in zip(adapters["in turn"], adapters["grouped"], strict=True))
        print(
            f"{TASKS} tasks of {ROWS} rows, {held_out} held out, {EPOCHS} epochs: grouped takes {ratios[0]:.2f} x the"
            f" time and {ratios[1]:.2f} x the processor time; adapters differ by {apart:.1e} of their length",
            flush=True,
        )
    shares(resident, rows)


def in_turn(_: Network, tasks: Iterable[Task]) -> list[Tensor]:
    """Tune one task after the other, and return the adapters."""
    adapters = []
    for task in tasks:  # each begins when the one before has ended
        for _snapshot in task.tuner.run():
            pass
        adapters.append(task.tuner.adapter.flat)
    return adapters


def grouped(network: Network, made: Iterable[Task]) -> list[Tensor]:
    """Tune all tasks together, step by step, and return the adapters."""
    tasks = list(made)
    for step in range(1, tasks[0].tuner.schedule.total_steps + 1):
        batches = [[task.tuner.examples[index] for index in task.tuner.schedule.batch(step)] for task in tasks]
        losses = add_gradients(network, [task.place for task in tasks], batches)
        for task, loss in zip(tasks, losses, strict=True):
            tuner, network._copies[0] = task.tuner, task.place.copies  # for the loss of held-out rows
            norm = float(tuner._grad.norm())
            if norm > tuner.recipe.clip_norm:
                tuner._grad.mul_(tuner.recipe.clip_norm / norm)
            tuner._optimizer.step(tuner.schedule.learning_rate(step))
            tuner._grad.zero_()
            tuner._record(step, loss)
    return [task.tuner.adapter.flat for task in tasks]


@torch.no_grad()
def add_gradients(
    network: Network, places: Sequence[Place], batches: Sequence[Sequence[EncodedExample]]
) -> list[float]:
    """Add the gradient of the mean loss of each batch to the place of its adapter, and return the losses."""
    for place in places:
        place.copies.refresh()
    if network.lanes is None:
        return one_lane(network, places, batches)
    cut = len(places) // 2
    works = (
        lambda: one_lane(network, places[:cut], batches[:cut]),
        lambda: one_lane(network, places[cut:], batches[cut:]),
    )
    first, second = network.lanes.run(works, Handover())
    return first + second


def one_lane(network: Network, places: Sequence[Place], batches: Sequence[Sequence[EncodedExample]]) -> list[float]:
    """Do what `Network._lane` does, for the rows of several adapters."""
    spec, weights, together = network.spec, network.weights, side_by_side(batches)
    batch, layers = together.batch, range(len(network.weights.layers))
    wanted, source = torch.unique(batch.answer_rows, return_inverse=True)
    pairs = [_pairs(places, together, number, number == len(layers) - 1) for number in layers]
    run = begin(spec, weights, batch.layout, batch.positions, [RowPairs(0, None, pairs)], wanted)
    x, saved = embedded(spec, weights, batch.token_ids, batch.positions), []
    for number in layers:
        x, kept = forward(run, x, number)
        saved.append(kept)
    hidden, statistics_of_norm = normed(x, weights.last_norm)
    losses, grads = [], torch.zeros_like(hidden)
    for answers in together.answers:
        targets = batch.targets[answers]
        loss, grad = answer_loss(hidden[source[answers]], targets, network.head, 1 / len(targets))
        assert grad is not None
        grads.index_add_(0, source[answers], grad)
        losses.append(float(loss) / len(targets))
    flow: Tensor | None = norm_gradient(grads, x, weights.last_norm, statistics_of_norm)
    for number in reversed(layers):
        assert flow is not None
        into = zip(*(place.gradient[number] for place in places), strict=True)
        flow = backward(run, flow, saved.pop(), number, LayerPlaces(*into))  # type: ignore[arg-type]
    return losses


def side_by_side(batches: Sequence[Sequence[EncodedExample]]) -> Together:
    """Lay the batches of several tasks out as one packed row; no token sees another task."""
    packs = [pack(batch) for batch in batches]
    starts = [0, *accumulate(len(one.token_ids) for one in packs)]
    numbers, trunks, blocks, wanted = [], [], [], []
    for batch, one, start in zip(batches, packs, starts, strict=False):
        own = one.layout.numbers + 1 + start  # the shared prefix of a task is `start`, which no other task has
        numbers.append(own)
        trunks.append(torch.where(own <= start + len(batch), start, own))
        blocks += [Block(block.query_start + start, block.query_end + start, start) for block in one.layout.blocks]
        wanted.append(len(one.answer_rows.unique()))
    positions = torch.cat([one.positions for one in packs])
    layout = PackedLayout(positions, torch.cat(numbers), 0, tuple(blocks), trunks=torch.cat(trunks))
    whole = PackedBatch(
        token_ids=torch.cat([one.token_ids for one in packs]),
        positions=positions,
        answer_rows=torch.cat([one.answer_rows + start for one, start in zip(packs, starts, strict=False)]),
        targets=torch.cat([one.targets for one in packs]),
        layout=layout,
        row_tokens=sum(one.row_tokens for one in packs),
    )
    tokens, answers = (
        [len(part) for part in parts] for parts in zip(*((p.token_ids, p.targets) for p in packs), strict=True)
    )
    return Together(whole, _slices(tokens), _slices(wanted), _slices(answers))


def shares(resident: ResidentBase, rows: Sequence[TuningExample]) -> None:
    """Print where the processor time of a step goes, on one lane."""
    with tempfile.TemporaryDirectory() as place:
        network = resident.network
        tasks = list(_tasks(resident, rows, 0, Path(place)))
        places, batches = [task.place for task in tasks], [list(task.tuner.examples[:4]) for task in tasks]
        ways = {
            "in turn": [partial(one_lane, network, [p], [b]) for p, b in zip(places, batches, strict=True)],
            "grouped": [partial(one_lane, network, places, batches)],
        }
        for name, acts in ways.items():
            with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as found:
                begun = time.perf_counter()
                for act in acts:
                    act()
                seconds = time.perf_counter() - begun
            own = {event.key: event.self_cpu_time_total / 1e6 for event in found.key_averages()}
            kinds = {
                "frozen products": ("aten::mm",),
                "low-rank sums": ("aten::addmm_",),
                "attention": ("aten::bmm", "aten::baddbmm"),
            }
            taken = {kind: sum(own.get(key, 0.0) for key in keys) for kind, keys in kinds.items()}
            taken["the rest"] = seconds - sum(taken.values())
            print(
                f"a step of {TASKS} tasks {name}, one lane: {seconds:.2f} s;",
                ", ".join(f"{k} {v:.2f} s" for k, v in taken.items()),
            )


def _timed(
    resident: ResidentBase,
    rows: Sequence[TuningExample],
    held_out: int,
    run: Callable[[Network, Iterable[Task]], list[Tensor]],
) -> tuple[tuple[float, float], list[Tensor]]:
    """Return seconds by the clock and of the processor from rows to last checkpoints, and the adapters."""
    with tempfile.TemporaryDirectory() as place:
        begun = time.perf_counter(), time.process_time()
        adapters = run(resident.network, _tasks(resident, rows, held_out, Path(place)))
        return (time.perf_counter() - begun[0], time.process_time() - begun[1]), adapters


def _tasks(resident: ResidentBase, rows: Sequence[TuningExample], held_out: int, folder: Path) -> Iterator[Task]:
    for number in range(TASKS):
        first, last = number * ROWS, len(rows) - number * held_out
        tuner = resident.tuner(
            rows[first : first + ROWS],
            Hyperparameters(epoch_count=EPOCHS),
            folder=folder / str(number),
            held_out=rows[last - held_out : last],
            seed=number,
        )
        yield Task(tuner, Place.of(resident.network))


def _pairs(places: Sequence[Place], together: Together, number: int, is_last: bool) -> LayerPairs:
    """Return the products of a layer for all tasks; after its mixer, the last layer has only the wanted rows."""
    found = []
    for kind, low_ranks in enumerate(zip(*(place.copies.layers[number] for place in places), strict=True)):
        found.append(Several(low_ranks, together.wanted if is_last and kind != QUERIES else together.rows))
    return LayerPairs(*found)  # type: ignore[arg-type]


def _slices(sizes: Iterable[int]) -> list[slice]:
    return [slice(*pair) for pair in pairwise([0, *accumulate(sizes)])]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())
