"""The quality command: which cells it plans, what it keeps, and the table it prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quality import main, plan
from benchmarks.quality_methods import TuningOptions
from benchmarks.quality_results import Cell, Result, append, read, table

CHEAP = ["--tasks", "tickets,next-number", "--sizes", "20,500", "--seeds", "0,1", "--methods", "majority"]


def result(score: float, seed: int = 0, **cell: object) -> Result:
    values = {"task": "made", "method": "tuned", "examples": 20, "seed": seed, **cell}
    return Result(Cell(**values), "accuracy", score, 0.9, off_label=1, test_rows=50, seconds=1.5)  # type: ignore[arg-type]


def planned(method: str, options: TuningOptions) -> list[Cell]:
    return list(plan(["trec6"], [20, 100], [0, 1, 2], [method], options))


def test_each_size_and_seed_is_a_cell() -> None:
    """Two sizes and three seeds are six cells."""
    assert len(planned("tuned", TuningOptions())) == 6


def test_untuned_base_is_one_cell() -> None:
    """The base without examples depends on no size and no seed."""
    assert [(cell.examples, cell.seed) for cell in planned("base", TuningOptions())] == [(0, 0)]


def test_five_shot_is_a_cell_per_seed() -> None:
    """The base with examples in its prompt uses five, whatever the sizes."""
    assert [(cell.examples, cell.seed) for cell in planned("base-5-shot", TuningOptions())] == [(5, 0), (5, 1), (5, 2)]


def test_stratified_draws_stand_beside_plain_ones() -> None:
    """Where they differ: a base alone has one cell, and so has a task in which any label is as likely."""
    draws = ["plain", "stratified"]

    def kinds(task: str, method: str) -> list[bool]:
        return [cell.is_stratified for cell in plan([task], [20], [0, 1], [method], TuningOptions(), draws)]

    assert kinds("trec6", "states") == [False, False, True, True]
    assert kinds("trec6", "base") == [False]
    assert kinds("next-number", "tfidf") == [False, False]


def test_methods_made_for_a_task_are_not_asked_about_others() -> None:
    """The first sentence of a description is no answer to a question."""
    tasks = ["trec6", "synopsis", "package-search"]

    cells = plan(tasks, [20], [0], ["lead", "tfidf-match"], TuningOptions())

    assert [(cell.task, cell.method) for cell in cells] == [("synopsis", "lead"), ("package-search", "tfidf-match")]


def test_options_mark_only_the_cells_they_change() -> None:
    """The rank belongs to a tuned cell and not to a baseline, which it does not affect."""
    options = TuningOptions(rank=16)

    assert planned("tuned", options)[0].options == {"rank": 16}
    assert planned("tfidf", options)[0].options == {}


def test_results_come_back_as_written(tmp_path: Path) -> None:
    """What is appended is read again, equal."""
    path = tmp_path / "new" / "quality.jsonl"
    written = [result(0.5), result(0.75, seed=1, options={"rank": 16})]

    for one in written:
        append(path, one)

    assert read(path) == written


def test_line_that_was_cut_off_is_not_finished(tmp_path: Path) -> None:
    """After an interruption in the middle of a line, that cell is missing and the next line is whole."""
    path = tmp_path / "quality.jsonl"
    append(path, result(0.5))
    with path.open("a") as file:
        file.write('{"cell": {"task": "ma')

    assert read(path) == [result(0.5)]
    append(path, result(0.75, seed=1))
    assert read(path) == [result(0.5), result(0.75, seed=1)]


def test_finished_cells_are_not_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call adds no line and prints the same table."""
    out = tmp_path / "quality.jsonl"

    main([*CHEAP, "--out", str(out)])
    first = (out.read_text(), capsys.readouterr().out)
    main([*CHEAP, "--out", str(out)])

    assert (out.read_text(), capsys.readouterr().out) == first
    assert len(read(out)) == 6  # tickets are drawn in both ways


def test_size_beyond_the_rows_is_passed_over_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task with fewer rows than a size is left out there, with a line on standard error."""
    main([*CHEAP, "--out", str(tmp_path / "quality.jsonl")])

    assert "next-number has no 500 training rows, only 127." in capsys.readouterr().err


def test_table_shows_mean_and_deviation_per_cell() -> None:
    """Of how many draws, too; a single value stands alone, a missing one is blank."""
    text = table([result(0.5), result(0.75, seed=1), result(0.25, method="base", examples=0)])

    assert text.splitlines() == [
        "| made: accuracy, 50 test rows | 0 rows | 20 rows |",
        "|---|---|---|",
        "| tuned |  | 0.625 ± 0.125 (2) |",
        "| base | 0.250 |  |",
    ]


def test_table_has_rows_for_stratified_draws_and_for_other_scores() -> None:
    """Below the ones they stand beside."""
    summed_up = replace(result(0.5, task="texts"), further={"chrf": 0.25})

    text = table([result(0.5), result(0.75, is_stratified=True), summed_up])

    assert "| tuned | 0.500 |\n| tuned, stratified | 0.750 |" in text
    assert text.endswith("| tuned | 0.500 |\n| tuned: chrf | 0.250 |")


def test_table_can_read_answers_leniently() -> None:
    """The same table with the scores of the lenient reading."""
    assert "| tuned | 0.900 |" in table([result(0.5)], is_lenient=True)


def test_options_have_a_row_of_their_own() -> None:
    """An experiment stands beside the defaults, named by what differs."""
    assert "| tuned, rank 16 | 0.500 |" in table([result(0.5, options={"rank": 16})])


def test_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that does not exist ends the command with the names there are."""
    with pytest.raises(SystemExit):
        main(["--tasks", "chess"])

    assert "chess: not one of trec6, sms" in capsys.readouterr().err
