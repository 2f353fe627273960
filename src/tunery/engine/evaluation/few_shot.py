"""
Prompts that show a base some examples before they ask: instructions once, examples with their answers, the open row.

Knows texts; whether a prompt fits a base is asked of the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tunery.data.likeness import shared_start
from tunery.types import TuningExample

SHOTS = 5


def choose_shots(examples: Sequence[TuningExample], count: int = SHOTS) -> list[TuningExample]:
    """Return the first rows with different outputs, then further ones: a prompt that shows one label only misleads."""
    seen: Counter[str] = Counter()
    order = []
    for example in examples:
        order.append((seen[example.output], example))
        seen[example.output] += 1
    return [example for _, example in sorted(order, key=lambda pair: pair[0])[:count]]


def few_shot_prompts(
    examples: Sequence[TuningExample], asked: Sequence[str], fits: Callable[[str], bool]
) -> tuple[list[str], int]:
    """Return a prompt for each text with up to SHOTS examples, as many as fit, and the most that a prompt has."""
    shots = choose_shots(examples)
    instructions = shared_start([*(example.text_input for example in examples), *asked])
    prompts, most = [], 0
    for text in asked:
        count = len(shots)
        while count and not fits(_prompt(instructions, shots[:count], text)):
            count -= 1
        prompts.append(_prompt(instructions, shots[:count], text) if count else text)
        most = max(most, count)
    return prompts, most


def _prompt(instructions: str, shots: Sequence[TuningExample], text: str) -> str:
    shown = [f"{shot.text_input.removeprefix(instructions)}\nAnswer: {shot.output}" for shot in shots]
    return instructions + "\n\n".join([*shown, f"{text.removeprefix(instructions)}\nAnswer:"])
