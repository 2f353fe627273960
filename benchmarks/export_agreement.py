"""
How often exports answer as the served model does: PEFT, transformers and llama.cpp, on the tickets.

    make peers base && .venv/bin/python -m benchmarks.export_agreement

Tunes the default base on `examples/tickets.csv` once (kept in the data folder as `export-agreement`), exports it in
each format and asks each export, in the peers' environment, the 54 held-out tickets and 46 of those it was tuned on.
`adapter.gguf` is asked twice: beside the 4-bit base, and beside the same weights in float16, which tells what the
adapter file does from what llama.cpp's arithmetic with 4-bit weights does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tunery
from tunery import Dataset, config
from tunery.engine.export import WRITERS
from tunery.engine.proof import Proof
from tunery.errors import NotFound
from tunery.service.library import Library
from tunery.types import TuningExample

MODEL_ID = "export-agreement"
EXAMPLES = Path(__file__).parent.parent / "examples"
PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"
RESULTS = Path(__file__).parent / "results" / "export_agreement.json"
ROWS = 100
BARS = {"model-q8_0.gguf": 0.97}  # others 0.99


def main() -> None:
    """Export, prove, print and write the results; exit 1 if an export stays below its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--model", default=MODEL_ID)
    asked = parser.parse_args()
    rows = [*Dataset.read(EXAMPLES / "tickets-held-out.csv").examples, *Dataset.read(EXAMPLES / "tickets.csv").examples]
    model = tunery.load(_adapter(asked.model))
    rows = rows[: asked.rows]
    said = model.generate([row.text_input for row in rows])
    correct = sum(text == row.output for text, row in zip(said, rows, strict=True))
    print(f"the served model gives the expected output for {correct} of {len(rows)} rows", flush=True)
    proofs = [proof for name in WRITERS for proof in _proofs(model, name, rows)]
    RESULTS.write_text(json.dumps([proof.document() for proof in proofs], indent=2, ensure_ascii=False) + "\n", "utf-8")
    raise SystemExit(0 if all((p.agreement or 0) >= BARS.get(p.file, 0.99) for p in proofs) else 1)


def _proofs(model: tunery.Model, export_format: str, rows: list[TuningExample]) -> tuple[Proof, ...]:
    with tempfile.TemporaryDirectory() as work:
        folder = model.export(Path(work) / export_format, export_format)
        found = model.prove(folder, rows, max_rows=len(rows), python=str(PEERS)).proofs
    for proof in found:
        versions = ", ".join(f"{name} {number}" for name, number in proof.versions.items())
        print(
            f"{proof.file:18} {proof.runtime:13} {proof.agreed} of {proof.rows}  {proof.reason or versions}", flush=True
        )
    return found


def _adapter(name: str) -> Path:
    """Return the folder of the adapter in the data folder, tuned first if it is not there."""
    try:
        with Library.open(config.data_folder()) as library:
            return library.adapter_folder(library.get(name))
    except NotFound:
        tune = ["tune", str(EXAMPLES / "tickets.csv"), "--id", name, "--hold-out", "0", "--yes"]
        command = [sys.executable, "-m", "tunery", *tune]
        subprocess.run(command, check=True)
    with Library.open(config.data_folder()) as library:
        return library.adapter_folder(library.get(name))


if __name__ == "__main__":
    main()
