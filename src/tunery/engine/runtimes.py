"""
Answers prompts with an exported model in its own runtime: transformers, PEFT or llama.cpp.

This is a program for any Python that has the runtime: it reads a JSON document with the prompts from standard input and
writes one with the answers to standard output. It must not import tunery, so that a proof does not depend on tunery.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from typing import Any

NOT_INSTALLED = 3  # exit status: this Python does not have the runtime
PACKAGES = {
    "transformers": ("transformers", "torch"),
    "peft": ("peft", "transformers", "torch"),
    "llama.cpp": ("llama_cpp",),
}
DISTRIBUTIONS = {"llama_cpp": "llama-cpp-python"}


def main() -> None:
    """Answer the document on standard input."""
    asked = json.load(sys.stdin)
    packages = PACKAGES[asked["runtime"]]
    try:
        for package in packages:
            importlib.import_module(package)
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(NOT_INSTALLED) from None
    answers = llama_answers(asked) if asked["runtime"] == "llama.cpp" else transformers_answers(asked)
    versions = {package: version(DISTRIBUTIONS.get(package, package)) for package in packages}
    json.dump({"answers": answers, "versions": versions}, sys.stdout)


def transformers_answers(asked: dict[str, Any]) -> list[str]:
    """Return greedy answers of a model in transformers' layout, or of a base with a PEFT adapter."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(max(1, asked.get("threads", 1)))
    weights = asked["model"] if asked["runtime"] == "transformers" else asked["base"]
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32, local_files_only=True)
    if asked["runtime"] == "peft":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, asked["model"], local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True)
    model.eval()
    answers = []
    for prompt, limit in zip(asked["prompts"], asked["limits"], strict=True):
        tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        ends = {"eos_token_id": asked["ends"], "pad_token_id": asked["ends"][0]} if asked["runtime"] == "peft" else {}
        with torch.inference_mode():
            out = model.generate(**tokens, do_sample=False, max_new_tokens=limit, **ends)
        new = out[0, tokens["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return answers


def llama_answers(asked: dict[str, Any]) -> list[str]:
    """Return greedy answers of a GGUF model, or of a base and an adapter that are both GGUF files."""
    from llama_cpp import Llama

    has_adapter = asked.get("base") is not None
    llama = Llama(
        model_path=asked["base"] if has_adapter else asked["model"],
        lora_path=asked["model"] if has_adapter else None,
        n_ctx=asked["window"],
        n_threads=max(1, asked.get("threads", 1)),
        verbose=False,
    )
    answers = []
    for prompt, limit in zip(asked["prompts"], asked["limits"], strict=True):
        tokens = llama.tokenize(prompt.encode(), add_bos=False, special=True)
        llama.reset()
        out = llama.create_completion(tokens, max_tokens=limit, temperature=0.0, repeat_penalty=1.0)
        answers.append(out["choices"][0]["text"])
    return answers


if __name__ == "__main__":
    main()
