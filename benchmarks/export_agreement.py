"""
How often exports answer as the served model does: PEFT, transformers and llama.cpp, on the tickets.

    make peers base && .venv/bin/python -m benchmarks.export_agreement

Tunes the default base on `examples/tickets.csv` once (kept in the data folder as `export-agreement`), exports it in
each format and asks each export, in the peers' environment, the 54 held-out tickets and 46 of those it was tuned on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tunery import Dataset, config
from tunery.engine.bases.catalog import Catalog
from tunery.errors import NotFound
from tunery.service.export import FORMATS, export, order, sentences
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
    data_folder = config.data_folder()
    catalog = Catalog(data_folder, config.default_base_model())
    held_out = Dataset.read(EXAMPLES / "tickets-held-out.csv").examples
    used = Dataset.read(EXAMPLES / "tickets.csv").examples
    questions = tuple(row.text_input for row in (*held_out, *used))[:ROWS]
    results = []
    with Library.open(data_folder) as library:
        model = _model(library, data_folder)
        for export_format in FORMATS:
            ordered = order(library, catalog, model, export_format, proves=True, python=str(PEERS))
            ordered = replace(ordered, questions=questions, rows_from="held-out and tuning")
            with tempfile.TemporaryDirectory() as work:
                report = export(ordered, Path(work) / export_format, print)
            assert report is not None
            print(*sentences(report), sep="\n", flush=True)
            results.append(report)
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    proofs = [proof for report in results for proof in report["proofs"]]
    is_good = all((proof["agreement"] or 0) >= BARS.get(proof["file"], 0.99) for proof in proofs)
    raise SystemExit(0 if is_good else 1)


def _model(library: Library, data_folder: Path) -> TunedModel:
    try:
        return library.get(MODEL_ID)
    except NotFound:
        command = [sys.executable, "-m", "tunery", "tune", str(EXAMPLES / "tickets.csv"), "--id", MODEL_ID, "--yes"]
        subprocess.run(command, check=True)
    with Library.open(data_folder) as again:
        return again.get(MODEL_ID)


if __name__ == "__main__":
    main()
