"""A simulated midnight: templates that ask the clock and templates that think, from tuning to exports."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import tunery
from tests.engine.test_tokenizer import TEMPLATES
from tests.engine.tiny_bases import make_folder
from tunery.engine import chat_templates
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import Encoder
from tunery.engine.resident import resident_base
from tunery.service.export import ExportChoice, order, write
from tunery.service.library import Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import StepDone, TuningRequest
from tunery.types import BASE_RENDERING, DataFacts, Hyperparameters, Rendering, TunedModel, TuningExample, Turn

EXAMPLES = tuple(TuningExample(str(number), str(number + 1)) for number in range(12))
CLOCKS = ["llama 3", "smollm 3", "granite"]
THINKERS = ["qwen 3", "smollm 3"]
NO_THOUGHT = "<think>\n\n</think>"


@pytest.fixture(params=CLOCKS)
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with a base whose template asks the clock."""
    return _home(tmp_path, monkeypatch, request.param)


def _home(folder: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> Path:
    monkeypatch.setenv("TUNERY_HOME", str(folder / "home"))
    resident_base.cache_clear()
    base = make_folder(folder / "base", template=TEMPLATES[template], max_position_embeddings=512)
    Catalog(folder / "home").add(str(base), "tiny")
    return folder / "home"


class Calendar(datetime):
    """A clock that shows `today`."""

    today_is = datetime(2026, 1, 31, 23, 59)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return cls.today_is.replace(tzinfo=tz)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> type[Calendar]:
    """Have templates read a clock that the test sets."""
    monkeypatch.setattr(chat_templates, "datetime", Calendar)
    monkeypatch.setattr(Calendar, "today_is", datetime(2026, 1, 31, 23, 59))
    return Calendar


def created(library: Library) -> TunedModel:
    return library.create(
        TuningRequest(
            base_model="tiny",
            base_digest=Catalog(library.folder.path).digest("tiny"),
            data=DataFacts(12, "digest", "numbers.csv"),
            examples=EXAMPLES,
            hyperparameters=Hyperparameters(epoch_count=2).resolve(),
            display_name="Numbers",
        )
    )


def tuned(library: Library, model: TunedModel, *, killed_after: int | None = None) -> None:
    with closing(TaskWorker.claim(library, model).events()) as events:
        for event in events:
            if isinstance(event, StepDone) and event.snapshot.step == killed_after:
                return


def test_a_task_goes_on_over_midnight(home: Path, calendar: type[Calendar]) -> None:
    """Begun on one day and ended on the next, it resumes, and has the prompts of the day it was created."""
    with Library.own(home) as library:
        model = created(library)
        tuned(library, model, killed_after=3)
        prompts = [resident_base("tiny", home).encoder_for(model.rendering).prompt("7")]
        calendar.today_is = datetime(2026, 2, 1, 0, 1)
        resident_base.cache_clear()

        tuned(library, library.get(model.id))

        done = library.get(model.id)
        assert [step.step for step in done.task.snapshots] == [1, 2, 3, 4, 5, 6]
        assert done.task.claim_number == 2
        prompts.append(resident_base("tiny", home).encoder_for(done.rendering).prompt("7"))
        assert prompts[0] == prompts[1]
        assert done.task.settings["template_date"] == f"{model.create_time:%Y-%m-%d}"


@pytest.mark.parametrize("home", ["smollm 3"], indirect=True)
def test_the_same_day_and_the_next_give_the_same_bytes(home: Path, calendar: type[Calendar]) -> None:
    """A saved model answers tomorrow as today, also to the letter of its prompt, and keeps its date."""
    model = tunery.tune(EXAMPLES, base_model="tiny", epoch_count=1)
    today = model.generate(["7", "8"], max_output_tokens=6)
    saved = model.save(home.parent / "saved")
    calendar.today_is = datetime(2026, 2, 3)

    loaded = tunery.load(saved)

    assert loaded._rendering == model._rendering
    assert loaded.generate(["7", "8"], max_output_tokens=6) == today


@pytest.mark.parametrize("home", ["smollm 3"], indirect=True)
def test_exports_have_the_date_written_in(home: Path, calendar: type[Calendar]) -> None:
    """Whatever day it is where an export runs, its template writes the prompt that was tuned."""
    with Library.own(home) as library:
        model = created(library)
        tuned(library, model)
        served = resident_base("tiny", home).encoder_for(model.rendering).rendered((Turn("user", "7"),))
        calendar.today_is = datetime(2030, 5, 6)

        for form in ("adapter", "merged"):
            chosen = order(library, Catalog(home), library.get(model.id), ExportChoice(form, proves=False))
            folder = home.parent / form
            folder.mkdir()
            write(chosen, folder, lambda _line: None)
            theirs = AutoTokenizer.from_pretrained(folder)
            asked = [{"role": "user", "content": "7"}]
            assert theirs.apply_chat_template(asked, tokenize=False, add_generation_prompt=True) == served


@pytest.mark.parametrize("template", THINKERS)
def test_tuned_and_prompted_models_do_not_think(template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, answers, and the prompted base beside them in a verdict open the answer behind an empty thought."""
    home = _home(tmp_path, monkeypatch, template)
    asked: list[str] = []
    rendered = Encoder._written

    def written(self: Encoder, said: Any, **how: Any) -> str:
        text = rendered(self, said, **how)
        asked.extend([text] * bool(how.get("add_generation_prompt")))
        return text

    monkeypatch.setattr(Encoder, "_written", written)
    model = tunery.tune(EXAMPLES, base_model="tiny", epoch_count=1)
    model.evaluate([TuningExample(str(number), str(number + 1)) for number in (40, 50)])

    assert len(asked) > 12
    assert all(NO_THOUGHT in text for text in asked)
    assert model.card().settings["in_force"]["thinking"] is False  # type: ignore[index]
    assert home.is_dir()


@pytest.mark.parametrize("template", THINKERS)
def test_models_from_before_are_rendered_as_they_were_tuned(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose settings say nothing of thinking left it to the template, and so do its answers."""
    home = _home(tmp_path, monkeypatch, template)
    with Library.own(home) as library:
        model = created(library)
        tuned(library, model)
        new = library.get(model.id)
        settings = {name: value for name, value in new.task.settings.items() if name != "thinking"}
        old = replace(new, task=replace(new.task, settings=settings))
        resident = resident_base("tiny", home)

        text = {
            m.rendering.thinking: resident.encoder_for(m.rendering).rendered((Turn("user", "7"),)) for m in (old, new)
        }

    assert NO_THOUGHT in text[False]
    assert NO_THOUGHT not in text[None]


def test_models_share_an_encoder_where_the_template_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most templates have neither a clock nor thoughts; a thousand tuned models take no memory there."""
    home = _home(tmp_path, monkeypatch, "phi")
    resident = resident_base("tiny", home)

    assert resident.encoder_for(Rendering(datetime(2026, 1, 2, tzinfo=UTC), None)) is resident.encoder
    assert resident.encoder.rendering == BASE_RENDERING
