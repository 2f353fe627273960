"""
Whether the verdict is right: cases with a known answer, tuned and evaluated with the default base.

    python -m benchmarks.verdict                     every case that is not in the results file yet
    python -m benchmarks.verdict --cases helps       one of them

Each case says what the sentence must be: tuning helps on TREC-6; labels at random cannot be learned; where one word
says the label, counting words is enough; what the base answers anyway needs no tuning; twelve rows tell nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality_data import ROOT, load_task
from benchmarks.quality_methods import load_base
from tunery.types import TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "verdict.jsonl"
TRAIN_ROWS, TEST_ROWS = 100, 300
BASE_TRAIN_ROWS, BASE_TEST_ROWS = 40, 80
BASE_TOKENS = 48  # answers of the base that end within this many

Rows = Sequence[TuningExample]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=__doc__)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = {json.loads(line)["case"] for line in given.out.read_text().splitlines()} if given.out.exists() else set()
    for case in given.cases:
        if case not in done:
            expected, evaluate = CASES[case]
            result = measured(case, expected, evaluate)
            with given.out.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{case}: expected {expected}, said {result['said']}: {result['text']}", file=sys.stderr, flush=True)


def measured(case: str, expected: str, evaluate: Callable[[], Any]) -> dict[str, Any]:
    """Evaluate a case and return what was found, without the texts of rows."""
    begin = time.perf_counter()
    found = evaluate()
    return {
        "case": case,
        "expected": expected,
        "said": found.verdict.kind,
        "text": found.verdict.text,
        "seconds": round(time.perf_counter() - begin, 1),
        "evaluation": found.without_rows().document(),
    }


def helps() -> Any:
    train, test = load_task("trec6").sample(TRAIN_ROWS, seed=0)
    return _tuned(train, test)


def random_labels() -> Any:
    train, test = load_task("trec6").sample(TRAIN_ROWS, seed=0)
    return _tuned(_shuffled(train, 1), _shuffled(test, 2))


def one_word() -> Any:
    """The label follows from one word of the text, which says nothing else."""
    drawn = random.Random(0)
    words = {"refund": "money", "parcel": "delivery", "password": "account"}
    fill = ["please", "today", "again", "my", "the", "is", "still", "not", "there", "help", "with", "about"]
    rows = [
        TuningExample(" ".join([*drawn.choices(fill, k=4), word, *drawn.choices(fill, k=4)]), label)
        for _ in range(60)
        for word, label in words.items()
    ]
    drawn.shuffle(rows)
    return _tuned(rows[:90], rows[90:])


def base_does_it() -> Any:
    """The outputs are what the base answers to these questions anyway."""
    task = load_task("trec6")
    train, _ = task.sample(len(task.pool), seed=0)
    questions = [task.body(row.text_input) for row in train[:400]]
    base = load_base("smollm2-135m-instruct")
    short, long = (base.generate(questions, max_output_tokens=tokens) for tokens in (BASE_TOKENS, BASE_TOKENS + 16))
    # an answer that grows with its limit was cut off
    ended = [TuningExample(question, a) for question, a, b in zip(questions, short, long, strict=True) if a == b and a]
    return _tuned(ended[:BASE_TRAIN_ROWS], ended[BASE_TRAIN_ROWS : BASE_TRAIN_ROWS + BASE_TEST_ROWS])


def twelve_rows() -> Any:
    import tunery

    train, _ = load_task("trec6").sample(12, seed=0)
    return tunery.cross_validate(train, 3)


CASES: dict[str, tuple[str, Callable[[], Any]]] = {
    "twelve-rows": ("TOO_FEW_ROWS", twelve_rows),
    "helps": ("HELPED", helps),
    "one-word": ("NO_BETTER", one_word),
    "base-does-it": ("PROMPT_ENOUGH", base_does_it),
    "random-labels": ("NO_BETTER", random_labels),
}


def _tuned(train: Rows, test: Rows) -> Any:
    import tunery

    return tunery.tune(train, library=False).evaluate(test)


def _shuffled(rows: Rows, seed: int) -> list[TuningExample]:
    outputs = [row.output for row in rows]
    random.Random(seed).shuffle(outputs)
    return [TuningExample(row.text_input, output) for row, output in zip(rows, outputs, strict=True)]


if __name__ == "__main__":
    main()
