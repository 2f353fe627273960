"""
The rows of the quality benchmark: TREC-6, SMS spam, next number, tickets, synopsis, package search.

TREC and SMS rows come from `quality_sources.py`, the last two from `quality_debian.py`, the others from `examples/`.
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

from benchmarks.quality_debian import (
    CHOICES,
    SEARCH_INSTRUCTIONS,
    SYNOPSIS_INSTRUCTIONS,
    Package,
    read_packages,
    search_rows,
    synopsis_rows,
)
from benchmarks.quality_sources import TREC_LABELS, WHEEL, read_sms, read_trec
from tunery.types import TuningExample

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

TEST_ROWS = 300
DEBIAN_TEST_ROWS = 100  # they are longer
DEBIAN_ROWS = 3_000  # to draw from
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
    metric: str  # "accuracy", "macro-f1" or "rouge-l"
    labels: tuple[str, ...]  # all outputs there are; empty: free text
    pool: tuple[TuningExample, ...]  # training rows are drawn from here
    test: tuple[TuningExample, ...]
    max_output_tokens: int = 24  # enough for the longest answer; the rest leaves the base room for a sentence around it

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


def load_synopsis(_wheel: Path) -> Task:
    test, pool = _debian_parts()
    test_rows, pool_rows = (_instructed(SYNOPSIS_INSTRUCTIONS, synopsis_rows(part)) for part in (test, pool))
    chosen = test_rows[:DEBIAN_TEST_ROWS]
    return Task("synopsis", SYNOPSIS_INSTRUCTIONS, "rouge-l", (), pool_rows, chosen, max_output_tokens=40)


def load_package_search(_wheel: Path) -> Task:
    # each answer is a letter, so the share of right answers is the recall at 1
    test, pool = _debian_parts()
    test_rows, pool_rows = (_instructed(SEARCH_INSTRUCTIONS, search_rows(part, TEST_SEED)) for part in (test, pool))
    return Task(
        "package-search", SEARCH_INSTRUCTIONS, "accuracy", tuple(CHOICES), pool_rows, test_rows[:DEBIAN_TEST_ROWS]
    )


def _debian_parts() -> tuple[list[Package], list[Package]]:
    """Return the packages of test rows and of rows to draw from; the two have no source package in common."""
    order = list(read_packages())
    Random(TEST_SEED).shuffle(order)
    return order[:DEBIAN_ROWS], order[DEBIAN_ROWS : 2 * DEBIAN_ROWS]


def _instructed(instructions: str, rows: Sequence[TuningExample]) -> tuple[TuningExample, ...]:
    return tuple(TuningExample(instructions + row.text_input, row.output) for row in rows)


TASKS: dict[str, Callable[[Path], Task]] = {
    "trec6": load_trec6,
    "sms": load_sms,
    "next-number": load_next_number,
    "tickets": load_tickets,
    "synopsis": load_synopsis,
    "package-search": load_package_search,
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
    whole = _instructed(instructions, order)
    pool = tuple(row for index, row in enumerate(whole) if index not in chosen)
    return Task(name, instructions, metric, labels, pool, tuple(whole[index] for index in sorted(chosen)))
