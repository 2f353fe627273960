"""The methods that are compared, on rows made here and a stand-in for the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import tunery
from benchmarks import quality_methods
from benchmarks.quality_data import Task
from benchmarks.quality_methods import METHODS, Trial, TuningOptions, choose_shots, few_shot_prompt, tune_model
from tunery.engine.tuner import Recipe
from tunery.types import TuningExample

TRAIN = (
    TuningExample("Sort: a red rose", "flower"),
    TuningExample("Sort: a white rose", "flower"),
    TuningExample("Sort: an iron hammer", "tool"),
    TuningExample("Sort: a wild rose", "flower"),
    TuningExample("Sort: a steel hammer", "tool"),
)
TEST = (TuningExample("Sort: an old hammer", "tool"), TuningExample("Sort: a pale rose", "flower"))
TASK = Task("made", "Sort: ", "accuracy", ("flower", "tool"), TRAIN, TEST)
FREE_TEXT = Task("free", "Sort: ", "accuracy", (), TRAIN, TEST)


class StandIn:
    """A model that answers with the length of the prompt and remembers what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.labels: list[list[str] | None] = []

    def generate(self, prompts: list[str], *, max_output_tokens: int, labels: list[str] | None = None) -> list[str]:
        assert max_output_tokens > 0
        self.prompts += prompts
        self.labels.append(labels)
        return [str(len(prompt)) for prompt in prompts]


class Calls:
    """What `tunery` would have been called with."""

    def __init__(self) -> None:
        self.model = StandIn()
        self.arguments: dict[str, Any] = {}

    def tune(self, dataset: Any, **arguments: Any) -> StandIn:
        self.arguments = {"dataset": dataset, **arguments}
        return self.model

    def load(self, name: str) -> StandIn:
        self.arguments = {"name": name}
        return self.model


class RecordsOnly:
    """A dataset that is just its records."""

    from_records = staticmethod(list)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    made = Calls()
    for name, value in {"tune": made.tune, "load": made.load, "Dataset": RecordsOnly}.items():
        monkeypatch.setattr(tunery, name, value, raising=False)
    quality_methods.load_base.cache_clear()
    yield made
    quality_methods.load_base.cache_clear()


def trial(task: Task = TASK, train: tuple[TuningExample, ...] = TRAIN) -> Trial:
    return Trial(task, train, TEST, TuningOptions(), seed=3)


def test_majority_answers_the_most_frequent_output() -> None:
    """Each test row gets the output that the training rows have most often."""
    assert METHODS["majority"].answer(trial()) == ["flower", "flower"]


def test_tfidf_learns_words() -> None:
    """The regression tells apart what one word tells apart."""
    pytest.importorskip("sklearn")

    assert METHODS["tfidf"].answer(trial()) == ["tool", "flower"]


def test_tfidf_with_a_single_label_answers_it() -> None:
    """Training rows of one label only are no error."""
    assert METHODS["tfidf"].answer(trial(train=TRAIN[:2])) == ["flower", "flower"]


def test_tfidf_on_free_text_answers_as_the_most_similar_row() -> None:
    """Without labels the output of the nearest training row is the answer."""
    pytest.importorskip("sklearn")

    assert METHODS["tfidf"].answer(trial(FREE_TEXT)) == ["tool", "flower"]


def lengths(texts: Sequence[str]) -> list[list[float]]:
    """Stand-in vectors: the number of hammers, and the number of letters."""
    return [[float(text.count("hammer")), len(text) / 1000] for text in texts]


def test_a_sentence_encoder_feeds_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the texts without their instructions; a single label is answered, free text is that of the nearest."""
    read: list[str] = []

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        read.extend(texts)
        return lengths(texts)

    monkeypatch.setattr(quality_methods, "sentence_vectors", lambda: vectors)

    assert METHODS["minilm"].answer(trial()) == ["tool", "flower"]
    assert METHODS["minilm"].answer(trial(FREE_TEXT)) == ["tool", "flower"]
    assert METHODS["minilm"].answer(trial(train=TRAIN[:2])) == ["flower", "flower"]
    assert not any(text.startswith("Sort") for text in read)


def test_states_are_those_of_whole_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the instructions, which are named as their beginning; the rest is as for other vectors."""
    asked: list[tuple[object, str]] = []

    def vectors(base: object, texts: Sequence[str], preamble: str) -> list[list[float]]:
        asked.append((base, preamble))
        assert all(text.startswith(preamble) for text in texts)
        return lengths(texts)

    monkeypatch.setattr(quality_methods, "load_base", lambda name: name)
    monkeypatch.setattr(quality_methods, "state_vectors", vectors)

    assert METHODS["states"].answer(trial()) == ["tool", "flower"]
    assert METHODS["states"].answer(trial(FREE_TEXT)) == ["tool", "flower"]
    assert set(asked) == {(TuningOptions().base_model, "Sort: ")}


WISHES = (
    TuningExample("Find: a game of chess\nA: It plays chess, a game.\nB: It reads mail.", "A"),
    TuningExample("Find: read mail fast\nA: It plays chess, a game.\nB: It reads mail.", "B"),
)
SEARCH = Task("search", "Find: ", "accuracy", ("A", "B"), WISHES, WISHES)


def test_the_most_similar_description_is_the_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """By common words, or by the vectors of a sentence encoder."""

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        return [[float("chess" in text), float("mail" in text)] for text in texts]

    monkeypatch.setattr(quality_methods, "sentence_vectors", lambda: vectors)
    search = Trial(SEARCH, (), WISHES, TuningOptions(), seed=0)

    assert METHODS["tfidf-match"].answer(search) == ["A", "B"]
    assert METHODS["minilm-match"].answer(search) == ["A", "B"]


def test_the_lead_is_the_first_sentence() -> None:
    """Of the description, without the instructions."""
    rows = (TuningExample("Sum up: It is small. It is fast.", "a small tool"),)
    task = Task("texts", "Sum up: ", "rouge-l", (), rows, rows)

    assert METHODS["lead"].answer(Trial(task, (), rows, TuningOptions(), seed=0)) == ["It is small"]


def test_base_is_asked_the_rows_as_they_are(calls: Calls) -> None:
    """Zero-shot prompts are the inputs of the test rows, instructions included."""
    METHODS["base"].answer(trial())

    assert calls.model.prompts == [row.text_input for row in TEST]


def test_the_base_chooses_among_the_labels_of_a_task(calls: Calls) -> None:
    """With and without examples, if it has some; a tuned model knows its own."""
    for name in ("base", "base-5-shot", "tuned"):
        METHODS[name].answer(trial())
    METHODS["base"].answer(trial(FREE_TEXT))

    assert calls.model.labels == [["flower", "tool"], ["flower", "tool"], None, None]


def test_shots_have_different_outputs_first() -> None:
    """Five shots of two labels begin with one of each."""
    assert [row.output for row in choose_shots(TRAIN)][:4] == ["flower", "tool", "flower", "tool"]


def test_few_shot_prompt_has_the_instructions_once() -> None:
    """Instructions, examples with answers, and the row with its answer open."""
    prompt = few_shot_prompt(TASK, TRAIN[:1], "Sort: an old hammer")

    assert prompt == "Sort: a red rose\nAnswer: flower\n\nan old hammer\nAnswer:"


def test_few_shot_asks_one_prompt_per_test_row(calls: Calls) -> None:
    """Each test row ends its own prompt."""
    METHODS["base-5-shot"].answer(trial())

    assert [prompt.endswith("rose\nAnswer:") for prompt in calls.model.prompts] == [False, True]


def test_tuned_asks_the_tuned_model(calls: Calls) -> None:
    """Answers come from the model that tuning returned."""
    assert METHODS["tuned"].answer(trial()) == [str(len(row.text_input)) for row in TEST]
    assert [row["output"] for row in calls.arguments["dataset"]] == [row.output for row in TRAIN]


def test_defaults_pass_no_recipe(calls: Calls) -> None:
    """Without options the page's defaults are passed and the engine's own recipe stays in force."""
    tune_model(TRAIN, TuningOptions(), seed=3)

    given = {name: value for name, value in calls.arguments.items() if name not in ("dataset", "base_model", "recipe")}
    defaults = {"epoch_count": 5, "batch_size": 4, "learning_rate": 0.001, "hold_out": 0}
    assert given == {**defaults, "seed": 3, "library": False}
    assert calls.arguments["recipe"] is None


def test_engine_options_change_the_recipe(calls: Calls) -> None:
    """Only the options that are given differ from the engine's recipe."""
    tune_model(TRAIN, TuningOptions(rank=16, schedule="cosine"), seed=0)

    assert calls.arguments["recipe"] == Recipe(rank=16, schedule="cosine")
