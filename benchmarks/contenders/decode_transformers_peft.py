"""transformers + PEFT on a prepared job, an adapter per row: prints what `decode_ours.py` does."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peak_memory import peak_bytes
from peft import PeftModel
from transformers import AutoModelForCausalLM, LogitsProcessor

WARM_TOKENS = 4


class Clock(LogitsProcessor):
    """When the logits of each step were there."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del input_ids
        self.times.append(time.perf_counter())
        return scores


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    torch.set_num_threads(job["threads"])
    base = AutoModelForCausalLM.from_pretrained(job["base"], dtype=getattr(torch, job["dtype"]))
    base.generation_config.eos_token_id = None  # nobody stops here; `min_new_tokens` would forbid the token instead
    model = PeftModel.from_pretrained(base, job["adapters"][0], adapter_name="0")
    for number, folder in enumerate(job["adapters"][1:], 1):
        model.load_adapter(folder, adapter_name=str(number))
    model.eval()
    answer(model, job["prompts"], WARM_TOKENS)
    print(json.dumps(answer(model, job["prompts"], job["new_tokens"])))


def answer(model: Any, prompts: list[list[int]], new_tokens: int) -> dict[str, Any]:
    clock, token_ids = Clock(), torch.tensor(prompts)
    names = {"adapter_names": [str(number) for number in range(len(prompts))]} if len(prompts) > 1 else {}
    start = time.perf_counter()
    with torch.inference_mode():
        rows = model.generate(
            input_ids=token_ids,
            attention_mask=torch.ones_like(token_ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=2,
            logits_processor=[clock],
            **names,
        )
    end = time.perf_counter()
    return {
        "decode_tokens_per_second": len(prompts) * (new_tokens - 1) / (end - clock.times[0]),
        "prompt_tokens_per_second": token_ids.numel() / (clock.times[0] - start),
        "peak_bytes": peak_bytes(),
        "tokens": rows[:, token_ids.shape[1] :].tolist(),
    }


if __name__ == "__main__":
    main(sys.argv[1])
