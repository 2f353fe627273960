"""`tunery data` and `tunery bases`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gguf
import pytest

from tests.cli.conftest import Run


def test_preview_shows_how_a_file_is_understood(run: Run, data: Path) -> None:
    """Format, columns and the first rows, on standard output."""
    done = run("data", "preview", data)

    assert done.status == 0
    assert "numbers.csv: CSV, utf-8, 20 rows" in done.output
    assert "ROW  text_input  output\n  2  0           1\n" in done.output


def test_preview_fits_the_terminal(run: Run, tmp_path: Path) -> None:
    """Long cells and many columns fit 80 columns, control characters are replaced and shared instructions cut."""
    start = "Classify the ticket. Answer with one word and nothing else, please: "
    path = tmp_path / "wide.csv"
    header = ",".join(f"column {n}" for n in range(12))
    rows = "".join(f'"{start}{word} {"x" * 300}\x1b[31m"' + ",cell" * 11 + "\n" for word in ("alpha", "beta"))
    path.write_text(f"{header}\n{rows}")

    done = run("data", "preview", path)

    assert max(map(len, done.output.splitlines())) <= 80
    assert "... alpha" in done.output
    assert "\x1b" not in done.output + done.said
    assert "more columns are not shown." in done.output


def test_preview_gives_the_width_to_the_columns_in_use(run: Run, tmp_path: Path) -> None:
    """Messages can be read beside five other columns; columns that are not used are shown only if there is room."""
    message = "The parcel has not come and nobody tells me where it is now - whoever I ask"
    path = tmp_path / "wide.csv"
    path.write_text(
        "ticket,date,customer,message,amount,label\n"
        + "".join(f"T-{n},2026-01-0{n},Some One,{n} {message},{n}.50,parcel\n" for n in range(1, 8))
    )

    done = run("data", "preview", path)

    assert "ROW  message" in done.output
    assert f"  2  1 {message[:55]}" in done.output
    assert "...  parcel\n" in done.output
    assert "4 more columns are not shown." in done.output
    path.write_text(path.read_text().replace(message, "Where is it now?"))
    shown = run("data", "preview", path).output
    assert re.search(r"^ROW  ticket  date +customer  message +amount  label$", shown, re.MULTILINE)


def test_an_output_beyond_the_window_is_an_error_with_its_row(
    run: Run, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check and tune name the row as in the file, before the base is loaded; an input that will be cut is a warning."""
    monkeypatch.setattr("tunery.engine.base.load", None)
    path = tmp_path / "long.csv"
    path.write_text(f'question,reply\n"two\nlines",b\n{"a" * 300},b\na,{"b" * 200}\n')

    checked = run("data", "check", path, "--base-model", tiny)
    tuned = run("tune", path, "--base-model", tiny, "--hold-out", "1", "--yes")

    assert checked.status == tuned.status == 13
    for said in (checked.said, tuned.said):
        assert re.search(
            r"Error: +Row 4, reply: 2\d\d tokens with the chat template, limit 128\. .*shorten this one", said
        )
    assert "2 of 3 rows can be used" in checked.output
    assert re.search(r"Warning: +Row 3: 3\d\d tokens, limit 128\.", checked.said)
    assert run("models", "list", "--json").output.strip() == "[]"


def test_how_a_file_is_read_can_be_said(run: Run, tmp_path: Path) -> None:
    """Encoding and delimiter are options; `tab` stands for the character that a shell does not pass easily."""
    path = tmp_path / "tickets.txt"
    path.write_bytes("text_input\toutput\nПосылка, опять\tдоставка\n".encode("cp1251"))

    done = run("data", "preview", path, "--encoding", "cp1251", "--delimiter", "tab", "--json")

    found = json.loads(done.output)
    assert (found["encoding"], found["delimiter"]) == ("cp1251", "\t")
    assert found["sample"][0]["cells"] == ["Посылка, опять", "доставка"]


@pytest.mark.parametrize("text", ["[]", "[{}]", '[["a"]]', '"a\n', "{'a': 1}\n{'a': 2}\n"])
def test_preview_of_a_file_without_rows(run: Run, tmp_path: Path, text: str) -> None:
    """Where nothing could be read there is no table, only the problems."""
    path = tmp_path / "nothing.txt"
    path.write_text(text)

    done = run("data", "preview", path)

    assert done.status in (0, 13)
    assert "Error:" in done.said
    assert "ROW" not in done.output


def test_a_problem_names_the_option_that_solves_it(run: Run, tmp_path: Path) -> None:
    """What was guessed can be set, and the line says with which option."""
    path = tmp_path / "tickets.csv"
    path.write_bytes("text_input,output\nGrüße,hallo\n".encode("cp1252"))

    done = run("data", "preview", path)

    assert "Warning:  Row 2: not UTF-8" in done.said
    assert "(--encoding)." in done.said


def test_preview_as_json(run: Run, data: Path) -> None:
    """One document with columns, sample and problems."""
    document = json.loads(run("data", "preview", data, "--json").output)

    assert document["columns"] == ["text_input", "output"]
    assert len(document["sample"]) == 20


def test_check_counts_tokens_of_a_base_that_is_here(run: Run, tiny: str, data: Path) -> None:
    """Tokens are counted with the tokenizer of the base; data without problems ends with 0."""
    done = run("data", "check", data, "--base-model", tiny)

    assert done.status == 0
    assert "per row, at most" in done.output
    assert "The data can be used: no problems." in done.output


def test_check_names_rows_that_are_too_long(run: Run, tiny: str, tmp_path: Path) -> None:
    """A row longer than the window of the base is a warning with its number."""
    path = tmp_path / "long.csv"
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(20)) + "x" * 300 + ",y\n")

    done = run("data", "check", path, "--base-model", tiny)

    assert done.status == 0
    assert "Warning:  Row 22: " in done.said
    assert "tokens, limit 128." in done.said


def test_check_without_the_base(run: Run, data: Path) -> None:
    """Without the base nothing is fetched, and the output says that tokens were not counted."""
    done = run("data", "check", data)

    assert done.status == 0
    assert "not counted: smollm2-135m-instruct is not on this machine" in done.output


def test_check_ends_with_the_problems(run: Run, tmp_path: Path) -> None:
    """Data that cannot be used ends with 13, also as JSON."""
    path = tmp_path / "bad.csv"
    path.write_text("text_input,output\na,\n,b\n")

    done, as_json = run("data", "check", path), run("data", "check", path, "--json")

    assert (done.status, as_json.status) == (13, 13)
    assert "Row 2, output: empty." in done.said
    kinds = [problem["kind"] for problem in json.loads(as_json.output)["problems"]]
    assert {"empty-output", "empty-input"} <= set(kinds)


def test_bases_are_added_and_listed(run: Run, tiny: str) -> None:
    """An added base is listed as present; the embedded one and the API names are listed too."""
    done = run("bases", "list")

    lines = {line.split()[0]: line for line in done.output.splitlines()}
    assert "here" in lines[tiny].split()
    assert "not here" in lines["smollm2-135m-instruct"]
    assert "as smollm2-135m-instruct" in lines["gemini-1.0-pro"]
    assert max(map(len, done.output.splitlines())) <= 80


def test_bases_as_json(run: Run, tiny: str) -> None:
    """One list of documents."""
    documents = json.loads(run("bases", "list", "--json").output)

    assert next(document for document in documents if document["name"] == tiny)["is_present"] is True


def test_adding_says_what_it_is(run: Run, base_folder: Path) -> None:
    """Size, window and licence are printed; the name is the result."""
    done = run("bases", "add", base_folder, "--name", "mine")

    assert (done.status, done.output) == (0, "mine\n")
    assert "0.1M parameters, window 128 tokens" in done.said
    assert "Licence: not stated." in done.said


def test_pulling_what_is_here_does_nothing(run: Run, tiny: str) -> None:
    """A base that is used in place is not fetched."""
    assert run("bases", "pull", tiny).output == "tiny\n"


def test_a_base_is_exported_for_adapters_to_stand_beside(run: Run, tiny: str, tmp_path: Path) -> None:
    """Writes one GGUF file in float16 and prints its path; existing files are kept."""
    done = run("bases", "export", tiny, "--to", tmp_path / "out", "--json")

    document = json.loads(done.output)
    assert (document["base"], Path(document["file"])) == ("tiny", tmp_path / "out" / "tiny-f16.gguf")
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(document["file"]).tensors} == {"F16", "F32"}
    assert "llama-cli -m" in done.said
    assert run("bases", "export", tiny, "--to", tmp_path / "out").status == 16


def test_a_base_that_is_not_here_is_not_exported(run: Run, tmp_path: Path) -> None:
    """Nothing is fetched or written; the message says how to fetch the base."""
    done = run("bases", "export", "smollm2-135m-instruct", "--to", tmp_path / "out")

    assert done.status != 0
    assert "tunery bases get" in done.said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("bases", "add", "no/such/folder/here"), ("bases", "pull", "unknown")])
def test_what_is_not_there(run: Run, arguments: tuple[str, ...]) -> None:
    """Unknown sources and names end with 15."""
    done = run(*arguments)

    assert done.status == 15
    assert done.said.startswith("Error: There is no ")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("{0} parcels,delivery\n", "All 24 rows have the output 'delivery', so the model will give that answer"),
        ("My parcel,delivery\n", "All 24 rows are the same."),
    ],
)
def test_data_that_teaches_one_answer_is_named(run: Run, tmp_path: Path, row: str, sentence: str) -> None:
    """Check says it before anything is tuned; the file can be used all the same."""
    path = tmp_path / "same.csv"
    path.write_text("text,label\n" + "".join(map(row.format, range(24))))

    done = run("data", "check", path)

    assert (done.status, sentence in done.said) == (0, True)
