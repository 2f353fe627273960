"""Tests of `engine.base`: what a loaded base is, and what cannot be loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.tiny_bases import TEMPLATE, WINDOW, make_folder
from tests.needs import NO_DEFAULT_BASE, missing
from tunery import config
from tunery.engine import base, conversion
from tunery.engine.catalog import EMBEDDED, Catalog
from tunery.errors import FailedPrecondition, InvalidArgument


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data folder with a base `tiny`."""
    Catalog(tmp_path / "home").add(str(make_folder(tmp_path / "tiny")))
    return tmp_path / "home"


def test_loaded_base_is_frozen_and_known_by_its_digest(home: Path) -> None:
    """No parameter takes a gradient, dropout is off, and name, window and digest are those of the catalog."""
    catalog = Catalog(home)

    loaded = base.load(catalog.resolve("tiny"), home, dtype=torch.bfloat16)

    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert (loaded.name, loaded.window_tokens, loaded.dtype) == ("tiny", WINDOW, torch.bfloat16)
    assert loaded.digest == catalog.digest("tiny")
    assert loaded.tokenizer.chat_template == TEMPLATE


def test_weights_are_those_of_the_file(home: Path) -> None:
    """Every parameter equals the tensor of its name, the tied head included."""
    loaded = base.load(Catalog(home).resolve("tiny"), home, dtype=torch.bfloat16)

    stored = load_file(loaded.folder / "model.safetensors")
    assert all(torch.equal(parameter, stored[name]) for name, parameter in loaded.model.named_parameters())
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight


def test_float32_holds_the_same_numbers(home: Path) -> None:
    """Another number format converts the weights and rounds nothing away."""
    entry = Catalog(home).resolve("tiny")

    exact = base.load(entry, home, dtype=torch.float32).model.state_dict()

    half = base.load(entry, home, dtype=torch.bfloat16).model.state_dict()
    assert all(value.dtype == torch.float32 and torch.equal(value, half[name].float()) for name, value in exact.items())


def test_api_name_loads_the_base_behind_it(home: Path) -> None:
    """The loaded base has the name of the weights, not of the alias."""
    entry = Catalog(home, "tiny").resolve("gemini-1.0-pro")

    assert base.load(entry, home, dtype=torch.bfloat16).name == "tiny"


def test_weights_stay_a_mapped_file(home: Path) -> None:
    """In the number format of the file, nothing is copied: the file is mapped into memory."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells which files are mapped")

    loaded = base.load(Catalog(home).resolve("tiny"), home, dtype=torch.bfloat16)

    weights = loaded.folder / "model.safetensors"
    spans = [line.split()[0] for line in maps.read_text().splitlines() if line.endswith(str(weights))]
    address = loaded.model.model.layers[0].mlp.up_proj.weight.data_ptr()
    assert any(int(start, 16) <= address < int(end, 16) for start, end in (span.split("-") for span in spans))


def test_base_without_template_gets_the_plain_one(tmp_path: Path) -> None:
    """A pretrained base gets one plain template: input, output, end of text."""
    loaded = base.load_folder(make_folder(tmp_path / "plain", template=None), dtype=torch.bfloat16)

    turns = [{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": "c"}]
    prompt = loaded.tokenizer.render(turns[:1], add_generation_prompt=True)
    assert prompt == "<|im_start|>Input:\na\nb\nOutput:\n"
    assert loaded.tokenizer.render(turns) == f"{prompt}c<|im_end|>"


def test_folder_outside_the_catalog_has_the_same_digest(home: Path, tmp_path: Path) -> None:
    """A folder loaded directly is the same base as the one that was added."""
    loaded = base.load_folder(tmp_path / "tiny", dtype=torch.bfloat16)

    assert loaded.digest == Catalog(home).digest("tiny")


def test_base_that_was_not_pulled_says_so(tmp_path: Path) -> None:
    """The message is the command that brings it here."""
    with pytest.raises(FailedPrecondition, match="tunery bases pull smollm2-135m-instruct"):
        base.load(Catalog(tmp_path).resolve("gemini-1.0-pro"), tmp_path, dtype=torch.bfloat16)


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    """Weights that are not in the file are not made up."""
    folder = make_folder(tmp_path / "tiny")
    stored = load_file(folder / "model.safetensors")
    rest = {name: value.clone() for name, value in stored.items() if name != "model.layers.1.mlp.up_proj.weight"}
    save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(InvalidArgument, match=r"weights are missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        base.load_folder(folder, dtype=torch.bfloat16)


def test_unknown_kind_of_model_is_an_error(tmp_path: Path) -> None:
    """What transformers does not know is named."""
    folder = make_folder(tmp_path / "tiny")
    content = (folder / "config.json").read_text()
    (folder / "config.json").write_text(re.sub(r'"model_type": "\w+"', '"model_type": "novel"', content))

    with pytest.raises(InvalidArgument, match=r"tiny cannot be loaded from .*novel"):
        base.load_folder(folder, dtype=torch.bfloat16)


@pytest.mark.base
def test_default_base_answers_and_keeps_its_four_bits() -> None:
    """The real default base knows the capital of France, and its 4-bit form holds the same weights."""
    home = config.data_folder()
    entry = Catalog(home).resolve(EMBEDDED.name)
    if not entry.is_present:
        missing(NO_DEFAULT_BASE)

    loaded = base.load(entry, home, dtype=torch.bfloat16)

    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = loaded.tokenizer.encode(loaded.tokenizer.render(turns, add_generation_prompt=True))
    row = loaded.model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0]
    assert "Paris" in loaded.tokenizer.decode(row[len(prompt) :].tolist())
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) == entry.parameters
    weights = dict(loaded.model.named_parameters())
    assert all(
        torch.equal(four.dense().bfloat16(), weights[name])
        for name, four in conversion.read_four_bit(loaded.folder).items()
    )
