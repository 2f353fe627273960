"""
Few rows: one tuning, its answers read freely and as labels, and how far their probabilities can be trusted.

    python -m benchmarks.few_rows --tasks trec6 --sizes 20 --settings '{"epoch_count": 20, "label_share": 0.5}'
    python -m benchmarks.few_rows --table

Each finished cell is one line of the results file; holds scores and settings, no rows and no answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from benchmarks.quality_data import ROOT, Task, load_task
from benchmarks.quality_methods import MAX_OUTPUT_TOKENS
from benchmarks.quality_metrics import score
from tunery.evaluation.calibration import calibration_error
from tunery.types import TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "few_rows.jsonl"
HYPERPARAMETERS = ("epoch_count", "batch_size", "learning_rate")


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if not given.table:
        for name in given.tasks.split(","):
            for rows in map(int, given.sizes.split(",")):
                for draw in map(int, given.draws.split(",")):
                    cell = {"task": name, "rows": rows, "draw": draw, "is_stratified": given.stratified}
                    run({**cell, "settings": _versioned(json.loads(given.settings))}, given.out)
    sys.stdout.write(table(read(given.out)) + "\n")


def _versioned(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the version of the loss of labels, if there is one, so that a later one is measured anew."""
    if not settings.get("label_share"):
        return settings
    from tunery.engine.tuner import LABEL_LOSS

    return {**settings, "label_loss": LABEL_LOSS}


def run(cell: dict[str, Any], out: Path) -> None:
    """Measure a cell that the results file does not hold yet."""
    if any(result["cell"] == cell for result in read(out)):
        return
    task = load_task(cell["task"])
    train, test = task.sample(cell["rows"], cell["draw"], is_stratified=cell["is_stratified"])
    result = {"cell": cell, **measure(task, train, test, cell["settings"], cell["draw"])}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.write(json.dumps(result) + "\n")
    sys.stderr.write(f"{cell}: {result['free']:.3f} free, {result['label']:.3f} as labels\n")


def measure(
    task: Task, train: Sequence[TuningExample], test: Sequence[TuningExample], settings: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Tune once, answer the test rows both ways, and return the scores."""
    import tunery

    begin = time.process_time()
    model = tunery.tune(train, seed=seed, recipe=_recipe(settings), **_hyperparameters(settings))
    tuned = time.process_time() - begin
    prompts, expected = [row.text_input for row in test], [row.output for row in test]
    free = model.generate(prompts, max_output_tokens=MAX_OUTPUT_TOKENS, constrain_to_training_outputs=False)
    chosen = model.answers(prompts, max_output_tokens=MAX_OUTPUT_TOKENS)
    labels = {row.output for row in train}
    probabilities = [dict(answer.label_probabilities) for answer in chosen]
    pairs = [
        (max(each.values()), answer.text == want)
        for each, answer, want in zip(probabilities, chosen, expected, strict=True)
    ]
    return {
        "metric": task.metric,
        "free": score(task.metric, expected, [answer.strip() for answer in free]),
        "label": score(task.metric, expected, [answer.text for answer in chosen]),
        "off_label": sum(answer.strip() not in labels for answer in free),
        "changed": sum(one.strip() != other.text for one, other in zip(free, chosen, strict=True)),
        "test_rows": len(test),
        "calibration_error": calibration_error(pairs),
        "steps": len(model.snapshots),
        "tuning_seconds": round(tuned, 1),  # of processor time
    }


def _hyperparameters(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in HYPERPARAMETERS if name in settings}


def _recipe(settings: dict[str, Any]) -> Any:
    from tunery.engine.tuner import Recipe

    return Recipe(**{field.name: settings[field.name] for field in fields(Recipe) if field.name in settings})


def read(path: Path) -> list[dict[str, Any]]:
    """Return the finished cells."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return Markdown: mean and standard deviation over the draws, a row for each task, size and settings."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        cell = result["cell"]
        rows = f"{cell['rows']}{' stratified' if cell['is_stratified'] else ''}"
        settings = ", ".join(f"{name} {value}" for name, value in cell["settings"].items()) or "defaults"
        groups[cell["task"], rows, settings].append(result)
    lines = ["| task | rows | settings | draws | free | as labels | changed | calibration error |", "|" + "---|" * 8]
    for name, found in groups.items():
        free, label = (_spread([each[way] for each in found]) for way in ("free", "label"))
        changed, of = sum(each["changed"] for each in found), sum(each["test_rows"] for each in found)
        error = mean(each["calibration_error"] for each in found)
        lines.append(f"| {' | '.join(name)} | {len(found)} | {free} | {label} | {changed} of {of:,} | {error:.3f} |")
    return "\n".join(lines)


def _spread(scores: Sequence[float]) -> str:
    return f"{mean(scores):.3f} ± {pstdev(scores):.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_rows", description="Quality with few rows.")
    parser.add_argument("--tasks", default="trec6,sms", help="of the quality benchmark, with labels")
    parser.add_argument("--sizes", default="20", help="training rows: 20,50,100,500")
    parser.add_argument("--draws", default="0,1,2,3,4", help="of the training rows")
    parser.add_argument("--stratified", action="store_true", help="draw labels in their shares, at least one of each")
    parser.add_argument("--settings", default="{}", help="hyperparameters and recipe that differ from the defaults")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; finished cells are not measured again")
    parser.add_argument("--table", action="store_true", help="only print the table of the results file")
    return parser


if __name__ == "__main__":
    main()
