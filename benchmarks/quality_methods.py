"""
The ways to answer that are compared: majority, TF-IDF, a sentence encoder, the base's states, its prompted answers,
the tuned model; and two that are made for one task, the first sentence and the most similar description.

Each takes a trial (task, training rows, test rows, options) and returns one answer per test row.
`tune_model` is the only place that calls `tunery.tune`; scores and files are not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from operator import mul
from typing import Any

from benchmarks.quality_data import Task
from benchmarks.quality_debian import first_sentence, wish_and_choices
from benchmarks.quality_vectors import Vectors, sentence_vectors, state_vectors
from tunery.evaluation.contest import by_states
from tunery.types import DEFAULT_BASE_MODEL, TuningExample

# To be fair to the baseline: of 1, 10, 100 and 1000, tried on rows of the pool that are not test rows, within 0.003 of
# the best for TREC-6 and SMS at 100 and 500 rows; balanced classes were never worse there by more than that
REGRESSION_C = 10.0
SHOTS = 5
RECIPE_OPTIONS = ("rank", "alpha", "schedule", "warmup_fraction", "weight_decay", "clip_norm")
# of the vectors of the sentence encoder
VECTORS_C = 10.0
MAX_OUTPUT_TOKENS = 24  # of tasks with labels, as in `Task`


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """What may be varied in an experiment; None leaves tunery's own default in force."""

    base_model: str = DEFAULT_BASE_MODEL
    epoch_count: int = 5
    batch_size: int = 4
    learning_rate: float = 0.001
    rank: int | None = None
    alpha: float | None = None
    schedule: str | None = None
    warmup_fraction: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None

    @property
    def given(self) -> dict[str, object]:
        """Everything that differs from the defaults, by name."""
        defaults = asdict(TuningOptions())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


@dataclass(frozen=True, slots=True)
class Trial:
    """What a method is given: rows to learn from and rows to answer."""

    task: Task
    train: Sequence[TuningExample]
    test: Sequence[TuningExample]
    options: TuningOptions
    seed: int

    @property
    def prompts(self) -> list[str]:
        return [row.text_input for row in self.test]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to answer."""

    answer: Callable[[Trial], list[str]]  # one text per test row
    rows: int | None = None  # training rows it uses; None: as many as the cell has
    drawn: int = 1  # rows it may choose those from, if that is more
    is_random: bool = True  # whether another seed can give another result
    options: tuple[str, ...] = ()  # which of the options have an effect on it
    tasks: tuple[str, ...] = ()  # those it is made for; empty: all


def majority(trial: Trial) -> list[str]:
    """Answer the most frequent output; among equals the one that came first."""
    likeliest = Counter(row.output for row in trial.train).most_common(1)[0][0]
    return [likeliest] * len(trial.test)


def tfidf(trial: Trial) -> list[str]:
    """Answer by logistic regression on words and characters; for free text by the output of the most similar row."""
    outputs = [row.output for row in trial.train]
    if len(set(outputs)) == 1:  # 20 messages may hold no spam; the regression needs two labels
        return majority(trial)
    known, asked = ([trial.task.body(row.text_input) for row in rows] for rows in (trial.train, trial.test))
    if not trial.task.labels:
        return [outputs[index] for index in _nearest(known, asked)]
    return [str(answer) for answer in _regression().fit(known, outputs).predict(asked)]


def minilm(trial: Trial) -> list[str]:
    """Answer by a regression on the vectors of a sentence encoder; for free text by the output of the nearest row."""
    from sklearn.linear_model import LogisticRegression

    vectors = sentence_vectors()
    known, asked = (vectors([trial.task.body(row.text_input) for row in rows]) for rows in (trial.train, trial.test))
    outputs = [row.output for row in trial.train]
    if len(set(outputs)) == 1:
        return majority(trial)
    if not trial.task.labels:
        return [outputs[index] for index in _nearest_vectors(known, asked)]
    regression = LogisticRegression(C=VECTORS_C, class_weight="balanced", max_iter=1000)
    return [str(answer) for answer in regression.fit(known, outputs).predict(asked)]


def states(trial: Trial) -> list[str]:
    """Answer as the state-based classifier of `tunery evaluate`; for free text by the output of the nearest row."""
    base, preamble = load_base(trial.options.base_model), trial.task.instructions
    known, asked = (
        state_vectors(base, [row.text_input for row in rows], preamble) for rows in (trial.train, trial.test)
    )
    if not trial.task.labels:
        return [trial.train[index].output for index in _nearest_vectors(known, asked)]
    return by_states(trial.train, known, asked)


def lead(trial: Trial) -> list[str]:
    """Answer the first sentence of a description."""
    return [first_sentence(trial.task.body(row.text_input)) for row in trial.test]


def tfidf_match(trial: Trial) -> list[str]:
    """Answer the letter of the description that has most of its words in common with the wish."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    asked = [wish_and_choices(trial.task.body(row.text_input)) for row in trial.test]
    known = [wish_and_choices(trial.task.body(row.text_input)) for row in trial.train]
    features = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    features.fit([text for wish, choices in (*known, *asked) for text in (wish, *choices.values())])

    def likeness(wish: str, texts: Sequence[str]) -> list[float]:
        return list((features.transform([wish]) @ features.transform(texts).T).toarray()[0])

    return [_likest(choices, likeness(wish, list(choices.values()))) for wish, choices in asked]


def minilm_match(trial: Trial) -> list[str]:
    """Answer the letter of the description whose vector is nearest to that of the wish."""
    answers = []
    for row in trial.test:
        wish, choices = wish_and_choices(trial.task.body(row.text_input))
        (asked, *found) = sentence_vectors()([wish, *choices.values()])
        answers.append(_likest(choices, [sum(map(mul, asked, other)) for other in found]))
    return answers


def _likest(choices: dict[str, str], likeness: Sequence[float]) -> str:
    return max(zip(choices, likeness, strict=True), key=lambda pair: pair[1])[0]


def base_zero_shot(trial: Trial) -> list[str]:
    return _generate(load_base(trial.options.base_model), trial.prompts, trial.task)


def base_few_shot(trial: Trial) -> list[str]:
    shots = choose_shots(trial.train)
    prompts = [few_shot_prompt(trial.task, shots, prompt) for prompt in trial.prompts]
    return _generate(load_base(trial.options.base_model), prompts, trial.task)


def tuned(trial: Trial) -> list[str]:
    return _generate(tune_model(trial.train, trial.options, trial.seed), trial.prompts, trial.task, knows_labels=True)


# where a row is one text; in a package search it is a wish and five others, and which letter is right tells nothing
WHOLE_TEXTS = ("trec6", "sms", "next-number", "tickets", "synopsis")
METHODS = {
    "majority": Method(majority),
    "tfidf": Method(tfidf, tasks=WHOLE_TEXTS),
    "minilm": Method(minilm, tasks=WHOLE_TEXTS),
    "states": Method(states, options=("base_model",), tasks=WHOLE_TEXTS),
    "lead": Method(lead, rows=0, is_random=False, tasks=("synopsis",)),
    "tfidf-match": Method(tfidf_match, rows=0, is_random=False, tasks=("package-search",)),
    "minilm-match": Method(minilm_match, rows=0, is_random=False, tasks=("package-search",)),
    "base": Method(base_zero_shot, rows=0, is_random=False, options=("base_model",)),
    "base-5-shot": Method(base_few_shot, rows=SHOTS, drawn=20, options=("base_model",)),
    "tuned": Method(tuned, options=tuple(field.name for field in fields(TuningOptions))),
}


def tune_model(train: Sequence[TuningExample], options: TuningOptions, seed: int) -> Any:
    """Return a model tuned on all these rows. The one place where options become arguments of `tunery.tune`."""
    import tunery

    return tunery.tune(
        tunery.Dataset.from_records([{"text_input": row.text_input, "output": row.output} for row in train]),
        base_model=options.base_model,
        epoch_count=options.epoch_count,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        hold_out=0,
        seed=seed,
        recipe=_recipe(options),
        library=False,
    )


def _recipe(options: TuningOptions) -> Any:
    """Return the engine's recipe with the options that are given; None, its own default, when none is."""
    values = {name: value for name in RECIPE_OPTIONS if (value := getattr(options, name)) is not None}
    if not values:
        return None
    from tunery.engine.tuner import Recipe

    return Recipe(**values)


@cache
def load_base(name: str) -> Any:
    import tunery

    return tunery.load(name)


def choose_shots(train: Sequence[TuningExample]) -> list[TuningExample]:
    """Return the first rows with different outputs, then further ones: a prompt that shows one label only misleads."""
    seen: Counter[str] = Counter()
    order = []
    for row in train:
        order.append((seen[row.output], row))
        seen[row.output] += 1
    return [row for _, row in sorted(order, key=lambda pair: pair[0])[:SHOTS]]


def few_shot_prompt(task: Task, shots: Sequence[TuningExample], text_input: str) -> str:
    """Return the instructions once, the examples with their answers, and the row with its answer left open."""
    shown = [f"{task.body(row.text_input)}\nAnswer: {row.output}" for row in shots]
    return task.instructions + "\n\n".join([*shown, f"{task.body(text_input)}\nAnswer:"])


def _generate(model: Any, prompts: list[str], task: Task, *, knows_labels: bool = False) -> list[str]:
    """Return a model's answers: the likeliest label where there are some, as a model tuned on labels does by itself."""
    settings = {"labels": list(task.labels)} if task.labels and not knows_labels else {}
    return list(model.generate(prompts, max_output_tokens=task.max_output_tokens, **settings))


def _regression() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=REGRESSION_C, class_weight="balanced", max_iter=1000))


def _nearest_vectors(known: Vectors, asked: Vectors) -> list[int]:
    """Return for each vector that is asked the index of the known one at the smallest angle."""
    from sklearn.metrics.pairwise import cosine_similarity

    return [int(index) for index in cosine_similarity(asked, known).argmax(axis=1)]


def _nearest(known: Sequence[str], asked: Sequence[str]) -> list[int]:
    """Return for each text that is asked the index of the known text with the most similar characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
    rows = features.fit_transform(known)
    return [int(index) for index in (features.transform(asked) @ rows.T).toarray().argmax(axis=1)]
