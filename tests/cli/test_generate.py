"""`tunery generate`: one text, standard input, files of texts; tuned models and bases."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.conftest import Run
from tunery.cli.generate import answer_file, input_table, read_inputs
from tunery.data.unanswered import read_inputs as unanswered
from tunery.errors import DatasetInvalid, InvalidArgument
from tunery.service.contracts import set_prompt_options
from tunery.service.library import Library
from tunery.types import Answer

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)\n")


def test_an_answer_is_the_result(run: Run, tuned: str) -> None:
    """Standard output has the answer and a line break; equal questions get equal answers."""
    first, second = (run("generate", tuned, "7", "--max-output-tokens", "8") for _ in range(2))

    assert first.status == 0
    assert first.output == second.output
    assert first.output.endswith("\n")
    assert first.said == ""


def test_a_device_is_chosen(run: Run, tuned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """auto finds one; a server does not start with one that torch does not know."""
    monkeypatch.setenv("TUNERY_DEVICE", "cpu")  # put back after the test; the option sets it

    done = run("generate", tuned, "7", "--max-output-tokens", "4", "--device", "auto")
    chosen = os.environ["TUNERY_DEVICE"]
    wrong = run("serve", "--device", "abacus")

    assert (done.status, chosen, wrong.status) == (0, "auto", 13)
    assert "cannot compute on the device abacus, from --device or TUNERY_DEVICE" in wrong.said


def test_a_person_who_waited_for_the_model_hears_how_to_avoid_it(
    run: Run, tuned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an answer on a terminal, if loading took long; a program is told nothing."""
    monkeypatch.setattr("tunery.cli.generate.SLOW_SECONDS", 0.0)
    unseen = run("generate", tuned, "7", "--max-output-tokens", "4")
    monkeypatch.setattr("tunery.cli.generate.can_redraw", lambda: True)

    seen = run("generate", tuned, "7", "--max-output-tokens", "4")

    assert "tunery serve" not in unseen.said
    assert "while `tunery serve` runs, it stays loaded." in seen.said
    assert seen.output == unseen.output


def test_a_model_is_found_by_its_full_name_and_by_its_display_name(run: Run, tiny: str, data: Path) -> None:
    """tunedModels/x, x and the display name are the same model."""
    run(
        "tune", data, "--no-verdict", "--base-model", tiny, "--id", "x", "--display-name", "My numbers", "--epochs", "1"
    )

    answers = {
        run("generate", name, "7", "--max-output-tokens", "4").output for name in ("tunedModels/x", "x", "My numbers")
    }

    assert len(answers) == 1


def test_a_base_answers(run: Run, tiny: str) -> None:
    """A base from the catalog answers without an adapter."""
    done = run("generate", tiny, "7", "--max-output-tokens", "4")

    assert done.status == 0


def test_json_is_one_document(run: Run, tuned: str) -> None:
    """--json prints answer, input and model."""
    plain = run("generate", tuned, "7", "--max-output-tokens", "8").output
    document = json.loads(run("generate", tuned, "7", "--max-output-tokens", "8", "--json").output)

    assert document == {"model": tuned, "text_input": "7", "output": plain.removesuffix("\n")}


def test_standard_input_is_read(run: Run, tuned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hyphen reads the input from standard input, without its last line break."""
    monkeypatch.setattr("sys.stdin", io.StringIO("7\n"))

    piped = run("generate", tuned, "-", "--max-output-tokens", "8").output

    assert piped == run("generate", tuned, "7", "--max-output-tokens", "8").output


def test_a_file_of_questions(run: Run, tuned: str, tmp_path: Path) -> None:
    """Answers are in the order of the inputs and equal to single answers; the file is written at once."""
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text("".join(json.dumps({"text_input": str(n)}) + "\n\n" for n in range(40)))

    done = run("generate", tuned, "--input", questions, "--output", answers, "--max-output-tokens", "4")

    assert (done.status, done.output) == (0, "")
    assert "Answering 40/40" in done.said
    rows = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    assert [row["text_input"] for row in rows] == [str(n) for n in range(40)]
    alone = run("generate", tuned, "7", "--max-output-tokens", "4").output
    assert rows[7]["output"] == alone.removesuffix("\n")
    assert sorted(path.name for path in tmp_path.glob("*answers*")) == ["answers.jsonl"]


def test_bad_lines_are_all_told(run: Run, tuned: str, tmp_path: Path) -> None:
    """All unusable lines are reported by number before anything is answered."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"text_input": "1"}\n{"text": "2"}\nthree\n')

    done = run("generate", tuned, "--input", questions)

    assert done.status == 13
    assert "Row 2: must be {" in done.said
    assert "Row 3: not JSON" in done.said


def test_a_line_that_is_too_long_is_named(run: Run, tuned: str, tmp_path: Path) -> None:
    """An input longer than the window ends with 13, its line number, and no file."""
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text('{"text_input": "1"}\n' + json.dumps({"text_input": "x" * 500}) + "\n")

    done = run("generate", tuned, "--input", questions, "--output", answers, "--max-output-tokens", "4")

    assert done.status == 13
    assert "Line 2: The prompt has" in done.said
    assert not answers.exists()


def test_answers_that_could_not_be_written(run: Run, tuned: str, tmp_path: Path) -> None:
    """A missing folder is reported before anything is answered."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"text_input": "1"}\n')

    done = run("generate", tuned, "--input", questions, "--output", tmp_path / "missing" / "answers.jsonl")

    assert done.status == 13
    assert "missing is not a writable folder" in done.said
    assert "Answering" not in done.said


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("7", "--temperature", "3"), 13, "Error: --temperature must be between 0 and 2"),
        ((), 13, "Give TEXT"),
        (("",), 13, "Error: The text is empty. Give a text to answer."),
        ((" \n",), 13, "Error: The text is empty. Give a text to answer."),
        (("7", "--input", "x.jsonl"), 13, "Give TEXT"),
        (
            ("7", "--labels", "a,b", "--constrain-to-training-outputs"),
            13,
            "Give only one of --json-schema, --labels and",
        ),
        (("7", "--none-below", "0.5"), 13, "--none-below needs labels, or --constrain-to-training-outputs"),
        (("7", "--labels", "a,b", "--none-below", "2"), 13, "--none-below must be between 0 and 1"),
        (("7", "--output", "x.jsonl"), 13, "--output needs --input"),
        (("--input", "x.jsonl"), 15, "There is no file 'x.jsonl'"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    run: Run, tuned: str, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    """Wrong values end with the exit status of their kind, before a base is loaded."""
    done = run("generate", tuned, *arguments)

    assert done.status == status
    assert sentence in done.said


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_questions_as_powershell_writes_them(tmp_path: Path, encoding: str) -> None:
    """A file of inputs with a byte order mark is read in its encoding."""
    path = tmp_path / "questions.jsonl"
    path.write_bytes('{"text_input": "Grüße"}\r\n'.encode(encoding))

    assert read_inputs(path) == [(1, "Grüße")]


def test_questions_in_another_encoding_are_refused(tmp_path: Path) -> None:
    """Inputs are not guessed; the sentence says what the encoding probably is."""
    path = tmp_path / "questions.jsonl"
    path.write_bytes('{"text_input": "Где мой заказ"}\n'.encode("cp1251"))

    with pytest.raises(InvalidArgument, match=r"is not UTF-8, but probably cp1251\. Save it as UTF-8"):
        read_inputs(path)


def test_an_unknown_model(run: Run, tuned: str) -> None:  # noqa: ARG001
    """An unknown name ends with 15 and the most similar name."""
    done = run("generate", "nunbers", "7")

    assert done.status == 15
    assert "Did you mean numbers?" in done.said


def test_a_failed_model_does_not_answer(run: Run, tiny: str, data: Path) -> None:
    """A model whose tuning failed ends with 19 and the reason."""
    run("tune", data, "--no-verdict", "--base-model", tiny, "--id", "wild", "--learning-rate", "1e30")

    done = run("generate", "wild", "7")

    assert done.status == 19
    assert "smaller learning rate" in done.said


def test_a_changed_adapter_does_not_answer(run: Run, home: Path, tuned: str) -> None:
    """One changed byte of the adapter ends with 25 instead of a wrong answer."""
    path = next(home.glob("models/*/1/adapter_model.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    done = run("generate", tuned, "7")

    assert done.status == 25
    assert "not the file that was published" in done.said


def test_labels_and_their_probabilities(run: Run, tuned: str) -> None:
    """The answer is one of the labels; as JSON each has its probability."""
    document = json.loads(
        run("generate", tuned, "5", "--max-output-tokens", "20", "--labels", "yes,no", "--json").output
    )

    assert document["output"] in ("yes", "no")
    assert abs(sum(document["label_probabilities"].values()) - 1) < 1e-6


def test_none_of_these(run: Run, tuned: str) -> None:
    """Below the threshold the answer says so."""
    assert (
        run("generate", tuned, "5", "--max-output-tokens", "20", "--labels", "yes,no", "--none-below", "1").output
        == "none of these\n"
    )


def test_an_answer_keeps_to_a_schema(run: Run, tuned: str, tmp_path: Path) -> None:
    """The output is JSON of the schema; a missing file is refused."""
    schema = tmp_path / "schema.json"
    properties = {"ok": {"type": "boolean"}}
    demanded = {"type": "object", "properties": properties, "required": ["ok"], "additionalProperties": False}
    schema.write_text(json.dumps(demanded))

    answer = json.loads(
        run("generate", f"{tuned}@epoch-1", "5", "--max-output-tokens", "20", "--json-schema", schema).output
    )

    assert answer["ok"] in (True, False)
    assert run("generate", tuned, "5", "--json-schema", tmp_path / "none").status == 15


def test_an_input_unlike_the_examples_is_noticed(run: Run, tuned: str) -> None:
    """The answer comes with a warning that says what differs; `--json` has a field for it."""
    streamed = run("generate", tuned, "three", "--max-output-tokens", "4")
    document = run("generate", tuned, "three", "--max-output-tokens", "4", "--json")

    assert streamed.status == 0
    assert "Warning: the input is unlike the training examples: it is not a number" in streamed.said
    assert f"tunery models show {tuned}" in streamed.said
    assert json.loads(document.output)["prompt_differences"][0]["kind"] == "FORM"
    assert json.loads(document.output)["output"] + "\n" == streamed.output
    assert document.said == streamed.said


def test_a_base_has_no_examples_to_be_like(run: Run, tiny: str) -> None:
    """A base has no warnings about inputs."""
    assert run("generate", tiny, "three", "--max-output-tokens", "4").said == ""


def test_a_plain_input_is_wrapped_if_wanted(run: Run, tiny: str, home: Path, tmp_path: Path) -> None:
    """If the model wraps plain inputs, the input is rewritten like the examples, and the command says so."""
    rows = [{"text_input": f"Say the next number.\nNumber: {n}", "output": str(n + 1)} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("tune", tmp_path / "rows.jsonl", "--base-model", tiny, "--id", "wrapping", "--epochs", "1", "--yes")
    with Library.own(home) as library:
        set_prompt_options(library, library.get("wrapping"), wrap_plain_inputs=True)

    whole = run("generate", "wrapping", "Say the next number.\nNumber: 3", "--max-output-tokens", "4")
    plain = run("generate", "wrapping", "3", "--max-output-tokens", "4")
    document = run("generate", "wrapping", "3", "--max-output-tokens", "4", "--json").output

    assert plain.output == whole.output
    assert "was rewritten to match the training examples" in plain.said
    assert whole.said == ""
    assert json.loads(document)["was_wrapped"] is True


def test_rows_unlike_the_examples_are_counted(run: Run, tuned: str, tmp_path: Path) -> None:
    """Each line says what differs; one warning counts them and names the most frequent difference."""
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text("".join(json.dumps({"text_input": text}) + "\n" for text in ("1", "two", "3", "four")))

    done = run("generate", tuned, "--input", questions, "--output", answers, "--max-output-tokens", "4")

    rows = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    assert ["prompt_differences" in row for row in rows] == [False, True, False, True]
    assert "Warning: 2 of 4 inputs are unlike the training examples, most often: it is not a number" in done.said


def test_answers_keep_to_the_training_outputs(run: Run, tuned: str, tmp_path: Path) -> None:
    """The outputs were numbers, so the answer is one: streamed, as JSON and for files."""
    drawn = ("--max-output-tokens", "8", "--temperature", "2")  # with chance enough to say anything
    flags = ("--constrain-to-training-outputs", *drawn)
    (tmp_path / "questions.jsonl").write_text('{"text_input": "7"}\n')

    free = run("generate", tuned, "7", *drawn).output
    streamed = run("generate", tuned, "7", *flags).output
    document = json.loads(run("generate", tuned, "7", *flags, "--json").output)
    row = json.loads(run("generate", tuned, "--input", tmp_path / "questions.jsonl", *flags).output)

    assert not NUMBER.fullmatch(free)
    assert NUMBER.fullmatch(streamed)
    assert document["output"] + "\n" == row["output"] + "\n" == streamed


def test_answers_keep_to_the_training_labels(run: Run, tiny: str, tmp_path: Path) -> None:
    """Labels of the examples are answered with their probabilities, and below a threshold none of them."""
    (tmp_path / "rows.csv").write_text(
        "text_input,output\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(12))
    )
    run("tune", tmp_path / "rows.csv", "--base-model", tiny, "--id", "odd", "--epochs", "1", "--yes")
    flags = ("--constrain-to-training-outputs", "--max-output-tokens", "20", "--json")

    document = json.loads(run("generate", "odd", "5", *flags).output)
    unsure = json.loads(run("generate", "odd", "5", *flags, "--none-below", "1").output)

    assert document["output"] in ("yes", "no")
    assert document["label_probabilities"].keys() == {"yes", "no"}
    assert unsure["output"] == "none of these"


def test_labels_are_the_default_of_a_model_tuned_on_them(run: Run, tiny: str, home: Path, tmp_path: Path) -> None:
    """Without an option the answer is a label; `--any-text` and the model's own switch leave it free."""
    (tmp_path / "rows.csv").write_text(
        "text_input,output\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(12))
    )
    run("tune", tmp_path / "rows.csv", "--base-model", tiny, "--id", "parity", "--epochs", "1", "--yes")
    drawn = ("--max-output-tokens", "8", "--temperature", "2", "--top-k", "0")

    plain = run("generate", "parity", "5", *drawn).output.strip()
    free = run("generate", "parity", "5", *drawn, "--any-text").output
    with Library.own(home) as library:
        set_prompt_options(library, library.get("parity"), constrain_to_training_outputs=False)
    switched = run("generate", "parity", "5", *drawn).output

    assert plain in ("yes", "no")
    assert free.strip() not in ("yes", "no")
    assert switched == free


def test_free_text_has_no_form(run: Run, tiny: str, tmp_path: Path) -> None:
    """A model tuned on free text cannot be constrained: exit status 19 and the reason."""
    (tmp_path / "rows.csv").write_text("text_input,output\n" + "".join(f"{n},text {n}\n" for n in range(8)))
    run("tune", tmp_path / "rows.csv", "--base-model", tiny, "--id", "free", "--epochs", "1", "--yes")

    done = run("generate", "free", "5", "--constrain-to-training-outputs")

    assert (done.status, done.output) == (19, "")
    assert "free text" in done.said


def test_a_base_has_no_training_outputs(run: Run, tiny: str, tmp_path: Path) -> None:
    """The option is refused for a base, for one text and for a file alike."""
    (tmp_path / "questions.jsonl").write_text('{"text_input": "7"}\n')

    for question in (("7",), ("--input", tmp_path / "questions.jsonl")):
        done = run("generate", tiny, *question, "--constrain-to-training-outputs")

        assert done.status == 13
        assert done.said.endswith("--constrain-to-training-outputs is for tuned models; tiny is a base.\n")


class Echo:
    """A model that answers a text with itself."""

    is_tuned = False

    def answers(self, texts: list[str], **_: Any) -> list[Answer]:
        return [Answer(text) for text in texts]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=1))
def test_answers_can_be_inputs(texts: list[str]) -> None:
    """What --output wrote, --input reads, whatever the texts hold."""
    rows = list(enumerate(texts, start=1))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        answer_file(Echo(), rows, {}, path)  # type: ignore[arg-type]

        assert read_inputs(path) == rows


def test_line_separators_end_no_line() -> None:
    """U+2028, U+2029, U+0085 and an escaped form feed are part of a text."""
    path = Path(__file__).parents[1] / "fixtures" / "cases" / "01-line-separators" / "questions.jsonl"

    rows = read_inputs(path)

    assert [number for number, _ in rows] == [1, 2, 3, 4, 5]
    assert rows[0][1] == "First line\u2028second line of the same ticket"


@pytest.mark.parametrize("line", ["[" * 100_000, '{"number": ' + "9" * 5_000 + "}", '{"text_input": "\\ud800"}'])
def test_no_line_is_a_crash(tmp_path: Path, line: str) -> None:
    """Deep nesting, endless numbers and half characters are problems of their line."""
    path = tmp_path / "questions.jsonl"
    path.write_text('{"text_input": "1"}\n' + line + "\n")

    with pytest.raises(DatasetInvalid, match="Row 2"):
        read_inputs(path)


SHORT = ("--max-output-tokens", "8")


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "jsonl"])
def test_a_table_is_answered_and_comes_back_with_a_column_more(run: Run, tuned: str, tmp_path: Path, kind: str) -> None:
    """Whatever can be tuned on can be answered: all columns stay, and what tunery wrote it reads back."""
    source, target = tmp_path / "new.csv", tmp_path / f"answered.{kind}"
    source.write_text('Nr,Message,Note\n1,"seven, or so",=1+1\n2,eight is a number,\n')

    done = run("generate", tuned, "--input", source, "--input-column", "Message", "--output", target, *SHORT)

    assert done.status == 0, done.said
    assert "Inputs    'Message' of 2 rows" in done.said
    read = json.loads(run("data", "preview", target, "--json").output)
    assert read["columns"] == ["Nr", "Message", "Note", "output"]
    assert [[cell or "" for cell in row["cells"][:3]] for row in read["sample"]] == [
        ["1", "seven, or so", "=1+1"],
        ["2", "eight is a number", ""],
    ]
    assert all(row["cells"][3] for row in read["sample"])


def test_the_answers_of_a_table_are_those_of_its_texts(run: Run, tuned: str, tmp_path: Path) -> None:
    """Without --output they are printed as CSV; a taken name is not used twice; an empty input is named."""
    path = tmp_path / "rows.csv"
    path.write_text("text,output\nfirst of all,x\nsecond of all,y\n")

    printed = run("generate", tuned, "--input", path, *SHORT).output.splitlines()

    assert printed[0] == "text,output,output 2"
    alone = run("generate", tuned, "first of all", *SHORT).output.rstrip("\n")
    assert list(csv.reader(printed))[1] == ["first of all", "x", alone]
    path.write_text("text,output\nfirst of all,x\n ,y\n")
    refused = run("generate", tuned, "--input", path)
    assert refused.status == 13
    assert "row 3" in refused.said
    ods = run("generate", tuned, "--input", path, "--output", tmp_path / "answers.ods")
    assert "cannot be written. Use .xlsx" in ods.said


MESSAGES = ("I lost my card, can I get a new one?", "Please buy Dune", "When do you open on Sunday?")


@pytest.mark.parametrize(
    ("header", "ids"),
    [("ticket,member message", "T-10{}"), ("id,member message", "{}")],
)
def test_ids_are_not_what_is_answered(header: str, ids: str, tmp_path: Path) -> None:
    """Beside a single column of texts they looked like the input of an output."""
    path = tmp_path / "new.csv"
    rows = [f'{ids.format(number)},"{message}"' for number, message in enumerate(MESSAGES, start=1)]
    path.write_text("\n".join([header, *rows]) + "\n")

    table = unanswered(path)

    assert table.inputs == ("member message",)
    assert table.texts == MESSAGES


def test_a_first_row_that_may_be_a_header_is_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is answered and said so, unless the column it names is asked for."""
    path = tmp_path / "new.csv"
    path.write_text("\n".join(["member message", *(f'"{message}"' for message in MESSAGES)]) + "\n")

    first = input_table(path, input_column=None, sheet=None)
    said = capsys.readouterr().err
    named = input_table(path, input_column=["Member message"], sheet=None)

    assert first is not None
    assert first.texts == ("member message", *MESSAGES)
    assert "the first one is answered too: 'member message'" in said
    assert "--input-column NAME" in said
    assert named is not None
    assert (named.inputs, named.texts) == (("member message",), MESSAGES)
    assert "answered too" not in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("new.csv", "is the file to read"), ("o.docx", "cannot be written")])
def test_what_must_not_be_written_is_refused_at_once(run: Run, tmp_path: Path, name: str, said: str) -> None:
    """The file that is read, and kinds of files that cannot be written; before a model is looked for."""
    path = tmp_path / "new.csv"
    path.write_text("text\nhello there\n")
    done = run("generate", "nobody", "--input", path, "--output", tmp_path / name)

    assert done.status == 13
    assert said in done.said
    assert path.read_text() == "text\nhello there\n"
