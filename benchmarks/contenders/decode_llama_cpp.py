"""
llama.cpp through its Python binding on a prepared job: prints the same figures as `decode_ours.py`.

The binding has no adapter per row, so requests on different adapters are answered one after another, each in a context
of its own; loading them is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from llama_cpp import Llama
from peak_memory import peak_bytes

WARM_TOKENS = 4


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    reading = decoding = 0.0
    rows = []
    for adapter, prompt in zip(job["adapters"], job["prompts"], strict=True):
        model = Llama(
            job["gguf"],
            lora_path=f"{adapter}.gguf",
            n_ctx=len(prompt) + job["new_tokens"],
            n_threads=job["threads"],
            n_threads_batch=job["threads"],
            verbose=False,
        )
        answer(model, prompt, WARM_TOKENS)
        model.reset()
        tokens, first, rest = answer(model, prompt, job["new_tokens"])
        rows.append(tokens)
        reading, decoding = reading + first, decoding + rest
        model.close()
    result = {
        "decode_tokens_per_second": len(rows) * (job["new_tokens"] - 1) / decoding,
        "prompt_tokens_per_second": sum(len(prompt) for prompt in job["prompts"]) / reading,
        "peak_bytes": peak_bytes(),
        "tokens": rows,
    }
    print(json.dumps(result))


def answer(model: Any, prompt: list[int], new_tokens: int) -> tuple[list[int], float, float]:
    """Return new tokens, and the seconds up to the first and from there to the last."""
    start = time.perf_counter()
    stream = model.generate(prompt, temp=0.0, repeat_penalty=1.0, reset=True)
    tokens = [next(stream)]
    middle = time.perf_counter()
    tokens += islice(stream, new_tokens - 1)
    return tokens, middle - start, time.perf_counter() - middle


if __name__ == "__main__":
    main(sys.argv[1])
