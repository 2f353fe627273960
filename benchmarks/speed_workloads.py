"""
The rows of the speed benchmark, all made of the tickets in `examples/`, and what every contender is given of them.

Knows examples and token ids; nothing of who tunes on them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunery import config
from tunery.data.dataset import Dataset
from tunery.engine.adapter import write_adapter
from tunery.engine.base import fast_dtype, load
from tunery.engine.catalog import Catalog
from tunery.engine.resident import ResidentBase
from tunery.engine.tuner import Recipe, Schedule
from tunery.types import Hyperparameters, TuningExample

TICKETS = Path(__file__).parent.parent / "examples" / "tickets.csv"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is tuned: how many rows by default, how often, and what they are like."""

    rows: int
    epoch_count: int
    about: str


WORKLOADS = {
    "W1": Workload(24, 2, "tickets with shared instructions, short answers"),
    "W2": Workload(48, 2, "the same tickets without any common text"),
    "W3": Workload(12, 2, "answers of 150 tokens and more"),
    "W4": Workload(20, 1, "20 rows, from the start of the process to its end"),
}


def examples(name: str, count: int) -> list[TuningExample]:
    """Return the first `count` rows of a workload."""
    with TICKETS.open(encoding="utf-8", newline="") as file:
        rows = [(row["text_input"], row["output"]) for row in csv.DictReader(file)]
    tickets = [text.rpartition("Ticket: ")[2] for text, _ in rows]
    if name == "W2":
        rows = list(zip(tickets, (output for _, output in rows), strict=True))
    if name == "W3":
        several = [" ".join(tickets[index + 1 : index + 6]) for index in range(len(tickets) - 6)]
        rows = [(f"Which tickets come after this one?\n\n{tickets[i]}", text) for i, text in enumerate(several)]
    return list(Dataset.from_records(rows[:count]).examples)


def prepare(folder: Path, rows: Sequence[TuningExample], epoch_count: int, base_model: str) -> Path:
    """Write what every contender needs: token ids in the order of the steps, the first adapter, the recipe."""
    folder.mkdir(parents=True)
    home = config.data_folder()
    base = load(Catalog(home).resolve(base_model), home, dtype=fast_dtype())
    resident = ResidentBase(base)
    hyperparameters, recipe, seed = Hyperparameters(epoch_count, 4).resolve(), Recipe(), 0
    schedule = Schedule(len(rows), hyperparameters, recipe, seed)
    encoded = resident.encoder.examples(rows)
    order = [encoded[index] for step in range(1, schedule.total_steps + 1) for index in schedule.batch(step)]
    first = resident.network.fresh_adapter(recipe.rank, recipe.alpha, seed)
    write_adapter(folder / "adapter", first, base_model=resident.name)
    job = {
        "base_model": base_model,
        "base_folder": str(base.folder),
        "adapter": str(folder / "adapter"),
        "rows": [{"token_ids": row.token_ids, "answer_offset": row.answer_offset} for row in order],
        "epoch_count": epoch_count,
        "batch_size": hyperparameters.batch_size,
        "learning_rate": hyperparameters.learning_rate,
        "schedule": recipe.schedule,
        "clip_norm": recipe.clip_norm,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    return path
