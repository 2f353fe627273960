"""A model is exported: format, bits and epoch are chosen, the proof is awaited and shown; each epoch can be asked."""

from __future__ import annotations

import re
import tarfile

import pytest
from playwright.sync_api import expect

from tests.chaos.served import wait_until
from tests.studio.test_screens import check
from tests.studio.visitor import Visitor


def test_an_export_is_chosen_proven_and_downloaded(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """
    Sizes stand beside the formats; an export can be cancelled while it is prepared. Merged weights of the first epoch
    come as a tar file once transformers has answered; the dialog says how.
    """
    model = ann.create("Taken", epochs=2)
    ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    page = ann.goto("/")
    ann.choose("Actions for Taken", "Export")
    dialog = page.get_by_role("dialog")
    formats = dialog.get_by_label("Format", exact=True)
    expect(formats.get_by_role("option", name=re.compile(r"^PEFT \(adapter\) · about \d+ MB$"))).to_be_attached()
    formats.select_option("gguf")
    bits = dialog.get_by_label("Bits per weight")
    expect(bits).to_have_value("8")
    expect(bits.get_by_role("option")).to_have_text(
        [re.compile(rf"^{start}.* about \d+ MB$") for start in ("8", "16", "A")]
    )
    formats.select_option("merged")
    dialog.get_by_label("Epoch", exact=True).select_option("1")
    dialog.get_by_label(re.compile("Check that the export gives the same answers")).check()

    dialog.get_by_role("button", name="Download").click()
    expect(dialog.get_by_role("status")).to_contain_text(re.compile(r"Preparing… \d+ s"))
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog.get_by_role("status")).to_be_empty()
    wait_until(lambda: not list(ann.host.home.glob("checkpoints/export-*")))

    with page.expect_download(timeout=Visitor.TUNE_MS) as taken:
        dialog.get_by_role("button", name="Download").click()
        check(ann, request)
        dialog.get_by_role("button", name="Close").click()  # it goes on

    assert taken.value.suggested_filename == f"{model}@epoch-1-merged.tar"
    with tarfile.open(taken.value.path()) as archive:
        assert {"model.safetensors", "model-card.md"} <= set(archive.getnames())
    ann.choose("Actions for Taken", "Export")
    expect(dialog.get_by_role("region", name="Checks")).to_contain_text(
        re.compile(r"merged of epoch 1: transformers gives the same answer as this model on \d+ of \d+ training rows\.")
    )
    expect(dialog.get_by_role("status")).to_be_empty()
    check(ann, request)


def test_an_epoch_is_asked_in_the_playground(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Below the model its kept epochs can be chosen; the answer says which one gave it."""
    model = ann.create("Epochs", epochs=2)
    ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    page = ann.goto(f"/playground?model=tunedModels/{model}")
    page.get_by_label("Epoch of “Model”").select_option("Epoch 1")
    page.get_by_role("textbox", name="Prompt").fill("7")
    ann.press("Run")

    answer = page.get_by_role("region", name="Answer of Epochs, epoch 1")
    expect(answer).to_contain_text(f"tunedModels/{model}@epoch-1")
    expect(answer.get_by_text(re.compile(r"tokens"))).to_be_visible()
    check(ann, request)
