"""
Speed and memory of answering beside llama.cpp and transformers + PEFT, measured in one run on the same prompts.

    python -m benchmarks.decode --rounds 3        the contenders in turn, whole processes; a table of ratios of medians

One request on one tuned model, and eight requests on eight; short and long prompts; greedy, without a stop. Every
contender gets the same token ids, the same base (llama.cpp: the 4-bit file it came in) and the same adapters. The peers
run in an environment of their own (`make peers`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import median

import torch

from benchmarks.gguf_adapter import write_gguf_adapter
from tunery import config
from tunery.engine.adapter import write_adapter
from tunery.engine.model import resident_base
from tunery.engine.resident import ResidentBase
from tunery.engine.tuning.schedule import Recipe
from tunery.types import DEFAULT_BASE_MODEL

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
RESULTS = HERE / "results" / "decode.jsonl"
EXAMPLES = HERE.parent / "examples"

CONTENDERS = {
    "tunery": (Path(sys.executable), "decode_ours.py"),
    "llama.cpp": (PEERS, "decode_llama_cpp.py"),
    "transformers + peft": (PEERS, "decode_transformers_peft.py"),
}
WORKLOADS = {  # requests, adapters, prompt tokens
    "1 request, short": (1, 1, 60),
    "1 request, long": (1, 1, 600),
    "8 requests on 8 models, short": (8, 8, 60),
    "8 requests on 8 models, long": (8, 8, 600),
}
NEW_TOKENS = 64
FIGURES = ("decode_tokens_per_second", "prompt_tokens_per_second", "peak_bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        shared = prepare(Path(folder), max(WORKLOADS[name][1] for name in given.workloads))
        for name in given.workloads:
            job = write_job(Path(folder), name, shared, given.threads)
            results = [
                run(contender, job, given.threads) | {"workload": name, "round": turn, "threads": given.threads}
                for turn in range(given.rounds)
                for contender in given.contenders
            ]
            given.out.parent.mkdir(parents=True, exist_ok=True)
            with given.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(_without_tokens(result)) + "\n" for result in _compared(results))
            print(table(name, results))


def prepare(folder: Path, adapters: int) -> dict[str, object]:
    """Write adapters as PEFT and as GGUF, and return what all jobs share; the prompts are made of tickets."""
    resident: ResidentBase = resident_base(DEFAULT_BASE_MODEL, config.data_folder())
    recipe, names = Recipe(), []
    for seed in range(adapters):
        adapter = resident.network.fresh_adapter(recipe.rank, recipe.alpha, seed)
        random = torch.Generator().manual_seed(seed)
        adapter.flat.add_(torch.randn(adapter.flat.shape, generator=random), alpha=0.003)  # B is zero at first
        names.append(str(folder / f"adapter-{seed}"))
        write_adapter(Path(names[-1]), adapter, base_model=resident.name)
        write_gguf_adapter(Path(names[-1] + ".gguf"), adapter, resident.network.config)
    base = config.data_folder() / "bases" / DEFAULT_BASE_MODEL
    with (EXAMPLES / "tickets.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text_input"].rpartition("Ticket: ")[2] for row in csv.DictReader(file)]
    token_ids = [resident.encoder.prompt(text) for text in texts]
    return {"base": str(base), "gguf": str(base / "original.gguf"), "adapters": names, "texts": token_ids}


def write_job(folder: Path, name: str, shared: dict[str, object], threads: int) -> Path:
    requests, adapters, length = WORKLOADS[name]
    texts: list[list[int]] = shared["texts"]  # type: ignore[assignment]
    prompts = [list(chain.from_iterable(texts[number:]))[:length] for number in range(requests)]
    names: list[str] = shared["adapters"]  # type: ignore[assignment]
    job = {key: value for key, value in shared.items() if key != "texts"}
    job |= {"adapters": names[:adapters], "prompts": prompts, "new_tokens": NEW_TOKENS, "threads": threads}
    path = folder / f"{requests}-{length}.json"
    path.write_text(json.dumps(job), "utf-8")
    return path


def run(contender: str, job: Path, threads: int) -> dict[str, object]:
    """Run one contender as a process of its own; it prints its result as the last line."""
    python, script = CONTENDERS[contender]
    if not python.exists():
        sys.exit(f"{contender} needs the environment of the peers: make peers")
    command = [str(python), "-W", "ignore", str(HERE / "contenders" / script), str(job)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender:20} {result['decode_tokens_per_second']:7.1f} tokens/s", file=sys.stderr, flush=True)
    return {"contender": contender, **result}


def table(name: str, results: Sequence[dict[str, object]]) -> str:
    """Return medians, and ratios of medians to our own, as a Markdown table."""
    lines = [
        f"| {name} | new tokens/s | ours is | prompt tokens/s | ours is | peak memory | ours is | tokens as ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours = [result for result in results if result["contender"] == "tunery"] or results
    for contender in dict.fromkeys(str(result["contender"]) for result in results):
        mine = [result for result in results if result["contender"] == contender]
        speed, reading, memory = (_median(mine, figure) for figure in FIGURES)
        our_speed, our_reading, our_memory = (_median(ours, figure) for figure in FIGURES)
        lines.append(
            f"| {contender} | {speed:.1f} | {our_speed / speed:.2f} × | {reading:.0f} | {our_reading / reading:.2f} ×"
            f" | {memory / 1e6:.0f} MB | {our_memory / memory:.2f} × | {agreement(mine[0], ours[0]):.0%} |"
        )
    return "\n".join(lines)


def agreement(theirs: dict[str, object], ours: dict[str, object]) -> float:
    """Return which share of the new tokens both have in common before they first differ; 1 is all."""
    common = total = 0
    for their_row, our_row in zip(theirs["tokens"], ours["tokens"], strict=True):  # type: ignore[call-overload]
        total += len(our_row)
        same = [a == b for a, b in zip(their_row, our_row, strict=True)]
        common += same.index(False) if False in same else len(same)
    return common / total


def _compared(results: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    ours = next((result for result in results if result["contender"] == "tunery"), results[0])
    return [result | {"tokens_as_ours": agreement(result, ours)} for result in results]


def _without_tokens(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if key != "tokens"}


def _median(results: Sequence[dict[str, object]], name: str) -> float:
    return median(float(result[name]) for result in results)  # type: ignore[arg-type]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = {"type": lambda text: text.split(",")}
    parser.add_argument("--workloads", type=lambda text: text.split(";"), default=list(WORKLOADS))
    parser.add_argument("--contenders", **names, default=list(CONTENDERS))  # type: ignore[arg-type]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    main()
