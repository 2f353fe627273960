"""The real default base: what was shown on tiny random models holds for the one that users get."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForCausalLM, pipeline

from tests.needs import NO_DEFAULT_BASE, missing
from tunery import config
from tunery.data.dataset import Dataset
from tunery.engine import base
from tunery.engine.adapter import read_adapter
from tunery.engine.answers.native import step
from tunery.engine.base import fast_dtype
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import ControlTokens, Encoder, require_fitting_outputs
from tunery.engine.resident import ResidentBase
from tunery.engine.tuner import Tuner, weights_digest
from tunery.errors import DatasetInvalid
from tunery.model import Model
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, SamplingSettings, TuningExample, Turn

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = Path(__file__).parents[1] / "fixtures" / "cases"
SETTINGS = SamplingSettings(max_output_tokens=12)
NEAR_TIE = 0.5  # logits of about 30 are 0.125 or 0.25 apart in bfloat16, and the state before them has been rounded too

pytestmark = pytest.mark.base


def rows(name: str, count: int) -> list[TuningExample]:
    with (EXAMPLES / name).open(encoding="utf-8", newline="") as file:
        return [TuningExample(row["text_input"], row["output"]) for row in csv.DictReader(file)][:count]


def default_base(dtype: torch.dtype) -> base.Base:
    home = config.data_folder()
    entry = Catalog(home).resolve(DEFAULT_BASE_MODEL)
    if not entry.is_present:
        missing(NO_DEFAULT_BASE)
    return base.load(entry, home, dtype=dtype)


def tuned(resident: ResidentBase, folder: Path, steps: int | None = None) -> Tuner:
    tuner = resident.tuner(rows("next-number.csv", 12), Hyperparameters(3, 4), folder=folder)
    for snapshot in tuner.run():
        if snapshot.step == steps:
            tuner.write_checkpoint()
            break
    return tuner


def test_greedy_text_equals_that_of_transformers_and_peft(tmp_path: Path) -> None:
    """In float32 the tuned default base answers six questions token by token as stock PEFT does."""
    loaded = default_base(torch.float32)
    resident = ResidentBase(loaded)
    tuner = tuned(resident, tmp_path)
    questions = [row.text_input for row in rows("next-number-held-out.csv", 6)]

    ours = resident.answers(questions, SETTINGS, resident.add(tuner.chosen_adapter()))

    plain = AutoModelForCausalLM.from_pretrained(loaded.folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(tuner.epoch_folder(3))).eval()
    assert [peft_answer(theirs, resident, question) for question in questions] == ours


def test_resumed_task_gives_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    """In the number format of this machine, with all its cores, a break after step 4 of 9 changes nothing."""
    whole = tuned(ResidentBase(default_base(fast_dtype())), tmp_path / "whole")

    tuned(ResidentBase(default_base(fast_dtype())), tmp_path / "broken", steps=4)
    resumed = tuned(ResidentBase(default_base(fast_dtype())), tmp_path / "broken")

    assert resumed.completed_steps == whole.completed_steps == 9
    assert weights_digest(resumed.adapter.flat) == weights_digest(whole.adapter.flat)
    assert [s.mean_loss for s in resumed.snapshots] == [s.mean_loss for s in whole.snapshots]


def test_decisions_of_the_default_base_are_those_of_decision_pipeline() -> None:
    """In float32 choices, levels and yes or no about a message have the probabilities of transformers to 1e-4."""
    loaded = default_base(torch.float32)
    questions = {
        "tone": {"type": "choice", "instructions": "What is the tone?", "criteria": {"calm": None, "pushy": "Presses"}},
        "team": {"type": "choice", "criteria": dict.fromkeys(("billing", "login", "bug", "other"))},
        "urgent": {"type": "score", "instructions": "How urgent is it?", "criteria": ["Can wait", "Today", "Now"]},
        "refund": {"type": "noul", "instructions": "Is a refund requested?"},
    }
    states = [{"message": row.text_input} for row in rows("tickets.csv", 3)]

    ours = Model(ResidentBase(loaded)).decide(states, questions)

    decide = pipeline("decision", model=str(loaded.folder), dtype=torch.float32)
    theirs = [decide({"state": state, "questions": questions}) for state in states]
    for found, expected in zip(ours, theirs, strict=True):
        assert found["refund"]["noul"] == pytest.approx(expected["refund"]["noul"], abs=1e-4)
        for name in ("tone", "team", "urgent"):
            assert found[name]["probabilities"] == pytest.approx(expected[name]["probabilities"], abs=1e-4)


def test_packed_loss_of_the_default_base_is_the_padded_one() -> None:
    """On rows with shared instructions the packed pass in float32 gives the loss of the plain batch to 1e-5."""
    examples = rows("tickets.csv", 3)
    packed = ResidentBase(default_base(torch.float32))
    encoded = packed.encoder.examples(examples)

    loss = packed.network.loss(encoded)

    plain = AutoModelForCausalLM.from_pretrained(packed.folder, dtype=torch.float32)
    total = 0.0
    for row in encoded:
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([row.token_ids])).logits[0, row.answer_offset - 1 : -1]
        targets = torch.tensor(row.token_ids[row.answer_offset :])
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    assert loss == pytest.approx(total, rel=1e-5)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1)
    | st.text(st.sampled_from(" \n\t<|>/im_start'.,12aé😀"), min_size=1),
    st.text(st.sampled_from(" \n\tab'<|:1é"), min_size=1),
)
@settings(max_examples=300, deadline=None)
def test_ordinary_texts_have_the_ids_of_the_whole_rendering(asked: str, output: str) -> None:
    """Texts in which no control token is spelled are encoded as ever, whichever way they take."""
    encoder = default_encoder()
    turns = (Turn("system", output), Turn("user", asked))
    whole = encoder.tokenizer.encode(encoder.rendered(turns) + output)

    assert encoder._encode(turns, output) == whole
    with patch.object(ControlTokens, "are_spelled_in", return_value=True):
        assert encoder._encode(turns, output) == whole


@pytest.mark.parametrize("name", ["tokens.csv", "injection.csv", "endoftext.csv"])
def test_control_tokens_in_the_rows_of_a_file_are_text(name: str) -> None:
    """Inputs and outputs come back letter for letter; one user turn stays one."""
    encoder = default_encoder()
    examples = Dataset.read(CASES / "03-special-tokens" / name).examples
    control = encoder.tokenizer.special_ids

    for example, row in zip(examples, encoder.examples(examples), strict=True):
        prompt, answer = row.token_ids[: row.answer_offset], row.token_ids[row.answer_offset :]
        assert encoder.text(answer) == example.output
        assert example.text_input in encoder.text(prompt)
        assert [token for token in prompt if token in control] == [1, 2, 1, 2, 1]
    assert len(encoder.prompt("x<|im_end|>")) - len(encoder.prompt("x")) >= 5


def test_an_output_beyond_the_window_is_found_without_the_weights() -> None:
    """A row of 4,800 Chinese characters, fewer than the limit, is named as in its file."""
    default_base(torch.float32)
    dataset = Dataset.read(CASES / "09-long-output" / "cjk.csv")
    entry = Catalog(config.data_folder()).resolve(DEFAULT_BASE_MODEL)

    with pytest.raises(DatasetInvalid, match=r"^Row 22, output: 11,6\d\d tokens with the chat template, limit 8,192"):
        require_fitting_outputs(entry, config.data_folder(), dataset.examples, dataset.rows)


@cache
def default_encoder() -> Encoder:
    return ResidentBase(default_base(torch.float32)).encoder


def test_the_compiled_step_reads_the_bits_in_which_the_base_came() -> None:
    """All layers keep their 4 bits and the head its 8, which is said of weights only where no bit differs."""
    resident = ResidentBase(default_base(torch.float32))
    assert resident.compiled is not None

    assert resident.answers(["7"], SETTINGS)[0]

    assert resident.compiled.forms == {step.FOUR_BIT}
    assert resident.compiled.head_form == step.EIGHT_BIT


def test_four_bit_answers_are_those_of_transformers_and_peft(tmp_path: Path) -> None:
    """
    In bfloat16 each token of an answer, one row at a time (4 bits) and eight together, is one that stock PEFT in
    float32 finds likeliest, or within NEAR_TIE of the likeliest: there the rounding of any kernel may choose.
    """
    tuner = tuned(ResidentBase(default_base(fast_dtype())), tmp_path)  # bfloat16 would be slow on some machines
    loaded = default_base(torch.bfloat16)
    resident = ResidentBase(loaded)
    questions = [row.text_input for row in rows("next-number-held-out.csv", 8)]
    slot = resident.add(read_adapter(tuner.epoch_folder(3), resident.network))

    alone = [resident.answers([question], SETTINGS, slot)[0] for question in questions]
    together = resident.answers(questions, SETTINGS, slot)

    plain = AutoModelForCausalLM.from_pretrained(loaded.folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(tuner.epoch_folder(3))).eval()
    for question, *answers in zip(questions, alone, together, strict=True):
        for answer in answers:
            assert answer
            assert largest_gap(theirs, resident, question, answer) <= NEAR_TIE


def largest_gap(model: PeftModel, resident: ResidentBase, question: str, answer: str) -> float:
    """Return by how much the likeliest token that goes on with the answer falls short of the likeliest of all."""
    tokenizer, gap = resident.encoder.tokenizer, 0.0
    vocabulary, token_ids = tokenizer.backend.get_vocab(), resident.encoder.prompt(question)
    left = "".join(tokenizer.pieces(tokenizer.encode(answer)))
    while left:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([token_ids])).logits[0, -1]
        spelling = [left[:end] for end in range(1, len(left) + 1) if left[:end] in vocabulary]
        token = max(spelling, key=lambda piece: float(logits[vocabulary[piece]]))
        gap = max(gap, float(logits.max() - logits[vocabulary[token]]))
        token_ids, left = [*token_ids, vocabulary[token]], left[len(token) :]
    return gap


def peft_answer(model: PeftModel, resident: ResidentBase, question: str) -> str:
    prompt = torch.tensor([resident.encoder.prompt(question)])
    row = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, pad_token_id=2
    )
    return resident.encoder.text(row[0, prompt.shape[1] :].tolist())
