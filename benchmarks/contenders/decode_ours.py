"""tunery's own generator on a prepared job: prints new and prompt tokens per second, peak memory and tokens as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from peak_memory import peak_bytes

from tunery import config
from tunery.engine.adapter import read_adapter
from tunery.engine.answers.generator import Generator, Request
from tunery.engine.resident import ResidentBase, resident_base
from tunery.types import SamplingSettings

WARM_TOKENS = 4


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    resident = resident_base(job["base_model"], config.data_folder(), job["dtype"])
    resident.encoder.stop_token_ids = frozenset()
    slots = [resident.add(read_adapter(Path(name), resident.network)) for name in job["adapters"]]
    requests = list(zip(job["prompts"], slots, strict=True))
    run(started(resident, requests, WARM_TOKENS))
    first, others, tokens_of_others = run(started(resident, requests, job["new_tokens"]))
    peak = peak_bytes()
    result = {
        "decode_tokens_per_second": tokens_of_others / others,
        "prompt_tokens_per_second": sum(map(len, job["prompts"])) / (first - others / tokens_of_others * len(requests)),
        "peak_bytes": peak,
        "tokens": tokens(resident, requests, job["new_tokens"]),
    }
    print(json.dumps(result))


def started(resident: ResidentBase, requests: list[tuple[list[int], int]], new_tokens: int) -> Generator:
    generator = Generator(resident.network, resident.encoder, compiled=resident.compiled)
    for prompt, slot in requests:
        generator.submit(Request(tuple(prompt), SamplingSettings(max_output_tokens=new_tokens), slot))
    return generator


def run(generator: Generator) -> tuple[float, float, int]:
    """Return the seconds of the first step, which reads the prompts, those of the others, and the tokens of these."""
    start = time.perf_counter()
    generator.step()
    middle, tokens_of_first = time.perf_counter(), generator.drawn_tokens
    while not generator.is_idle:
        generator.step()
    return middle - start, time.perf_counter() - middle, generator.drawn_tokens - tokens_of_first


def tokens(resident: ResidentBase, requests: list[tuple[list[int], int]], new_tokens: int) -> list[list[int]]:
    """Answer again, untimed, with token ids for text."""
    resident.encoder.text = lambda token_ids: "".join(f"{token} " for token in token_ids)  # type: ignore[method-assign]
    resident.encoder.whole_text = resident.encoder.text  # type: ignore[method-assign]
    generator, texts = started(resident, requests, new_tokens), {}
    while not generator.is_idle:
        for piece in generator.step():
            texts[piece.number] = texts.get(piece.number, "") + piece.text
    return [[int(word) for word in texts[number].split()] for number in sorted(texts)]


if __name__ == "__main__":
    main(sys.argv[1])
