"""
Quality of tuned models beside simple baselines, on rows that none of them has seen.

    python -m benchmarks.quality                       every cell that is not in the results file yet
    python -m benchmarks.quality --table               the table of what is there
    python -m benchmarks.quality --methods tuned --tasks trec6 --sizes 100 --rank 16    an experiment

Plans the cells, runs them one after the other and keeps each as soon as it is finished.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from benchmarks.quality_data import ROOT, TASKS, Task, load_task
from benchmarks.quality_methods import METHODS, Trial, TuningOptions
from benchmarks.quality_metrics import OFF_LABEL, further_scores, lenient, score, strict
from benchmarks.quality_results import Cell, Result, append, read, table

RESULTS = ROOT / "benchmarks" / "results" / "quality.jsonl"
PLAIN, STRATIFIED = DRAWS = ("plain", "stratified")  # regardless of labels, or each in its share
STRATIFIED_TASKS = ("trec6", "sms", "tickets")  # in the others, each row has its own output, or any label is as likely
OPTIONS = {
    "base_model": str,
    "epoch_count": int,
    "batch_size": int,
    "learning_rate": float,
    "rank": int,
    "alpha": float,
    "schedule": str,
    "warmup_fraction": float,
    "weight_decay": float,
    "clip_norm": float,
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if not given.table:
        options = TuningOptions(**{name: getattr(given, name) for name in OPTIONS if getattr(given, name) is not None})
        run(plan(given.tasks, given.sizes, given.seeds, given.methods, options, given.draws), options, given.out)
    print(table(read(given.out), is_lenient=given.lenient))


def plan(
    tasks: Sequence[str],
    sizes: Sequence[int],
    seeds: Sequence[int],
    methods: Sequence[str],
    options: TuningOptions,
    draws: Sequence[str] = (PLAIN,),
) -> Iterator[Cell]:
    """Yield each cell once: a method that does not use the training rows or the seed is not repeated over them."""
    for task in tasks:
        for name in methods:
            method = METHODS[name]
            if method.tasks and task not in method.tasks:
                continue
            effective = {key: value for key, value in options.given.items() if key in method.options}
            for draw in draws if method.is_random and task in STRATIFIED_TASKS else [PLAIN]:
                for examples in sizes if method.rows is None else [method.rows]:
                    for seed in seeds if method.is_random else [0]:
                        yield Cell(task, name, examples, seed, effective, draw == STRATIFIED)


def run(cells: Iterable[Cell], options: TuningOptions, out: Path) -> None:
    """Measure the cells that `out` does not hold yet; a task that has too few rows for a cell is passed over."""
    finished = {result.cell.key for result in read(out)}
    passed_over = set()
    for cell in cells:
        if cell.examples > len(_task(cell.task).pool):
            passed_over.add(f"{cell.task} has no {cell.examples} training rows, only {len(_task(cell.task).pool)}.")
        elif cell.key not in finished:
            result = measure(cell, _task(cell.task), options)
            append(out, result)
            _say(_line(result))
    for sentence in sorted(passed_over):
        _say(sentence)


def measure(cell: Cell, task: Task, options: TuningOptions) -> Result:
    """Let the method of the cell answer the test rows, and score its answers."""
    method = METHODS[cell.method]
    train, test = task.sample(max(cell.examples, method.drawn), cell.seed, is_stratified=cell.is_stratified)
    start = time.perf_counter()
    answers = method.answer(Trial(task, train, test, options, cell.seed))
    seconds = time.perf_counter() - start
    expected, read_leniently = [row.output for row in test], [lenient(answer, task.labels) for answer in answers]
    read_strictly = [strict(answer) for answer in answers]
    return Result(
        cell=cell,
        metric=task.metric,
        score=score(task.metric, expected, read_strictly),
        lenient_score=score(task.metric, expected, read_leniently),
        off_label=read_leniently.count(OFF_LABEL),
        test_rows=len(test),
        seconds=round(seconds, 3),
        further=further_scores(task.metric, expected, read_strictly),
    )


@cache
def _task(name: str) -> Task:
    return load_task(name)


def _line(result: Result) -> str:
    cell = result.cell
    return (
        f"{cell.task:14} {cell.method:12} {cell.examples:4} rows  seed {cell.seed}"
        f"{' stratified' if cell.is_stratified else '           '}  "
        f"{result.score:.3f}  lenient {result.lenient_score:.3f}  {result.seconds:7.1f} s"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description="Quality of tuned models beside baselines."
    )
    parser.add_argument("--tasks", type=_names(TASKS), default=["trec6", "sms", "next-number"], help=", ".join(TASKS))
    parser.add_argument("--sizes", type=_numbers, default=[20, 50, 100, 500], help="training rows: 20,50,100,500")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2, 3, 4], help="0,1,2,3,4")
    parser.add_argument("--draws", type=_names(DRAWS), default=list(DRAWS), help=", ".join(DRAWS))
    parser.add_argument("--methods", type=_names(METHODS), default=list(METHODS), help=", ".join(METHODS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; finished cells are not measured again")
    parser.add_argument("--table", action="store_true", help="only print the table of the results file")
    parser.add_argument("--lenient", action="store_true", help="table: take a label out of a longer answer")
    for name, kind in OPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, help=f"for experiments: tune with this {name}")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
