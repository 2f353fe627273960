"""The model card: written, read back and shown as Markdown, also where little is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import counting_examples
from tunery.card import (
    CARD_JSON,
    CARD_MARKDOWN,
    ModelCard,
    base_section,
    curve_section,
    data_section,
    how_to_evaluate,
    settings_section,
)
from tunery.data.outputs import Contracts
from tunery.errors import InvalidArgument
from tunery.types import CatalogEntry, DataFacts, EpochLoss, Hyperparameters

ENTRY = CatalogEntry("tiny", "Tiny", "", "folder:/tiny", "apache-2.0", 100, 100, parameters=5_000_000)
BARE = ModelCard(
    display_name="tuned",
    base=base_section(ENTRY, "tiny", "ab" * 32),
    curve=curve_section((), None, completed_steps=0, total_steps=0),
    calls={"python": "ask()"},
)
CARD = replace(
    BARE,
    name="tunedModels/numbers",
    display_name="Numbers",
    state="ACTIVE",
    create_time="2026-11-28T12:00:00+00:00",
    data=data_section(DataFacts(12, "cd" * 32, "numbers.csv"), 2),
    settings=settings_section(Hyperparameters(learning_rate_multiplier=2.0), 7, {"rank": 8}, {"torch": "2.13.0"}),
    curve=curve_section((EpochLoss(1, 0.5, 0.75),), None, completed_steps=3, total_steps=3, kept_epochs=(1,)),
    contracts=Contracts.learn(counting_examples()),
)
PROOF = {"file": "x", "runtime": "peft", "rows": 9, "agreed": 8, "agreement": 8 / 9, "reason": None}
EXPORT = {"format": "adapter", "rows": 9, "rows_from": "given", "proofs": [{**PROOF, "differences": ["secret"]}]}


def test_a_written_card_is_read_again(tmp_path: Path) -> None:
    """All sections come back from the JSON file; the Markdown page is written next to it."""
    card = CARD.with_export(EXPORT).with_evaluation({"verdict": None})

    card.write(tmp_path)

    assert ModelCard.read(tmp_path) == card
    assert (tmp_path / CARD_MARKDOWN).read_text("utf-8") == card.markdown()
    assert ModelCard.read(tmp_path / "elsewhere") is None


def test_cards_of_other_versions_are_read(tmp_path: Path) -> None:
    """Missing sections are None and unknown ones are ignored."""
    document = {key: value for key, value in CARD.document().items() if key not in ("exports", "data", "evaluation")}
    (tmp_path / CARD_JSON).write_text(json.dumps({**document, "of_tomorrow": 1}))

    assert ModelCard.read(tmp_path) == replace(CARD, data=None)


@pytest.mark.parametrize("content", ["{", "[]", '{"display_name": "x"}', '{"prompt_contract": {}}'])
def test_an_unreadable_card_is_an_error(content: str, tmp_path: Path) -> None:
    """The message names the file and says to move it: the adapter may still be good."""
    (tmp_path / CARD_JSON).write_text(content)

    with pytest.raises(InvalidArgument, match=f"{CARD_JSON} is not a tunery model card.*Move it elsewhere"):
        ModelCard.read(tmp_path)


def test_the_page_has_every_section() -> None:
    """Name, base, data, settings, losses and calls; the multiplier is shown as a learning rate."""
    page = CARD.with_export(EXPORT).markdown()

    for text in (
        "# Numbers",
        "`tunedModels/numbers`, ACTIVE, made 2026-11-28 by tunery",
        "5 million parameters. Licence: apache-2.0.",
        "numbers.csv: 12 rows, 2 of them held out.",
        "5 epochs, batch size 4, learning rate 0.002, seed 7.",
        "rank 8",
        "torch 2.13.0",
        "| 1 | 0.5000 | 0.7500 |",
        "`tunedModels/numbers@epoch-1`",
        "`tunery evaluate numbers`",
        "The inputs are numbers",
        "- `x` in peft: same answer as tunery for 8 of 9 given rows.",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("rows", "held_out_rows", "command"),
    [(20, 2, "tunery evaluate x"), (20, 0, "tunery evaluate x --folds 3"), (19, 0, "tunery evaluate x FILE")],
)
def test_the_command_that_evaluates_works(rows: int, held_out_rows: int, command: str) -> None:
    """Without held-out rows it needs folds, and with too few rows for those, a file."""
    assert how_to_evaluate("x", rows, held_out_rows) == command


def test_the_page_says_what_was_not_recorded() -> None:
    """An adapter made elsewhere has a card too, without a name in a library."""
    page = BARE.markdown()

    assert page.count("Not recorded.") == 2  # data and settings
    assert "was not recorded" in page.partition("## Inputs and outputs")[2]
    assert "Made by tunery" in page
    assert "`model.evaluate(rows)`" in page
    assert "None" not in page


def test_the_card_has_no_text_of_an_example() -> None:
    """Rows of an evaluation or a proof are left out: readers see the card, and exports contain it."""
    card = CARD.with_evaluation({"verdict": None, "worst_rows": [{"text_input": "secret"}]}).with_export(EXPORT)

    assert "secret" not in json.dumps(card.document())


def test_the_newest_proof_of_a_format_is_kept() -> None:
    """It replaces the previous one; other formats stay."""
    merged = {**EXPORT, "format": "merged"}

    card = CARD.with_export(EXPORT).with_export(merged).with_export({**EXPORT, "rows": 10})

    assert [(export["format"], export["rows"]) for export in card.exports] == [("merged", 9), ("adapter", 10)]
