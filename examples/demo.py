"""
`make demo`: from a file of examples to a tuned model, and what it is worth.

Runs the same commands that a user would type, then asks the base and the tuned model questions that neither has seen.
The exit status is 0 only if the tuned model is right more often than the base.
`demo.py BASE OPTION...` uses another base model and options of `tunery tune`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TRAIN, HELD_OUT = HERE / "tickets.csv", HERE / "tickets-held-out.csv"
BASE = "smollm2-135m-instruct"
SHOWN = 8  # rows side by side; all are counted
TOKENS = "16"  # the longest right answer has 5; the rest gives the base room for a sentence


def main(base_model: str = BASE, *options: str) -> int:
    start = time.monotonic()
    run("bases", "pull", base_model)
    tune = ("tune", shown(TRAIN), "--base-model", base_model, "--display-name", "Ticket labels", "--yes", "--json")
    model_id = json.loads(run(*tune, *options))["name"].removeprefix("tunedModels/")
    questions = list(csv.DictReader(HELD_OUT.open(encoding="utf-8", newline="")))
    print(f"\nAsking both models the {len(questions)} tickets of {shown(HELD_OUT)}, which neither has seen.")
    base, tuned = answers(base_model, questions), answers(model_id, questions)
    base_right, tuned_right = compare(questions, base, tuned)
    print_next_commands(model_id, time.monotonic() - start)
    return 0 if tuned_right > base_right else 1


def run(*arguments: str) -> str:
    """Run a command of tunery with its progress shown; return what it prints as its result."""
    print(f"\n$ tunery {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "tunery", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def answers(model: str, questions: list[dict[str, str]]) -> list[str]:
    """Answer all questions in one batch, through files as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        prompts, results = Path(folder) / "prompts.jsonl", Path(folder) / "answers.jsonl"
        lines = [json.dumps({"text_input": question["text_input"]}) for question in questions]
        prompts.write_text("\n".join(lines) + "\n", "utf-8")
        run("generate", model, "--input", str(prompts), "--output", str(results), "--max-output-tokens", TOKENS)
        return [json.loads(line)["output"].strip() for line in results.read_text("utf-8").splitlines()]


def compare(questions: list[dict[str, str]], base: list[str], tuned: list[str]) -> tuple[int, int]:
    """Print some rows side by side and the counts over all; return how many each got right."""
    print(f"\n{'ticket':<40}  {'expected':<18}  {'tuned':<20}  base")
    for question, plain, learned in list(zip(questions, base, tuned, strict=True))[:SHOWN]:
        ticket = question["text_input"].rpartition("Ticket: ")[2]
        mark = "+" if learned == question["output"] else "-"
        print(f"{fit(ticket, 40)}  {question['output']:<18}  {mark} {fit(learned, 18)}  {fit(plain, 36)}")
    right = [sum(a == q["output"] for a, q in zip(given, questions, strict=True)) for given in (base, tuned)]
    print(f"\nRight of {len(questions)}:  tuned {right[1]}   base {right[0]}")
    return right[0], right[1]


def print_next_commands(model_id: str, seconds: float) -> None:
    print(
        f"\nDone in {seconds / 60:.1f} minutes. Next:\n"
        f"  .venv/bin/tunery generate {model_id} TEXT    ask it; TEXT begins like its examples\n"
        f"  .venv/bin/tunery models show {model_id}\n"
        "  .venv/bin/tunery tune YOUR.csv    your own examples: two columns, an input and an output\n"
        "  .venv/bin/tunery serve --open     the Studio: this model and your own in a web page"
    )


def fit(text: str, width: int) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= width else line[: width - 1] + "…").ljust(width)


def shown(path: Path) -> str:
    return str(path.relative_to(HERE.parent))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
