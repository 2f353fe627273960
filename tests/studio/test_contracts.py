"""What the examples of a tuned model have in common: shown, checked in the playground, kept to on wish."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.studio.test_screens import check
from tests.studio.visitor import Visitor

LABELS = ("cat", "dog")


def test_the_contract_of_a_model_is_shown_and_kept(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Sentences on its page, a remark where a prompt differs, answers within the labels with their probabilities."""
    rows = [(f"Name the animal.\nSound: {number}", LABELS[number % 2]) for number in range(12)]
    examples = {"examples": [{"textInput": text_input, "output": output} for text_input, output in rows]}
    model = ann.create("Animals", trainingData={"examples": examples})
    page = ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    panel = page.get_by_role("region", name="Expected input and output")
    expect(panel).to_contain_text("one of 2 labels: cat, dog")
    check(ann, request)

    ann.goto(f"/playground?model=tunedModels/{model}")
    page.get_by_role("textbox", name="Prompt").fill("7")
    page.get_by_label("Only allow answers like those in the examples (labels or format)").check()
    ann.press("Run")
    answer = page.get_by_role("region", name="Answer of Animals")
    expect(answer.get_by_text(re.compile("^(cat|dog)$")).first).to_be_visible()
    expect(answer.get_by_text(re.compile("Unlike the examples: "))).to_be_visible()
    expect(answer.get_by_text(re.compile(r"^\d+ %$"))).to_have_count(2)
    check(ann, request)


def test_plain_inputs_are_wrapped_on_wish(ann: Visitor) -> None:
    """The box on the page of the model is kept, and the playground says that the prompt was wrapped."""
    rows = [(f"Say the next number.\nNumber: {number}", str(number + 1)) for number in range(8)]
    examples = {"examples": [{"textInput": text_input, "output": output} for text_input, output in rows]}
    model = ann.create("Wrapped", trainingData={"examples": examples})
    page = ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    page.get_by_label("Automatically add the instruction used in the examples").click()
    expect(page.get_by_label("Automatically add the instruction used in the examples")).to_be_checked()

    ann.goto(f"/playground?model=tunedModels/{model}")
    page.get_by_role("textbox", name="Prompt").fill("7")
    ann.press("Run")

    expect(page.get_by_text("The instruction from your examples was added")).to_be_visible()


def test_the_model_card_is_drawn(ann: Visitor) -> None:
    """Behind the three dots, on the page itself."""
    model = ann.create("Described")
    page = ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    ann.choose("Actions for Described", "Model card")

    expect(page.get_by_role("dialog").get_by_role("heading", name="Described")).to_be_visible()
