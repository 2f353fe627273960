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
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from benchmarks import side_by_side
from benchmarks.side_by_side import OURS, PEERS, Result, by_contender, middle, times
from tunery import config
from tunery.engine.adapter import write_adapter
from tunery.engine.catalog import Catalog
from tunery.engine.gguf_export import write_gguf_adapter
from tunery.engine.resident import resident_base
from tunery.engine.tuner import Recipe
from tunery.engine.weights import read_config
from tunery.types import DEFAULT_BASE_MODEL

RESULTS = side_by_side.RESULTS / "decode.jsonl"
EXAMPLES = side_by_side.HERE.parent / "examples"

LLAMA_CPP = "llama.cpp"
CONTENDERS = {
    OURS: "decode_ours.py",
    LLAMA_CPP: "decode_llama_cpp.py",
    "transformers + peft": "decode_transformers_peft.py",
}
WORKLOADS = {  # requests, adapters, prompt tokens
    "1 request, short": (1, 1, 60),
    "1 request, long": (1, 1, 600),
    "8 requests on 8 models, short": (8, 8, 60),
    "8 requests on 8 models, long": (8, 8, 600),
}
FIGURES = ("decode_tokens_per_second", "prompt_tokens_per_second", "peak_bytes")
HEADER = ("new tokens/s", "ours is", "prompt tokens/s", "ours is", "peak memory", "ours is", "tokens as ours")


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    side_by_side.require(given.peers)
    with tempfile.TemporaryDirectory() as folder:
        shared = prepare(Path(folder), given)
        for name in given.workloads:
            results = measure(name, write_job(Path(folder), name, shared), given)
            side_by_side.append(given.out, results)
            print(table(name, results), end="\n\n", flush=True)


def prepare(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Write adapters as PEFT and as GGUF, and return what all jobs share; the prompts are made of tickets."""
    resident = resident_base(given.base_model, config.data_folder(), given.dtype)
    recipe, names = Recipe(), []
    for seed in range(max(WORKLOADS[name][1] for name in given.workloads)):
        adapter = resident.network.fresh_adapter(recipe.rank, recipe.alpha, seed)
        random = torch.Generator().manual_seed(seed)
        adapter.flat.add_(torch.randn(adapter.flat.shape, generator=random), alpha=0.003)  # B is zero at first
        names.append(str(folder / f"adapter-{seed}"))
        write_adapter(Path(names[-1]), adapter, base_model=resident.name)
        if LLAMA_CPP in given.contenders:
            write_gguf_adapter(Path(names[-1] + ".gguf"), adapter, read_config(resident.folder))
    base = Catalog(config.data_folder()).folder(resident.name)
    with (EXAMPLES / "tickets.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text_input"].rpartition("Ticket: ")[2] for row in csv.DictReader(file)]
    return {
        "base_model": resident.name,
        "base": str(base),
        "gguf": str(base / "original.gguf"),
        "dtype": given.dtype,
        "adapters": names,
        "texts": [resident.encoder.prompt(text) for text in texts],
        "new_tokens": given.new_tokens,
        "threads": given.threads,
    }


def write_job(folder: Path, name: str, shared: dict[str, Any]) -> Path:
    requests, adapters, length = WORKLOADS[name]
    prompts = [list(chain.from_iterable(shared["texts"][number:]))[:length] for number in range(requests)]
    job = {key: value for key, value in shared.items() if key != "texts"}
    job |= {"adapters": shared["adapters"][:adapters], "prompts": prompts}
    path = folder / f"{requests}-{length}.json"
    path.write_text(json.dumps(job), "utf-8")
    return path


def measure(name: str, job: Path, given: argparse.Namespace) -> list[Result]:
    """Run the contenders in turn; their tokens are compared and left out."""
    results = side_by_side.in_turn(given.rounds, given.contenders, lambda contender: run(contender, job, given))
    ours = by_contender(results).get(OURS, results)[0]["tokens"]
    for result in results:
        result["tokens_as_ours"] = agreement(result.pop("tokens"), ours)
    return [{"workload": name, "threads": given.threads, **result} for result in results]


def run(contender: str, job: Path, given: argparse.Namespace) -> Result:
    python = Path(sys.executable) if contender == OURS else given.peers
    environment = {"OMP_NUM_THREADS": str(given.threads)}
    return side_by_side.run_process(contender, python, CONTENDERS[contender], [str(job)], environment, FIGURES[0])


def table(name: str, results: Sequence[Result]) -> str:
    """Return medians, and ratios of medians to our own, as a Markdown table."""
    found = by_contender(results)
    rows = [_row(contender, theirs, found.get(OURS)) for contender, theirs in found.items()]
    return side_by_side.markdown((name, *HEADER), rows)


def _row(contender: str, theirs: Sequence[Result], ours: Sequence[Result] | None) -> list[str]:
    speed, reading, memory = (middle(theirs, figure) for figure in FIGURES)
    our_speed, our_reading, our_memory = (ours and middle(ours, figure) for figure in FIGURES)
    return [
        contender,
        f"{speed:.1f}",
        times(our_speed, speed),
        f"{reading:.0f}",
        times(our_reading, reading),
        f"{memory / 1e6:.0f} MB",
        times(our_memory, memory),
        f"{theirs[0]['tokens_as_ours']:.0%}",
    ]


def agreement(theirs: Sequence[Sequence[int]], ours: Sequence[Sequence[int]]) -> float:
    """Return which share of the new tokens both have in common before they first differ; 1 is all."""
    common = total = 0
    for their_row, our_row in zip(theirs, ours, strict=True):
        total += len(our_row)
        same = [a == b for a, b in zip(their_row, our_row, strict=True)]
        common += same.index(False) if False in same else len(same)
    return common / total


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = {"type": lambda text: text.split(",")}
    parser.add_argument("--workloads", type=lambda text: text.split(";"), default=list(WORKLOADS))
    parser.add_argument("--contenders", **names, default=list(CONTENDERS))  # type: ignore[arg-type]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--dtype", default="bfloat16", help="of tunery and of transformers + PEFT")
    parser.add_argument("--peers", type=Path, default=PEERS, help="Python of the environment with the peers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    return parser


if __name__ == "__main__":
    main()
