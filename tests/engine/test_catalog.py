"""Tests of `engine.catalog`: names, aliases, bases that the user adds, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.tiny_bases import WINDOW, make_folder, make_gguf
from tunery.engine import memory
from tunery.engine.catalog import ALIASES, Catalog
from tunery.engine.memory import (
    Fit,
    KeptWeights,
    answering_estimate,
    available_memory,
    memory_estimate,
    needs,
    task_memory,
)
from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument, NotFound
from tunery.types import WeightFormat

DEFAULT = "smollm2-135m-instruct"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a safe base in the layout of transformers."""
    return make_folder(tmp_path / "Tiny_Base")


def test_empty_data_folder_lists_the_embedded_base_and_the_api_names(catalog: Catalog) -> None:
    """The embedded base comes first, then the names of old code; nothing is present."""
    assert [entry.name for entry in catalog.entries()] == [DEFAULT, *ALIASES]
    assert not any(entry.is_present for entry in catalog.entries())


@pytest.mark.parametrize("name", ["gemini-1.0-pro", "models/gemini-1.5-flash-001-tuning", "models/text-bison-001"])
def test_api_name_says_who_answers_and_has_true_limits(catalog: Catalog, name: str) -> None:
    """An API name keeps its own name; display name, description, licence and limits are those of the base behind it."""
    entry = catalog.resolve(name)

    assert entry.name == name.removeprefix("models/")
    assert entry.alias_of == DEFAULT
    assert "answered by SmolLM2 135M Instruct" in entry.display_name
    assert "It is not the model of that name" in entry.description
    assert "Weights: SmolLM2" in entry.description
    assert (entry.input_token_limit, entry.licence) == (8192, "Apache-2.0")


@pytest.mark.parametrize(
    "name",
    [
        "gemini-pro", "gemini-1.5-flash", "gemini-1.5-flash-latest", "gemini-1.5-pro-002", "gemini-1.5-flash-8b",
        "gemini-2.0-flash-exp", "gemini-2.5-flash", "gemini-2.5-flash-preview-05-20", "gemini-flash-latest",
        "gemini-3.5-pro", "gemma-3-1b-it", "gemma-3n-e4b-it", "learnlm-2.0-flash-experimental", "chat-bison-001",
        "text-bison@002",
    ],
)  # fmt: skip
def test_every_name_that_google_has_given_a_text_model_is_an_api_name(catalog: Catalog, name: str) -> None:
    """Old and new names of these families stand for the default base, and say so."""
    entry = catalog.resolve(f"models/{name}")

    assert (entry.name, entry.alias_of) == (name, DEFAULT)
    assert entry.display_name == f"{name} (answered by SmolLM2 135M Instruct)"


@pytest.mark.parametrize(
    "name", ["gpt-4", "embedding-001", "imagen-3.0", "geminix", "gemini-", "gemini-../x", "Gemini-pro", "x-gemini-pro"]
)
def test_other_names_are_unknown(catalog: Catalog, name: str) -> None:
    """Names of other families stay unknown; the message lists what there is, or what looks like them."""
    listed = r"Bases here: smollm2.*begin with gemini, gemma, .* mean smollm2"
    with pytest.raises(NotFound, match=rf"There is no base model '{name}'\. ({listed}|Did you mean gem)"):
        catalog.resolve(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("smollm2-135m-instrct", DEFAULT),
        ("Qwen3-06b", "qwen3-0.6b"),
        ("Qwen/Qwen3-06B", "qwen3-0.6b"),
        ("mien", "mine"),
    ],
)
def test_a_misspelt_name_is_recognised(catalog: Catalog, folder: Path, name: str, meant: str) -> None:
    """Of a base that is here, that was added, or that can be fetched, by its name or its name on the hub."""
    catalog.add(str(folder), "mine")

    with pytest.raises(NotFound, match=rf"There is no base model '{name}'\. Did you mean (\S+ or )*{meant}\b"):
        catalog.resolve(name)


def test_an_added_base_keeps_its_name(catalog: Catalog, folder: Path) -> None:
    """A base that the user added under such a name is that base, not the default one."""
    catalog.add(str(folder), "gemma-3-1b-it")

    assert catalog.resolve("models/gemma-3-1b-it").alias_of is None
    assert catalog.resolve("models/gemma-3-4b-it").alias_of == DEFAULT


def test_api_names_follow_the_configured_base(tmp_path: Path, folder: Path) -> None:
    """With another default base, the API names stand for that one."""
    Catalog(tmp_path / "home").add(str(folder), "mine")

    entry = Catalog(tmp_path / "home", "models/mine").resolve("gemini-1.0-pro")

    assert (entry.alias_of, entry.input_token_limit, entry.is_present) == ("mine", WINDOW, True)


def test_api_name_cannot_stand_for_an_api_name(tmp_path: Path) -> None:
    """A default base that is an API name itself is refused."""
    with pytest.raises(InvalidArgument, match=r"gemini-1\.0-pro is an API name"):
        Catalog(tmp_path, "gemini-1.0-pro")


def test_unknown_name_is_answered_with_the_known_ones(catalog: Catalog) -> None:
    """The message lists what there is and how to add more."""
    with pytest.raises(NotFound, match=r"no base model 'gpt-4'.*smollm2-135m-instruct.*tunery bases add"):
        catalog.resolve("models/gpt-4")


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", "models/../../x", "x\0y"])
def test_names_never_become_paths(catalog: Catalog, name: str) -> None:
    """Names with path parts are unknown, whatever lies there."""
    with pytest.raises(NotFound):
        catalog.resolve(name)


def test_folder_is_added_with_what_its_files_say(catalog: Catalog, folder: Path) -> None:
    """Name, window and parameters come from the files; the folder is used where it is."""
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")

    entry = catalog.add(str(folder))

    assert (entry.name, entry.display_name, entry.licence) == ("tiny-base", "Tiny_Base", "mit")
    assert (entry.input_token_limit, entry.is_present) == (WINDOW, True)
    assert entry.parameters == sum(_numbers(folder))
    assert catalog.folder("tiny-base") == folder
    assert catalog.resolve("models/tiny-base") == entry
    assert entry in Catalog(catalog.bases.parent).entries()


def test_digest_is_that_of_the_weights_at_the_time_of_adding(catalog: Catalog, folder: Path) -> None:
    """Equal weights have equal digests, whatever the folder is called; nothing is read again to tell."""
    import hashlib

    catalog.add(str(folder))

    assert catalog.digest("tiny-base") == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_changed_folder_is_not_used(catalog: Catalog, folder: Path) -> None:
    """When a file differs in time or size, the base is not present and the message says what to run."""
    catalog.add(str(folder))
    os.utime(folder / "model.safetensors", ns=(0, 0))

    assert not catalog.is_present("tiny-base")
    with pytest.raises(FailedPrecondition, match=r"model\.safetensors changed .*tunery bases add .* --name tiny-base"):
        catalog.folder("tiny-base")


def test_same_source_again_renews_its_record(catalog: Catalog, folder: Path) -> None:
    """Adding a changed folder again makes it usable again, under the same name."""
    catalog.add(str(folder), "mine")
    os.utime(folder / "model.safetensors", ns=(0, 0))

    entry = catalog.add(str(folder))

    assert (entry.name, entry.is_present) == ("mine", True)


@pytest.mark.parametrize("name", [DEFAULT, "gemini-1.0-pro", "other"])
def test_taken_name_is_refused(catalog: Catalog, folder: Path, tmp_path: Path, name: str) -> None:
    """A name stands for one base."""
    catalog.add(str(make_folder(tmp_path / "other")))

    with pytest.raises(AlreadyExists, match=f"A base named {name} already exists.*--name"):
        catalog.add(str(folder), name)


@pytest.mark.parametrize("name", ["Upper", "-x", "a_b", "a/b", "..", "x" * 64])
def test_names_keep_to_the_rule(catalog: Catalog, folder: Path, name: str) -> None:
    """The message gives the rule."""
    with pytest.raises(InvalidArgument, match="use 1 to 63 of a-z"):
        catalog.add(str(folder), name)


def test_gguf_file_is_described_by_its_metadata(catalog: Catalog, tmp_path: Path) -> None:
    """Name, licence, window and parameters come from the file."""
    entry = catalog.add(str(make_gguf(tmp_path / "a.gguf")), "a")

    assert (entry.display_name, entry.licence, entry.input_token_limit) == ("Tiny", "apache-2.0", WINDOW)
    assert entry.parameters == sum(_numbers(make_folder(tmp_path / "same-shape")))
    with pytest.raises(FailedPrecondition, match="tunery bases get a"):
        catalog.folder("a")


@pytest.mark.parametrize("ending", ["bin", "pt", "pkl"])
def test_pickled_weights_are_refused_with_the_reason(catalog: Catalog, folder: Path, ending: str) -> None:
    """A folder with nothing but pickles is not read."""
    (folder / "model.safetensors").rename(folder / f"pytorch_model.{ending}")

    with pytest.raises(InvalidArgument, match=r"pickle, and loading it runs the code"):
        catalog.add(str(folder))


def test_pickles_beside_safetensors_are_left_alone(catalog: Catalog, folder: Path) -> None:
    """Safetensors are there, so the pickle is never opened and does not matter."""
    (folder / "pytorch_model.bin").write_bytes(b"x")

    assert catalog.add(str(folder)).is_present


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_is_refused(catalog: Catalog, folder: Path, name: str) -> None:
    """A config that names Python files is an error, not a question."""
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}))

    with pytest.raises(InvalidArgument, match=rf"{name} asks for its own code to be run \(auto_map\)"):
        catalog.add(str(folder))


@pytest.mark.parametrize(
    ("missing", "message"),
    [("model.safetensors", "has no model"), ("config.json", "no config"), ("tokenizer.json", "no tokenizer")],
)
def test_incomplete_folder_is_refused(catalog: Catalog, folder: Path, missing: str, message: str) -> None:
    """The message names what is missing."""
    (folder / missing).unlink()

    with pytest.raises(InvalidArgument, match=message):
        catalog.add(str(folder))


def test_folder_without_a_stated_window_is_refused(catalog: Catalog, folder: Path) -> None:
    """The window is not guessed."""
    config = json.loads((folder / "config.json").read_text())
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(InvalidArgument, match="add max_position_embeddings"):
        catalog.add(str(folder))


def test_cut_off_weights_are_refused(catalog: Catalog, folder: Path) -> None:
    """A file that ends in its header is no base."""
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")

    with pytest.raises(InvalidArgument, match=r"not a complete safetensors file"):
        catalog.add(str(folder))


@pytest.mark.parametrize("source", ["./nowhere", "missing.gguf", "no such thing", "a/b/c"])
def test_source_that_does_not_exist_is_refused(catalog: Catalog, source: str) -> None:
    """What is no path and cannot be a hub id is not looked for on the network."""
    with pytest.raises(NotFound, match="Give a folder"):
        catalog.add(source)


def test_file_that_is_no_gguf_is_refused(catalog: Catalog, folder: Path) -> None:
    """A single file must be a GGUF file."""
    with pytest.raises(InvalidArgument, match="is not a GGUF file"):
        catalog.add(str(folder / "model.safetensors"))


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "tiny-base"}', '{"name": "other"}'])
def test_damaged_record_is_an_error_that_names_it(catalog: Catalog, folder: Path, content: str) -> None:
    """A record that cannot be read is not skipped."""
    catalog.add(str(folder))
    (catalog.bases / "tiny-base" / "base.json").write_text(content)

    with pytest.raises(DataLoss, match=r"base\.json .*the base again"):
        catalog.entries()


def test_catalog_loads_no_torch(tmp_path: Path, folder: Path) -> None:
    """Listing and adding work without torch and transformers, so that commands start at once."""
    script = (
        "import sys; from pathlib import Path; from tunery.engine.pull import pull;"
        "from tunery.engine.catalog import Catalog;"
        "c = Catalog(Path(sys.argv[1])); c.add(sys.argv[2]); c.entries(); pull('tiny-base', Path(sys.argv[1]));"
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "home"), str(folder)], capture_output=True, text=True, check=True
    )

    assert shown.stdout == "set()\n"


def test_memory_estimate_grows_with_the_base_and_with_the_rows() -> None:
    """Two bytes for each weight is the least; more parameters or longer batches need more."""
    small = memory_estimate(134_515_008)

    assert 2 * 134_515_008 < small < 3 * 2**30
    assert memory_estimate(8_000_000_000) > 16_000_000_000
    assert memory_estimate(134_515_008, batch_tokens=8192) > small


# VmHWM of `python -m benchmarks.large_base`, in float32 (docs/performance.md)
@pytest.mark.parametrize(("tokens", "recomputes", "measured"), [(4 * 64, False, 3.38e9), (4 * 1024, True, 4.92e9)])
def test_the_estimate_of_a_base_in_four_bits_is_within_a_quarter_of_its_peak(
    tokens: int, recomputes: bool, measured: float
) -> None:
    """1.7 billion parameters with short rows, and with long ones whose layers are computed again."""
    found = memory_estimate(
        1_711_376_384, batch_tokens=tokens, weight_bytes=4, weights=WeightFormat.FOUR_BIT, recomputes=recomputes
    )

    assert found == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize(
    ("asked", "free", "weights", "recomputes"),
    [
        ("auto", 40, "full", False),
        ("auto", 6, "full", True),
        ("4bit", 40, "4bit", False),
        ("8bit", 5, "8bit", True),
        ("full", 2, "full", True),
    ],
)
def test_a_task_takes_what_fits(asked: str, free: int, weights: str, recomputes: bool) -> None:
    """With the weights asked for; layers are computed again, then rows taken singly, only where less memory is free."""
    ask = WeightFormat(asked)
    found = task_memory(1_700_000_000, ask, KeptWeights(), batch=2048, longest=512, free=free * 10**9)
    rigid = KeptWeights(is_flexible=False)

    assert (found.weights, found.recomputes) == (weights, recomputes)
    assert (found.bytes <= free * 10**9) == (free != 2)
    whole = task_memory(1_700_000_000, ask, rigid, batch=2048, longest=512, free=free * 10**9)
    assert (whole.weights, whole.recomputes) == ("full", False)
    assert whole.bytes == memory_estimate(1_700_000_000)


def test_weights_that_came_in_few_bits_stay_so_if_full_ones_do_not_fit() -> None:
    """By default; as 4 bits they also serve a wish for 8."""
    kept = KeptWeights(stored=WeightFormat.FOUR_BIT)

    assert kept.format_for(WeightFormat.AUTO, 1_700_000_000, 40 * 10**9) == "full"
    assert kept.format_for(WeightFormat.AUTO, 1_700_000_000, 5 * 10**9) == "4bit"
    assert kept.format_for(WeightFormat.EIGHT_BIT, 1_700_000_000, 40 * 10**9) == "4bit"


def _numbers(folder: Path) -> list[int]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return [file.get_tensor(name).numel() for name in file.keys()]  # noqa: SIM118 - not a dict


@pytest.mark.parametrize(
    ("free", "total", "fit"), [(9, 9, Fit.YES), (5, 9, Fit.TIGHT), (4, 5, Fit.NO), (5, None, Fit.NO), (None, 9, None)]
)
def test_tight_is_what_fits_only_if_other_programs_end(
    monkeypatch: pytest.MonkeyPatch, free: int | None, total: int | None, fit: Fit | None
) -> None:
    """Tuning 600 million parameters takes 5.9 GB: yes in free memory, tight in the machine's, else no; or unknown."""
    monkeypatch.setattr(memory, "available_memory", lambda: free and free * 10**9)
    monkeypatch.setattr(memory, "total_memory", lambda: total and total * 10**9)

    tuning, answering = needs(600_000_000)

    assert (tuning.fit, round(tuning.bytes / 1e9, 1)) == (fit, 5.9)
    assert tuning.bytes > answering.bytes == answering_estimate(600_000_000) > 1_200_000_000


@pytest.mark.parametrize(
    ("free", "total", "fit", "weights"),
    [
        (9, 9, "yes", "full"),
        (3, 9, "yes", "full"),
        (2.1, 2.1, "yes", "8bit"),
        (1.8, 1.8, "yes", "4bit"),
        (1, 1, "no", "4bit"),
        (1, 3, "tight", "full"),
    ],
)
def test_a_base_may_fit_with_layers_computed_again_or_fewer_bits(
    monkeypatch: pytest.MonkeyPatch, free: float, total: float, fit: str, weights: str
) -> None:
    """The least change that fits is told, with its figure; else the smallest figure."""
    monkeypatch.setattr(memory, "available_memory", lambda: int(free * 1e9))
    monkeypatch.setattr(memory, "total_memory", lambda: int(total * 1e9))

    tuning, _ = needs(600_000_000, is_flexible=True)

    assert (tuning.fit, tuning.weights) == (fit, weights)
    assert (tuning.bytes <= free * 1e9) == (fit == "yes")


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, the memory is its limit, and free is what is left of it; its page cache counts as free."""
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    whole = memory.total_memory()
    for name, text in {"memory.max": "1000", "memory.current": "400", "memory.stat": "inactive_file 100"}.items():
        (tmp_path / name).write_text(f"{text}\n")

    assert (memory.total_memory(), available_memory()) == (1000, 700)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.total_memory() == whole
