"""
The rows of the quality benchmark: TREC-6, SMS spam, next number, tickets.

TREC and SMS rows come from `quality_sources.py`, the others from `examples/`.
Knows splits; nothing of models, methods or scores.

    task = load_task("trec6")
    train, test = task.sample(100, seed=0)
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.quality_sources import TREC_LABELS, WHEEL, read_sms, read_trec
from tunery.types import TuningExample

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

TEST_ROWS = 300
TEST_SEED = 2024  # fixes the test rows once for all sizes and seeds

TREC_INSTRUCTIONS = (
    "What kind of answer does the question ask for? "
    "Reply with one word: abbreviation, description, entity, human, location or number.\n\nQuestion: "
)
SMS_INSTRUCTIONS = "Is the text message spam or ham (not spam)? Reply with one word.\n\nMessage: "


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to learn, with rows to learn it from and rows to measure it on."""

    name: str
    instructions: str  # with which each text_input begins; may be empty
    metric: str  # "accuracy" or "macro-f1"
    labels: tuple[str, ...]  # all outputs there are; empty: free text
    pool: tuple[TuningExample, ...]  # training rows are drawn from here
    test: tuple[TuningExample, ...]

    def sample(
        self, n: int, seed: int, *, is_stratified: bool = False
    ) -> tuple[list[TuningExample], list[TuningExample]]:
        """
        Return `n` training rows and the test rows.

        The test rows are always the same. With one seed, the rows of a smaller `n` are among those of a larger one,
        unless the draw is stratified: each label in its share, at least once. Raises ValueError when there are fewer
        than `n` rows.
        """
        if n > len(self.pool):
            raise ValueError(f"{self.name} has {len(self.pool)} training rows, not {n}.")
        order = list(self.pool)
        Random(seed).shuffle(order)
        return _stratified(order, n, seed) if is_stratified else order[:n], list(self.test)

    def body(self, text_input: str) -> str:
        """Return what is special to this row: its text without the instructions."""
        return text_input.removeprefix(self.instructions)


def _stratified(order: Sequence[TuningExample], n: int, seed: int) -> list[TuningExample]:
    """Return the first rows of each label, by largest remainder with at least one, in a random order."""
    counts = Counter(row.output for row in order)
    share = {label: n * count / len(order) for label, count in counts.items()}
    take = {label: max(1, int(part)) for label, part in share.items()}
    for label in sorted(share, key=lambda label: (take[label] - share[label], label)):
        take[label] += sum(take.values()) < n
    while sum(take.values()) > n:
        take[max(take, key=lambda label: (take[label], label))] -= 1
    seen: Counter[str] = Counter()
    chosen = []
    for row in order:
        seen[row.output] += 1
        if seen[row.output] <= take[row.output]:
            chosen.append(row)
    Random(seed).shuffle(chosen)
    return chosen


def load_task(name: str, wheel: Path = WHEEL) -> Task:
    """Return the task of this name; a wheel that is missing is downloaded first."""
    return TASKS[name](wheel)


def load_trec6(wheel: Path) -> Task:
    rows = read_trec(wheel)
    return _split("trec6", TREC_INSTRUCTIONS, "accuracy", tuple(TREC_LABELS.values()), rows)


def load_sms(wheel: Path) -> Task:
    rows = read_sms(wheel)
    # Six of seven messages are ham: accuracy would praise a model that always says so
    return _split("sms", SMS_INSTRUCTIONS, "macro-f1", ("ham", "spam"), rows)


def load_next_number(_wheel: Path) -> Task:
    pool, test = read_examples("next-number"), read_examples("next-number-held-out")
    return Task("next-number", "", "accuracy", (), tuple(pool), tuple(test))


def load_tickets(_wheel: Path) -> Task:
    pool, test = read_examples("tickets"), read_examples("tickets-held-out")
    marker = "\nTicket: "
    instructions = pool[0].text_input.partition(marker)[0] + marker
    return Task(
        "tickets", instructions, "accuracy", tuple(sorted({row.output for row in pool})), tuple(pool), tuple(test)
    )


TASKS: dict[str, Callable[[Path], Task]] = {
    "trec6": load_trec6,
    "sms": load_sms,
    "next-number": load_next_number,
    "tickets": load_tickets,
}


def read_examples(name: str) -> list[TuningExample]:
    """Return the rows of a file in `examples/`, named without its ending."""
    with (EXAMPLES / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return [TuningExample(row["text_input"], row["output"]) for row in csv.DictReader(file)]


def _split(name: str, instructions: str, metric: str, labels: tuple[str, ...], rows: Sequence[TuningExample]) -> Task:
    order = list(rows)
    Random(TEST_SEED).shuffle(order)
    order.sort(key=lambda row: row.output)
    # Every k-th row of a list sorted by label holds each label in its share
    chosen = {index * len(order) // TEST_ROWS for index in range(TEST_ROWS)}
    whole = [TuningExample(instructions + row.text_input, row.output) for row in order]
    pool = tuple(row for index, row in enumerate(whole) if index not in chosen)
    return Task(name, instructions, metric, labels, pool, tuple(whole[index] for index in sorted(chosen)))
