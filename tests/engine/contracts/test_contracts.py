"""Contracts beside an adapter: written, read again, read from a model card, or not there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import counting_examples
from tunery.engine.contracts.contracts import CARD_FILE, Contracts, read_contracts, write_contracts


def test_written_contracts_are_read_again(tmp_path: Path) -> None:
    """What was learned comes back equal."""
    contracts = Contracts.learn(counting_examples())

    write_contracts(tmp_path, contracts)

    assert contracts.output.kind == "NUMBER"
    assert read_contracts(tmp_path) == contracts


def test_a_model_card_has_them_too(tmp_path: Path) -> None:
    """A folder that was exported from a library has its contracts in the card, among much else."""
    contracts = Contracts.learn(counting_examples())
    card = {"name": "x", "prompt_contract": contracts.prompt.document(), "output_contract": contracts.output.document()}
    (tmp_path / CARD_FILE).write_text(json.dumps(card))

    assert read_contracts(tmp_path) == contracts


def test_an_adapter_made_elsewhere_has_none(tmp_path: Path) -> None:
    """A folder without either file has no contracts."""
    assert read_contracts(tmp_path) is None
