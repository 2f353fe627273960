"""Contracts beside an adapter: in a model card, in a file of before there were cards, or not there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import counting_examples
from tunery.engine.contracts.contracts import CARD_FILE, OLD_FILE, Contracts, read_contracts


def test_contracts_saved_before_there_were_cards_are_read(tmp_path: Path) -> None:
    """The file of older versions, with both contracts and nothing else."""
    contracts = Contracts.learn(counting_examples())
    old = {"prompt_contract": contracts.prompt.document(), "output_contract": contracts.output.document()}
    (tmp_path / OLD_FILE).write_text(json.dumps(old))

    assert contracts.output.kind == "NUMBER"
    assert read_contracts(tmp_path) == contracts


def test_a_model_card_has_them_too(tmp_path: Path) -> None:
    """A folder that was exported from a library has its contracts in the card, among much else."""
    contracts = Contracts.learn(counting_examples())
    card = {"name": "x", "prompt_contract": contracts.prompt.document(), "output_contract": contracts.output.document()}
    (tmp_path / CARD_FILE).write_text(json.dumps(card))

    assert read_contracts(tmp_path) == contracts


def test_a_card_without_contracts_has_none(tmp_path: Path) -> None:
    """The card of an adapter that was made elsewhere and saved again."""
    (tmp_path / CARD_FILE).write_text(json.dumps({"prompt_contract": None, "output_contract": None}))

    assert read_contracts(tmp_path) is None


def test_an_adapter_made_elsewhere_has_none(tmp_path: Path) -> None:
    """A folder without either file has no contracts."""
    assert read_contracts(tmp_path) is None
