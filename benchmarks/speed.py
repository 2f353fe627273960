"""
Speed and memory of tuning beside TRL + PEFT, measured in one run on the same rows.

    python -m benchmarks.speed --rounds 3        the contenders in turn, whole processes; a table of ratios of medians

Every contender gets the same token ids in the same order, the same first adapter and the same recipe, so the losses
must agree. TRL + PEFT run in an environment of their own (`make peers`).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tunery import config
from tunery.engine.adapter import write_adapter
from tunery.engine.data.datasets import Dataset
from tunery.engine.model import resident_base
from tunery.engine.resident import ResidentBase
from tunery.engine.tuning.schedule import Recipe, Schedule
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, TuningExample

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
RESULTS = HERE / "results" / "speed.jsonl"
EXAMPLES = HERE.parent / "examples"

CONTENDERS = {
    "tunery": (Path(sys.executable), "ours.py", ()),
    "trl float32": (PEERS, "trl_peft.py", ("float32",)),
    "trl bfloat16": (PEERS, "trl_peft.py", ("bfloat16",)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for name in given.workloads:
            rows = workload(name)[: given.rows]
            job = prepare(Path(folder) / name, rows, Hyperparameters(given.epochs, 4))
            results = [
                run(contender, job) | {"workload": name, "round": turn}
                for turn in range(given.rounds)
                for contender in given.contenders
            ]
            with given.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(result) + "\n" for result in results)
            print(table(name, results))


def workload(name: str) -> list[TuningExample]:
    """Return the rows of W1 (tickets, shared instructions) or W2 (the same tickets without any common text)."""
    with (EXAMPLES / "tickets.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text_input"], row["output"]) for row in csv.DictReader(file)]
    if name == "W2":
        rows = [(text.rpartition("Ticket: ")[2], output) for text, output in rows]
    return list(Dataset.from_records(rows).examples)


def prepare(folder: Path, rows: Sequence[TuningExample], hyperparameters: Hyperparameters) -> Path:
    """Write what every contender needs: token ids in the order of the steps, the first adapter, the recipe."""
    folder.mkdir(parents=True)
    resident: ResidentBase = resident_base(DEFAULT_BASE_MODEL, config.data_folder())
    recipe, seed = Recipe(), 0
    schedule = Schedule(len(rows), hyperparameters.resolve(), recipe, seed)
    encoded = resident.encoder.examples(rows)
    order = [encoded[index] for step in range(1, schedule.total_steps + 1) for index in schedule.batch(step)]
    write_adapter(
        folder / "adapter", resident.network.fresh_adapter(recipe.rank, recipe.alpha, seed), base_model=resident.name
    )
    job = {
        "base": str(config.data_folder() / "bases" / DEFAULT_BASE_MODEL),
        "adapter": str(folder / "adapter"),
        "rows": [{"token_ids": row.token_ids, "answer_offset": row.answer_offset} for row in order],
        "batch_size": hyperparameters.batch_size,
        "epoch_count": hyperparameters.epoch_count,
        "learning_rate": schedule.hyperparameters.learning_rate,
        "clip_norm": recipe.clip_norm,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    return path


def run(contender: str, job: Path) -> dict[str, object]:
    """Run one contender as a process of its own; it prints its result as the last line."""
    python, script, options = CONTENDERS[contender]
    if not python.exists():
        sys.exit(f"{contender} needs the environment of the peers: make peers")
    command = [str(python), "-W", "ignore", str(HERE / "contenders" / script), str(job), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender:14} {result['tokens_per_second']:7.0f} tokens/s", file=sys.stderr, flush=True)
    return {"contender": contender, **result}


def table(name: str, results: Sequence[dict[str, object]]) -> str:
    """Return medians, and ratios of medians to our own, as a Markdown table."""
    lines = [
        f"| {name} | tokens/s | ours is | peak memory | ours is | mean loss per epoch |",
        "|---|---|---|---|---|---|",
    ]
    ours = [result for result in results if result["contender"] == "tunery"]
    for contender in dict.fromkeys(str(result["contender"]) for result in results):
        mine = [result for result in results if result["contender"] == contender]
        speed, memory = _median(mine, "tokens_per_second"), _median(mine, "peak_bytes")
        losses = " ".join(f"{loss:.4f}" for loss in mine[0]["losses"])  # type: ignore[attr-defined]
        lines.append(
            f"| {contender} | {speed:.0f} | {_median(ours, 'tokens_per_second') / speed:.2f} × | {memory / 1e6:.0f} MB"
            f" | {_median(ours, 'peak_bytes') / memory:.2f} × | {losses} |"
        )
    return "\n".join(lines)


def _median(results: Sequence[dict[str, object]], name: str) -> float:
    return median(float(result[name]) for result in results)  # type: ignore[arg-type]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = {"type": lambda text: text.split(",")}
    parser.add_argument("--workloads", **names, default=["W1", "W2"])  # type: ignore[arg-type]
    parser.add_argument("--contenders", **names, default=list(CONTENDERS))  # type: ignore[arg-type]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    main()
