"""Files of models made to do harm: each is refused in one sentence, and no code in them runs."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.tiny_bases import TEMPLATE, make_folder, make_gguf, tiny_config, tiny_text_side
from tests.fakes import network_of, tiny_network
from tunery.engine.adapter import CONFIG, WEIGHTS, read_adapter, write_adapter
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import Encoder
from tunery.engine.network import Network
from tunery.engine.tuner import FILE, read_checkpoint
from tunery.errors import DataLoss, InvalidArgument, TuneryError
from tunery.model import base_of

HUGE = 1 << 62


@dataclass
class Canary:
    """A pickle that writes a file when it is loaded."""

    path: Path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture(scope="module")
def base_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = make_folder(tmp_path_factory.mktemp("good") / "base")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def base(tmp_path: Path, base_files: dict[str, bytes]) -> Path:
    """Return a folder with a good base, for a test to spoil."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name, content in base_files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def network() -> Network:
    return tiny_network("llama", torch.float32)


@pytest.fixture
def adapter(tmp_path: Path, network: Network) -> Path:
    """Return a folder with a good adapter of `network`, for a test to spoil."""
    write_adapter(tmp_path / "adapter", network.fresh_adapter(4, 8, seed=0), base_model="tiny")
    return tmp_path / "adapter"


def safetensors(header: object, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def lying(shape: object, offsets: object = (0, 8), dtype: object = "F32") -> bytes:
    return safetensors({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, bytes(8))


LIES = {
    "a header longer than the file": struct.pack("<Q", HUGE) + b"{}",
    "a header that is no JSON": safetensors(b"\xff" * 40),
    "a header without end": safetensors(b"[" * 200_000),
    "a header that is a list": safetensors([1, 2]),
    "a shape of 2^62": lying([HUGE]),
    "a product of 2^62": lying([1 << 31, 1 << 31]),
    "a negative shape": lying([-2, -1]),
    "a shape of words": lying(["2"]),
    "a shape that is true": lying([True, 2]),
    "bytes beyond the file": lying([4], (0, 16)),
    "bytes that go backwards": lying([2], (8, 0)),
    "numbers of no type": lying([2], dtype="PICKLE"),
    "no facts": safetensors({"a": None}),
    "four bytes": b"\0\0\0\0",
}


@pytest.mark.parametrize("lie", LIES)
def test_weights_whose_header_lies_are_refused(
    lie: str, base: Path, adapter: Path, network: Network, tmp_path: Path
) -> None:
    """As a base, as an adapter and as a checkpoint; nothing of that size is reserved."""
    (base / "model.safetensors").write_bytes(LIES[lie])
    (adapter / WEIGHTS).write_bytes(LIES[lie])
    (tmp_path / FILE).write_bytes(LIES[lie])

    with pytest.raises(InvalidArgument, match=r"^\S+ is not a complete safetensors file \(.+\)\. Fetch it again\.$"):
        Catalog(tmp_path / "home").add(str(base), "bad")
    with pytest.raises(InvalidArgument, match="is not a complete safetensors file"):
        read_adapter(adapter, network)
    with pytest.raises(DataLoss, match="is damaged"):
        read_checkpoint(tmp_path, "x")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_pickled_base_is_refused(name: str, base: Path, canary: Path, tmp_path: Path) -> None:
    """The sentence says why; the code in it does not run."""
    (base / "model.safetensors").unlink()
    (base / name).write_bytes(pickle.dumps(Canary(canary)))

    with pytest.raises(InvalidArgument, match="this is a pickle, and loading it runs the code in it"):
        Catalog(tmp_path / "home").add(str(base), "bad")
    assert not canary.exists()


def test_pickles_beside_good_weights_are_not_touched(base: Path, canary: Path, tmp_path: Path) -> None:
    """A base is read from its safetensors alone."""
    from tunery.engine.base import load_folder

    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (base / name).write_bytes(pickle.dumps(Canary(canary)))

    Catalog(tmp_path / "home").add(str(base), "good")
    load_folder(base, dtype=torch.float32)

    assert not canary.exists()


def test_a_pickled_adapter_is_refused(adapter: Path, network: Network, canary: Path) -> None:
    """PEFT's old form names what is wrong with it; as safetensors it is none."""
    (adapter / WEIGHTS).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(InvalidArgument, match="not a complete safetensors file"):
        read_adapter(adapter, network)
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")

    with pytest.raises(InvalidArgument, match=r"only as adapter_model\.bin: this is a pickle"):
        read_adapter(adapter, network)
    assert not canary.exists()


def test_a_pickled_checkpoint_is_refused(tmp_path: Path, canary: Path) -> None:
    """It is damaged, whatever is in it."""
    (tmp_path / FILE).write_bytes(pickle.dumps(Canary(canary)))

    with pytest.raises(DataLoss, match="is damaged"):
        read_checkpoint(tmp_path, "x")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 10**12}, "with rank 1000000000000"),
        ({"r": -4}, "r must be a number from 1, not -4"),
        ({"r": "4"}, "r must be a number from 1"),
        ({"lora_alpha": "__import__"}, "lora_alpha must be a number above 0"),
        ({"lora_alpha": 1e300}, "lora_alpha must be a number above 0"),
        ({"peft_type": "PROMPT_TUNING"}, "only LORA can be read"),
        ({"use_dora": True}, "use_dora, which is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save, which is not supported"),
    ],
)
def test_hostile_settings_of_an_adapter_are_refused(
    changes: dict[str, Any], said: str, adapter: Path, network: Network
) -> None:
    """Each value out of range is named before anything of its size is reserved."""
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(config | changes))

    with pytest.raises(InvalidArgument, match=said):
        read_adapter(adapter, network)


@pytest.mark.parametrize("text", ["[" * 200_000, "[1]", "\x00", "{"])
def test_settings_that_are_no_object_are_refused(text: str, adapter: Path, network: Network) -> None:
    """By the adapter and by whoever asks for its base."""
    (adapter / CONFIG).write_text(text)

    for read in (lambda: read_adapter(adapter, network), lambda: base_of(adapter)):
        with pytest.raises(InvalidArgument, match=r"is not (JSON|a JSON object)"):
            read()


def test_an_adapter_of_another_base_is_refused(adapter: Path) -> None:
    """A base of other widths or layers names the first layer that differs, or how many tensors fit."""
    from transformers import LlamaForCausalLM

    for changes, said in (
        ({"intermediate_size": 128}, r"lora_. has shape \(.*\); this base needs \(.*\) with rank 4"),
        ({"num_hidden_layers": 1}, "tensors, of which .* fit this base model"),
    ):
        other = network_of(LlamaForCausalLM(tiny_config(**changes)).to(torch.float32).eval())
        with pytest.raises(InvalidArgument, match=said):
            read_adapter(adapter, other)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["[" * 200_000, "[]", '{"auto_map": {"AutoModel": "evil.Model"}}', "\x00"])
def test_hostile_settings_of_a_base_are_refused(name: str, text: str, base: Path, tmp_path: Path) -> None:
    """Code to be run, endless nesting and what is no object."""
    (base / name).write_text(text)

    with pytest.raises(InvalidArgument, match=r"auto_map|is not JSON|is not a JSON object"):
        Catalog(tmp_path / "home").add(str(base), "bad")


GGUF_LIES = {
    "2^62 values": struct.pack("<IQQ", 3, 0, HUGE),
    "2^62 tensors": struct.pack("<IQQ", 3, HUGE, 0),
    "a name of 2^62 bytes": struct.pack("<IQQQ", 3, 0, 1, HUGE),
    "an array of 2^62 numbers": struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 4, HUGE),
    "an array of 2^62 strings": struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 8, HUGE),
    "2^32 dimensions": struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"a", 2**32 - 1),
    "no alignment": struct.pack("<IQQQ17sII", 3, 0, 1, 17, b"general.alignment", 4, 0),
    "nothing": b"",
}


@pytest.mark.parametrize("lie", GGUF_LIES)
def test_a_gguf_file_that_lies_is_refused(lie: str, tmp_path: Path) -> None:
    """Whatever its header says is held against what there is."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + GGUF_LIES[lie])

    with pytest.raises(InvalidArgument, match="is not a complete GGUF file"):
        Catalog(tmp_path / "home").add(str(path), "bad")


def test_a_cut_gguf_file_is_refused(tmp_path: Path) -> None:
    """A header that is right does not make up for missing tensors."""
    path = make_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-4096])

    with pytest.raises(TuneryError, match="bytes where"):
        Catalog(tmp_path / "home").add(str(path), "bad")


HOSTILE_TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "times": "{{ 'x' * 3000000000 }}",
    "doubles": "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "pads": "{{ 'x'|center(2000000000) }}",
    "writes": "{{ 'x' * 2000000 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_a_template_without_bounds_is_refused_when_its_base_is_added(name: str, base: Path, tmp_path: Path) -> None:
    """Whatever makes it run on or grow; this process does not render it."""
    catalog = Catalog(tmp_path / "home")
    (base / "chat_template.jinja").write_text(HOSTILE_TEMPLATES[name])

    with pytest.raises(InvalidArgument, match=r"^The chat template of \S+base takes more than 10 s, 512 MB or"):
        catalog.add(str(base), "bad")
    assert not any(entry.name == "bad" for entry in catalog.entries())


def test_every_place_of_a_template_is_looked_at(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a list of named ones in the tokenizer's settings, in a folder of more, in GGUF's metadata."""
    template = HOSTILE_TEMPLATES["writes"]
    settings = base / "tokenizer_config.json"
    good = settings.read_text()
    settings.write_text(json.dumps(json.loads(good) | {"chat_template": [{"name": "tool_use", "template": template}]}))
    with pytest.raises(InvalidArgument, match="The chat template of"):
        Catalog(tmp_path / "home").add(str(base), "bad")
    settings.write_text(good)
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "rag.jinja").write_text(template)
    with pytest.raises(InvalidArgument, match="The chat template of"):
        Catalog(tmp_path / "home").add(str(base), "bad")
    monkeypatch.setattr("tests.engine.tiny_bases.TEMPLATE", template)

    with pytest.raises(InvalidArgument, match="The chat template of"):
        Catalog(tmp_path / "home").add(str(make_gguf(tmp_path / "bad.gguf")), "bad")


def test_a_template_that_hides_its_loops_is_stopped_when_it_is_rendered() -> None:
    """A text that it waits for makes it loop: the call ends with 400, and the next one is answered."""
    hidden = "{% if messages[0].content == 'go' %}" + HOSTILE_TEMPLATES["loops"] + "{% endif %}"
    encoder = Encoder(tiny_text_side(hidden + TEMPLATE), 128)

    with pytest.raises(InvalidArgument, match="more than 1,000,000 steps"):
        encoder.prompt("go")
    assert encoder.prompt("stop") == Encoder(tiny_text_side(), 128).prompt("stop")


def test_a_usual_template_is_not_refused(base: Path, tmp_path: Path) -> None:
    """Variables, loops over turns and filters are what templates are made of."""
    (base / "chat_template.jinja").write_text(
        "{% set system = messages[0].content | trim if messages[0].role == 'system' else '' %}"
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content.replace('\\r', '') }}"
        "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
    )

    assert Catalog(tmp_path / "home").add(str(base), "usual").name == "usual"
