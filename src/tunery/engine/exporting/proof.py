"""
Proof of an export: the same questions answered by what was exported, in its own runtime, and by the served model.

The runtime is another process (`runtimes.py`), which has nothing of tunery. What is not installed is named, never
passed over. Knows folders, texts and answers; nothing of libraries.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tunery.engine.bases.four_bit import ORIGINAL_FILE
from tunery.engine.encoding import Encoder
from tunery.engine.exporting import runtimes
from tunery.engine.exporting.formats import ADAPTER_GGUF, Source
from tunery.engine.exporting.gguf_model import KINDS
from tunery.engine.exporting.merged import tokenizer_of
from tunery.types import Turn

MAX_DIFFERENCES = 5  # shown in the report
TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that was answered differently."""

    text_input: str
    served: str
    exported: str


@dataclass(frozen=True, slots=True)
class Proof:
    """
    How often an exported file answered as the served model does, in which runtime.

    `rows` is 0, and `reason` says why, where nothing could be compared.
    """

    file: str
    runtime: str
    rows: int
    agreed: int
    versions: dict[str, str]
    differences: tuple[Difference, ...] = ()
    reason: str | None = None

    @property
    def agreement(self) -> float | None:
        """Share of equal answers, 0 to 1; None where nothing was compared."""
        return self.agreed / self.rows if self.rows else None

    def document(self) -> dict[str, object]:
        """Return the proof as plain values."""
        return {**asdict(self), "differences": [asdict(d) for d in self.differences], "agreement": self.agreement}


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, what the served model answered, and how long each answer may be in tokens."""

    texts: tuple[str, ...]
    served: tuple[str, ...]
    limits: tuple[int, ...]


def prove(
    export_format: str,
    folder: Path,
    source: Source,
    questions: Questions,
    *,
    python: str,
    gguf_bases: Sequence[Path] = (),
) -> list[Proof]:
    """
    Ask each exported file in its runtime, run by the interpreter `python`; one proof for each.

    `adapter.gguf` is asked beside the base as it came, if that was GGUF, and beside each of `gguf_bases`.
    """
    tokenizer = tokenizer_of(source.base_folder)
    encoder = Encoder(tokenizer, window_tokens=1 << 30)
    prompts = [encoder.rendered((Turn("user", text),)) for text in questions.texts]
    lengths = [len(encoder.prompt(text)) for text in questions.texts]
    window = max((n + limit for n, limit in zip(lengths, questions.limits, strict=True)), default=0) + 8
    ends = [encoder.end_token_id, *sorted(encoder.stop_token_ids - {encoder.end_token_id})]
    common = {"prompts": prompts, "limits": questions.limits, "ends": ends, "window": window, "threads": os.cpu_count()}
    return [
        _compared(file, {**asked, **common}, questions, python)
        for file, asked in _runs(export_format, folder, source, gguf_bases)
    ]


def _runs(
    export_format: str, folder: Path, source: Source, gguf_bases: Sequence[Path]
) -> list[tuple[str, dict[str, str]]]:
    """Return what is asked, and under which name its proof goes."""
    if export_format == "adapter":
        return [(folder.name, {"runtime": "peft", "model": str(folder), "base": str(source.base_folder)})]
    if export_format == "merged":
        return [(folder.name, {"runtime": "transformers", "model": str(folder)})]
    models = [folder / f"model-{kind}.gguf" for kind in KINDS]
    runs = [(model.name, {"runtime": "llama.cpp", "model": str(model)}) for model in models]
    original = source.base_folder / ORIGINAL_FILE
    for base in (*((original,) if original.is_file() else ()), *gguf_bases):  # the adapter needs its base as GGUF
        name = ADAPTER_GGUF if base == original else f"{ADAPTER_GGUF} beside {base.name}"
        runs.append((name, {"runtime": "llama.cpp", "model": str(folder / ADAPTER_GGUF), "base": str(base)}))
    return runs


def _compared(file: str, asked: dict[str, object], questions: Questions, python: str) -> Proof:
    runtime = str(asked["runtime"])
    done = subprocess.run(
        [python, runtimes.__file__],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode == runtimes.NOT_INSTALLED:
        return Proof(file, runtime, 0, 0, {}, reason=f"{runtime} is not installed for {python}.")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Proof(file, runtime, 0, 0, {}, reason=f"{runtime} failed: {last}")
    said = json.loads(done.stdout)
    return _judged(file, runtime, questions, said["answers"], said["versions"])


def _judged(file: str, runtime: str, questions: Questions, answers: Sequence[str], versions: dict[str, str]) -> Proof:
    rows = list(zip(questions.texts, questions.served, answers, strict=True))
    differences = [Difference(text, served, exported) for text, served, exported in rows if served != exported]
    agreed = len(rows) - len(differences)
    return Proof(file, runtime, len(rows), agreed, versions, tuple(differences[:MAX_DIFFERENCES]))
