"""
The Python library: `tune` a dataset, `load` a saved model, and use the `Model`.

Everything runs in this process and uses only files that the caller names. `service/python.py` does the same in My
Library.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from tunery import config
from tunery.card import ModelCard, base_section, curve_section, data_section, settings_section
from tunery.curve import advise, read_curve, svg, write_curve
from tunery.data.dataset import Dataset, as_dataset
from tunery.data.dataset import hold_out as split
from tunery.data.decisions import asked_of_base, asked_of_tuned, read_questions, required_question
from tunery.data.outputs import Contracts, read_contracts
from tunery.engine.adapter import CONFIG, read_adapter, read_config, write_adapter
from tunery.engine.encoding import require_fitting_outputs
from tunery.engine.export import WRITERS, Source, format_of
from tunery.engine.lora import Adapter
from tunery.engine.proof import MAX_PROOF_ROWS, ExportProof, prove_export
from tunery.engine.pull import pull
from tunery.engine.resident import ResidentAnswering, ResidentBase, kept_as, resident_base
from tunery.engine.tuner import Recipe, Tuner, settings_in_force, versions
from tunery.errors import InvalidArgument, NotFound
from tunery.evaluation.contest import MAX_ROWS, Contest, OnAnswered, RecordedAnswers
from tunery.evaluation.report import Evaluation
from tunery.files import into, temporary_folder
from tunery.progress import LiveLine, can_redraw, never_silent
from tunery.types import (
    BASE_RENDERING,
    DEFAULT_BASE_MODEL,
    Advice,
    Answer,
    AnswerForm,
    DataFacts,
    EpochLoss,
    Hyperparameters,
    InputCheck,
    Rendering,
    SamplingSettings,
    TuningExample,
    TuningSnapshot,
    WeightFormat,
)

CALLS = {"python": 'tunery.load("folder of the adapter").generate("...")'}
_FORMS = ("form", "labels", "json_schema", "constrain_to_training_outputs")
_CONVERTED = (*_FORMS, "none_below", "stop_sequences")


class Model:
    """
    A base in memory, with or without an adapter.

    `snapshots` and `epoch_losses` are the loss curve, empty for a base. `examples` and `held_out` are the rows of
    `tune`, empty after `load`. `contracts` describe the inputs and outputs; with `wraps_plain_inputs`, inputs that lack
    the usual instructions get them. With `constrains_outputs`, the default, answers of a model tuned on labels are one
    of these unless a call says otherwise. `id` is the one in My Library, None outside of it. `served_epoch` is the
    epoch that answers, None where it is not known.
    """

    def __init__(
        self,
        resident: ResidentBase,
        adapter: Adapter | None = None,
        snapshots: Sequence[TuningSnapshot] = (),
        epoch_losses: Sequence[EpochLoss] = (),
        rendering: Rendering = BASE_RENDERING,
    ) -> None:
        self._resident, self._adapter, self._rendering = resident, adapter, rendering
        self.snapshots, self.epoch_losses = tuple(snapshots), tuple(epoch_losses)
        self.examples: tuple[TuningExample, ...] = ()
        self.held_out: tuple[TuningExample, ...] = ()
        self.contracts: Contracts | None = None
        self.wraps_plain_inputs = False
        self.constrains_outputs = True
        self.label_temperature = 1.0
        self.id: str | None = None
        self.served_epoch: int | None = None
        self.advice: Advice | None = advise(self.epoch_losses)  # None if there is too little to tell
        self.known_card: ModelCard | None = None  # to which `evaluate` and `prove` add
        self._slot = None if adapter is None else resident.add(adapter, rendering)
        if self._slot is not None:
            weakref.finalize(self, resident.remove, self._slot)

    def _repr_svg_(self) -> str | None:
        """Return the loss curve, which notebooks draw."""
        return svg(self.snapshots, self.epoch_losses) if self.snapshots else None

    @property
    def base_model(self) -> str:
        return self._resident.name

    @property
    def is_tuned(self) -> bool:
        return self._adapter is not None

    @overload
    def generate(
        self, text: str, *, on_answered: OnAnswered | None = None, **settings: Unpack[SamplingOptions]
    ) -> str: ...
    @overload
    def generate(
        self, text: list[str], *, on_answered: OnAnswered | None = None, **settings: Unpack[SamplingOptions]
    ) -> list[str]: ...
    def generate(
        self, text: str | list[str], *, on_answered: OnAnswered | None = None, **settings: Unpack[SamplingOptions]
    ) -> str | list[str]:
        """
        Answer one text, or several in one batch; raises InvalidArgument for a setting out of range.

        `on_answered` is called with how many are answered, and of how many; without it, a list that takes long shows a
        line on a terminal, and a bar in a notebook.
        """
        texts = [text] if isinstance(text, str) else text
        with _answering_line(on_answered, len(texts)) as told:
            answers = [answer.text for answer in self.answers(texts, on_answered=told, **settings)]
        return answers[0] if isinstance(text, str) else answers

    def answer(self, text: str, **settings: Unpack[SamplingOptions]) -> Answer:
        """Answer one text, with label probabilities and the differences between the input and the examples."""
        return self.answers([text], **settings)[0]

    def answers(
        self, texts: Sequence[str], *, on_answered: OnAnswered | None = None, **settings: Unpack[SamplingOptions]
    ) -> list[Answer]:
        """Answer several texts in one batch; see `answer` and, for `on_answered`, `generate`."""
        checked = [self._checked(text) for text in texts]
        answers = [Answer("", input_check=check) for _, check in checked]
        done = 0
        for piece in self._resident.stream([text for text, _ in checked], self._settings(settings), self._slot):
            so_far = answers[piece.number]
            answers[piece.number] = replace(
                so_far,
                text=so_far.text + piece.text,
                label_probabilities=piece.label_probabilities or so_far.label_probabilities,
                logprobs=so_far.logprobs + piece.logprobs,
            )
            if piece.finish_reason and on_answered is not None:
                done += 1
                on_answered(done, len(texts))
        return answers

    def decide(
        self,
        states: Sequence[Any],
        questions: Mapping[str, Any] | None = None,
        *,
        on_answered: OnAnswered | None = None,
    ) -> list[dict[str, Any]]:
        """
        Answer typed questions about each state, a text or JSON, with a probability for every option.

        `questions` are those of the System One API; a model tuned on labels has its own, named "label". Each result has
        the answers by the name of the question. Raises BodyInvalid for questions that the model cannot answer.
        """
        outputs = None if self.contracts is None else self.contracts.output
        read = read_questions(questions or required_question(outputs))
        asked = [
            asked_of_tuned(state, each, outputs) if self.is_tuned else asked_of_base(state, each)
            for state in states
            for each in read
        ]
        texts = [self._checked(each.text)[0] for each in asked]
        settings = [self._calibrated(SamplingSettings(form=each.form, max_output_tokens=1)) for each in asked]
        answers: list[dict[str, Any]] = [{}] * len(asked)
        with _answering_line(on_answered, len(states)) as told:
            for done, piece in enumerate(self._resident.stream(texts, settings, self._slot), 1):
                answers[piece.number] = asked[piece.number].answer(dict(piece.label_probabilities))
                told(done // len(read), len(states))
        names = [each.name for each in read]
        return [dict(zip(names, answers[at : at + len(read)], strict=True)) for at in range(0, len(asked), len(read))]

    def stream(
        self,
        text: str,
        *,
        on_input_check: Callable[[InputCheck], None] | None = None,
        **settings: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """
        Yield the answer in pieces, with the settings of `generate`; breaking out of the loop stops generation.

        `on_input_check` is called once with the differences between the input and the examples.
        """
        prompt, check = self._checked(text)
        if on_input_check is not None:
            on_input_check(check)
        for piece in self._resident.stream([prompt], self._settings(settings), self._slot):
            if piece.text:
                yield piece.text

    def evaluate(
        self,
        dataset: Dataset | Iterable[TuningExample] | None = None,
        *,
        examples: Iterable[TuningExample] | None = None,
        recorded: RecordedAnswers | None = None,
        max_rows: int = MAX_ROWS,
        seed: int = 0,
        on_answered: OnAnswered | None = None,
    ) -> Evaluation:
        """
        Evaluate whether tuning helped, on a dataset or on the rows that `tune` held out.

        `examples` are the training rows, for baselines and prompts with examples; by default those of `tune`.
        `recorded` holds another model's answers to the dataset. Raises InvalidArgument without rows.
        """
        rows = self.held_out if dataset is None else as_dataset(dataset).examples
        if not rows:
            raise InvalidArgument("There are no held-out rows. Tune with hold_out, or give a dataset.")
        source = "held-out rows" if dataset is None else dataset.source if isinstance(dataset, Dataset) else "records"
        with _answering_line(on_answered) as told:
            contest = Contest(
                ResidentAnswering(self._resident, rendering=self._rendering),
                None if self._slot is None else self.answering(),
                self.examples if examples is None else tuple(examples),
                recorded,
                told,
                self.contracts.output if self.contracts else None,
                self.constrains_outputs,
            )
            found = contest.evaluate(rows, max_rows=max_rows, source=source, seed=seed)
        if self.is_tuned:
            self.known_card = self.card().with_evaluation(found.document())
            self.label_temperature = found.calibration.temperature if found.calibration else self.label_temperature
        return found

    def answering(self) -> ResidentAnswering:
        """Return the model as a candidate of an evaluation."""
        return ResidentAnswering(self._resident, self._slot, self)

    def losses(self, dataset: Dataset | Iterable[TuningExample], *, are_whole: bool = False) -> list[float]:
        """Return the loss of each example in nats: the mean over its output tokens, or their sum if `are_whole`."""
        rows = self._resident.encoder_for(self._rendering).examples(as_dataset(dataset).examples)
        means = self._resident.losses(rows, self._adapter)
        return [mean * row.answer_tokens if are_whole else mean for mean, row in zip(means, rows, strict=True)]

    def card(self) -> ModelCard:
        """
        Return everything known about the tuned model: base and licence, data, settings, curve, contracts.

        `evaluate` adds its verdict and `prove` its proofs. Raises NotFound for a base.
        """
        self._require_adapter()
        known = self.known_card or card_of(self._resident, self.snapshots, self.epoch_losses)
        return replace(known, contracts=self.contracts)

    def save(self, folder: str | Path) -> Path:
        """Write the adapter in PEFT's layout, its curve and its model card; raises NotFound for a base."""
        adapter, target = self._require_adapter(), Path(folder)
        write_adapter(target, adapter, base_model=self.base_model)
        write_curve(target, self.snapshots, self.epoch_losses)
        self.card().write(target)
        return target

    def export(
        self, folder: str | Path, format: str = "adapter", *, name: str | None = None, bits: int | None = None
    ) -> Path:
        """
        Write the model for other programs into a new or empty folder, completely or not at all; return the folder.

        `format` "adapter" is for PEFT, "merged" for transformers, "gguf" for llama.cpp and Ollama; `name` is the name
        in GGUF files, by default the display name, and `bits` is the number of bits per weight in them, 16 or 8
        (default: one file of each). Merging needs as much memory as the base in float32. Raises NotFound for a base,
        InvalidArgument for another
        format or other bits, AlreadyExists if the folder is not empty, FailedPrecondition for a base that GGUF does not
        support.
        """
        if format not in WRITERS:
            raise InvalidArgument(f"format must be {', '.join(WRITERS)}, not {format!r}.")
        called = name or self.card().display_name
        with temporary_folder() as saved, into(Path(folder)) as work:
            self._resident.require_whole()
            source = Source(self._resident.folder, self.save(saved), called, bits=bits, rendering=self._rendering)
            WRITERS[format](source, work)
            self.card().write(work)
        return Path(folder)

    def prove(
        self,
        folder: str | Path,
        dataset: Dataset | Iterable[TuningExample] | None = None,
        *,
        max_rows: int = MAX_PROOF_ROWS,
        python: str | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> ExportProof:
        """
        Run an exported model in its own runtime and count the answers that equal this model's, letter for letter.

        Uses the first `max_rows` inputs of `dataset`, by default the held-out rows of `tune`, or its training rows if
        none were held out. `python` is an interpreter with peft, transformers or llama-cpp-python, by default
        `$TUNERY_PROOF_PYTHON` or the current one; `say` gets a line before each long step. The proof is added to the
        model card, also to the one in the folder. Raises NotFound for a base, InvalidArgument without rows or for a
        folder that is not an export.
        """
        self._require_adapter()
        exported, slot = Path(folder), self._slot
        export_format, (rows, rows_from) = format_of(exported), self._rows_to_prove(dataset)
        assert slot is not None  # of the adapter
        proof = prove_export(
            export_format,
            exported,
            self._resident,
            slot,
            [row.text_input for row in rows[:max_rows]],
            rows_from=rows_from,
            python=python or config.proof_python(),
            say=say,
        )
        found = proof.document()
        self.known_card = self.card().with_export(found)
        (ModelCard.read(exported) or self.known_card).with_export(found).write(exported)
        return proof

    def _rows_to_prove(self, dataset: Dataset | Iterable[TuningExample] | None) -> tuple[Sequence[TuningExample], str]:
        if dataset is not None:
            return as_dataset(dataset).examples, "given"
        if not (self.held_out or self.examples):
            raise InvalidArgument("There are no rows to compare on; a loaded model has none. Give a dataset.")
        return (self.held_out, "held-out") if self.held_out else (self.examples, "training")

    def _require_adapter(self) -> Adapter:
        if self._adapter is None:
            raise NotFound(f"{self.base_model} is a base without an adapter.")
        return self._adapter

    def _settings(self, options: SamplingOptions) -> SamplingSettings:
        return self._calibrated(settings_of(options, self.contracts, constrains=self.constrains_outputs))

    def _calibrated(self, settings: SamplingSettings) -> SamplingSettings:
        form = settings.form and replace(settings.form, label_temperature=self.label_temperature)
        return replace(settings, form=form)

    def _checked(self, text: str) -> tuple[str, InputCheck]:
        if self.contracts is None:
            return text, InputCheck()
        return self.contracts.prompt.checked(text, wraps=self.wraps_plain_inputs)


def tune(
    dataset: Dataset | Iterable[TuningExample],
    *,
    base_model: str = DEFAULT_BASE_MODEL,
    hyperparameters: Hyperparameters | None = None,
    hold_out: int | float | str = 0,
    seed: int = 0,
    display_name: str = "tuned",
    on_step: Callable[[TuningSnapshot, int], None] = lambda _snapshot, _total: None,
    recipe: Recipe | None = None,
) -> Model:
    """
    Tune a base on a dataset and return the tuned model, of which nothing is kept.

    `display_name` is used in the model card and exports. `on_step` is called after each step with the number of all
    steps; if it raises, tuning ends. For the rest see `tunery.tune` in `service/python.py`. Raises AnswersRuined too.
    """
    hyperparameters = hyperparameters or Hyperparameters()
    rows = fitting(dataset, base_model)
    examples, held_out = split(rows.examples, hold_out, seed)
    resident = resident_base(base_model, config.data_folder(), *kept_as(hyperparameters.weights))
    work = Path(tempfile.mkdtemp(prefix="tunery-"))
    try:
        rendering = Rendering(datetime.now(UTC))
        tuner = resident.tuner(
            examples,
            hyperparameters,
            folder=work,
            held_out=held_out,
            seed=seed,
            recipe=recipe,
            rendering=rendering,
        )
        try:
            for snapshot in tuner.run():
                on_step(snapshot, tuner.schedule.total_steps)
        except InvalidArgument:
            resident.require_whole()  # damaged weights are a better explanation than the learning rate
            raise
        resident.require_whole()
        tuner.require_health(partial(resident.asked, examples, rendering=rendering))
        model = Model(resident, tuner.chosen_adapter(), tuner.snapshots, tuner.epoch_losses, rendering)
        model.advice = _advice_of(tuner)
        model.served_epoch = tuner.best_epoch
        model.examples, model.held_out = tuple(examples), tuple(held_out)
        model.contracts = Contracts.learn(examples)
        card = card_of_tuning(resident, tuner, hyperparameters, rows.facts, display_name)
        model.known_card = replace(card, create_time=str(rendering.date and rendering.date.isoformat()))
        return model
    finally:
        resident.remove(0)
        shutil.rmtree(work, ignore_errors=True)


def fitting(dataset: Dataset | Iterable[TuningExample], base_model: str) -> Dataset:
    """
    Return a dataset; raises DatasetInvalid with every row whose output does not fit the base. The base is not loaded.
    """
    rows, folder = as_dataset(dataset), config.data_folder()
    entry = pull(base_model, folder, config.default_base_model())
    require_fitting_outputs(entry, folder, rows.examples, rows.rows)
    return rows


def load(folder: str | Path, rendering: Rendering | None = None, weights: str | None = None) -> Model:
    """
    Load a tuned model from a folder written by `save` or PEFT, or a base by its name in the catalog.

    Its prompts are rendered with `rendering`, and the weights of its base are kept in the format `weights`, both by
    default as its card says. Raises NotFound and InvalidArgument.
    """
    path = Path(folder)
    if not (path / CONFIG).is_file():
        return Model(resident_base(str(folder), config.data_folder()))
    card = ModelCard.read(path)
    kept = kept_as(weights or _in_force(card).get("weights", WeightFormat.AUTO))
    resident = resident_base(base_of(path), config.data_folder(), *kept)
    adapter, curve = read_adapter(path, resident.network), read_curve(path)
    model = Model(resident, adapter, *curve, rendering=rendering or _rendering_of(card))
    model.known_card = card
    model.contracts = read_contracts(path) if card is None else card.contracts
    return model


def _rendering_of(card: ModelCard | None) -> Rendering:
    """Return how the prompts of a saved adapter are rendered: as they were tuned, or as the base does if unknown."""
    if card is None:
        return Rendering(None, None)
    date = datetime.fromisoformat(card.create_time) if card.create_time else None
    return Rendering(date, _in_force(card).get("thinking"))


def _in_force(card: ModelCard | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = ((card and card.settings) or {}).get("in_force") or {}
    return found


@contextmanager
def _answering_line(on_answered: OnAnswered | None, texts: int | None = None) -> Iterator[OnAnswered]:
    """Give the caller's function, or one that shows how many answers there are; of a single text it shows nothing."""
    if on_answered is not None or texts == 1 or not can_redraw():
        yield on_answered or (lambda _done, _total: None)
        return
    with never_silent("Answering"), LiveLine() as live:
        yield lambda done, total: live.draw(f"Answered {done} of {total}", share=done / total, is_last=done == total)


def base_of(folder: Path) -> str:
    """Return the name of the base that an adapter folder was tuned on; raises InvalidArgument without one."""
    name = read_config(folder).get("base_model_name_or_path")
    if not isinstance(name, str):
        raise InvalidArgument(f"{folder / CONFIG} does not name its base model in base_model_name_or_path.")
    return name


def card_of(
    resident: ResidentBase, snapshots: Sequence[TuningSnapshot], epoch_losses: Sequence[EpochLoss]
) -> ModelCard:
    """Return the card of an adapter that has none: its base, and its curve if there is one."""
    entry = resident.entry
    steps = snapshots[-1].step if snapshots else 0
    return ModelCard(
        display_name="tuned",
        base=base_section(entry, resident.name, resident.digest, asked_as=entry.name),
        curve=curve_section(epoch_losses, advise(epoch_losses), completed_steps=steps, total_steps=steps),
        calls=CALLS,
        create_time=snapshots[-1].compute_time.isoformat() if snapshots else None,
    )


def _advice_of(tuner: Tuner) -> Advice | None:
    return advise(tuner.epoch_losses, healthy_epoch=tuner.healthy_epoch, constant_answer=tuner.constant_answer)


def card_of_tuning(
    resident: ResidentBase, tuner: Tuner, hyperparameters: Hyperparameters, facts: DataFacts, display_name: str
) -> ModelCard:
    """Return the card of a finished tuning; `facts` are about all rows, including those held out."""
    entry = resident.entry
    return ModelCard(
        display_name=display_name,
        base=base_section(entry, resident.name, resident.digest, asked_as=entry.name),
        data=data_section(facts, len(tuner.held_out)),
        settings=settings_section(hyperparameters, tuner.schedule.seed, settings_in_force(tuner), versions()),
        curve=curve_section(
            tuner.epoch_losses,
            _advice_of(tuner),
            completed_steps=tuner.completed_steps,
            total_steps=tuner.schedule.total_steps,
        ),
        calls=CALLS,
        create_time=datetime.now(UTC).isoformat(),
    )


class SamplingOptions(TypedDict, total=False):
    """Sampling settings as keyword arguments; ranges and defaults are in `types.SamplingSettings`."""

    temperature: float
    top_p: float
    top_k: int | None
    max_output_tokens: int
    stop_sequences: str | Sequence[str]
    seed: int
    form: AnswerForm | None  # or one of the next three, which set a constraint
    labels: Sequence[str]
    json_schema: Mapping[str, Any]
    constrain_to_training_outputs: bool | None  # None: if these are labels
    none_below: float  # with labels only, also those of the training outputs
    top_logprobs: int  # log probabilities of the answer's tokens and of this many others in their place


def settings_of(options: SamplingOptions, contracts: Contracts | None, *, constrains: bool = True) -> SamplingSettings:
    """
    Return the settings for a model with these contracts, None for a base.

    Without a constraint in the options, answers are limited to the labels of the examples if `constrains` and there are
    labels.
    Raises InvalidArgument for a value out of range or two constraints, FailedPrecondition for a model tuned on free
    text.
    """
    values = {name: value for name, value in options.items() if name not in _CONVERTED}
    stops = options.get("stop_sequences", ())
    values["stop_sequences"] = (stops,) if isinstance(stops, str) else tuple(stops)
    return SamplingSettings(**values, form=_form(options, contracts, constrains))  # type: ignore[arg-type]


def _form(options: SamplingOptions, contracts: Contracts | None, constrains: bool) -> AnswerForm | None:
    given = [name for name in _FORMS if options.get(name) not in (None, False)]
    if len(given) > 1:
        raise InvalidArgument(f"Give one of {', '.join(_FORMS)}, not {' and '.join(given)}.")
    form = _given_form(options, contracts)
    if form is None and constrains and contracts and options.get("constrain_to_training_outputs") is not False:
        form = contracts.output.own_form()
    none_below = options.get("none_below", 0.0)
    if none_below and not (form and form.labels):
        raise InvalidArgument("none_below needs labels, or constrain_to_training_outputs.")
    return replace(form, none_below=none_below) if form and none_below else form


def _given_form(options: SamplingOptions, contracts: Contracts | None) -> AnswerForm | None:
    if (labels := options.get("labels")) is not None:
        return AnswerForm(labels=tuple(labels))
    if (schema := options.get("json_schema")) is not None:
        return AnswerForm(json_schema=json.dumps(schema))
    if not options.get("constrain_to_training_outputs"):
        return options.get("form")
    if contracts is None:
        raise InvalidArgument(
            "constrain_to_training_outputs is for tuned models whose training outputs are known;"
            " a base has none, and neither has an adapter made elsewhere."
        )
    return contracts.output.closed_form()
