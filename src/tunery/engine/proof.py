"""
Proves an export: gives the same prompts to the exported files, in their own runtime, and to the served model.

The runtime is another process (`runtimes.py`) that does not import tunery. A runtime that is not installed is reported,
never skipped silently.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunery.engine import runtimes
from tunery.engine.conversion import ORIGINAL_FILE
from tunery.engine.encoding import Encoder
from tunery.engine.export import ADAPTER_GGUF, base_gguf, write_base_gguf
from tunery.engine.gguf_export import KINDS
from tunery.engine.resident import ResidentBase
from tunery.engine.tokenizer import Tokenizer
from tunery.files import temporary_folder
from tunery.types import BASE_RENDERING, Rendering, SamplingSettings, Turn

MAX_DIFFERENCES = 5  # shown in the report
TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A prompt that was answered differently."""

    text_input: str
    served: str
    exported: str


@dataclass(frozen=True, slots=True)
class Proof:
    """
    How often an exported file gave the same answer as the served model, and in which runtime.

    If nothing could be compared, `rows` is 0 and `reason` says why.
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
        """Share of equal answers, 0 to 1; None if nothing was compared."""
        return self.agreed / self.rows if self.rows else None

    def document(self) -> dict[str, object]:
        """Return the proof as plain values."""
        return {**asdict(self), "differences": [asdict(d) for d in self.differences], "agreement": self.agreement}


@dataclass(frozen=True, slots=True)
class ExportProof:
    """
    The proofs of all files of one export; `rows_from` names the rows used: "held-out", "training" or "given".
    """

    format: str
    rows: int
    rows_from: str
    create_time: datetime
    proofs: tuple[Proof, ...]

    def document(self) -> dict[str, Any]:
        """Return the proofs as plain values."""
        return {
            "format": self.format,
            "rows": self.rows,
            "rows_from": self.rows_from,
            "create_time": self.create_time.isoformat(),
            "proofs": [proof.document() for proof in self.proofs],
        }

    def sentences(self) -> list[str]:
        """Return a line for each file; see `sentences`."""
        return sentences(self.document())


@dataclass(frozen=True, slots=True)
class Questions:
    """The prompts, the served model's answers, and the maximum length of an answer in tokens."""

    texts: tuple[str, ...]
    served: tuple[str, ...]
    limits: tuple[int, ...]


def sentences(document: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each proof of an export: how often it agreed, or why nothing was compared."""
    return [_sentence(proof, document["rows_from"]) for proof in document["proofs"]]


def prove(
    export_format: str,
    folder: Path,
    base_folder: Path,
    base_name: str,
    questions: Questions,
    *,
    python: str,
    rendering: Rendering = BASE_RENDERING,
) -> tuple[Proof, ...]:
    """
    Run each exported file in its runtime, with the interpreter `python`; return one proof per file.

    `adapter.gguf` is tried with the base as distributed, if that was GGUF, and with the base in float16, as `tunery
    bases export` writes it.
    """
    common = {**_asked(base_folder, questions, rendering), "threads": os.cpu_count()}
    with temporary_folder() as work:
        runs = _runs(export_format, folder, base_folder, work / base_gguf(base_name))
        return tuple(_compared(file, {**asked, **common}, questions, python) for file, asked in runs)


def _asked(base_folder: Path, questions: Questions, rendering: Rendering) -> dict[str, Any]:
    encoder = Encoder(Tokenizer.read(base_folder), 1 << 30, rendering)
    prompts = [encoder.rendered((Turn("user", text),)) for text in questions.texts]
    lengths = [len(encoder.prompt(text)) for text in questions.texts]
    window = max((n + limit for n, limit in zip(lengths, questions.limits, strict=True)), default=0) + 8
    ends = [encoder.end_token_id, *sorted(encoder.stop_token_ids - {encoder.end_token_id})]
    return {"prompts": prompts, "limits": questions.limits, "ends": ends, "window": window}


def _runs(export_format: str, folder: Path, base_folder: Path, float16: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """
    Yield the request for each runtime and the name of its proof; the base in `float16` is written when it is needed.
    """
    if export_format == "adapter":
        yield folder.name, {"runtime": "peft", "model": str(folder), "base": str(base_folder)}
    elif export_format == "merged":
        yield folder.name, {"runtime": "transformers", "model": str(folder)}
    else:
        written = (folder / f"model-{kind}.gguf" for kind in KINDS.values())
        for model in filter(Path.is_file, written):
            yield model.name, {"runtime": "llama.cpp", "model": str(model)}
        yield from _runs_of_adapter(folder, base_folder, float16)


def _runs_of_adapter(folder: Path, base_folder: Path, float16: Path) -> Iterator[tuple[str, dict[str, str]]]:
    asked = {"runtime": "llama.cpp", "model": str(folder / ADAPTER_GGUF)}
    original = base_folder / ORIGINAL_FILE
    if original.is_file():
        yield ADAPTER_GGUF, {**asked, "base": str(original)}
    write_base_gguf(base_folder, float16, float16.stem)
    yield f"{ADAPTER_GGUF} beside {float16.name}", {**asked, "base": str(float16)}


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
    if done.returncode != 0:
        return Proof(file, runtime, 0, 0, {}, reason=_why_not(done, runtime, python))
    said = json.loads(done.stdout)
    return _judged(file, runtime, questions, said["answers"], said["versions"])


def _why_not(done: subprocess.CompletedProcess[str], runtime: str, python: str) -> str:
    """Return why a runtime gave no answers."""
    if done.returncode == runtimes.NOT_INSTALLED:
        return f"{runtime} is not installed for {python}."
    if done.returncode < 0:  # the last line of its output, if any, was about something else
        killed = signal.Signals(-done.returncode)
        return f"{runtime} was ended by {killed.name} ({signal.strsignal(killed)})."
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"{runtime} failed: {last}"


def _judged(file: str, runtime: str, questions: Questions, answers: Sequence[str], versions: dict[str, str]) -> Proof:
    rows = list(zip(questions.texts, questions.served, answers, strict=True))
    differences = [Difference(text, served, exported) for text, served, exported in rows if served != exported]
    agreed = len(rows) - len(differences)
    return Proof(file, runtime, len(rows), agreed, versions, tuple(differences[:MAX_DIFFERENCES]))


def _sentence(proof: Mapping[str, Any], rows_from: str) -> str:
    if proof["agreement"] is None:
        return f"{proof['file']}: not proven. {proof['reason']}"
    counts = f"{proof['agreed']} of {proof['rows']} {rows_from} rows"
    share = f"{100 * proof['agreement']:.1f} %"
    return f"{proof['file']}: {proof['runtime']} gives the same answer as the served model for {counts} ({share})."


MAX_PROOF_ROWS = 100  # three times what two cores need, which is one to two minutes
MAX_PROOF_TOKENS = 128  # tokens of an answer


def prove_export(
    export_format: str,
    folder: Path,
    resident: ResidentBase,
    slot: int,
    texts: Sequence[str],
    *,
    rows_from: str,
    python: str,
    say: Callable[[str], None],
) -> ExportProof:
    """
    Compare an exported folder with the tuned model in a slot on at least one text.

    `python` is the interpreter with the runtimes; `say` gets a line before each long step.
    """
    say(f"Running the served model on {len(texts)} {rows_from} rows ...")
    questions = answered(resident, slot, texts)
    say("Running the exported model in its own runtime ...")
    proofs = prove(
        export_format,
        folder,
        resident.folder,
        resident.name,
        questions,
        python=python,
        rendering=resident.rendering_of(slot),
    )
    return ExportProof(export_format, len(questions.texts), rows_from, datetime.now(UTC), proofs)


def answered(resident: ResidentBase, slot: int, texts: Sequence[str]) -> Questions:
    """Answer texts greedily, as a server would, all up to the same length."""
    encoder = resident.encoder_for(resident.rendering_of(slot))
    room = min(encoder.window_tokens - len(encoder.prompt(text)) for text in texts)
    limit = max(1, min(MAX_PROOF_TOKENS, room))
    settings = SamplingSettings(temperature=0.0, max_output_tokens=limit)
    served = resident.answers(texts, settings, slot)
    return Questions(tuple(texts), tuple(served), (limit,) * len(texts))
