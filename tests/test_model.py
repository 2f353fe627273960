"""The Python library, from a dataset to answers."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

import tunery
from tests.fakes import counting_examples, write_learnable_base
from tunery.card import CARD_JSON, ModelCard
from tunery.data.outputs import OLD_FILE
from tunery.engine.adapter import CONFIG, WEIGHTS
from tunery.engine.catalog import Catalog
from tunery.engine.resident import resident_base
from tunery.errors import AlreadyExists, DatasetInvalid, InvalidArgument, NotFound
from tunery.model import SamplingOptions
from tunery.resampling import Repeated
from tunery.types import Hyperparameters, InputCheck, TuningExample, TuningSnapshot

RECIPE = tunery.Recipe(rank=8, alpha=32)


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a tiny base in a temporary data folder."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "weights")), "tiny")
    resident_base.cache_clear()
    return "tiny"


def dataset() -> tunery.Dataset:
    return tunery.Dataset.from_records([{"text_input": e.text_input, "output": e.output} for e in counting_examples()])


def test_a_tuned_model_has_learned_and_its_base_has_not() -> None:
    """A model tuned on rows that all have "yes" answers a new text with it, and the base does not."""
    rows = tunery.Dataset.from_records([(example.text_input, "yes") for example in counting_examples(30)])
    seen: list[TuningSnapshot] = []

    model = tunery.tune(
        rows,
        base_model="tiny",
        epoch_count=10,
        learning_rate=0.01,
        recipe=RECIPE,
        library=False,
        on_snapshot=seen.append,
    )

    assert model.generate(["77", "x"], max_output_tokens=3) == ["yes", "yes"]  # three bytes are three tokens
    assert "yes" not in tunery.load("tiny").generate(["77", "x"], max_output_tokens=3)
    assert tuple(seen) == model.snapshots
    assert model.advice is not None


def test_other_programs_read_exported_models(tmp_path: Path) -> None:
    """tunery loads the adapter, transformers the merged weights, and the GGUF reader the GGUF file."""
    model = tunery.tune(dataset(), base_model="tiny", epoch_count=1, recipe=RECIPE, library=False)

    adapter, merged, gguf_folder = (model.export(tmp_path / name, name) for name in ("adapter", "merged", "gguf"))

    assert tunery.load(adapter).generate("7", max_output_tokens=4) == model.generate("7", max_output_tokens=4)
    AutoModelForCausalLM.from_pretrained(merged)
    fields = GGUFReader(gguf_folder / "model-q8_0.gguf").fields
    assert fields["general.name"].contents() == "tuned"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "gguf", "home", "merged", "weights"]


def test_refused_exports_leave_nothing_behind(tmp_path: Path) -> None:
    """Unknown formats, bases and folders that are not empty are refused."""
    model = tunery.tune(dataset(), base_model="tiny", epoch_count=1, recipe=RECIPE, library=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()

    with pytest.raises(InvalidArgument, match="adapter, merged, gguf, not 'onnx'"):
        model.export(tmp_path / "new", "onnx")
    with pytest.raises(NotFound, match="without an adapter"):
        tunery.load("tiny").export(tmp_path / "new")
    with pytest.raises(AlreadyExists, match="not empty"):
        model.export(tmp_path / "full")

    assert not (tmp_path / "new").exists()


def test_a_proof_is_added_to_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers gives the answers of the exported model to held-out rows, and not those of another model."""
    # in bfloat16 a tiny model is unsure of its answers on some processors, so that an export need not repeat them
    monkeypatch.setattr("tunery.engine.base.fast_dtype", lambda: torch.float32)
    model, other = (
        tunery.tune(
            [TuningExample(example.text_input, answer) for example in counting_examples(30)],
            base_model="tiny",
            epoch_count=10,
            learning_rate=0.01,
            hold_out=3,
            display_name=answer,
            recipe=RECIPE,
            library=False,
        )
        for answer in ("yes", "no")
    )
    folder = model.export(tmp_path / "merged", "merged")
    said: list[str] = []

    proof = model.prove(folder, say=said.append)

    (compared,) = proof.proofs
    assert (proof.format, compared.runtime, compared.rows, proof.rows_from) == ("merged", "transformers", 3, "held-out")
    assert compared.agreed == 3
    assert said[0] == "Running the served model on 3 held-out rows ..."
    assert f"the same answer as the served model for {compared.agreed} of 3 held-out rows" in proof.sentences()[0]
    assert ModelCard.read(folder) == model.card()
    assert model.card().exports[0]["proofs"][0]["agreed"] == compared.agreed

    assert other.prove(folder).proofs[0].agreed == 0
    card = ModelCard.read(folder)
    assert card is not None
    assert (card.display_name, card.exports[0]["proofs"][0]["agreed"]) == ("yes", 0)


def test_a_proof_uses_the_given_rows(tmp_path: Path) -> None:
    """Up to `max_rows`, for loaded models too; no rows or a folder that is not an export raise an error."""
    tuned = tunery.tune(dataset(), base_model="tiny", epoch_count=1, recipe=RECIPE, library=False)
    folder = tuned.export(tmp_path / "adapter")
    model = tunery.load(folder)

    assert tuned.prove(folder, max_rows=2).rows_from == "training"
    found = model.prove(folder, counting_examples(), max_rows=2)

    assert (found.rows, found.rows_from, found.proofs[0].runtime) == (2, "given", "peft")
    with pytest.raises(InvalidArgument, match="There are no rows to compare on"):
        model.prove(folder)
    with pytest.raises(InvalidArgument, match="not an exported model"):
        model.prove(tmp_path, counting_examples())
    with pytest.raises(NotFound, match="without an adapter"):
        tunery.load("tiny").prove(folder, counting_examples())


def test_the_card_describes_the_tuning(tmp_path: Path) -> None:
    """Data, settings, curve, contracts and verdict are on the card, also after saving and loading."""
    model = tunery.tune(
        dataset(),
        base_model="tiny",
        epoch_count=2,
        hold_out=3,
        seed=5,
        display_name="Numbers",
        recipe=RECIPE,
        library=False,
    )
    model.evaluate()
    card = model.card()

    assert card.display_name == "Numbers"
    assert card.base["sha256"] == Catalog(tmp_path / "home").digest("tiny")
    assert card.data == {"rows": 12, "sha256": dataset().facts.sha256, "source": "records", "held_out_rows": 3}
    assert card.settings is not None
    assert (card.settings["seed"], card.settings["learning_rate"], card.settings["in_force"]["rank"]) == (5, 0.001, 8)
    assert card.curve["completed_steps"] == card.curve["total_steps"] == 5
    assert card.contracts == model.contracts is not None
    assert card.evaluation is not None
    assert card.evaluation["rows"] == 3
    assert tunery.load(model.save(tmp_path / "saved")).card() == card
    assert tunery.load(model.export(tmp_path / "exported")).card() == card


def test_an_adapter_made_elsewhere_has_a_card(tmp_path: Path) -> None:
    """Its card has the base only; a base has no card."""
    folder = tunery.tune(dataset(), base_model="tiny", epoch_count=1, recipe=RECIPE, library=False).save(
        tmp_path / "saved"
    )
    for path in folder.iterdir():
        if path.name not in (CONFIG, WEIGHTS):
            path.unlink()

    card = tunery.load(folder).card()

    assert (card.base["name"], card.data, card.create_time, card.contracts) == ("tiny", None, None, None)
    with pytest.raises(NotFound, match="without an adapter"):
        tunery.load("tiny").card()


def test_a_folder_without_a_card_from_an_old_version_is_loaded(tmp_path: Path) -> None:
    """Its contracts are read from their former file."""
    tuned = tunery.tune(dataset(), base_model="tiny", epoch_count=1, recipe=RECIPE, library=False)
    folder = tuned.save(tmp_path / "saved")
    (folder / CARD_JSON).rename(folder / OLD_FILE)  # has them under the same names

    model = tunery.load(folder)

    assert model.contracts == tuned.contracts is not None
    assert model.card().data is None
    assert model.card().curve["completed_steps"] == 3


def test_a_saved_model_gives_the_same_answers(tmp_path: Path) -> None:
    """Answers and curve are the same after loading from a folder in PEFT's layout."""
    model = tunery.tune(dataset(), base_model="tiny", epoch_count=10, learning_rate=0.01, recipe=RECIPE, library=False)
    folder = model.save(tmp_path / "saved")

    again = tunery.load(folder)

    assert {CONFIG, WEIGHTS} <= {path.name for path in folder.iterdir()}
    assert again.generate("7", max_output_tokens=8) == model.generate("7", max_output_tokens=8)
    assert again.snapshots == model.snapshots
    assert again.advice == model.advice


def test_streamed_pieces_add_up_to_the_answer() -> None:
    """`stream` and `generate` give the same text; two streams can be read in turn."""
    model = tunery.load("tiny")

    streams = [model.stream("7", max_output_tokens=12), model.stream("8", max_output_tokens=12)]
    texts = ["", ""]
    for pair in zip(*streams, strict=False):
        texts = [text + piece for text, piece in zip(texts, pair, strict=True)]

    assert model.generate("7", max_output_tokens=12).startswith(texts[0])
    assert "".join(model.stream("8", max_output_tokens=12)) == model.generate("8", max_output_tokens=12)


def test_answers_keep_to_a_form() -> None:
    """Labels have probabilities, and JSON follows the schema."""
    model = tunery.load("tiny")

    labelled = model.answer("3", labels=["yes", "no"], max_output_tokens=8)
    document = model.generate("3", json_schema={"enum": ["a", "b"]}, max_output_tokens=8)

    assert labelled.text == labelled.label_probabilities[0][0]
    assert sum(share for _, share in labelled.label_probabilities) == pytest.approx(1)
    assert document in ('"a"', '"b"')
    assert model.answer("3", max_output_tokens=8).label_probabilities == ()


def test_an_answer_has_the_log_probabilities_of_its_tokens() -> None:
    """On request, with the likeliest tokens in the place of each, which a greedy answer takes."""
    model = tunery.load("tiny")

    told = model.answer("3", max_output_tokens=8, top_logprobs=2).logprobs

    assert len(told) == 8
    assert all(each.top[0].token_id == each.token_id and len(each.top) == 2 for each in told)
    assert all(each.logprob == each.top[0].logprob < 0 for each in told)
    assert model.answer("3", max_output_tokens=8).logprobs == ()
    with pytest.raises(InvalidArgument, match="top_logprobs must be between 0 and 20"):
        model.answer("3", top_logprobs=21)


def test_two_tuned_models_share_a_base() -> None:
    """A second model does not change the answers of the first, and a deleted one frees its slot."""
    first = tunery.tune(dataset(), base_model="tiny", epoch_count=10, learning_rate=0.01, recipe=RECIPE, library=False)
    before = first.generate("3", max_output_tokens=8)
    second = tunery.tune(
        dataset(), base_model="tiny", epoch_count=10, learning_rate=0.01, recipe=RECIPE, library=False, seed=1
    )
    adapters = first._resident.network.adapters

    assert first.generate("3", max_output_tokens=8) == before
    assert len(adapters) == 2
    del second
    gc.collect()
    assert len(adapters) == 1


def test_held_out_rows_are_measured() -> None:
    """Each epoch has a loss on the held-out rows."""
    model = tunery.tune(dataset(), base_model="tiny", epoch_count=2, hold_out=3, recipe=RECIPE, library=False)

    assert [epoch.held_out_loss is not None for epoch in model.epoch_losses] == [True, True]
    assert len(model.snapshots) == 5  # ceil(9 × 2 / 4)


def test_sampling_settings_are_checked() -> None:
    """The error names the setting out of range."""
    with pytest.raises(InvalidArgument, match="temperature"):
        tunery.load("tiny").generate("7", temperature=3)


def test_a_base_cannot_be_saved(tmp_path: Path) -> None:
    """It has no adapter."""
    with pytest.raises(NotFound, match="without an adapter"):
        tunery.load("tiny").save(tmp_path / "x")


def test_an_unknown_name_is_not_found() -> None:
    """The error names what is neither an adapter folder nor a base."""
    with pytest.raises(NotFound, match="nothing-here"):
        tunery.load("nothing-here")


def test_a_model_is_evaluated_on_its_held_out_rows() -> None:
    """Baselines, the base with and without examples, and the tuned model are compared in a verdict."""
    rows = tunery.Dataset.from_records([(example.text_input, "yes") for example in counting_examples(60)])
    model = tunery.tune(
        rows, base_model="tiny", epoch_count=4, learning_rate=0.01, recipe=RECIPE, library=False, hold_out=40
    )

    found = model.evaluate()

    assert (found.rows, found.source) == (40, "held-out rows")
    assert found.verdict is not None
    assert found.verdict.kind == "NO_BETTER"  # "yes" is always right, so the most frequent answer is too
    assert [one.name for one in found.contenders] == ["majority", "similar", "states", "base", "base_examples", "tuned"]


def test_a_base_is_evaluated_without_a_verdict() -> None:
    """There is no tuned model to judge; a base has no held-out rows."""
    base = tunery.load("tiny")

    assert base.evaluate(counting_examples(12)).verdict is None
    with pytest.raises(InvalidArgument, match="no held-out rows"):
        base.evaluate()


def test_losses_are_lower_for_learned_outputs() -> None:
    """Each row has one loss, lower if the model has learned its output."""
    rows = tunery.Dataset.from_records([(example.text_input, "yes") for example in counting_examples(30)])
    model = tunery.tune(rows, base_model="tiny", epoch_count=10, learning_rate=0.01, recipe=RECIPE, library=False)

    learned, other = model.losses([TuningExample("7", "yes"), TuningExample("7", "no!")])

    assert learned < other - 1
    assert model.generate("7", max_output_tokens=3) == "yes"  # measuring losses does not change answers


def test_cross_validation_evaluates_each_row() -> None:
    """Every row is answered by a model tuned without it."""
    rows = tunery.Dataset.from_records([(example.text_input, "yes") for example in counting_examples(24)])
    how = Repeated("tiny", Hyperparameters(epoch_count=2, learning_rate=0.01))

    found = tunery.cross_validate(rows, 3, repeated=how)

    assert (found.rows, found.folds, found.source) == (24, 3, "3 folds of 24 rows")
    assert found.verdict is not None
    assert {one.name for one in found.contenders if one.is_limited} == {"base", "base_examples", "tuned"}


def test_auto_settings_are_compared_with_the_page_by_folds() -> None:
    """Each fold is tuned twice, one after the other: `auto` has more steps, chosen for all rows."""
    rows = [TuningExample(str(number), "yes" if number % 2 else "no") for number in range(20)]
    steps: dict[int, int] = {}

    def count(number: int, snapshot: TuningSnapshot) -> None:
        steps[number] = snapshot.step

    found = tunery.cross_validate(rows, 2, repeated=Repeated("tiny", on_step=count), compare_settings="auto")

    assert list(steps.items()) == [(1, 13), (2, 50), (3, 13), (4, 50)]
    other = found.candidate("other_settings")
    assert other is not None
    assert other.title == "tuned with 20 epochs and a loss of labels of 0.5 (auto)"
    assert other.is_limited


def test_a_tuned_model_is_evaluated_as_it_answers() -> None:
    """With a label, as `generate` answers by default, and so is its base; or freely, if the model is set to that."""
    rows = [TuningExample(f"{'ab'[n % 2] * 4} {n}", ("yes", "no")[n % 2]) for n in range(24)]
    model = tunery.tune(rows, base_model="tiny", epoch_count=1, hold_out=8, library=False)

    limited = model.evaluate()
    model.constrains_outputs = False
    free = model.evaluate()

    prompts = [row.text_input for row in model.held_out]
    said = {row.text_input: row.answers for row in (*limited.best_rows, *limited.worst_rows)}
    own = model.generate(prompts, constrain_to_training_outputs=True, max_output_tokens=8)
    given = dict(zip(prompts, own, strict=True))
    assert said
    assert all(answers["tuned"] == given[text] for text, answers in said.items())
    assert {answers["base"] for answers in said.values()} <= {"yes", "no"}
    assert [one.name for one in free.contenders if one.is_limited] == ["base", "base_examples"]
    assert {row.answers["tuned"] for row in free.worst_rows} - {"yes", "no"}


@pytest.mark.parametrize("library", [True, False])
def test_auto_settings_stand_on_the_card(library: bool, tmp_path: Path) -> None:
    """In My Library or not, also after saving: what was chosen and why; what is named stays."""
    rows = [TuningExample(str(number), "yes" if number % 2 else "no") for number in range(20)]

    model = tunery.tune(rows, base_model="tiny", settings="auto", epoch_count=1, library=library)

    for one in (model, tunery.load(model.save(tmp_path / "saved"))):
        settings = one.card().document()["settings"]
        assert (settings["epoch_count"], settings["label_share"]) == (1, 0.5)
        assert settings["reason"].startswith("Auto chose a loss of labels of 0.5, 5 steps in all")
    with pytest.raises(InvalidArgument, match="settings must be"):
        tunery.tune(rows, base_model="tiny", settings="best", library=library)


def test_inputs_unlike_the_examples_are_reported(tmp_path: Path) -> None:
    """Answers and streams have an input check, also after saving and loading."""
    tuned = tunery.tune(dataset(), base_model="tiny", epoch_count=1)
    seen: list[InputCheck] = []

    for model in (tuned, tunery.load(tuned.save(tmp_path / "saved"))):
        like, unlike = model.answers(["7", "seven"], max_output_tokens=2)
        list(model.stream("seven", max_output_tokens=2, on_input_check=seen.append))

        assert like.input_check == InputCheck()
        assert unlike.input_check.differences[0].kind == "FORM"
        assert seen.pop() == unlike.input_check == model.answer("seven", max_output_tokens=2).input_check

    assert tunery.load("tiny").answer("seven", max_output_tokens=2).input_check == InputCheck()


def test_plain_inputs_are_wrapped_on_request() -> None:
    """With `wraps_plain_inputs`, an input gets the instructions of the examples."""
    rows = [TuningExample(f"Say the next number.\nNumber: {n}", str(n + 1)) for n in range(6)]
    model = tunery.tune(rows, base_model="tiny", epoch_count=1)
    settings: SamplingOptions = {"max_output_tokens": 8, "temperature": 1.0}

    plain = model.answer("3", **settings)
    model.wraps_plain_inputs = True
    wrapped = model.answer("3", **settings)

    assert wrapped.text == model.generate("Say the next number.\nNumber: 3", **settings) != plain.text
    assert (plain.input_check.was_wrapped, wrapped.input_check.was_wrapped) == (False, True)
    assert "".join(model.stream("3", **settings)) == wrapped.text


def test_answers_are_constrained_to_training_outputs() -> None:
    """A model tuned on numbers answers with numbers at a high temperature; a base has no training outputs."""
    model = tunery.tune(dataset(), base_model="tiny", epoch_count=1)
    settings: SamplingOptions = {"max_output_tokens": 8, "temperature": 2.0, "constrain_to_training_outputs": True}

    answers = model.generate(["7", "8", "9"], **settings)

    assert all(re.fullmatch(r"-?(0|[1-9][0-9]*)", answer) for answer in answers)
    with pytest.raises(InvalidArgument, match="a base has none"):
        tunery.load("tiny").generate("7", **settings)


def test_an_output_beyond_the_window_is_named_before_the_base_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is the one in the file; with records it is their place."""
    monkeypatch.setattr("tunery.engine.base.load", None)
    path = tmp_path / "long.csv"
    path.write_text('text_input,output\n"two\nlines",b\na,' + "b" * 3000 + "\n")

    with pytest.raises(DatasetInvalid, match=r"^Row 3, output: 3,\d\d\d tokens with the chat template"):
        tunery.tune(tunery.Dataset.read(path), base_model="tiny")
    with pytest.raises(DatasetInvalid, match=r"^Row 2, output: "):
        tunery.resampling.data_curve([("a", "b"), ("a", "b" * 3000)] * 20, repeated=Repeated("tiny"))
