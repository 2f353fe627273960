"""
Whether ruined runs are told from healthy ones: ten of each, with the default base.

    python -m benchmarks.ruins                three quarters of an hour; raw results are in results/ruins.jsonl
    python -m benchmarks.ruins --runs 9 10    some of the twenty

Ruined are runs with learning rates from 0.03 to 1e12, and runs whose outputs were shuffled against their inputs. A run
is told to be ruined if it fails, if its advice says so, or if the verdict is that a simple baseline does as well. The
verdict is of rows that were not tuned on. Nothing but rows tells shuffled outputs: 102 of `messages`, where each of six
labels is as frequent as the others, were too few, so that TREC with 300 has its place.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tunery
from benchmarks import side_by_side
from benchmarks.quality_data import load_task
from benchmarks.side_by_side import Result
from tunery.errors import AnswersRuined, TuningRuined, TuningUnstable
from tunery.evaluation.report import VerdictKind
from tunery.types import DEFAULT_BASE_MODEL, TuningExample

RESULTS = side_by_side.RESULTS / "ruins.jsonl"
FOLDER = Path(__file__).parent.parent / "examples"
FILES = {
    "messages": ("messages.csv", "messages-held-out.csv"),
    "tickets": ("tickets.csv", "tickets-held-out.csv"),
    "headline": ("headline.csv",),
    "next-number": ("next-number.csv", "next-number-held-out.csv"),
}
EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and whether it must be told to be ruined; `one_output` replaces all outputs, `copies` repeats a row."""

    data: str
    is_ruined: bool = False
    rate: float = 0.001
    rows: int = 96
    epochs: int = EPOCHS
    is_shuffled: bool = False
    one_output: str = ""
    copies: int = 0


RUNS = [
    *(Run("messages", True, rate, 24) for rate in (0.03, 0.1, 0.3, 1.0, 10.0, 100.0, 1e4, 1e12)),
    Run("trec6", True, is_shuffled=True),
    Run("headline", True, rows=48, is_shuffled=True),
    *(Run(data, rows=48 if data == "headline" else 96) for data in FILES),
    Run("messages", epochs=1),
    Run("messages", rate=0.0003),
    Run("messages", rate=0.002),
    Run("headline", rows=48, epochs=1),
    Run("messages", rows=24, one_output="Thank you, we will look into it."),
    Run("messages", rows=24, copies=24),
]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    results = []
    for number in given.runs or range(1, len(RUNS) + 1):
        results.append(told(RUNS[number - 1], given.most_rows, given.base_model))
        side_by_side.append(given.out, results[-1:])
        print(results[-1], file=sys.stderr, flush=True)
    print(summary(results))


def told(run: Run, most_rows: int, base_model: str) -> Result:
    """Tune, and return what the run was told to be, and by what."""
    examples, held_out = _rows(run, min(run.rows, most_rows))
    facts = {
        "data": run.data,
        "rows": len(examples),
        "held_out": len(held_out),
        "rate": run.rate,
        "epochs": run.epochs,
        "is_shuffled": run.is_shuffled,
    }
    facts |= {"one_output": bool(run.one_output), "copies": run.copies, "is_ruined": run.is_ruined}
    begin = time.monotonic()
    try:
        model = tunery.tune(examples, base_model=base_model, epoch_count=run.epochs, learning_rate=run.rate)
    except (TuningUnstable, TuningRuined, AnswersRuined) as error:
        return {**facts, "told": True, "by": type(error).__name__, "text": str(error)}
    seconds = round(time.monotonic() - begin, 1)
    if model.advice is not None and model.advice.kind in ("ruined", "constant"):
        return {**facts, "told": True, "by": "advice", "text": model.advice.text, "seconds": seconds}
    if run.one_output or run.copies:  # data that is named before the start; there is nothing to tell apart
        return {**facts, "told": False, "by": "", "text": "", "seconds": seconds}
    verdict = model.evaluate(held_out).verdict
    assert verdict is not None
    is_useless = verdict.kind is VerdictKind.NO_BETTER
    return {**facts, "told": is_useless, "by": "verdict", "text": verdict.text, "seconds": seconds}


def summary(results: Sequence[Result]) -> str:
    """Return a table of all runs, and how many were told rightly."""
    rows = [
        [_name(result), "ruined" if result["is_ruined"] else "healthy", "ruined" if result["told"] else "healthy",
         result["by"] or "", result["text"] or ""]
        for result in results
    ]  # fmt: skip
    right = sum(result["told"] == result["is_ruined"] for result in results)
    table = side_by_side.markdown(("run", "is", "told to be", "by", ""), rows)
    return f"{table}\n\n{right} of {len(results)} are told rightly."


def _name(result: Result) -> str:
    changes = [
        "outputs shuffled" if result["is_shuffled"] else "",
        "one output" if result["one_output"] else "",
        f"{result['copies']} times one row" if result["copies"] else "",
        f"{result['epochs']} epochs" if result["epochs"] != EPOCHS else "",
    ]
    return ", ".join([result["data"], f"rate {result['rate']:g}", *filter(None, changes)])


def _rows(run: Run, count: int) -> tuple[list[TuningExample], list[TuningExample]]:
    if run.data in FILES:
        rows = [row for file in FILES[run.data] for row in _read(file)]
        examples, held_out = rows[:count], rows[count:]
    else:
        examples, held_out = load_task(run.data).sample(count, seed=0)
    if run.is_shuffled:
        examples, held_out = _shuffled(examples), _shuffled(held_out)
    if run.one_output:
        examples = [TuningExample(row.text_input, run.one_output) for row in examples]
    if run.copies:
        examples = examples[:1] * run.copies
    return examples, held_out


def _shuffled(rows: Sequence[TuningExample]) -> list[TuningExample]:
    outputs = [row.output for row in rows]
    random.Random(0).shuffle(outputs)
    return [TuningExample(row.text_input, output) for row, output in zip(rows, outputs, strict=True)]


def _read(name: str) -> list[TuningExample]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return [TuningExample(*row) for row in list(csv.reader(file))[1:]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", help="numbers of runs from 1; without them all twenty")
    parser.add_argument("--most-rows", type=int, default=1000, help="tuned on at most")
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    return parser


if __name__ == "__main__":
    main()
