"""Contracts as a document: read again, also from the file that lay beside adapters before there were cards."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import counting_examples
from tunery.data.outputs import OLD_FILE, Contracts, read_contracts


def test_a_document_is_read_again() -> None:
    """What was learned comes back equal, from among much else."""
    contracts = Contracts.learn(counting_examples())

    assert contracts.output.kind == "NUMBER"
    assert Contracts.of_document({"name": "x", **contracts.document()}) == contracts
    assert Contracts.of_document({"prompt_contract": None, "output_contract": None}) is None


def test_contracts_saved_before_there_were_cards_are_read(tmp_path: Path) -> None:
    """The file of older versions, with both contracts and nothing else; a folder without it has none."""
    contracts = Contracts.learn(counting_examples())
    old = {"prompt_contract": contracts.prompt.document(), "output_contract": contracts.output.document()}
    (tmp_path / OLD_FILE).write_text(json.dumps(old))

    assert read_contracts(tmp_path) == contracts
    assert read_contracts(tmp_path / "elsewhere") is None
