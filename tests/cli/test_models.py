"""`tunery models`: list, show, export, delete."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.service.samples import a_request
from tunery.cli.client import received_model
from tunery.server.wire.tuning import tuned_model_out
from tunery.service.library import Library


def test_an_empty_library_says_what_to_do(run: Run) -> None:
    """Nothing on standard output, a hint on standard error."""
    done = run("models", "list")

    assert (done.status, done.output) == (0, "")
    assert done.said == "My Library is empty. Next: tunery tune FILE\n"


def test_list_shows_a_line_per_model(run: Run, tuned: str) -> None:
    """Id, state, base, rows, loss and time, newest first."""
    lines = run("models", "list").output.splitlines()

    assert lines[0].split() == ["ID", "STATE", "BASE", "ROWS", "SCORE", "LOSS", "CREATED"]
    assert lines[1].split()[:4] == [tuned, "ACTIVE", "tiny", "20"]


def test_the_score_stands_where_the_model_stands(run: Run, tuned: str, tmp_path: Path) -> None:
    """In the list, on the model's page and in both documents, once it was evaluated; before, how to do that."""
    rows = tmp_path / "other.csv"
    rows.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(30, 40)))
    assert f"not evaluated; tunery evaluate {tuned} --folds 3" in run("models", "show", tuned).output

    found = json.loads(run("evaluate", tuned, rows, "--json").output)

    (value,) = [one["figures"][0]["value"] for one in found["contenders"] if one["name"] == "tuned"]
    score = json.loads(run("models", "show", tuned, "--json").output)["score"]
    assert (score["value"], score["metric"]) == (value, found["metric"])
    assert json.loads(run("models", "list", "--json").output)[0]["score"] == score
    assert f"exact match {100 * value:.0f} %, the base" in run("models", "show", tuned).output
    assert run("models", "list").output.splitlines()[1].split()[4:6] == [f"{100 * value:.0f}", "%"]


def test_list_as_json(run: Run, tuned: str) -> None:
    """A list of documents without the snapshots."""
    (document,) = json.loads(run("models", "list", "--json").output)

    assert document["name"] == f"tunedModels/{tuned}"
    assert "snapshots" not in document["tuning_task"]


def test_show_has_facts_and_curve(run: Run, tuned: str) -> None:
    """Where a model comes from, its settings, versions and curve, on standard output, within 80 columns."""
    done = run("models", "show", tuned)

    for text in ("numbers.csv, 20 rows", "3 epochs, batch size 4, learning rate 0.001, seed 0", "torch", "served"):
        assert text in done.output
    assert "loss per step" in done.output
    assert all(len(line) <= 80 or "/" in line for line in done.output.splitlines())


def test_show_as_json_has_the_snapshots(run: Run, tuned: str) -> None:
    """The same document that tuning prints."""
    document = json.loads(run("models", "show", tuned, "--json").output)

    assert len(document["tuning_task"]["snapshots"]) == 15


def test_export_copies_what_was_published(run: Run, home: Path, tuned: str, tmp_path: Path) -> None:
    """The files of the chosen epoch arrive with their bytes; the folder is printed; PEFT's two are at its root."""
    target = tmp_path / "exported" / "adapter"

    done = run("models", "export", tuned, "--format", "adapter", "--to", target)

    assert (done.status, done.output) == (0, f"{target}\n")
    source = next(home.glob("models/*/1"))
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    assert {Path("adapter_config.json"), Path("adapter_model.safetensors")} <= set(files)
    chosen = [file for file in files if file.parts[0] not in ("epochs", "manifest.json")]
    assert all((target / file).read_bytes() == (source / file).read_bytes() for file in chosen)
    assert not (target / "epochs").exists()
    assert [path.name for path in target.parent.iterdir()] == ["adapter"]


def test_export_does_not_overwrite(run: Run, tuned: str, tmp_path: Path) -> None:
    """A folder with files is left alone, exit status 16; an empty one is used."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()

    assert run("models", "export", tuned, "--to", tmp_path / "full").status == 16
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]
    assert run("models", "export", tuned, "--to", tmp_path / "empty").status == 0


def test_export_checks_every_file(run: Run, home: Path, tuned: str, tmp_path: Path) -> None:
    """A changed file is not copied out: exit status 25 and no folder."""
    next(home.glob("models/*/1/tuning.json")).write_text("{}")

    done = run("models", "export", tuned, "--to", tmp_path / "copy")

    assert done.status == 25
    assert not (tmp_path / "copy").exists()


def test_export_to_where_nothing_can_be_written(run: Run, tuned: str, data: Path) -> None:
    """A folder below a file ends with 19 and its path."""
    done = run("models", "export", tuned, "--to", data / "copy")

    assert done.status == 19
    assert "numbers.csv/copy cannot be written" in done.said


def test_an_unknown_format_is_refused(run: Run, tuned: str) -> None:
    """Unknown formats are refused."""
    done = run("models", "export", tuned, "--format", "onnx")

    assert done.status == 2
    assert "adapter" in done.said


def test_export_writes_other_formats(run: Run, tuned: str, tmp_path: Path) -> None:
    """Merged weights and GGUF files, each with its card; without held-out rows nothing is proven."""
    merged = run("models", "export", tuned, "--format", "merged", "--to", tmp_path / "merged", "--json")
    files = run("models", "export", f"{tuned}@epoch-1", "--format", "gguf", "--to", tmp_path / "gguf")

    assert json.loads(merged.output)["proof"] is None
    assert "Not proven. Add --prove to compare it." in merged.said
    assert {"model.safetensors", "tokenizer.json", "model-card.md"} <= {p.name for p in (tmp_path / "merged").iterdir()}
    assert "Exported numbers@epoch-1 as gguf" in files.said
    assert {"model-f16.gguf", "model-q8_0.gguf", "adapter.gguf", "Modelfile"} <= {
        p.name for p in (tmp_path / "gguf").iterdir()
    }


def test_export_of_an_epoch_has_its_weights(run: Run, home: Path, tuned: str, tmp_path: Path) -> None:
    """`@epoch-2` is the adapter after the second epoch; one that was not kept ends with 15 and the kept ones."""
    done = run("models", "export", f"{tuned}@epoch-2", "--to", tmp_path / "second")
    missing = run("models", "export", f"{tuned}@epoch-9", "--to", tmp_path / "ninth")

    kept = next(home.glob("models/*/1/epochs/2")) / "adapter_model.safetensors"
    assert done.status == 0
    assert (tmp_path / "second" / "adapter_model.safetensors").read_bytes() == kept.read_bytes()
    assert missing.status == 15
    assert "Kept epochs: 1, 2, 3" in missing.said


def test_a_proof_is_printed_and_kept(run: Run, tuned: str, tmp_path: Path) -> None:
    """transformers runs the merged weights; the share of equal answers is in the card afterwards."""
    done = run("models", "export", tuned, "--format", "merged", "--prove", "--to", tmp_path / "merged", "--json")

    (proof,) = json.loads(done.output)["proof"]["proofs"]
    assert (proof["runtime"], proof["rows"]) == ("transformers", 20)
    assert f"gives the same answer as the served model for {proof['agreed']} of 20 training rows (" in done.said
    (export,) = json.loads(run("models", "card", tuned, "--json").output)["exports"]
    assert export["proofs"][0]["agreed"] == proof["agreed"]
    assert "differences" not in export["proofs"][0]


def test_each_gguf_file_is_asked_the_adapter_beside_its_base(run: Run, tuned: str, tmp_path: Path) -> None:
    """Without the runtime each file is reported as not proven; the base in float16 is removed."""
    done = run("models", "export", tuned, "--format", "gguf", "--prove", "--to", tmp_path / "gguf", "--json")

    proofs = json.loads(done.output)["proof"]["proofs"]
    assert [proof["file"] for proof in proofs] == [
        "model-f16.gguf",
        "model-q8_0.gguf",
        "adapter.gguf beside tiny-f16.gguf",
    ]
    assert not list((tmp_path / "gguf").glob("tiny*"))


def test_the_card_is_one_page(run: Run, tuned: str) -> None:
    """Base, licence, data, settings, loss, contracts and how to call it, in Markdown."""
    page = run("models", "card", tuned).output

    for text in (
        "## Base",
        "Licence:",
        "numbers.csv: 20 rows",
        "3 epochs",
        "## Loss",
        "The inputs are numbers",
        "tunery generate",
    ):
        assert text in page


def test_delete_removes_model_and_files(run: Run, home: Path, tuned: str) -> None:
    """With --yes the model and its folder are gone."""
    done = run("models", "delete", tuned, "--yes")

    assert (done.status, done.said) == (0, "Deleted numbers.\n")
    assert not list(home.glob("models/*"))
    assert run("models", "show", tuned).status == 15


def test_delete_does_not_guess(run: Run, tuned: str) -> None:
    """Without --yes and without a terminal, nothing is deleted."""
    done = run("models", "delete", tuned)

    assert done.status == 13
    assert "Add --yes" in done.said
    assert run("models", "show", tuned).status == 0


def test_another_kept_epoch_is_used(run: Run, tuned: str, tmp_path: Path) -> None:
    """It answers and is exported from then on, and is the one marked as served; 0 undoes the choice."""
    done = run("models", "use", tuned, "1", "--json")

    assert (done.status, done.said) == (0, f"{tuned} now answers with epoch 1.\n")
    assert json.loads(done.output)["served_epoch"] == 1
    shown = [line for line in run("models", "show", tuned).output.splitlines() if line.endswith("  served")]
    assert [line.split()[0] for line in shown] == ["1"]
    run("models", "export", tuned, "--to", tmp_path / "chosen")
    run("models", "export", f"{tuned}@epoch-1", "--to", tmp_path / "first")
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("chosen", "first")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert run("models", "use", tuned, "7").status == 15
    assert run("models", "use", tuned, "0").said == f"{tuned} now answers with epoch 3.\n"


def test_a_queued_model_is_tuned_next(run: Run, home: Path, tuned: str) -> None:
    """It goes before the others of its user; a model that has been tuned is refused."""
    with Library.own(home) as library:
        models = [library.create(a_request(id=name)) for name in ("first", "second")]

    done = run("models", "next", "second")
    refused = run("models", "next", tuned)

    assert (done.status, done.said) == (0, "second is the next of the queued models of its user.\n")
    assert "is not waiting for its first start" in refused.said
    with Library.open(home) as library:
        assert [library.places_in_queue()[model.task.id] for model in models] == [1, 0]


def test_a_model_says_what_it_was_tuned_again_from(run: Run, home: Path) -> None:
    """As text, as JSON, and when it comes from a server."""
    with Library.own(home) as library:
        model = library.create(a_request(id="again", tuned_again_from="numbers"))

    assert "From      tuned again from numbers\n" in run("models", "show", "again").output
    assert json.loads(run("models", "show", "again", "--json").output)["tuned_again_from"] == "numbers"
    assert received_model(tuned_model_out(model).json_object()).tuned_again_from == "numbers"
