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
from dataclasses import replace
from pathlib import Path

from tunery import Dataset, config
from tunery.engine.bases.catalog import Catalog
from tunery.engine.exporting.proof import Proof, Questions
from tunery.errors import NotFound
from tunery.service.export import FORMATS, ExportOrder, answered, export, order, proofs_of
from tunery.service.library import Library
from tunery.types import TunedModel

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
    data_folder = config.data_folder()
    catalog = Catalog(data_folder, config.default_base_model())
    rows = [*Dataset.read(EXAMPLES / "tickets-held-out.csv").examples, *Dataset.read(EXAMPLES / "tickets.csv").examples]
    with Library.open(data_folder) as library:
        model = _model(library, data_folder, asked.model)
        ordered = order(library, catalog, model, "gguf", proves=True)
    ordered = replace(ordered, questions=tuple(row.text_input for row in rows[: asked.rows]))
    served = answered(ordered)
    correct = sum(said == row.output for said, row in zip(served.served, rows, strict=False))
    print(f"the served model gives the expected output for {correct} of {len(served.texts)} rows", flush=True)
    proofs = [proof for name in FORMATS for proof in _proofs(replace(ordered, format=name), served)]
    RESULTS.write_text(json.dumps([proof.document() for proof in proofs], indent=2, ensure_ascii=False) + "\n", "utf-8")
    raise SystemExit(0 if all((p.agreement or 0) >= BARS.get(p.file, 0.99) for p in proofs) else 1)


def _proofs(ordered: ExportOrder, served: Questions) -> list[Proof]:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / ordered.format
        export(replace(ordered, questions=()), folder, print)
        found = proofs_of(replace(ordered, python=str(PEERS)), folder, served)
    for proof in found:
        versions = ", ".join(f"{name} {number}" for name, number in proof.versions.items())
        print(
            f"{proof.file:18} {proof.runtime:13} {proof.agreed} of {proof.rows}  {proof.reason or versions}", flush=True
        )
    return found


def _model(library: Library, data_folder: Path, name: str) -> TunedModel:
    try:
        return library.get(name)
    except NotFound:
        command = [sys.executable, "-m", "tunery", "tune", str(EXAMPLES / "tickets.csv"), "--id", name, "--yes"]
        subprocess.run(command, check=True)
    with Library.open(data_folder) as again:
        return again.get(name)


if __name__ == "__main__":
    main()
