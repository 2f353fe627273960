"""`tunery tune`: what it says, prints and leaves, and how it ends."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tunery.cli.terminal import INTERRUPTED, Interrupts
from tunery.service.library import Library


def test_the_name_is_the_result(run: Run, tiny: str, data: Path) -> None:
    """Standard output has the name of the new model and nothing else; its id begins with the name of the file."""
    done = run("tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "1")

    assert done.status == 0
    assert done.output.startswith("tunedModels/numbers-")
    assert done.output.count("\n") == 1


def test_the_start_says_what_was_resolved(run: Run, tiny: str, data: Path) -> None:
    """File, format, encoding, columns, held-out rows, base, settings given and by default, steps, machine."""
    said = run("tune", data, "--base-model", tiny, "--epochs", "2", "--hold-out", "10%", "--seed", "7").said

    assert "Data      numbers.csv: CSV, utf-8, 20 rows\n" in said
    assert "Columns   input 'text_input', output 'output'\n" in said
    assert "Check     2 rows held out (--hold-out 10%)\n" in said
    assert "Base      tiny, " in said
    assert "Settings  2 epochs, seed 7; default: batch size 4, learning rate 0.001\n" in said
    assert "Steps     9 on 18 rows\n" in said
    assert re.search(r"^Memory    needs about \d\.\d GB; \d+\.\d GB free$", said, re.MULTILINE)
    assert "Machine   " in said


def test_too_little_memory_is_told_before_the_start(
    run: Run, tiny: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that may not fit gets a warning with advice; without a terminal it is tried anyway."""
    monkeypatch.setattr("tunery.service.creation.available_memory", lambda: 100_000_000)

    done = run("tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "1")

    assert done.status == 0
    assert "; 0.1 GB free\nWarning: this may not fit. Use smaller batches (--batch-size)" in done.said


def test_a_multiplier_is_shown_with_its_rate(run: Run, tiny: str, data: Path) -> None:
    """The resulting rate is shown with the multiplier."""
    said = run(
        "tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "1", "--learning-rate-multiplier", "2"
    ).said

    assert "learning rate 0.002 (multiplier 2)" in said


def test_a_pipe_gets_a_plain_line_per_step(run: Run, tiny: str, data: Path) -> None:
    """Lines of steps are aligned, end at 100 %, and hold no control characters."""
    said = run("tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "2").said

    steps = [line for line in said.splitlines() if line.startswith("step ")]
    assert len(steps) == 10
    assert steps[0].startswith("step  1/10   10%  epoch 1/2  loss ")
    assert steps[-1].startswith("step 10/10  100%  epoch 2/2  loss ")
    assert len({line.index("steps/s") for line in steps}) == 1
    assert all(line.isprintable() for line in said.splitlines())
    assert all(len(line) <= 80 or "/" in line for line in said.splitlines())


def test_many_steps_are_thinned(run: Run, tiny: str, data: Path) -> None:
    """Above 200 steps a pipe gets about 200 lines, the last among them."""
    said = run("tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "22", "--batch-size", "2").said

    steps = [line for line in said.splitlines() if line.startswith("step ")]
    assert 100 <= len(steps) <= 200
    assert "step 220/220  100%" in steps[-1]


def test_the_end_says_what_was_made(run: Run, home: Path, tiny: str, data: Path) -> None:
    """Curve, losses per epoch with the one that is served, advice, files, and the next command."""
    done = run("tune", data, "--base-model", tiny, "--id", "numbers", "--epochs", "3", "--hold-out", "3")

    assert "⣀ loss per step   ● epoch mean   ○ held-out rows" in done.said
    assert "EPOCH  MEAN LOSS  HELD-OUT LOSS" in done.said
    assert done.said.count("  served\n") == 1
    advice = json.loads(run("models", "show", "numbers", "--json").output)["tuning_task"]["advice"]
    assert f"\n{advice['text']}\n" in done.said
    assert "Tuned    numbers in " in done.said
    curve = next(line for line in done.said.splitlines() if line.startswith("Curve "))
    assert Path(curve.split(maxsplit=1)[1]).is_relative_to(home)
    assert Path(curve.split(maxsplit=1)[1]).read_text("utf-8").startswith("<svg")
    assert "Next: tunery generate numbers " in done.said


def test_json_is_one_document(run: Run, tiny: str, data: Path) -> None:
    """With --json standard output is the model with its task and curve, in Google's names in snake_case."""
    done = run(
        "tune", data, "--no-verdict", "--base-model", tiny, "--id", "numbers", "--display-name", "Numbers", "--json"
    )

    document = json.loads(done.output)
    assert document["name"] == "tunedModels/numbers"
    assert (document["display_name"], document["state"]) == ("Numbers", "ACTIVE")
    assert document["estimate"]["memory_bytes"] > 600 * 2**20
    assert set(document["estimate"]) == {"memory_bytes", "free_bytes", "weights", "recomputes"}
    task = document["tuning_task"]
    assert task["hyperparameters"] == {"epoch_count": 5, "batch_size": 4, "learning_rate": 0.001}
    assert [snapshot["step"] for snapshot in task["snapshots"]] == list(range(1, 26))
    assert set(task["snapshots"][0]) == {"step", "epoch", "mean_loss", "compute_time"}
    assert Path(document["adapter_folder"], "adapter_model.safetensors").is_file()


def test_bad_rows_are_all_told(run: Run, tiny: str, tmp_path: Path) -> None:
    """All bad rows are reported, many of a kind counted; exit status 13 and nothing in the library."""
    path = tmp_path / "bad.csv"
    path.write_text("text_input,output\n" + "a,\n" * 8 + ",b\n" + "c,d\n")

    done = run("tune", path, "--base-model", tiny)

    assert done.status == 13
    assert "Error:    Rows 2, 3, 4, 5, 6 and 3 more, output: empty." in done.said
    assert "Row 10, text_input: empty." in done.said
    assert "The data cannot be used: 9 errors" in done.said
    assert run("models", "list").output == ""


def test_warnings_are_told_and_do_not_stop(run: Run, tiny: str, tmp_path: Path) -> None:
    """Without a terminal, doubtful data gets a warning and is tuned."""
    path = tmp_path / "few.csv"
    path.write_text("text_input,output\n1,2\n2,3\n3,4\n")

    done = run("tune", path, "--base-model", tiny, "--epochs", "1")

    assert done.status == 0
    assert "Warning:  3 examples; most tasks need at least 20." in done.said


def test_columns_are_chosen(run: Run, tiny: str, tmp_path: Path) -> None:
    """--input-column may be given several times."""
    path = tmp_path / "wide.csv"
    path.write_text("subject,body,team\n" + "".join(f"s{n},b{n},t{n % 2}\n" for n in range(20)))
    columns = ("--input-column", "subject", "--input-column", "body", "--output-column", "team")

    done = run("tune", path, "--base-model", tiny, "--epochs", "1", "--no-verdict", *columns)

    assert done.status == 0
    assert "input 'subject' and 'body', output 'team'" in done.said


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--epochs", "0"), 13, "--epochs must be a whole number of at least 1"),
        (("--learning-rate", "1", "--learning-rate-multiplier", "2"), 13, "not both"),
        (("--hold-out", "100%"), 13, "The number of held-out rows"),
        (("--id", "Not An Id"), 13, "cannot be used"),
        (("--base-model", "unknown"), 15, "There is no base model 'unknown'"),
        (("--resume",), 15, "no unfinished tuning job"),
        (("--epochs", "many"), 2, "--epochs"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    run: Run, tiny: str, data: Path, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    """Wrong values end with the exit status of their kind and without a traceback."""
    base = () if "--base-model" in arguments else ("--base-model", tiny)

    done = run("tune", data, "--no-verdict", *base, *arguments)

    assert done.status == status
    assert sentence in done.said
    assert "Traceback" not in done.said
    assert done.output == ""


def test_a_file_that_is_not_there(run: Run, tiny: str) -> None:
    """A missing file ends with 15 and its name."""
    done = run("tune", "missing.csv", "--base-model", tiny)

    assert (done.status, done.said) == (15, "Error: There is no file 'missing.csv'.\n")


def test_an_id_that_is_taken(run: Run, tuned: str, data: Path) -> None:
    """The same id again ends with 16; without an id the same command makes another model."""
    again = run("tune", data, "--no-verdict", "--base-model", "tiny", "--id", tuned, "--epochs", "1")
    others = [run("tune", data, "--no-verdict", "--base-model", "tiny", "--epochs", "1").output for _ in range(2)]

    assert again.status == 16
    assert "'numbers'. To start again under this id, delete it first: `tunery models delete numbers`." in again.said
    assert "Data " not in again.said
    assert len(set(others)) == 2


def test_a_cancelled_job_says_so_and_how_to_go_on(
    run: Run, tiny: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end, and when its command is given again."""
    command = ("tune", data, "--no-verdict", "--base-model", tiny, "--id", "mine", "--epochs", "2")
    events = itertools.count(1)  # loading, started, the first step
    with monkeypatch.context() as patch:
        patch.setattr(Interrupts, "should_end", property(lambda _: next(events) >= 3))
        stopped = run(*command)
    again = run(*command)

    assert stopped.status == INTERRUPTED
    assert re.search(r"^Tuned    mine in \d+ s, cancelled after 1 of 10 steps$", stopped.said, re.MULTILINE)
    assert "A cancelled job does not resume. To tune all 10 steps, run the same" in " ".join(stopped.said.split())
    assert again.status == 16
    assert "'mine', cancelled after 1 of 10 steps; a cancelled job does not resume. To start again" in again.said


def test_ctrl_c_before_the_first_step_leaves_the_id_free(
    run: Run, tiny: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was tuned, so nothing is kept, and the same command starts."""
    command = ("tune", data, "--no-verdict", "--base-model", tiny, "--id", "mine", "--epochs", "1")
    with monkeypatch.context() as patch:
        patch.setattr(Interrupts, "should_end", property(lambda _: True))
        stopped = run(*command)

    assert stopped.status == INTERRUPTED
    assert "Stopped before the first step; nothing was kept.\n" in stopped.said
    assert run("models", "list").output == ""
    assert run(*command).output == "tunedModels/mine\n"


def test_numbers_that_are_none(run: Run, tiny: str, data: Path) -> None:
    """An absurd learning rate ends with 13 and what to do; the model is listed as FAILED with the reason."""
    done = run("tune", data, "--no-verdict", "--base-model", tiny, "--id", "wild", "--learning-rate", "1e30")

    assert done.status == 13
    assert "Use a smaller learning rate" in done.said
    assert "wild is listed as FAILED" in done.said
    assert "FAILED" in run("models", "list").output
    assert "Use a smaller learning rate" in run("models", "show", "wild").output


def test_a_folder_that_cannot_be_written(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder below a file ends with 19 and its path, without a traceback."""
    monkeypatch.setenv("TUNERY_HOME", str(data / "home"))

    done = run("models", "list")

    assert done.status == 19
    assert "numbers.csv/home cannot be written to" in done.said


def test_debug_shows_the_traceback(run: Run, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    """With --debug the exception is raised."""
    from tunery.cli.main import main
    from tunery.errors import NotFound

    with pytest.raises(NotFound):
        main(["--debug", "tune", "missing.csv"])


def test_folds_answer_whether_it_helped(run: Run, tiny: str, data: Path, home: Path) -> None:
    """By default 20 rows are all tuned on and then tested in 3 folds: said before the start, with two answers after."""
    done = run("tune", data, "--base-model", tiny, "--epochs", "1", "--id", "numbers", "--json")

    assert done.status == 0, done.said
    assert "Check     3 folds after tuning, which takes about 2 times as long as tuning" in done.said
    assert "Tuning 3 of 3" in done.said
    document = json.loads(done.output)
    assert document["tuning_task"]["held_out_rows"] == 0
    assert f"Verdict  {document['verdict']['text'].split()[0]}" in done.said
    assert re.search(r"^(Example|Wrong)  +'\d+' → '", done.said, re.MULTILINE)
    with Library.open(home) as library:
        report = library.report(library.get("numbers"), "EVALUATION")
    assert report is not None
    assert (report["folds"], report["rows"]) == (3, 20)


def test_many_rows_hold_some_out(run: Run, tiny: str, tmp_path: Path) -> None:
    """From 100 rows on, 20 at least; the end says how to tune on all of them."""
    path = tmp_path / "many rows.csv"
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(100)))

    done = run("tune", path, "--base-model", tiny, "--epochs", "1")

    assert done.status == 0, done.said
    assert "Check     20 rows held out (default; leave out with --hold-out 0)" in done.said
    assert "Steps     20 on 80 rows" in done.said
    assert "Verdict " in done.said
    assert f"To tune on all 100 rows: tunery tune '{path}' --hold-out 0" in done.said


def test_settings_fit_few_rows_of_labels(run: Run, tiny: str, tmp_path: Path, home: Path) -> None:
    """What was chosen and why is said before the start and kept with the model; by default it is only said."""
    file = tmp_path / "odd.csv"
    file.write_text("text_input,output\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(40)))
    tune = ("tune", file, "--no-verdict", "--base-model", tiny, "--batch-size", "8", "--yes")

    said = run(*tune, "--id", "fitting", "--settings", "auto", "--json").said
    page = run(*tune, "--id", "page", "--epochs", "1").said

    assert "Settings  batch size 8; default: 20 epochs, learning rate 0.001, seed 0, loss of\n" in said
    assert (
        "Auto chose 20 epochs and a loss of labels of 0.5, 100 steps in all, since 40 rows of 2 labels are few. That"
        " is 4 times the steps of the page's settings and about "
    ) in " ".join(said.split())
    assert "default: learning rate 0.001, seed 0\n" in page
    assert (
        "--settings auto chooses a loss of labels of 0.5, 5 steps in all, since 40 rows of 2 labels are few: as many"
        " steps as with the page's settings and about "
    ) in " ".join(page.split())
    with Library.own(home) as library:
        chosen, plain = library.get("fitting").task, library.get("page").task
    assert (chosen.hyperparameters.epoch_count, chosen.hyperparameters.label_share) == (20, 0.5)
    assert chosen.settings["label_share"] == 0.5
    assert plain.hyperparameters.label_share == 0
    assert "loss of labels 0.5" in run("models", "show", "fitting").output
    assert "loss of labels 0.5" in run("models", "card", "fitting").output
    for command in ("show", "card"):
        assert "Auto chose 20 epochs" in run("models", command, "fitting").output
        assert "Auto chose" not in run("models", command, "page").output


def test_a_rate_that_ruins_is_warned_of(run: Run, tiny: str, data: Path) -> None:
    """Before the start; without a terminal it is tried anyway."""
    done = run("tune", data, "--no-verdict", "--base-model", tiny, "--epochs", "1", "--learning-rate-multiplier", "50")

    assert "Warning:  A learning rate of 0.05 is far above the default of 0.001" in done.said
    assert "step 5/5" in done.said
