"""
The prompt contract on the visible suite: false alarms on rows like the training ones, and how much damage it notices.

    .venv/bin/python -m benchmarks.prompt_contracts

For each task and seed a contract is learned from 100 training rows (as many as there are, if fewer) and asked about the
test rows: as they are, without their instructions, and with field labels removed. The rows of two fields are made from
TREC questions ("question: ... context: ..."). No model is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality_data import TASKS, load_task
from tunery.data.inputs import PromptContract

ROWS, SEEDS = 100, range(5)
RESULTS = Path(__file__).parent / "results" / "prompt_contracts.json"


def main() -> None:
    """Print and keep a line for each task; exit 1 beyond 1 % false alarms or below 95 % noticed."""
    results = {name: _task(name) for name in (*TASKS, "two fields")}
    for name, found in results.items():
        print(f"{name:12} false alarms {found['false_alarms']} of {found['rows']}", end="")
        print(f"   damage noticed {found['noticed']} of {found['damaged']}")
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    alarms = sum(r["false_alarms"] for r in results.values()) / sum(r["rows"] for r in results.values())
    noticed = sum(r["noticed"] for r in results.values()) / sum(r["damaged"] for r in results.values())
    print(f"all: false alarms {100 * alarms:.2f} %, damage noticed {100 * noticed:.2f} %")
    raise SystemExit(0 if alarms <= 0.01 and noticed >= 0.95 else 1)


def _task(name: str) -> dict[str, int]:
    total = {"rows": 0, "false_alarms": 0, "damaged": 0, "noticed": 0}
    for seed in SEEDS:
        train, test = _rows(name, seed)
        contract = PromptContract.learn(train)
        damaged = [other for text in test for other in _damaged(contract, text)]
        total["rows"] += len(test)
        total["false_alarms"] += sum(bool(contract.differences(text)) for text in test)
        total["damaged"] += len(damaged)
        total["noticed"] += sum(bool(contract.differences(text)) for text in damaged)
    return total


def _rows(name: str, seed: int) -> tuple[list[str], list[str]]:
    task = load_task("trec6" if name == "two fields" else name)
    train, test = task.sample(min(ROWS, len(task.pool)), seed)
    texts = [[row.text_input for row in rows] for rows in (train, test)]
    if name == "two fields":
        bodies = [[task.body(text) for text in rows] for rows in texts]
        texts = [[f"question: {rows[n - 1]}\ncontext: {body}" for n, body in enumerate(rows)] for rows in bodies]
    return texts[0], texts[1]


def _damaged(contract: PromptContract, text: str) -> Sequence[str]:
    """Return the text without its preamble, and without each of its labels."""
    found = [text.removeprefix(contract.preamble)] if contract.preamble else []
    return found + [re.sub(rf"\b{re.escape(label)}:\s*", "", text) for label in contract.labels]


if __name__ == "__main__":
    main()
