"""Exports and cards while a `tunery serve` process holds the data folder: the same files as without it, and whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import tunery
from tests.chaos.served import Served, wait_until
from tests.cli.conftest import Done, Run, runner
from tests.live import BASE, make_home
from tunery.cli.main import main
from tunery.cli.workplace import There
from tunery.service.export import ExportChoice
from tunery.service.folder import DataFolder

pytestmark = pytest.mark.full

MODEL = "exported"
TUNE = ("--id", MODEL, "--display-name", "To take along", "--epochs", "2", "--hold-out", "2", "--no-verdict")
CARDS = {"model-card.json", "model-card.md"}


@dataclass(frozen=True)
class Held:
    """A data folder with one tuned model, and the server process that holds it."""

    home: Path
    server: Served

    @property
    def published(self) -> Path:
        return next(self.home.glob("models/*/1"))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Return a data folder that a server process holds, which has tuned a model with two held-out rows."""
    home = make_home(tmp_path_factory.mktemp("exports"))
    rows = home.parent / "numbers.csv"
    rows.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(20)))
    with Served.real(home, {"TUNERY_BASE": BASE}) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNERY_HOME", str(home))
        with pytest.raises(SystemExit) as end:
            main(["tune", str(rows), "--base-model", BASE, *TUNE])
        assert not end.value.code, server.said
        yield Held(home, server)


@pytest.fixture
def run(held: Held, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command on the data folder."""
    monkeypatch.setenv("TUNERY_HOME", str(held.home))
    return runner(capfd)


@pytest.fixture
def alone(run: Run) -> Run:
    """Return a function that runs a command as if no server held the folder."""

    def ran(*arguments: object) -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tunery.cli.workplace.holding_server", lambda _: None)
            return run(*arguments)

    return ran


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder with what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_server_is_another_process_that_holds_the_folder(held: Held) -> None:
    """The lock names the process and its address."""
    holder = DataFolder(held.home).server()

    assert holder is not None
    assert holder.pid == held.server.pid
    assert holder.address == f"http://127.0.0.1:{held.server.port}"


def test_an_adapter_is_exported(run: Run, held: Held, tmp_path: Path) -> None:
    """The chosen epoch arrives with its bytes, the card beside it, through the server; the library loads it."""
    target = tmp_path / "new" / "adapter"

    done = run("models", "export", MODEL, "--format", "adapter", "--no-prove", "--to", target)

    arrived, published = files_in(target), files_in(held.published)
    assert (done.status, done.output) == (0, f"{target}\n"), done.said
    assert re.search(rf"Exported {MODEL} as adapter \([\d.]+ MB\); its base is {BASE}\.", done.said)
    wait_until(lambda: "ExportTunedModel 200" in held.server.said, 30)  # by its log it was the server that did it
    chosen = {name for name in published if not name.startswith("epochs/") and name != "manifest.json"}
    assert arrived.keys() == chosen | CARDS
    assert {"adapter_config.json", "adapter_model.safetensors"} <= chosen < published.keys()
    assert {name: arrived[name] for name in chosen} == {name: published[name] for name in chosen}
    assert [path.name for path in target.parent.iterdir()] == ["adapter"]
    again = tunery.load(target)
    assert (
        again.generate("7", max_output_tokens=8) + "\n" == run("generate", MODEL, "7", "--max-output-tokens", 8).output
    )
    assert again.answer("seven", max_output_tokens=2).input_check.differences[0].kind == "FORM"


def test_merged_weights_are_exported(run: Run, alone: Run, held: Held, tmp_path: Path) -> None:
    """The files are those of an export without a server, the tensors are equal, and transformers loads them."""
    served, own = tmp_path / "served", tmp_path / "own"

    done = run("models", "export", MODEL, "--format", "merged", "--no-prove", "--to", served, "--json")
    assert alone("models", "export", MODEL, "--format", "merged", "--no-prove", "--to", own).status == 0

    assert json.loads(done.output) == {"model": f"tunedModels/{MODEL}", "folder": str(served), "proof": None}
    assert files_in(served).keys() == files_in(own).keys() >= CARDS | {"model.safetensors", "tokenizer.json"}
    tensors, expected = (load_file(folder / "model.safetensors") for folder in (served, own))
    assert tensors.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in tensors.items())
    AutoModelForCausalLM.from_pretrained(served, local_files_only=True)
    wait_until(lambda: not list(held.home.glob("checkpoints/export-*")), 30)  # it goes once the last byte was sent


def test_gguf_files_are_exported(run: Run, alone: Run, tmp_path: Path) -> None:
    """Files for llama.cpp and Ollama have the same bytes with and without the server."""
    served, own = tmp_path / "served", tmp_path / "own"

    done = run("models", "export", MODEL, "--format", "gguf", "--no-prove", "--to", served)
    assert alone("models", "export", MODEL, "--format", "gguf", "--no-prove", "--to", own).status == 0, done.said

    arrived, expected = files_in(served), files_in(own)
    assert arrived.keys() == CARDS | {"model-f16.gguf", "model-q8_0.gguf", "adapter.gguf", "Modelfile"}
    assert {name: arrived[name] for name in arrived.keys() - CARDS} == {
        name: expected[name] for name in expected.keys() - CARDS
    }


def test_an_epoch_is_exported_by_display_name(run: Run, held: Held, tmp_path: Path) -> None:
    """`NAME@epoch-1` has the weights of that epoch; without --to the folder is named after the id and the epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = run("models", "export", "To take along@epoch-1", "--no-prove")

    target = tmp_path / f"{MODEL}@epoch-1"
    assert done.output == f"{target.name}\n", done.said
    weights = (held.published / "epochs" / "1" / "adapter_model.safetensors").read_bytes()
    assert (target / "adapter_model.safetensors").read_bytes() == weights


def test_the_card_is_the_one_without_a_server(run: Run, alone: Run, held: Held) -> None:
    """Markdown and `--json` are identical with and without the server."""
    page, document = run("models", "card", MODEL), run("models", "card", MODEL, "--json")

    assert (page.status, document.status) == (0, 0), page.said + document.said
    wait_until(lambda: held.server.said.count("GetModelCard 200") >= 2, 30)
    assert page.output == alone("models", "card", MODEL).output
    assert json.loads(document.output) == json.loads(alone("models", "card", MODEL, "--json").output)
    assert page.output.startswith("# To take along")
    assert json.loads(document.output)["data"]["held_out_rows"] == 2


def test_a_proof_is_printed_and_in_the_card(run: Run, tmp_path: Path) -> None:
    """Held-out rows are compared by default; both cards have the figures afterwards."""
    done = run("models", "export", MODEL, "--format", "merged", "--to", tmp_path / "proven", "--json")

    (proof,) = json.loads(done.output)["proof"]["proofs"]
    (kept,) = json.loads(run("models", "card", MODEL, "--json").output)["exports"]
    (beside,) = json.loads((tmp_path / "proven" / "model-card.json").read_text())["exports"]
    assert (proof["runtime"], proof["rows"]) == ("transformers", 2)
    assert f"same answer as the served model for {proof['agreed']} of 2 held-out rows" in done.said
    assert kept["proofs"] == beside["proofs"] == [proof]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("export", "nothing"), 15, "no tuned model 'nothing'"),
        (("export", f"{MODEL}@epoch-9"), 15, "Kept epochs: 1, 2"),
        (("card", "nothing"), 15, "no tuned model 'nothing'"),
    ],
)
def test_what_is_not_there(run: Run, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    """Exit status and sentence are those without a server, and no folder is left."""
    to = ("--to", str(tmp_path / "copy")) if arguments[0] == "export" else ()

    done = run("models", *arguments, *to)

    assert done.status == status
    assert words in done.said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(run: Run, tmp_path: Path) -> None:
    """Exit status 16, and nothing is written."""
    (tmp_path / "file").touch()
    assert run("models", "export", MODEL, "--to", tmp_path).status == 16
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kept", [0, 700, 0.5, -1024], ids=["nothing", "one-header", "half", "all-but-the-end"])
def test_a_reply_that_breaks_off_leaves_nothing(run: Run, tmp_path: Path, kept: float) -> None:
    """Wherever a proxy cuts the tar file, the command ends with 24 and a sentence, and no folder is left."""
    export = There.download

    def cut(server: There, name: str, choice: ExportChoice, file: IO[bytes]) -> None:
        export(server, name, choice, file)
        whole = file.tell()
        file.truncate(int(whole * kept) if 0 < kept < 1 else int(kept) if kept >= 0 else whole + int(kept))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(There, "download", cut)
        done = run("models", "export", MODEL, "--no-prove", "--to", tmp_path / "copy")

    assert done.status == 24
    assert "cut off" in done.said
    assert list(tmp_path.iterdir()) == []
