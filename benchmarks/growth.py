"""
How the cost of tuning and of answering grows: with the length of rows, with the size of the base, with the number of
adapters that answer together. (With the number of rows: `conditions.py`.)

    python -m benchmarks.growth

All points of a dimension are measured in turn in one process; medians and their ratios count. Rows are random tokens,
the bases of the second dimension have random weights: time does not depend on either.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import side_by_side
from benchmarks.side_by_side import Result
from tunery import config
from tunery.engine.answers.generator import Generator, Request
from tunery.engine.base import fast_dtype
from tunery.engine.encoding import EncodedExample
from tunery.engine.families import spec_of
from tunery.engine.network import Network
from tunery.engine.resident import ResidentBase, resident_base
from tunery.engine.tuner import Recipe
from tunery.engine.weights import arranged
from tunery.types import DEFAULT_BASE_MODEL, SamplingSettings

RESULTS = side_by_side.RESULTS / "growth.jsonl"
BATCH_SIZE, ANSWER_TOKENS = 4, 5
LENGTHS = (64, 128, 256, 512)
# layers, hidden, inner, heads, key-value heads; the second and third are those of SmolLM2 135M and 360M
SHAPES = ((12, 384, 1024, 6, 2), (30, 576, 1536, 9, 3), (32, 960, 2560, 15, 5))
VOCABULARY = 49152
ADAPTERS = (1, 2, 4, 8)
REQUESTS, PROMPT_TOKENS, NEW_TOKENS = 8, 60, 24


@dataclass(frozen=True, slots=True)
class Point:
    """`work` does the same thing each time and returns its seconds; `amount` of what grows, in `unit`."""

    amount: float
    unit: str
    work: Callable[[], float]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    for name in given.dimensions:
        results = measure(name, DIMENSIONS[name](given), given.rounds)
        side_by_side.append(given.out, results)
        print(table(name, results), end="\n\n", flush=True)


def measure(name: str, points: Sequence[Point], rounds: int) -> list[Result]:
    """Do the work of all points in turn; the first round warms up and does not count."""
    seconds: list[list[float]] = [[] for _ in points]
    for _ in range(rounds + 1):
        for taken, point in zip(seconds, points, strict=True):
            taken.append(point.work())
    return [
        {"dimension": name, "amount": p.amount, "unit": p.unit, "seconds": median(taken[1:]), "rounds": rounds}
        for p, taken in zip(points, seconds, strict=True)
    ]


def table(name: str, results: Sequence[Result]) -> str:
    """Return how much more of it there is, and how much longer it takes, each beside the first point."""
    first = results[0]
    rows = [
        (
            f"{result['amount']:,.0f} {result['unit']}",
            f"{result['amount'] / first['amount']:.1f} ×",
            f"{result['seconds'] * 1000:.0f} ms",
            f"{result['seconds'] / first['seconds']:.2f} ×",
        )
        for result in results
    ]
    return side_by_side.markdown((name, "as much", "time", "as long"), rows)


def lengths(given: argparse.Namespace) -> list[Point]:
    """A step of four rows without any common text, the answer at the end."""
    network = resident_base(given.base_model, config.data_folder()).network
    install(network)
    return [Point(BATCH_SIZE * n, "tokens in a batch", step_of(network, n)) for n in given.lengths]


def bases(given: argparse.Namespace) -> list[Point]:
    """A step of four rows of 128 tokens on bases of several sizes with random weights."""
    points = []
    for shape in given.shapes:
        network = random_base(*shape)
        parameters = network.head.weight.numel() + sum(rows * columns for rows, columns in network.linears.values())
        install(network)
        points.append(Point(parameters, "parameters", step_of(network, 128)))
    return points


def adapters(given: argparse.Namespace) -> list[Point]:
    """Eight requests at once on one, two, four or eight adapters."""
    resident = resident_base(given.base_model, config.data_folder())
    resident.encoder.stop_token_ids = frozenset()
    slots = []
    for seed in range(max(ADAPTERS)):
        adapter = resident.network.fresh_adapter(Recipe().rank, Recipe().alpha, seed)
        adapter.flat.add_(torch.randn(adapter.flat.shape), alpha=0.003)
        slots.append(resident.add(adapter))
    return [Point(count, f"adapters of {REQUESTS} rows", decoding_of(resident, slots[:count])) for count in ADAPTERS]


DIMENSIONS: Mapping[str, Callable[[argparse.Namespace], list[Point]]] = {
    "length of rows": lengths,
    "size of the base": bases,
    "number of adapters": adapters,
}


def random_base(layers: int, hidden: int, inner: int, heads: int, kinds: int) -> Network:
    settings = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kinds,
        tie_word_embeddings=True,
    )
    model, spec = LlamaForCausalLM(settings).to(fast_dtype()), spec_of(settings.to_dict())
    return Network(spec, arranged({name: value.detach() for name, value in model.state_dict().items()}, spec))


def install(network: Network) -> None:
    adapter = network.fresh_adapter(Recipe().rank, Recipe().alpha, 0)
    network.install(0, adapter, torch.zeros_like(adapter.flat))


def step_of(network: Network, length: int) -> Callable[[], float]:
    """Return the forward and backward pass of a batch of rows of equal length."""
    random = torch.Generator().manual_seed(length)
    vocabulary = network.head.weight.shape[0]
    tokens = torch.randint(3, vocabulary, (BATCH_SIZE, length), generator=random).tolist()
    rows = [EncodedExample(tuple(row), length - ANSWER_TOKENS) for row in tokens]
    return lambda: _seconds(lambda: network.add_gradient(rows))


def decoding_of(resident: ResidentBase, slots: Sequence[int]) -> Callable[[], float]:
    """Return the decoding, prompts not counted, of eight requests that share these slots evenly."""
    settings = SamplingSettings(max_output_tokens=NEW_TOKENS)
    window = min(PROMPT_TOKENS, resident.encoder.window_tokens - NEW_TOKENS)
    prompts = [tuple(3 + (7 * n + number) % 90 for n in range(window)) for number in range(REQUESTS)]

    def work() -> float:
        generator = Generator(resident.network, resident.encoder, compiled=resident.compiled)
        for number, prompt in enumerate(prompts):
            generator.submit(Request(prompt, settings, slots[number % len(slots)]))
        generator.step()
        return _seconds(lambda: _finish(generator))

    return work


def _finish(generator: Generator) -> None:
    while not generator.is_idle:
        generator.step()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=lambda text: text.split(","), default=list(DIMENSIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    parser.set_defaults(lengths=LENGTHS, shapes=SHAPES)
    return parser


if __name__ == "__main__":
    main()
