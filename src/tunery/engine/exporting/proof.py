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


def prove(export_format: str, folder: Path, source: Source, questions: Questions, *, python: str) -> list[Proof]:
    """Ask each exported file in its runtime, run by the interpreter `python`; one proof for each."""
    tokenizer = tokenizer_of(source.base_folder)
    encoder = Encoder(tokenizer, window_tokens=1 << 30)
    prompts = [encoder.rendered((Turn("user", text),)) for text in questions.texts]
    lengths = [len(encoder.prompt(text)) for text in questions.texts]
    window = max((n + limit for n, limit in zip(lengths, questions.limits, strict=True)), default=0) + 8
    ends = [encoder.end_token_id, *sorted(encoder.stop_token_ids - {encoder.end_token_id})]
    common = {"prompts": prompts, "limits": questions.limits, "ends": ends, "window": window, "threads": os.cpu_count()}
    return [
        _compared(Path(asked["model"]).name, {**asked, **common}, questions, python)
        for asked in _runs(export_format, folder, source)
    ]


def _runs(export_format: str, folder: Path, source: Source) -> list[dict[str, str]]:
    if export_format == "adapter":
        return [{"runtime": "peft", "model": str(folder), "base": str(source.base_folder)}]
    if export_format == "merged":
        return [{"runtime": "transformers", "model": str(folder)}]
    runs = [{"runtime": "llama.cpp", "model": str(folder / f"model-{kind}.gguf")} for kind in KINDS]
    original = source.base_folder / ORIGINAL_FILE
    if original.is_file():  # the adapter needs its base as GGUF
        runs.append({"runtime": "llama.cpp", "model": str(folder / ADAPTER_GGUF), "base": str(original)})
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
