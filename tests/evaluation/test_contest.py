"""Candidates answering the rows of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tunery.errors import InvalidArgument
from tunery.evaluation import contest as module
from tunery.evaluation.contest import (
    AUTOMATIC,
    Contest,
    RecordedAnswers,
    choose_shots,
    cross_validated,
    few_shot_prompts,
    set_aside,
    split,
)
from tunery.evaluation.report import Evaluation
from tunery.types import AnswerForm, TuningExample


@dataclass
class Scripted:
    """Answers with the last number of a prompt plus one, and keeps the prompts."""

    room: int = 10_000
    asked: list[str] = field(default_factory=list)

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        return len(prompt) + max_output_tokens <= self.room

    def answers(self, prompts: Sequence[str], _max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        assert form is None  # the outputs are numbers, so nobody is limited
        self.asked += prompts
        return [str(int(prompt.removesuffix("\nAnswer:").split()[-1]) + 1) for prompt in prompts]


@dataclass
class Forgetful(Scripted):
    """Answers with the number itself where that is odd."""

    def answers(self, prompts: Sequence[str], max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        right = super().answers(prompts, max_output_tokens, form)
        return [answer if int(answer) % 2 else "odd" for answer in right]


def numbers(start: int, count: int) -> list[TuningExample]:
    return [TuningExample(f"What comes after the number {n}", str(n + 1)) for n in range(start, start + count)]


def test_all_candidates_answer_the_same_rows() -> None:
    """Baselines use the examples; the base answers with and without them, the tuned model without."""
    base, tuned = Scripted(), Scripted()
    told: list[tuple[int, int]] = []

    found = Contest(base, tuned, numbers(100, 10), on_answered=lambda *at: told.append(at)).evaluate(numbers(0, 30))

    assert [one.name for one in found.contenders] == ["majority", "similar", "base", "base_examples", "tuned"]
    assert len(base.asked) == 60
    assert tuned.asked == [row.text_input for row in numbers(0, 30)]
    assert (found.rows, told[-1]) == (30, (90, 90))


def test_training_rows_are_left_out() -> None:
    """They are counted; if there are no other rows, an error says so."""
    contest = Contest(Scripted(), Scripted(), numbers(0, 10))

    assert (found := contest.evaluate(numbers(5, 20))).rows == 15
    assert found.rows_known == 5
    with pytest.raises(InvalidArgument, match="tuned on all of them"):
        contest.evaluate(numbers(0, 10))


def test_rows_that_do_not_fit_the_window_are_left_out() -> None:
    """They are counted, and do not lower the score."""
    long = TuningExample("What comes after " + "the " * 50 + "number 7", "8")

    found = Contest(Scripted(room=60), Scripted()).evaluate([*numbers(0, 12), long])

    assert (found.rows, found.rows_left_out) == (12, 1)


def test_single_rows_have_the_number_they_were_given_with() -> None:
    """Also behind rows that are left out, and in folds, where they are shuffled."""
    wrong = TuningExample("What comes after the number 5", "7")
    long = TuningExample("What comes after " + "the " * 50 + "number 7", "8")
    rows = [long, *numbers(0, 3), wrong]

    found = Contest(Scripted(room=60), Scripted()).evaluate(rows)
    assert [row.row for row in found.worst_rows] == [5]
    assert [row.row for row in found.renumbered([20, 30, 40, 50, 60]).worst_rows] == [60]

    @contextmanager
    def tuned(_: Sequence[TuningExample], __: int) -> Iterator[Scripted]:
        yield Scripted()

    folded = cross_validated([*numbers(0, 8), wrong, *numbers(10, 3)], 3, Scripted(), tuned)
    assert [row.row for row in folded.worst_rows] == [9]


def test_many_rows_are_sampled_by_seed() -> None:
    """Equal seeds give the same sample of `max_rows` rows."""
    first, again = (Contest(Scripted(), Scripted()).evaluate(numbers(0, 50), max_rows=10, seed=3) for _ in range(2))

    assert (first.rows, first.rows_available) == (10, 50)
    assert first == again


def test_recorded_answers_follow_their_rows() -> None:
    """Rows that are left out take their recorded answers with them."""
    rows = numbers(0, 20)
    recorded = RecordedAnswers([row.output for row in rows], "old")

    found = Contest(Scripted(), Scripted(), numbers(3, 1), recorded).evaluate(rows)

    old = found.candidate("recorded")
    assert old is not None
    assert (old.title, old.score) == ("old", 1.0)


def test_shots_show_different_outputs_first() -> None:
    """Each label is shown before one is repeated."""
    rows = [TuningExample(str(n), label) for n, label in enumerate("aaaabc")]

    assert [shot.output for shot in choose_shots(rows, 3)] == ["a", "b", "c"]


def test_prompts_have_the_instructions_once_and_as_many_examples_as_fit() -> None:
    """A long row gets fewer examples, or none and its plain text."""
    rows = numbers(0, 3)

    prompts, most = few_shot_prompts(rows, ["What comes after the number 7"], lambda prompt: prompt.count("Answer") < 4)
    plain, none = few_shot_prompts(rows, ["What comes after the number 7"], lambda prompt: "Answer" not in prompt)

    assert most == 2
    assert prompts == ["What comes after the number 0\nAnswer: 1\n\n1\nAnswer: 2\n\n7\nAnswer:"]
    assert (plain, none) == (["What comes after the number 7"], 0)


def test_folds_hold_each_row_once_and_each_label_in_its_share() -> None:
    """Equal inputs share a fold, and labels are spread evenly."""
    rows = [TuningExample(str(n // 2), "ab"[n // 2 % 2]) for n in range(40)]

    found = split(rows, 5)

    assert sorted(place for fold in found for place in fold) == list(range(40))
    assert all({place ^ 1 for place in fold} == set(fold) for fold in found)
    assert all(sum(rows[place].output == "a" for place in fold) == 4 for fold in found)


def test_cross_validation_answers_every_row_by_a_model_without_it() -> None:
    """Each fold is answered by a model tuned on the others; the report covers all rows."""
    rows, seen = numbers(0, 20), []

    @contextmanager
    def tuned(examples: Sequence[TuningExample], number: int) -> Iterator[Scripted]:
        model = Scripted()
        yield model
        seen.append((number, {row.text_input for row in examples}, set(model.asked)))

    found = cross_validated(rows, 4, Scripted(), tuned)

    assert (found.rows, found.folds) == (20, 4)
    assert [number for number, _, _ in seen] == [1, 2, 3, 4]
    assert all(not known & asked and len(known | asked) == 20 for _, known, asked in seen)
    with pytest.raises(InvalidArgument, match="at least 2"):
        split(rows, 21)


def test_other_settings_are_compared_in_pairs() -> None:
    """
    Two models answer the rows of each fold, tuned on the same others; the lead is that over the same rows, and the
    verdict on tuning stays, with a sentence on the settings.
    """
    rows, trained = numbers(0, 40), []

    @contextmanager
    def tuned(examples: Sequence[TuningExample], number: int) -> Iterator[Scripted]:
        trained.append((number, tuple(examples)))
        yield Scripted()

    @contextmanager
    def worse(examples: Sequence[TuningExample], number: int) -> Iterator[Forgetful]:
        trained.append((number, tuple(examples)))
        yield Forgetful()

    plain = cross_validated(rows, 4, Scripted(), tuned)
    trained.clear()
    found = cross_validated(rows, 4, Scripted(), tuned, other=("tuned with 1 epoch (page)", worse))
    other_way = cross_validated(rows, 4, Scripted(), worse, other=("tuned with 9 epochs (auto)", tuned))
    level = cross_validated(rows, 4, Scripted(), tuned, other=("tuned with 9 epochs (auto)", tuned))

    assert [trained[2 * fold] for fold in range(4)] == [trained[2 * fold + 1] for fold in range(4)]
    other = found.candidate("other_settings")
    assert other is not None
    assert (other.title, other.score) == ("tuned with 1 epoch (page)", 0.5)
    lead = next(one for one in found.comparisons if one.against == "other_settings")
    assert lead.difference == 0.5
    assert lead.interval.low > 0.3
    assert [one for one in found.comparisons if one is not lead] == list(plain.comparisons)
    assert plain.verdict is not None
    assert said(found).startswith(
        f"{plain.verdict.text} The settings of the model are better than the others: 50% if tuned with 1 epoch (page),"
        " so +50 points for the model, +3"
    )
    assert "The other settings are better than those of the model: 100% if" in said(other_way)
    assert "These rows do not tell which settings are better: 100% if" in said(level)


def said(found: Evaluation) -> str:
    """Return the verdict in words."""
    assert found.verdict is not None
    return found.verdict.text


@pytest.mark.parametrize(
    ("rows", "kinds", "expected"),
    [
        (19, 19, (19, 0, 0)),  # a verdict needs 20
        (20, 20, (20, 0, 3)),
        (99, 99, (99, 0, 3)),
        (100, 100, (80, 20, 0)),
        (400, 400, (360, 40, 0)),
        (300, 2, (300, 0, 0)),  # one input many times cannot be told apart
    ],
)
def test_what_is_set_aside_by_default(rows: int, kinds: int, expected: tuple[int, int, int]) -> None:
    """From 100 rows on a tenth, 20 at least, is held out; from 20 on folds follow; below no verdict is possible."""
    examples = [TuningExample(f"input {row % kinds}", str(row)) for row in range(rows)]

    used, held_out, folds = set_aside(examples, AUTOMATIC)

    assert (len(used), len(held_out), folds) == expected


def test_an_amount_that_was_asked_for_is_held_out() -> None:
    """Then no folds follow, however few the rows are; 0 holds nothing out."""
    examples = [TuningExample(str(row), str(row)) for row in range(30)]

    assert [len(part) for part in set_aside(examples, "10%")[:2]] == [27, 3]
    assert set_aside(examples, 0) == (tuple(examples), (), 0)


class Labelling(Scripted):
    """Says that it is odd if it may say anything, and is always 80 % sure of "odd"."""

    def answers(self, prompts: Sequence[str], _max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        assert form is None
        return ["It is odd."] * len(prompts)

    def label_chances(self, prompts: Sequence[str], labels: Sequence[str]) -> list[dict[str, float]]:
        assert set(labels) <= {"odd", "even"}
        self.asked += prompts
        return [{label: 0.8 if label == "odd" else 0.2 for label in labels} for _ in prompts]


def parities(start: int, count: int) -> list[TuningExample]:
    return [TuningExample(f"Is {n} odd?", ("even", "odd")[n % 2]) for n in range(start, start + count)]


class Stating(Labelling):
    """Has a state that tells even numbers from odd ones, and counts the prompts that were read for it."""

    def mean_states(self, prompts: Sequence[str], preamble: str) -> list[list[float]]:
        assert all(prompt.startswith(preamble) for prompt in prompts)
        self.asked += [f"state of {prompt}" for prompt in prompts]
        return [[float(int(prompt.split()[1]) % 2), 1.0] for prompt in prompts]

    @property
    def read(self) -> list[str]:
        return [prompt for prompt in self.asked if prompt.startswith("state of ")]


def test_labels_are_also_told_from_the_states_of_the_base() -> None:
    """A simple baseline beside the words: here it is always right, so tuning cannot be better."""
    base = Stating()

    found = Contest(base, Labelling(), parities(0, 20)).evaluate(parities(100, 40))

    names = ["majority", "similar", "states", "base", "base_examples", "tuned"]
    assert [one.name for one in found.contenders] == names
    states = found.candidate("states")
    assert states is not None
    assert (states.title, states.score, states.is_limited) == ("a state-based classifier", 1.0, False)
    assert len(base.read) == 60
    assert found.verdict is not None
    assert found.verdict.text.startswith(
        "No better than a simple baseline: accuracy 50% on 40 rows, against 100% for a"
    )


def test_folds_read_each_state_once() -> None:
    """The rows of all folds are the same, only their parts differ."""

    @contextmanager
    def tuned(_rows: Sequence[TuningExample], _fold: int) -> Iterator[Labelling]:
        yield Labelling()

    base = Stating()
    found = cross_validated(parities(0, 30), 3, base, tuned).candidate("states")

    assert found is not None
    assert found.score == 1.0
    assert sorted(base.read) == sorted(f"state of {row.text_input}" for row in parities(0, 30))


def test_states_are_read_of_a_limited_number_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the classifier costs no more for thousands of them."""
    monkeypatch.setattr(module, "MAX_STATE_EXAMPLES", 10)
    base = Stating()

    Contest(base, Labelling(), parities(0, 50)).evaluate(parities(100, 20))

    assert len(base.read) == 30


def test_no_states_are_read_where_there_is_nothing_to_tell_apart() -> None:
    """Of outputs that are no labels, of a single label, and by an engine that tells none."""

    class Silent(Stating):
        def mean_states(self, prompts: Sequence[str], preamble: str) -> list[list[float]]:
            super().mean_states(prompts, preamble)
            return []

    silent, base = Silent(), Stating()
    alike = [TuningExample(f"Is {n} odd?", "odd") for n in range(20)]

    without = Contest(silent, Labelling(), parities(0, 20)).evaluate(parities(100, 20))
    single = Contest(base, Labelling(), alike).evaluate(parities(100, 20)).candidate("states")

    assert without.candidate("states") is None
    assert len(silent.read) == 40  # asked once, in one part
    assert single is not None
    assert single.score == 0.5
    assert base.read == []


def test_probabilities_of_labels_are_measured() -> None:
    """A model that is 80 % sure and right half the time is 30 points off; a temperature takes half of it away."""
    found = Contest(Labelling(), Labelling(), parities(0, 20)).evaluate(parities(100, 40)).calibration

    assert found is not None
    assert found.uncalibrated_error == pytest.approx(0.3)
    assert found.error < 0.16
    assert found.temperature > 2


def test_folds_measure_the_probabilities_of_all_rows() -> None:
    """Each row's come from the model that was tuned without it."""

    @contextmanager
    def tuned(_rows: Sequence[TuningExample], _fold: int) -> Iterator[Labelling]:
        yield Labelling()

    found = cross_validated(parities(0, 30), 3, Labelling(), tuned).calibration

    assert found is not None
    assert found.rows == 30


def test_models_of_texts_have_no_probabilities_to_measure() -> None:
    """Neither has the base, nor are its answers limited."""
    found = Contest(Scripted(), Scripted(), numbers(0, 10)).evaluate(numbers(50, 30))

    assert found.calibration is None
    assert not any(one.is_limited for one in found.contenders)


def limited(found: Evaluation) -> list[str]:
    return [one.name for one in found.contenders if one.is_limited]


def test_everybody_chooses_among_the_labels_where_outputs_are_labels() -> None:
    """A base that would say a sentence gives a label too, and the verdict says so."""
    base = Labelling()

    found = Contest(base, Labelling(), parities(0, 20)).evaluate(parities(100, 40))

    assert limited(found) == ["base", "base_examples", "tuned"]
    assert len(base.asked) == 80
    assert {answer for row in found.worst_rows for answer in row.answers.values()} <= {"odd", "even"}
    assert found.verdict is not None
    assert found.verdict.text.endswith("Base and tuned model chose among the labels.")


def test_a_model_that_is_served_freely_answers_freely() -> None:
    """Its probabilities are measured all the same; the base still gets its best chance."""
    found = Contest(Labelling(), Labelling(), parities(0, 20), constrains_tuned=False).evaluate(parities(100, 40))

    assert limited(found) == ["base", "base_examples"]
    assert found.worst_rows[0].answers["tuned"] == "It is odd."
    assert found.calibration is not None
    assert found.verdict is not None
    assert found.verdict.text.endswith("the tuned model answered freely, as it is served.")


def test_a_base_alone_chooses_among_the_labels_of_the_rows() -> None:
    """But not beside a tuned model whose labels are not known, which may say anything."""
    assert limited(Contest(Labelling()).evaluate(parities(0, 20))) == ["base"]
    assert limited(Contest(Labelling(), Labelling()).evaluate(parities(0, 20))) == []


def test_many_labels_are_drawn_token_by_token() -> None:
    """Labels with more than 400 characters are a pattern for every model."""
    forms: list[AnswerForm | None] = []

    class Drawing(Labelling):
        def answers(self, prompts: Sequence[str], _max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
            forms.append(form)
            return ["odd"] * len(prompts)

    rows = [TuningExample(f"number {n}", f"{'a long label ' * 7}{n % 5}") for n in range(40)]
    found = Contest(Drawing(), Drawing(), rows[:20]).evaluate(rows[20:])

    assert limited(found) == ["base", "base_examples", "tuned"]
    assert len(forms) == 3
    assert all(form is not None and form.pattern for form in forms)
