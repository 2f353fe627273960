"""Commands on a data folder that a server holds, and with --server: the same results as without one."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, runner
from tests.live import BASE, MAX_WAIT_SECONDS, TUNED, Live
from tunery.cli.workplace import Here, There
from tunery.service.folder import DataFolder
from tunery.service.library import Library
from tunery.types import Phase, TunedModel

pytestmark = pytest.mark.full


@pytest.fixture
def held(live: Live, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command on the data folder that the running server holds."""
    monkeypatch.setenv("TUNERY_HOME", str(live.home))
    return runner(capfd)


@pytest.fixture
def far(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with the server's address and token, on an empty data folder."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TUNERY_SERVER", live.address)
    monkeypatch.setenv("TUNERY_TOKEN", live.token)
    return runner(capfd)


@pytest.fixture(params=["held", "far"])
def either(request: pytest.FixtureRequest) -> Run:
    """Return `held`, then `far`."""
    run: Run = request.getfixturevalue(request.param)
    return run


def test_the_held_folder_names_its_server(live: Live, tmp_path: Path) -> None:
    """A server is found while it owns the folder; the address of a dead one is ignored."""
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "address": "http://127.0.0.1:1"}))

    holder = DataFolder(live.home).server()

    assert holder is not None
    assert holder.address == live.address
    assert DataFolder(tmp_path).server() is None
    assert DataFolder(tmp_path / "nothing").server() is None


def test_an_output_beyond_the_window_is_named_by_its_row_in_the_file(either: Run, tmp_path: Path) -> None:
    """Where the server counts the tokens, its place in the request becomes the row of the file."""
    path = tmp_path / "long.csv"
    path.write_text('text_input,output\n"two\nlines",b\na,b\na,"' + "b" * 600 + '"\n')

    done = either("tune", path, "--base-model", BASE, "--yes")

    assert done.status == 13
    assert re.search(r"Error: +Row 4, output: 6\d\d tokens with the chat template, limit 512", done.said)


def test_the_verdict_of_the_server_is_taken(held: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that evaluates by itself is not asked to repeat it; the command prints its verdict."""
    kept: list[str] = []
    put_report = Library.put_report

    def counted(self: Library, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
        put_report(self, model, kind, document)
        kept.append(kind)

    monkeypatch.setattr(Library, "put_report", counted)
    verdict = There.verdict

    def late(self: There, model: TunedModel, *arguments: Any) -> Any:
        give_up = time.monotonic() + MAX_WAIT_SECONDS
        while "EVALUATION" not in kept and time.monotonic() < give_up:
            time.sleep(0.05)
        return verdict(self, model, *arguments)

    monkeypatch.setattr(There, "verdict", late)

    done = held("tune", data, "--base-model", BASE, "--epochs", "1", "--hold-out", "4", "--id", "judged", "--json")

    assert done.status == 0, done.said
    assert json.loads(done.output)["verdict"]["kind"] == "TOO_FEW_ROWS"
    assert kept.count("EVALUATION") == 1


def test_a_server_that_took_over_reaches_the_verdict(
    live: Live, data: Path, held: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command that tuned without a server takes the verdict of one that was started since."""
    made = ("--base-model", BASE, "--epochs", "1", "--hold-out", "4", "--id", "taken-over", "--no-verdict")
    assert held("tune", data, *made).status == 0
    here = Here()

    found = here.verdict(here.get("taken-over"), lambda _number, _snapshot: None, lambda _done, _total: None)

    assert found is not None
    assert found.rows == 4
    assert f"The server at {live.address} has been started since" in capfd.readouterr().err
    with Library.open(live.home) as library:
        assert library.report(library.get("taken-over"), "EVALUATION") is not None


def test_folds_are_tuned_where_their_report_is_kept(either: Run, live: Live) -> None:
    """By the server, because a command could not write into the folder that a server holds."""
    done = either("evaluate", TUNED, "--folds", "2", "--json")

    assert done.status == 0, done.said
    assert json.loads(done.output)["folds"] == 2
    with Library.open(live.home) as library:
        report = library.report(library.get(TUNED), "EVALUATION")
    assert report is not None
    assert report["folds"] == 2


def test_settings_are_compared_by_the_server(far: Run) -> None:
    """Each fold is tuned twice there, and the report comes back with the other settings."""
    evaluate = ("evaluate", TUNED, "--folds", "2", "--compare-settings")

    done = far(*evaluate, "page", "--json")

    assert done.status == 0, done.said
    report = json.loads(done.output)
    titles = {one["name"]: one["title"] for one in report["contenders"]}
    assert titles["other_settings"] == "tuned with 5 epochs (page)"
    assert "other_settings" in {one["against"] for one in report["comparisons"]}
    assert "if tuned with 5 epochs (page), so " in report["verdict"]["text"]


def test_rows_of_a_file_are_evaluated_by_the_server(either: Run, data: Path) -> None:
    """The rows of a file are sent, except the six it was tuned on, and named by their numbers in the file."""
    done = either("evaluate", TUNED, data, "--json")

    assert done.status == 0, done.said
    report = json.loads(done.output)
    assert (report["rows"], report["source"]) == (14, "numbers.csv")
    assert {row["row"] for row in report["worst_rows"]} <= set(range(8, 22))


@pytest.mark.parametrize("command", ["tune", "generate", "decide", "evaluate"])
def test_a_device_is_not_chosen_for_a_server(
    held: Run, data: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The message says whose device computes, and how to start the server on another one."""
    monkeypatch.setenv("TUNERY_DEVICE", "cpu")
    arguments = {"tune": (data,), "evaluate": (TUNED,)}.get(command, (TUNED, "7"))

    done = held(command, *arguments, "--device", "cuda:1")

    assert done.status == 13
    assert "does the work, on its own device" in done.said
    assert "`tunery serve --device cuda:1`" in done.said


def test_tuning_is_done_by_the_server(either: Run, data: Path) -> None:
    """Steps, curve and name are printed as for a task in the foreground."""
    done = either("tune", data, "--base-model", BASE, "--epochs", "2", "--hold-out", "10%", "--seed", "7")

    steps = [line for line in done.said.splitlines() if line.startswith("step ")]
    assert done.status == 0, done.said
    assert done.output.startswith("tunedModels/numbers-")
    assert steps[-1].startswith("step 9/9  100%  epoch 2/2  loss ")
    assert len(steps) == 9
    assert "Machine   " in done.said
    assert "HELD-OUT LOSS" in done.said
    assert "Next: tunery generate numbers-" in done.said


def test_the_server_keeps_weights_as_asked(held: Run, data: Path) -> None:
    """The format of the weights goes to the server, which rounds there and tells it in the reply and on the card."""
    arguments = ("--base-model", BASE, "--weights", "4bit", "--epochs", "1", "--id", "small", "--yes", "--no-verdict")
    done = held("tune", data, *arguments, "--json")

    assert done.status == 0, done.said
    task = json.loads(done.output)["tuning_task"]
    assert (task["hyperparameters"]["weights"], task["settings"]["weights"]) == ("4bit", "4bit")
    assert "weights of the base 4bit" in held("models", "card", "small").output


def test_a_server_is_asked_for_auto_settings(either: Run, tmp_path: Path) -> None:
    """The server chooses what was not named, and keeps the reason."""
    file = tmp_path / "odd.csv"
    file.write_text("text_input,output\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(20)))
    arguments = ("--base-model", BASE, "--settings", "auto", "--epochs", "1", "--yes", "--no-verdict", "--json")

    done = either("tune", file, *arguments)

    assert done.status == 0, done.said
    model = json.loads(done.output)
    named = {name: model["tuning_task"]["hyperparameters"][name] for name in ("epoch_count", "label_share")}
    assert named == {"epoch_count": 1, "label_share": 0.5}
    assert model["settings_reason"].startswith("Auto chose a loss of labels of 0.5, 5 steps in all")
    assert "as many steps as with the page's settings" in " ".join(done.said.split())


def test_the_result_is_that_of_the_foreground(held: Run, live: Live, data: Path, tmp_path: Path) -> None:
    """A model tuned by the server has the adapter bytes of the same command without a server."""
    arguments = ("tune", data, "--base-model", BASE, "--epochs", "2", "--hold-out", "2", "--id", "same", "--json")
    document = json.loads(held(*arguments).output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNERY_HOME", str(tmp_path / "home"))
        held("bases", "add", live.home.parent / "base", "--name", BASE)
        alone = json.loads(held(*arguments).output)

    assert _weights(document) == _weights(alone)
    for name in ("hyperparameters", "seed", "data", "held_out_rows", "total_steps", "epoch_losses", "phase"):
        assert document["tuning_task"][name] == alone["tuning_task"][name], name


def test_a_model_is_listed_and_shown(either: Run) -> None:
    """The library is the server's, by id and by display name."""
    listed = json.loads(either("models", "list", "--json").output)
    shown = json.loads(either("models", "show", TUNED, "--json").output)

    assert f"tunedModels/{TUNED}" in [model["name"] for model in listed]
    assert shown["tuning_task"]["completed_steps"] == 2
    assert shown["tuning_task"]["snapshots"]
    assert shown["base_digest"]
    assert "State     ACTIVE" in either("models", "show", TUNED).output


def test_a_model_is_deleted(either: Run, data: Path) -> None:
    """With --yes the server deletes it; a second time it is not found."""
    assert either("tune", data, "--no-verdict", "--base-model", BASE, "--epochs", "1", "--id", "gone").status == 0

    assert either("models", "delete", "gone", "--yes").said == "Deleted gone.\n"
    assert either("models", "delete", "gone", "--yes").status == 15


def test_answers_are_the_same_with_and_without_a_server(held: Run, far: Run, live: Live) -> None:
    """Greedy text of a tuned model and of a base is the same streamed, whole, from the server and from this process."""
    settings = ("7", "--max-output-tokens", "8")
    for name in (TUNED, f"tunedModels/{TUNED}", BASE):
        streamed = far("generate", name, *settings)
        whole = json.loads(far("generate", name, *settings, "--json").output)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TUNERY_HOME", str(live.home))
            patch.delenv("TUNERY_SERVER")
            beside = held("generate", name, *settings)
            patch.setattr("tunery.cli.workplace.holding_server", lambda _: None)
            alone = held("generate", name, *settings)

        assert streamed.status == 0, streamed.said
        assert streamed.output == beside.output == alone.output == whole["output"] + "\n"


def test_a_file_of_questions_is_answered(either: Run, tmp_path: Path) -> None:
    """Answers are in the order of the inputs."""
    questions = tmp_path / "in.jsonl"
    questions.write_text("".join(json.dumps({"text_input": str(n)}) + "\n" for n in range(5)))

    done = either("generate", TUNED, "--input", questions, "--output", tmp_path / "out.jsonl", "--max-output-tokens", 4)

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.status == 0, done.said
    assert [row["text_input"] for row in rows] == ["0", "1", "2", "3", "4"]


def test_inputs_unlike_the_examples_are_noticed(either: Run, tmp_path: Path) -> None:
    """Streamed, as JSON and in files, input checks of the server are printed like local ones."""
    settings = ("--max-output-tokens", 4)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text_input": text}) + "\n" for text in ("1", "two")))

    streamed = either("generate", TUNED, "three", *settings)
    document = json.loads(either("generate", TUNED, "three", *settings, "--json").output)
    rows = either("generate", TUNED, "--input", tmp_path / "in.jsonl", *settings)

    assert "Warning: the input is unlike the training examples: it is not a number" in streamed.said
    assert document["prompt_differences"][0]["kind"] == "FORM"
    assert ["prompt_differences" in json.loads(row) for row in rows.output.splitlines()] == [False, True]
    assert "Warning: 1 of 2 inputs are unlike the training examples" in rows.said
    assert either("generate", TUNED, "7", *settings).said == ""


def test_answers_keep_to_the_training_outputs(either: Run, tmp_path: Path) -> None:
    """The outputs were numbers, so the answer is one: streamed, as JSON and for files; a base is refused."""
    flags = ("--constrain-to-training-outputs", "--max-output-tokens", 8, "--temperature", 2)
    (tmp_path / "in.jsonl").write_text('{"text_input": "7"}\n')

    streamed = either("generate", TUNED, "7", *flags).output
    document = json.loads(either("generate", TUNED, "7", *flags, "--json").output)
    row = json.loads(either("generate", TUNED, "--input", tmp_path / "in.jsonl", *flags).output)
    base = either("generate", BASE, "7", *flags)

    assert re.fullmatch(r"-?[0-9]+\n", streamed)
    assert document["output"] + "\n" == row["output"] + "\n" == streamed
    assert base.status == 13
    assert "is for tuned models; tiny is a base" in base.said


def test_labels_come_with_probabilities_or_none_of_them(either: Run) -> None:
    """The server scores the labels of the command and takes its threshold."""
    flags = ("--labels", "yes,no", "--json")

    document = json.loads(either("generate", TUNED, "7", *flags).output)
    unsure = json.loads(either("generate", TUNED, "7", *flags, "--none-below", "1").output)

    assert document["label_probabilities"].keys() == {"yes", "no"}
    assert unsure["output"] == "none of these"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("generate", "nothing", "7"), 15, "There is no base model with that name either"),
        (("models", "show", "nothing"), 15, "no tuned model 'nothing'"),
        (("generate", TUNED, "x" * 600), 13, "prompt has"),
        (("tune", "DATA", "--base-model", "nothing"), 15, "nothing"),
        (("tune", "DATA", "--base-model", BASE, "--id", TUNED), 16, "already a tuned model"),
    ],
)
def test_refusals_keep_sentence_and_status(
    either: Run, data: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """Errors of the server have the sentence and the exit status of the same error here."""
    done = either(*(data if argument == "DATA" else argument for argument in arguments))

    assert done.status == status, done.said
    assert words in done.said


def test_ctrl_c_cancels_and_keeps_what_was_tuned(held: Run, live: Live, data: Path) -> None:
    """Ctrl-C once ends the server's task after a step: exit status 130 and a usable model."""
    _when(lambda: _is_running(live, "halted"), lambda: os.kill(os.getpid(), signal.SIGINT))

    done = held("tune", data, "--no-verdict", "--base-model", BASE, "--epochs", "2000", "--id", "halted")

    task = live.services.library.find("halted").task
    assert done.status == 130, done.said
    assert "Stopping after this step" in done.said
    assert task.phase is Phase.CANCELLED
    assert 0 < task.completed_steps < task.total_steps
    assert held("generate", "halted", "7", "--max-output-tokens", "2").status == 0


def test_terminated_the_task_goes_on(held: Run, live: Live, data: Path) -> None:
    """SIGTERM ends the command but not the server's task, and the same command finds it again."""
    arguments = ("tune", data, "--no-verdict", "--base-model", BASE, "--epochs", "2000", "--id", "left")
    _when(lambda: _is_running(live, "left"), lambda: os.kill(os.getpid(), signal.SIGTERM))

    done = held(*arguments)
    _when(lambda: True, lambda: live.services.library.request_cancel("left"))
    again = held(*arguments)

    assert done.status == 143, done.said
    assert "continues on the server" in done.said
    assert "The tuning job for left" in again.said
    assert again.status == 130


def test_a_server_that_is_not_there(far: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server at the address ends with 24, an invalid address with 13, a missing token with 26."""
    assert far("models", "list", "--server", "http://127.0.0.1:9").status == 24
    assert far("models", "list", "--server", "127.0.0.1").status == 13
    monkeypatch.delenv("TUNERY_TOKEN")
    assert far("models", "list").status == 26


def _weights(document: dict[str, str]) -> bytes:
    return (Path(document["adapter_folder"]) / "adapter_model.safetensors").read_bytes()


def _is_running(live: Live, model_id: str) -> bool:
    found = {model.id: model for model in live.services.library.list()}
    return model_id in found and found[model_id].task.completed_steps > 0


def _when(is_so: Callable[[], bool], then: Callable[[], object]) -> None:
    """Call `then` in another thread once a condition holds."""

    def wait() -> None:
        while not is_so():
            time.sleep(0.05)
        time.sleep(0.2)  # until the command has seen it too
        then()

    threading.Thread(target=wait, daemon=True).start()
