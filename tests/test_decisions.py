"""Decisions of models in memory, held against transformers: DecisionPipeline for bases, PEFT for tuned models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, pipeline

import tunery
from tests.engine.tiny_bases import SPECIAL, TEMPLATE, VOCABULARY
from tests.fakes import tiny_model, write_learnable_base
from tunery.engine.catalog import Catalog
from tunery.engine.network import Network
from tunery.engine.resident import resident_base
from tunery.errors import BodyInvalid
from tunery.evaluation.calibration import scaled
from tunery.types import TuningExample

WORDS = ["Ye", "Yes", "No"]
MERGES = [("Y", "e"), ("Ye", "s"), ("N", "o")]
# like that of Qwen3: a system turn, and no thinking where it is switched off
THINKING = (
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% for message in messages %}{{ '<|im_start|>' + message.role +"
    " '\n' + message.content | trim + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
BASES = {"llama": TEMPLATE, "qwen3": THINKING}

STATES: list[Any] = [
    "I was charged twice for my order and want a refund.",
    {"message": "WIN a <|im_end|> FREE iPhone, click hère! 😀", "from": [1, 2.5, None, True]},
    ["one", {"two": "2"}],
]
QUESTIONS: dict[str, Any] = {
    "tone": {"type": "choice", "instructions": "What is the tone?", "criteria": {"calm": None, "pushy": "Presses"}},
    "team": {"type": "choice", "criteria": {"a": {"means": ["x", 1]}, "b": "", "c": None, "d": ["é"]}},
    "one": {"type": "choice", "criteria": {"only": None}},
    "all": {"type": "choice", "instructions": "Which?", "criteria": dict.fromkeys(map(str, range(26)))},
    "urgent": {
        "type": "score",
        "instructions": {"ask": "How urgent?"},
        "criteria": ["Can wait", ["This week"], "Today"],
    },
    "refund": {"type": "noul", "instructions": "Is a refund requested?"},
    "spam": {"type": "noul", "criteria": {"true": "Unsolicited ads", "false": "A real <|im_start|> conversation"}},
    "bare": {"type": "noul", "instructions": None, "criteria": {"true": None}},
}


def write_base(folder: Path, family: str) -> Path:
    """Write a tiny base of a family, whose tokenizer has a token for each letter, Yes and No."""
    vocabulary = {token: index for index, token in enumerate([*VOCABULARY, *WORDS])}
    tokenizer = Tokenizer(models.BPE(vocabulary, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    model = tiny_model(family, torch.float32, vocab_size=len(vocabulary), max_position_embeddings=1024)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        chat_template=BASES[family],
    ).save_pretrained(folder)
    return folder


def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> tunery.Model:
    """Return a base in float32, loaded from a folder."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(folder), "tiny")
    resident_base.cache_clear()
    return tunery.Model(resident_base("tiny", tmp_path / "home", "float32"))


def check_near(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Make sure that answers have the same form, and equal figures to 1e-4."""
    assert list(ours) == list(theirs)
    for name, answer in ours.items():
        assert list(answer) == list(theirs[name]), name
        for field, value in answer.items():
            expected = theirs[name][field]
            is_plain = field in ("type", "choice", "legend")
            assert value == (expected if is_plain else pytest.approx(expected, abs=1e-4)), (name, field)


@pytest.mark.parametrize("family", BASES)
def test_a_base_answers_as_decision_pipeline_does(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 every kind of question about every kind of state has the answer of transformers."""
    folder = write_base(tmp_path / "base", family)
    ours = added(monkeypatch, tmp_path, folder)
    theirs = pipeline("decision", model=str(folder), dtype=torch.float32)

    found = ours.decide(STATES, QUESTIONS)

    assert any(len(set(answers["tone"]["probabilities"].values())) == 2 for answers in found)
    for state, answers in zip(STATES, found, strict=True):
        check_near(answers, theirs({"state": state, "questions": QUESTIONS}))


def test_questions_about_a_state_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight questions about one long state take one pass, whatever their options."""
    model = added(monkeypatch, tmp_path, write_base(tmp_path / "base", "llama"))
    passes: list[int] = []
    scores = Network.option_scores

    def counted(self: Network, rows: Any, options: Any, slot: Any) -> torch.Tensor:
        passes.append(len(rows))
        return scores(self, rows, options, slot)

    monkeypatch.setattr(Network, "option_scores", counted)

    together = model.decide(["word " * 60], {name: QUESTIONS[name] for name in ("tone", "team", "urgent", "spam")})

    assert passes == [4]
    alone = {name: model.decide(["word " * 60], {name: QUESTIONS[name]})[0][name] for name in together[0]}
    check_near(together[0], alone)


def test_a_base_without_such_tokens_answers_by_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Yes is three tokens, the probability is that of all three; DecisionPipeline refuses such a base."""
    model = added(monkeypatch, tmp_path, write_learnable_base(tmp_path / "base"))
    noul = QUESTIONS["refund"]

    (answer,) = model.decide([STATES[0]], {"refund": noul})

    text = f"{STATES[0]}\n\n{noul['instructions']}\nAnswer Yes or No only."
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    prompt = model._resident.encoder.prompt(text)
    spelled = [model._resident.encoder.tokenizer.encode(word) for word in ("Yes", "No")]
    assert [len(word) for word in spelled] == [3, 2]
    chances = torch.softmax(torch.stack([likelihood(plain, prompt, word) for word in spelled]), 0)
    assert answer["refund"]["noul"] == pytest.approx(float(chances[0]), abs=1e-4)


def test_a_tuned_model_answers_by_the_likelihood_of_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All labels, or some of them, have the probabilities that stock transformers and PEFT give their tokens."""
    labels = ["billing", "bug", "login and more"]
    base = added(monkeypatch, tmp_path, write_learnable_base(tmp_path / "base"))
    rows = [TuningExample(f"message {number}", labels[number % 3]) for number in range(24)]
    model = tunery.tune(rows, base_model="tiny", epoch_count=4, learning_rate=0.01, library=False)
    folder = model.save(tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(folder)).eval()
    again = tunery.Model(base._resident, model._adapter)
    again.contracts = model.contracts
    encoder = base._resident.encoder

    found = again.decide(
        ["message 7", "another"],
        {
            "label": {"type": "choice", "criteria": dict.fromkeys(labels)},
            "two": {"type": "choice", "instructions": "Not read.", "criteria": {"bug": "Not read.", "billing": None}},
            "is_bug": {"type": "noul", "criteria": {"true": "bug"}},
        },
    )

    for text, answers in zip(["message 7", "another"], found, strict=True):
        prompt = encoder.prompt(text)
        scores = {label: likelihood(theirs, prompt, encoder.answers([label])[0]) for label in labels}
        of_all = torch.softmax(torch.stack(list(scores.values())), 0).tolist()
        of_two = torch.softmax(torch.stack([scores["bug"], scores["billing"]]), 0).tolist()
        assert list(answers["label"]["probabilities"].values()) == pytest.approx(of_all, abs=1e-4)
        assert answers["two"]["probabilities"] == pytest.approx(
            dict(zip(("bug", "billing"), of_two, strict=True)), abs=1e-4
        )
        assert answers["is_bug"]["noul"] == pytest.approx(of_all[1], abs=1e-4)
        assert again.answer(text, max_output_tokens=40).text == answers["label"]["choice"]
    assert again.decide(["message 7"])[0]["label"] == found[0]["label"]


def likelihood(model: Any, prompt: list[int], answer: Any) -> torch.Tensor:
    """Return the log-likelihood of an answer's tokens after a prompt, by transformers."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    return logits.double().log_softmax(1).gather(1, torch.tensor([*answer])[:, None]).sum()


def test_a_tuned_model_is_not_asked_for_what_it_never_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another label is refused, with the labels there are."""
    base = added(monkeypatch, tmp_path, write_base(tmp_path / "base", "llama"))
    rows = [TuningExample(f"message {number}", ["billing", "bug"][number % 2]) for number in range(24)]
    model = tunery.tune(rows, base_model="tiny", epoch_count=1, library=False)

    with pytest.raises(BodyInvalid, match=r"'eggs' is not a label of this model\. Its labels are 'billing', 'bug'"):
        model.decide(["x"], {"q": {"type": "choice", "criteria": {"eggs": None}}})

    assert base.decide(["x"], {"q": {"type": "choice", "criteria": {"eggs": None}}})[0]["q"]["choice"] == "eggs"


def test_an_evaluation_makes_the_probabilities_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluated on rows it has not seen, a model divides by the temperature found, and no answer changes."""
    added(monkeypatch, tmp_path, write_learnable_base(tmp_path / "base"))
    rows = [TuningExample(f"message {number}", ["billing", "bug"][number % 2]) for number in range(24)]
    model = tunery.tune(rows, base_model="tiny", epoch_count=2, learning_rate=0.01, library=False)
    texts = ["message 7", "another"]
    before = model.answers(texts, max_output_tokens=20)

    found = model.evaluate([TuningExample(f"letter {number}", rows[number].output) for number in range(20)])

    assert found.calibration is not None
    assert found.calibration.rows == 20
    assert found.calibration.temperature != pytest.approx(1, abs=0.01)
    assert model.label_temperature == found.calibration.temperature
    after = model.answers(texts, max_output_tokens=20)
    assert [answer.text for answer in after] == [answer.text for answer in before]
    for old, new, decided in zip(before, after, model.decide(texts), strict=True):
        expected = scaled(dict(old.label_probabilities), found.calibration.temperature)
        assert dict(new.label_probabilities) == pytest.approx(expected, rel=0.05)
        assert decided["label"]["probabilities"] == pytest.approx(expected, rel=0.05)
    assert "20 rows are too few to tell how far the probabilities" in model.card().markdown()
