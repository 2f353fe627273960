"""
Runs each candidate over the evaluation rows: simple baselines, the base with and without examples, the tuned model.

Models are passed in as an `AnsweringModel`, which may be in memory or in a server's child process.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, Protocol, runtime_checkable

from tunery.data.dataset import hold_out
from tunery.data.inputs import common_preamble
from tunery.data.outputs import OutputContract
from tunery.errors import InvalidArgument
from tunery.evaluation.report import Evaluation, ScoringKind
from tunery.evaluation.scores import Scoring
from tunery.evaluation.verdict import LEAST_ROWS, OTHER, RECORDED, TUNED, Answers, judge
from tunery.types import AnswerForm, TuningExample

MAX_ROWS = 500  # ±4 points at 95 %; more rows would hardly change the verdict
SHOTS = 5
_MAX_OUTPUT_TOKENS = 1024
_SPARE_OUTPUT_TOKENS = 16
_BATCH = 64  # prompts between two reports of progress
MAX_STATE_EXAMPLES = 500  # training rows of the classifier on states: as many as are tested, so that it costs little
# Among 1, 10, 100 and 1000: within 0.003 of the best on TREC-6 and SMS with 100 and 500 rows
# (benchmarks/quality_methods)
_REGRESSION_C = 10.0
_STATES_C = 0.1  # among 0.01, 0.1, 1 and 10, which are alike: docs/experiments.md

OnAnswered = Callable[[int, int], None]  # called with the number of prompts answered so far, and the total


class AnsweringModel(Protocol):
    """A model that answers greedily, in batches, with any text or as a form allows."""

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        """Return whether a prompt and an answer of that length fit the context window."""

    def answers(self, prompts: Sequence[str], max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        """Return the complete answers."""


@runtime_checkable
class LabelModel(Protocol):
    """A model that can say how probable labels are, in batches."""

    def label_chances(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Mapping[str, float]]:
        """Return the probability of each label among all of them, without a temperature, for each prompt."""


@runtime_checkable
class StateModel(Protocol):
    """A base that can say what it makes of prompts, in batches."""

    def mean_states(self, prompts: Sequence[str], preamble: str) -> Sequence[Sequence[float]]:
        """
        Return the mean of the hidden states over each prompt, without the preamble that nearly all begin with.

        Empty if what computes does not tell states.
        """


TuneFold = Callable[[Sequence[TuningExample], int], AbstractContextManager[AnsweringModel]]


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """
    Answers of another model to the same rows; `title` is its name, `cut` counts the answers cut off at its token limit.
    """

    answers: Sequence[str]
    title: str = "recorded answers"
    cut: int = 0


@dataclass(frozen=True, slots=True)
class OtherSettings:
    """A model tuned on the same rows with other settings; `title` says which."""

    model: AnsweringModel
    title: str


@dataclass(frozen=True, slots=True)
class Contest:
    """
    The candidates. Without `tuned`, only the base is evaluated; `examples` are the training rows, if known.

    `other` is a model tuned with other settings, which answers as the tuned one does.
    If `outputs` are labels, the base chooses among them too, and so does the tuned model unless it is served without
    them (`constrains_tuned`). By default they are those of the examples, or of the rows if there is only a base.
    """

    base: AnsweringModel
    tuned: AnsweringModel | None = None
    examples: Sequence[TuningExample] = ()
    recorded: RecordedAnswers | None = None
    on_answered: OnAnswered = lambda _done, _total: None
    outputs: OutputContract | None = None
    constrains_tuned: bool = True
    states: dict[tuple[str, str], Sequence[float]] = field(default_factory=dict)  # read so far, by preamble and prompt
    other: OtherSettings | None = None

    def evaluate(
        self, rows: Sequence[TuningExample], *, max_rows: int = MAX_ROWS, source: str = "", seed: int = 0
    ) -> Evaluation:
        """
        Return the evaluation on these rows, or on `max_rows` sampled from them.

        Leaves out rows whose input the model was tuned on, and rows that do not fit the context window together with
        their answer. Raises InvalidArgument if no row remains.
        """
        known = {example.text_input.strip() for example in self.examples}
        new = [at for at, row in enumerate(rows) if row.text_input.strip() not in known]
        chosen = [new[at] for at in sampled(len(new), max_rows, seed)]
        limit = output_limit(rows)
        usable = [at for at in chosen if self.base.fits(rows[at].text_input, limit)]
        if not usable:
            why = (
                "the model was tuned on all of them"
                if rows and not new
                else "none fits the context window together with its answer"
            )
            raise InvalidArgument(f"None of the rows can be evaluated: {why}.")
        used = [rows[at] for at in usable]
        return replace(
            judge(used, self.collect(used, limit, usable), self.examples, seed=seed).renumbered(
                [at + 1 for at in usable]
            ),
            source=source,
            rows_left_out=len(chosen) - len(usable),
            rows_known=len(rows) - len(new),
            rows_available=len(new),
        )

    def collect(self, rows: Sequence[TuningExample], limit: int, indices: Sequence[int] = ()) -> Answers:
        """Return all candidates' answers to rows that fit; `indices` are the positions of the rows in `recorded`."""
        texts = [row.text_input for row in rows]
        by_candidate: dict[str, Sequence[str]] = {}
        if self.examples:
            scoring = Scoring.of([example.output for example in (*self.examples, *rows)])
            by_candidate["majority"] = majority(self.examples, texts)
            by_candidate["similar"] = similar(scoring, self.examples, texts)
            if scoring.kind is ScoringKind.LABELS and isinstance(self.base, StateModel):
                by_candidate |= self._by_states(self.base, texts)
        prompts, shots = few_shot_prompts(self.examples, texts, lambda prompt: self.base.fits(prompt, limit))
        form = self._form(rows)
        runs = [("base", self.base, texts, form)]
        runs += [("base_examples", self.base, prompts, form)] if shots else []
        runs += [(TUNED, self.tuned, texts, form if self.constrains_tuned else None)] if self.tuned else []
        runs += [(OTHER, self.other.model, texts, form if self.constrains_tuned else None)] if self.other else []
        chances: list[Mapping[str, float]] = []
        for number, (name, model, inputs, own) in enumerate(runs):
            at, total = number * len(texts), len(runs) * len(texts)
            by_candidate[name], found = read_answers(model, inputs, limit, own, partial(self._tell, at, total))
            chances = found if name == TUNED else chances
        if self.tuned and not self.constrains_tuned and form and form.labels and isinstance(self.tuned, LabelModel):
            chances = read_answers(self.tuned, texts, limit, form)[1]
        if self.recorded is not None:
            by_candidate[RECORDED] = [self.recorded.answers[at] for at in indices]
        title = self.recorded.title if self.recorded else ""
        limited = frozenset(name for name, _, _, own in runs if own is not None)
        other = self.other.title if self.other else ""
        return Answers(by_candidate, shots, chances, title, other, limited)

    def _by_states(self, base: StateModel, texts: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return the answers of a regression on the base's states, none if they cannot be known."""
        if len({example.output.strip() for example in self.examples}) == 1:
            return {"states": majority(self.examples, texts)}
        used = [self.examples[at] for at in sampled(len(self.examples), MAX_STATE_EXAMPLES, 0)]
        known = [example.text_input for example in used]
        preamble = common_preamble([*known, *texts])
        keys = [(preamble, text) for text in (*known, *texts)]
        new = [key for key in dict.fromkeys(keys) if key not in self.states]
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            found = base.mean_states([text for _, text in part], preamble)
            if not found:
                return {}
            self.states.update(zip(part, found, strict=True))
        states = [self.states[key] for key in keys]
        return {"states": by_states(used, states[: len(used)], states[len(used) :])}

    def _form(self, rows: Sequence[TuningExample]) -> AnswerForm | None:
        """Return the labels to choose among, None if the outputs are not labels or the tuned model's are not known."""
        known = self.examples or (() if self.tuned else rows)
        return (self.outputs or OutputContract.learn([row.output for row in known])).own_form()

    def _tell(self, at: int, total: int, done: int) -> None:
        self.on_answered(at + done, total)


def read_answers(
    model: AnsweringModel,
    prompts: Sequence[str],
    limit: int,
    form: AnswerForm | None,
    on_done: Callable[[int], None] = lambda _done: None,
) -> tuple[list[str], list[Mapping[str, float]]]:
    """
    Return a model's answers, the likeliest label where it can tell, and then the probability of each label.

    `on_done` is called with the number of prompts answered so far.
    """
    answers: list[str] = []
    chances: list[Mapping[str, float]] = []
    asked: object = model
    for start in range(0, len(prompts), _BATCH):
        on_done(start)
        part = prompts[start : start + _BATCH]
        if form is not None and form.labels and isinstance(asked, LabelModel):
            found = asked.label_chances(part, form.labels)
            answers += [max(each, key=each.__getitem__) for each in found]
            chances += [{label.strip(): chance for label, chance in each.items()} for each in found]
        else:
            answers += model.answers(part, limit, form)
    on_done(len(prompts))
    return answers, chances


def output_limit(rows: Sequence[TuningExample]) -> int:
    """
    Return the output limit in tokens. It is above any expected answer, so that an answer that is too long is noticed.
    """
    longest = max((len(row.output.encode()) for row in rows), default=0)
    return min(_MAX_OUTPUT_TOKENS, longest // 2 + _SPARE_OUTPUT_TOKENS)


def sampled(rows: int, limit: int, seed: int) -> list[int]:
    """Return the indices of up to `limit` rows, in order; equal seeds give equal samples."""
    return list(range(rows)) if rows <= limit else sorted(Random(seed).sample(range(rows), limit))


def majority(examples: Sequence[TuningExample], inputs: Sequence[str]) -> list[str]:
    """Answer each input with the most frequent output, the first of equally frequent ones."""
    likeliest = Counter(example.output.strip() for example in examples).most_common(1)[0][0]
    return [likeliest] * len(inputs)


def similar(scoring: Scoring, examples: Sequence[TuningExample], inputs: Sequence[str]) -> list[str]:
    """Answer from the words of the inputs, without the instructions that all of them begin with."""
    outputs = [example.output.strip() for example in examples]
    if len(set(outputs)) == 1:
        return [outputs[0]] * len(inputs)
    preamble = common_preamble([*(example.text_input for example in examples), *inputs])
    known = [example.text_input.removeprefix(preamble) for example in examples]
    new = [text.removeprefix(preamble) for text in inputs]
    if not any(any(map(str.isalnum, text)) for text in known):  # nothing to learn from
        return majority(examples, inputs)
    if scoring.kind is ScoringKind.LABELS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not matter if max_iter is reached
            return [str(answer) for answer in _regression().fit(known, outputs).predict(new)]
    return [outputs[at] for at in _nearest(known, new)]


def by_states(
    examples: Sequence[TuningExample], known: Sequence[Sequence[float]], asked: Sequence[Sequence[float]]
) -> list[str]:
    """Answer by a regression on the mean states `known` of the examples and `asked` of the inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    outputs = [example.output.strip() for example in examples]
    if len(set(outputs)) == 1:
        return [outputs[0]] * len(asked)
    regression = LogisticRegression(C=_STATES_C, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not matter if max_iter is reached
        return [
            str(answer) for answer in make_pipeline(StandardScaler(), regression).fit(known, outputs).predict(asked)
        ]


def _regression() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=_REGRESSION_C, class_weight="balanced", max_iter=1000))


def _nearest(known: Sequence[str], inputs: Sequence[str]) -> list[int]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
    rows = features.fit_transform(known)
    return [int(at) for at in (features.transform(inputs) @ rows.T).toarray().argmax(axis=1)]


def choose_shots(examples: Sequence[TuningExample], count: int = SHOTS) -> list[TuningExample]:
    """Return the examples with different outputs first, because a prompt that shows only one label is misleading."""
    seen: Counter[str] = Counter()
    order = []
    for example in examples:
        order.append((seen[example.output], example))
        seen[example.output] += 1
    return [example for _, example in sorted(order, key=lambda pair: pair[0])[:count]]


def few_shot_prompts(
    examples: Sequence[TuningExample], inputs: Sequence[str], fits: Callable[[str], bool]
) -> tuple[list[str], int]:
    """Return a prompt for each input with as many examples as fit, up to SHOTS, and the largest number used."""
    shots = choose_shots(examples)
    instructions = common_preamble([*(example.text_input for example in examples), *inputs])
    prompts, most = [], 0
    for text in inputs:
        count = len(shots)
        while count and not fits(_prompt(instructions, shots[:count], text)):
            count -= 1
        prompts.append(_prompt(instructions, shots[:count], text) if count else text)
        most = max(most, count)
    return prompts, most


def _prompt(instructions: str, shots: Sequence[TuningExample], text: str) -> str:
    shown = [f"{shot.text_input.removeprefix(instructions)}\nAnswer: {shot.output}" for shot in shots]
    return instructions + "\n\n".join([*shown, f"{text.removeprefix(instructions)}\nAnswer:"])


AUTOMATIC = "auto"  # given instead of a number of rows to hold out
FOLDS = 3
FOLDS_BELOW = 100  # rows; with fewer, a tenth gives no verdict, and tuning would miss them
HELD_OUT_SHARE = 0.1


def set_aside(
    examples: Sequence[TuningExample], amount: int | float | str, seed: int = 0
) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...], int]:
    """
    Return the rows to tune on, the held-out rows, and the folds that evaluate the model after tuning.

    With `amount` AUTOMATIC and at least FOLDS_BELOW rows, a share of them, at least LEAST_ROWS, is held out; with fewer
    rows, there are FOLDS folds; with fewer than LEAST_ROWS different inputs no verdict is possible, so nothing is set
    aside. Other amounts mean the same as in `hold_out`.
    """
    if amount != AUTOMATIC:
        return *hold_out(examples, amount, seed), 0
    inputs = len({example.text_input.strip() for example in examples})
    if inputs < LEAST_ROWS:
        return tuple(examples), (), 0
    if inputs < FOLDS_BELOW:
        return tuple(examples), (), FOLDS
    return *hold_out(examples, max(LEAST_ROWS, round(HELD_OUT_SHARE * len(examples))), seed), 0


def cross_validated(
    examples: Sequence[TuningExample],
    folds: int,
    base: AnsweringModel,
    tuned: TuneFold,
    *,
    seed: int = 0,
    on_answered: OnAnswered = lambda _done, _total: None,
    constrains_tuned: bool = True,
    other: tuple[str, TuneFold] | None = None,
) -> Evaluation:
    """
    Return the evaluation of all rows that fit; `tuned(rows, fold)` tunes a model on the rows of the other folds.

    `other` are other settings in words, and what tunes with them on the same rows.
    Where outputs are labels, each fold may answer with those of all rows, as the model tuned on all of them may.
    """
    limit, outputs = output_limit(examples), OutputContract.learn([row.output for row in examples])
    fitting = [at for at, row in enumerate(examples) if base.fits(row.text_input, limit)]
    usable = [examples[at] for at in fitting]
    numbers: list[int] = []
    rows: list[TuningExample] = []
    parts: list[Answers] = []
    states: dict[tuple[str, str], Sequence[float]] = {}  # each prompt is read once for all folds
    for fold, indices in enumerate(split(usable, folds, seed), start=1):
        inside = set(indices)
        train = [row for at, row in enumerate(usable) if at not in inside]
        test = [usable[at] for at in indices]
        with ExitStack() as models:
            model = models.enter_context(tuned(train, fold))
            rival = None if other is None else OtherSettings(models.enter_context(other[1](train, fold)), other[0])
            contest = Contest(
                base,
                model,
                train,
                on_answered=on_answered,
                outputs=outputs,
                constrains_tuned=constrains_tuned,
                states=states,
                other=rival,
            )
            parts.append(contest.collect(test, limit))
        rows += test
        numbers += [fitting[at] + 1 for at in indices]
    names = [name for name in parts[0].by_candidate if all(name in part.by_candidate for part in parts)]
    joined = {name: [answer for part in parts for answer in part.by_candidate[name]] for name in names}
    shots, chances = max(part.examples_in_prompt for part in parts), [each for part in parts for each in part.chances]
    chances = chances if all(part.chances for part in parts) else []
    together = Answers(joined, shots, chances, other_title=parts[0].other_title, limited=parts[0].limited)
    return replace(
        judge(rows, together, seed=seed).renumbered(numbers),
        source=f"{folds} folds of {len(examples)} rows",
        rows_left_out=len(examples) - len(usable),
        rows_available=len(examples),
        folds=folds,
    )


def split(examples: Sequence[TuningExample], folds: int, seed: int = 0) -> list[list[int]]:
    """
    Return the row indices of each fold; equal inputs share a fold, and labels are spread evenly.

    Raises InvalidArgument for fewer than 2 folds or fewer distinct inputs than folds.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for at, example in enumerate(examples):
        groups[example.text_input.strip()].append(at)
    if not 2 <= folds <= len(groups):
        raise InvalidArgument(
            f"The number of folds must be at least 2 and at most {len(groups)}, the number of distinct inputs."
        )

    def order(text: str) -> tuple[str, bytes]:
        return examples[groups[text][0]].output, hashlib.sha256(f"{seed}\0{text}".encode()).digest()

    found: list[list[int]] = [[] for _ in range(folds)]
    for number, text in enumerate(
        sorted(groups, key=order)
    ):  # neighbours have the same label, so deal them out in turn
        found[number % folds] += groups[text]
    return [sorted(indices) for indices in found]
