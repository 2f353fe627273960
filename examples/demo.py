"""
`make demo`: from a file of examples to a tuned model, and whether tuning helped.

Runs the commands that a user would type. Exit status 0 only if `tunery evaluate` says that tuning helped on rows that
no model has seen. `demo.py BASE OPTION...` uses another base model and options of `tunery tune`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TRAIN, HELD_OUT = HERE / "tickets.csv", HERE / "tickets-held-out.csv"
BASE = "smollm2-135m-instruct"
SHOWN = 8  # rows side by side
TOKENS = "16"  # the longest expected answer has 5


def main(base_model: str = BASE, *options: str) -> int:
    start = time.monotonic()
    run("bases", "pull", base_model)
    tune = ("tune", shown(TRAIN), "--base-model", base_model, "--hold-out", "0", "--display-name", "Ticket labels")
    model_id = json.loads(run(*tune, "--yes", "--json", *options))["name"].removeprefix("tunedModels/")
    questions = list(csv.DictReader(HELD_OUT.open(encoding="utf-8", newline="")))[:SHOWN]
    print(f"\nThe first {SHOWN} tickets of {shown(HELD_OUT)}, which neither model has seen:")
    print_side_by_side(questions, answers(base_model, questions), answers(model_id, questions))
    evaluation = json.loads(run("evaluate", model_id, shown(HELD_OUT), "--json"))
    print_evaluation(evaluation)
    print_next_commands(model_id, time.monotonic() - start)
    return 0 if evaluation["verdict"]["kind"] == "HELPED" else 1


def run(*arguments: str) -> str:
    """Run a command of tunery with its progress visible and return its result."""
    print(f"\n$ tunery {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "tunery", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def answers(model: str, questions: list[dict[str, str]]) -> list[str]:
    """Answer the questions in one batch, through a file as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        lines = [json.dumps({"text_input": question["text_input"]}) for question in questions]
        prompts.write_text("\n".join(lines) + "\n", "utf-8")
        found = run("generate", model, "--input", str(prompts), "--max-output-tokens", TOKENS)
        return [json.loads(line)["output"].strip() for line in found.splitlines()]


def print_side_by_side(questions: list[dict[str, str]], base: list[str], tuned: list[str]) -> None:
    print(f"\n{'ticket':<40}  {'expected':<18}  {'tuned':<20}  base")
    for question, plain, learned in zip(questions, base, tuned, strict=True):
        ticket = question["text_input"].rpartition("Ticket: ")[2]
        mark = "+" if learned == question["output"] else "-"
        print(f"{fit(ticket, 40)}  {question['output']:<18}  {mark} {fit(learned, 18)}  {fit(plain, 36)}")


def print_evaluation(evaluation: dict[str, Any]) -> None:
    """Print the main score of each candidate, and the verdict."""
    print(f"\nScores on all {evaluation['rows']} rows ({evaluation['metric']}):")
    for candidate in evaluation["contenders"]:
        print(f"  {100 * candidate['figures'][0]['value']:3.0f} %  {candidate['title']}")
    print(f"\n{evaluation['verdict']['text']}")


def print_next_commands(model_id: str, seconds: float) -> None:
    print(
        f"\nDone in {seconds / 60:.1f} minutes. Next:\n"
        f"  .venv/bin/tunery generate {model_id} TEXT    TEXT begins with the instructions of the examples\n"
        f"  .venv/bin/tunery models show {model_id}\n"
        "  .venv/bin/tunery tune YOUR.csv    two columns: text_input and output\n"
        "  .venv/bin/tunery serve --open    the Studio: this model and yours in the browser"
    )


def fit(text: str, width: int) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= width else line[: width - 1] + "…").ljust(width)


def shown(path: Path) -> str:
    return str(path.relative_to(HERE.parent))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
