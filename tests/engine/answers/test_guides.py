"""Answers within a form: JSON, patterns and labels hold for any weights, alone and in a batch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.fakes import write_learnable_base
from tunery.engine.answers.generator import Request
from tunery.engine.base import load_folder
from tunery.engine.lora import Adapter
from tunery.engine.resident import ResidentBase
from tunery.errors import InvalidArgument
from tunery.types import AnswerForm, SamplingSettings

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["a", "b"]}, "ok": {"type": "boolean"}},
    "required": ["kind", "ok"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny base that knows nothing of JSON."""
    return write_learnable_base(tmp_path_factory.mktemp("base") / "tiny", max_position_embeddings=512)


@pytest.fixture(scope="module")
def resident(folder: Path) -> ResidentBase:
    """Return that base in memory."""
    return ResidentBase(load_folder(folder, dtype=torch.float32))


def settings(form: AnswerForm, **changes: object) -> SamplingSettings:
    return SamplingSettings(form=form, max_output_tokens=64, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("rows", [1, 3])
def test_json_answers_have_the_schema(resident: ResidentBase, temperature: float, rows: int) -> None:
    """Random weights answer with valid documents, whatever is drawn and however many rows run."""
    form = AnswerForm(json_schema=json.dumps(SCHEMA))

    answers = resident.answers([str(n) for n in range(rows)], settings(form, temperature=temperature))

    for answer in answers:
        value = json.loads(answer)
        assert set(value) == {"kind", "ok"}
        assert value["kind"] in ("a", "b")
        assert value["ok"] in (True, False)


FREE = {
    "type": "object",
    "properties": {"why": {"type": "string"}, "n": {"type": "number"}, "tags": {"type": "array", "minItems": 1}},
    "required": ["why", "n"],
}
CHOICE = {"anyOf": [{"enum": ["a long label", "b"]}, {"type": "array", "items": {"type": "string", "minLength": 20}}]}


def is_whole(value: Any, schema: dict[str, Any]) -> bool:
    """Say whether a value has what a schema above demands."""
    if schema is SCHEMA:
        return set(value) == {"kind", "ok"} and value["kind"] in ("a", "b") and isinstance(value["ok"], bool)
    if schema is FREE:
        return isinstance(value["why"], str) and isinstance(value["n"], int | float) and value.get("tags") != []
    if schema is CHOICE:
        return value in ("a long label", "b") or all(len(text) >= 20 for text in value)
    return schema.get("type") != "object" or isinstance(value, dict)


@pytest.mark.parametrize(
    ("schema", "shortest"),
    [({"type": "object"}, 2), (SCHEMA, 25), (FREE, 20), (CHOICE, 2), ({"type": "number"}, 1), ({}, 1)],
)
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_json_parses_whatever_the_token_limit(
    resident: ResidentBase, schema: dict[str, Any], shortest: int, temperature: float
) -> None:
    """From the shortest answer up, alone and beside others, strings and brackets are closed in time."""
    form = AnswerForm(json_schema=json.dumps(schema))
    limits = [*range(shortest, shortest + 12), 60, 150]
    prompt = tuple(resident.encoder.prompt("x"))
    requests = [
        Request(prompt, SamplingSettings(form=form, max_output_tokens=limit, temperature=temperature, seed=limit))
        for limit in limits
    ]
    texts, reasons = dict.fromkeys(range(len(limits)), ""), {}
    for piece in resident.generator().answer(requests):
        texts[piece.number] += piece.text
        reasons[piece.number] = piece.finish_reason
        assert piece.tokens <= limits[piece.number]

    for text in texts.values():
        assert is_whole(json.loads(text), schema), text
    assert reasons[0] == "MAX_TOKENS"
    (alone,) = resident.answers(["x"], requests[3].settings)
    assert is_whole(json.loads(alone), schema), alone


def test_an_answer_without_room_for_the_shortest_is_left_as_it_is(resident: ResidentBase) -> None:
    """A limit that no valid answer meets gives the beginning of one, and says so."""
    form = AnswerForm(json_schema=json.dumps(SCHEMA))

    pieces = list(resident.stream(["x"], SamplingSettings(form=form, max_output_tokens=10)))

    assert "".join(piece.text for piece in pieces).startswith('{"kind": "')
    assert (pieces[-1].finish_reason, pieces[-1].tokens) == ("MAX_TOKENS", 10)


def test_a_whole_answer_keeps_its_reason(resident: ResidentBase) -> None:
    """With room to spare nothing is hurried: the answer is the one without a limit, and ends by itself."""
    form = AnswerForm(json_schema=json.dumps(SCHEMA))

    pieces = list(resident.stream(["x"], SamplingSettings(form=form, max_output_tokens=64)))

    assert pieces[-1].finish_reason == "STOP"


def test_a_string_that_repeats_itself_is_ended(resident: ResidentBase) -> None:
    """The same few tokens again and again are closed with a quote, and the answer goes on."""
    guide = resident.guides.of(AnswerForm(json_schema='{"type": "object"}'))
    vocabulary = resident.encoder.tokenizer.backend.get_vocab()
    size = len(vocabulary)

    def said(text: str, left: int = 500) -> int:
        wanted = vocabulary[text]
        return guide.draw(torch.zeros(size), left, lambda allowed: wanted if allowed[wanted] == 0 else -1)

    for text in '{"a":Ġ"':
        guide.push(said(text))
    drawn = []
    for number in range(60):
        token = said("xy"[number % 2])
        guide.push(token)
        drawn.append(token)
        if token == vocabulary['"']:
            break

    assert drawn[-1] == vocabulary['"']
    assert len(drawn) == 49
    assert said("}") == vocabulary["}"]


def test_half_a_character_is_completed_before_the_end(resident: ResidentBase) -> None:
    """Where the tokens end within an emoji, its bytes come first, then the quote and the bracket."""
    guide = resident.guides.of(AnswerForm(json_schema='{"type": "object"}'))
    vocabulary = resident.encoder.tokenizer.backend.get_vocab()
    emoji = resident.encoder.tokenizer.encode("😀")
    tokens = [*(vocabulary[text] for text in '{"a":Ġ"'), *emoji[:2]]
    for token in tokens:
        guide.push(token)

    for left in range(4, 0, -1):
        tokens.append(guide.draw(torch.zeros(len(vocabulary)), left, lambda allowed: int(allowed.argmax())))
        guide.push(tokens[-1])

    assert len(json.loads(resident.encoder.text(tokens))["a"]) == 1
    assert guide.was_hurried


def test_a_pattern_is_kept(resident: ResidentBase) -> None:
    """A date is a date."""
    (answer,) = resident.answers(["when?"], settings(AnswerForm(pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}")))

    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", answer)


def test_a_form_does_not_touch_other_rows(resident: ResidentBase) -> None:
    """A free answer beside a bound one is what it is alone."""
    free = SamplingSettings(max_output_tokens=12)
    (alone,) = resident.answers(["5"], free)
    generator = resident.generator()
    prompt = tuple(resident.encoder.prompt("5"))
    bound = settings(AnswerForm(json_schema=json.dumps(SCHEMA)))
    texts = ["", ""]
    for piece in generator.answer([Request(prompt, free), Request(prompt, bound)]):
        texts[piece.number] += piece.text

    assert texts[0] == alone
    assert json.loads(texts[1])["kind"] in ("a", "b")


def test_labels_come_with_their_probabilities(folder: Path, resident: ResidentBase) -> None:
    """The likeliest label is the answer; probabilities sum to one and equal those of scoring each label alone."""
    labels = ("yes", "no", "no idea", "perhaps")
    (piece,) = list(resident.stream(["is it?"], settings(AnswerForm(labels=labels))))

    probabilities = dict(piece.label_probabilities)
    assert piece.text == max(probabilities, key=probabilities.__getitem__)
    assert sum(probabilities.values()) == pytest.approx(1)
    prompt = resident.encoder.prompt("is it?")
    stock = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    scores = []
    for tokens in resident.encoder.answers(labels):
        row = torch.tensor([[*prompt, *tokens]])
        with torch.inference_mode():
            logits = stock(input_ids=row).logits[0].double().log_softmax(-1)
        scores.append(sum(float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(tokens)))
    expected = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    assert [probabilities[label] for label in labels] == pytest.approx(expected, abs=1e-5)


def test_labels_are_scored_in_portions_that_others_and_leavers_interrupt(
    resident: ResidentBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two portions another answer goes on, and a request that was dropped costs nothing more."""
    labels = tuple(f"label {number}" for number in range(30))
    form = AnswerForm(labels=labels)
    (whole,) = list(resident.stream(["is it?"], settings(form)))
    monkeypatch.setattr("tunery.engine.answers.labels.PORTION_TOKENS", 40)
    prompt = tuple(resident.encoder.prompt("is it?"))
    generator = resident.generator()
    asked = generator.submit(Request(prompt, settings(form)))
    other = generator.submit(Request(prompt, SamplingSettings(max_output_tokens=4)))

    first = [piece for _ in range(4) for piece in generator.step()]
    left = [piece for _ in range(10) for piece in generator.step()]

    assert any(piece.number == other and piece.finish_reason for piece in first)
    assert [piece.number for piece in left] == [asked]
    assert left[0].text == whole.text
    assert dict(left[0].label_probabilities) == pytest.approx(dict(whole.label_probabilities), abs=1e-5)
    dropped = generator.submit(Request(prompt, settings(form)))
    assert generator.step() == []
    generator.drop(dropped)
    assert generator.is_idle


def test_labels_are_limited_in_number_and_tokens(resident: ResidentBase) -> None:
    """A thousand labels are answered; more, or longer ones, are refused with the limit and what there is."""
    (piece,) = list(resident.stream(["x"], settings(AnswerForm(labels=tuple(map(str, range(1000)))))))

    assert len(piece.label_probabilities) == 1000
    with pytest.raises(InvalidArgument, match="at most 1,000 labels, not 1,001"):
        AnswerForm(labels=tuple(map(str, range(1001))))
    with pytest.raises(InvalidArgument, match="at most 40,000 characters of labels, not 50,000"):
        AnswerForm(labels=("x" * 50_000,))
    with pytest.raises(InvalidArgument, match=r"9,\d\d\d tokens, limit 4,096"):
        list(resident.stream(["x"], settings(AnswerForm(labels=tuple("x" * 90 + str(n) for n in range(98))))))


def test_labels_use_the_adapter(resident: ResidentBase) -> None:
    """Another adapter, other probabilities."""
    adapter: Adapter = resident.network.fresh_adapter(4, 8.0, seed=0)
    adapter.flat.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    slot = resident.add(adapter)
    form = settings(AnswerForm(labels=("yes", "no")))

    (plain,) = list(resident.stream(["is it?"], form))
    (tuned,) = list(resident.stream(["is it?"], form, slot))

    assert plain.label_probabilities != tuned.label_probabilities


def test_none_of_these_below_the_threshold(resident: ResidentBase) -> None:
    """When no label is sure enough the answer says so; the probabilities come all the same."""
    form = AnswerForm(labels=("yes", "no", "perhaps"), none_below=1.0, none_label="unknown")

    (piece,) = list(resident.stream(["is it?"], settings(form)))

    assert piece.text == "unknown"
    assert len(piece.label_probabilities) == 3


@pytest.mark.parametrize(
    ("changes", "text", "tokens", "reason"),
    [
        ({}, "perhaps so", None, "STOP"),
        ({"stop_sequences": (" so",)}, "perhaps", None, "STOP"),
        ({"max_output_tokens": 2}, None, 2, "MAX_TOKENS"),
    ],
)
def test_a_models_own_label_is_cut_as_free_text_is(
    resident: ResidentBase, changes: dict[str, Any], text: str | None, tokens: int | None, reason: str
) -> None:
    """Stop sequences and limits hold, and the text comes in the pieces that its tokens give, as when they are drawn."""
    label = "perhaps so"
    spelled = resident.encoder.answers([label])[0][:-1]
    whole = SamplingSettings(**{"form": AnswerForm(labels=(label,), is_own=True), "max_output_tokens": 64, **changes})

    pieces = list(resident.stream(["is it?"], whole))

    cut = resident.encoder.text(spelled[:2])
    assert "".join(piece.text for piece in pieces) == (cut if text is None else text)
    assert (len(pieces) > 1) == (len(spelled) > 1)
    assert pieces[-1].finish_reason == reason
    assert pieces[-1].label_probabilities == ((label, 1.0),)
    if tokens is not None or not changes:
        assert pieces[-1].tokens == (tokens or len(spelled))


def test_many_own_labels_are_kept_to(resident: ResidentBase) -> None:
    """A pattern of labels with blanks, brackets and line breaks is answered with one of them."""
    labels = ["plain", "with (brackets) + more", "two\nlines", "a|b", "ends with a blank "]
    form = AnswerForm(pattern="|".join(map(re.escape, labels)), is_own=True)

    answers = resident.answers([str(n) for n in range(4)], settings(form, temperature=1.5))

    assert set(answers) <= set(labels)


def test_a_models_own_labels_are_drawn_as_tokens_are(resident: ResidentBase) -> None:
    """With `top_k` 1 the likeliest label is given at any temperature; a caller's own labels know no `top_k`."""
    labels = ("a", "b", "c", "d")
    own = AnswerForm(labels=labels, is_own=True)
    (likeliest,) = resident.answers(["is it?"], settings(own))

    drawn = {
        form: {
            resident.answers(["is it?"], settings(form, temperature=2.0, top_k=1, seed=seed))[0] for seed in range(12)
        }
        for form in (own, AnswerForm(labels=labels))
    }

    assert drawn[own] == {likeliest}
    assert len(drawn[AnswerForm(labels=labels)]) > 1


def test_labels_of_prompts_that_wait_together_are_those_of_each_alone(resident: ResidentBase) -> None:
    """Prompts of several lengths, with and without an adapter, more than one step scores: the same probabilities."""
    adapter: Adapter = resident.network.fresh_adapter(4, 8.0, seed=0)
    adapter.flat.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    slot = resident.add(adapter)
    form = settings(AnswerForm(labels=("yes", "no", "perhaps")))
    texts = [f"{'is it? ' * (1 + n % 3)}{n}" for n in range(20)]

    for place in (None, slot):
        together = {piece.number: piece for piece in resident.stream(texts, form, place)}
        for number, text in enumerate(texts):
            (alone,) = list(resident.stream([text], form, place))
            assert dict(together[number].label_probabilities) == pytest.approx(
                dict(alone.label_probabilities), abs=1e-5
            )


def test_a_form_that_cannot_be_kept_is_refused(resident: ResidentBase) -> None:
    """A pattern that is none, a schema that is no JSON."""
    for form in (AnswerForm(pattern="[a-"), AnswerForm(json_schema="{")):
        with pytest.raises(InvalidArgument):
            resident.answers(["x"], settings(form))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "uniqueItems": True}, r"keyword 'uniqueItems' is not supported\.$"),
        ({"properties": {"a": {"nullable": True}}}, r"keyword 'nullable' .* \(at properties\.a\)"),
        ({"$defs": {"b": {"anyOf": [{"discriminator": {}}]}}}, r"'discriminator' .* \(at \$defs\.b\.anyOf\[0\]\)"),
        ({"items": {"contentEncoding": "base64"}}, r"'contentEncoding' .* \(at items\)"),
        ({"type": "string", "format": "byte"}, "Unknown format: byte"),
        (json.loads('{"items":' * 70 + "{}" + "}" * 70), "nested too deeply"),
    ],
)
def test_a_keyword_that_cannot_be_kept_is_refused(resident: ResidentBase, schema: Any, words: str) -> None:
    """It is named with its place, whether the grammar knows of it or not."""
    with pytest.raises(InvalidArgument, match=words):
        resident.answers(["x"], settings(AnswerForm(json_schema=json.dumps(schema))))


def test_properties_come_in_the_order_that_is_asked_for(resident: ResidentBase) -> None:
    """`propertyOrdering` is Google's keyword; what only describes a schema is read over."""
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1], "title": "A"}, "b": {"enum": [2], "x-note": ""}},
        "required": ["a", "b"],
        "additionalProperties": False,
        "propertyOrdering": ["b", "a"],
    }

    assert resident.answers(["x"], settings(AnswerForm(json_schema=json.dumps(schema)))) == ['{"b": 2, "a": 1}']
