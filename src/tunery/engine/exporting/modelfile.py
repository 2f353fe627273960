"""
The Modelfile with which Ollama makes a model of an exported GGUF file.

The template is cut out of the base's own chat template, so that one question is read exactly as it was tuned. Knows
texts only.
"""

from __future__ import annotations

from typing import Any

_MARK = "\u0001question\u0001"


def modelfile(weights: str, tokenizer: Any, *, temperature: float, top_p: float, top_k: int | None) -> str:
    """Return the text of a Modelfile for a GGUF file beside it; the settings are those with which it is served."""
    before, after = prompt_frame(tokenizer)
    stop = tokenizer.eos_token
    lines = [
        f"FROM ./{weights}",
        f'TEMPLATE """{before}{{{{ .Prompt }}}}{after}"""',
        *([f'PARAMETER stop "{stop}"'] if stop else []),
        f"PARAMETER temperature {temperature:g}",
        f"PARAMETER top_p {top_p:g}",
        *([f"PARAMETER top_k {top_k}"] if top_k else []),
        "PARAMETER repeat_penalty 1.0",  # Ollama's own default lowers labels that the question names
    ]
    return "\n".join(lines) + "\n"


def prompt_frame(tokenizer: Any) -> tuple[str, str]:
    """Return what the chat template of a base writes before and behind a question."""
    turns = [{"role": "user", "content": _MARK}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    before, _, after = text.partition(_MARK)
    return before, after
