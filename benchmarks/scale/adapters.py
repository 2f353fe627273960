"""Answers with many adapters: over several engines of which one is lost, and from a cache of bounded size."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

from tests.engine.tiny_bases import make_folder
from tests.service.vllm_double import Double, Running, listening
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import Encoder
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import TuneryError
from tunery.files import open_published, publish
from tunery.service import store as store_module
from tunery.service.answering_child import Question
from tunery.service.store import Store
from tunery.types import Turn

QUESTIONS, AT_ONCE, ADAPTERS = 20_000, 32, 400
MILLION, SLOTS, CACHE_QUESTIONS = 1_000_000, 1_000, 12_000


def router() -> None:
    """
    Print how many answers were of a wrong adapter while one of four engines is lost in the middle.

    The engines are doubles that answer with a text in the adapter's own folder.
    """
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        Catalog(folder / "home").add(str(make_folder(folder / "base", max_position_embeddings=512)), "tiny")
        encoder = Encoder(Tokenizer.read(folder / "base"), 512)
        adapters = [_canary(folder / "adapters", number) for number in range(ADAPTERS)]
        doubles = [stack.enter_context(listening(_engine(encoder))) for _ in range(3)]
        with listening(_engine(encoder)) as lost:
            child = Running(folder / "home", [double.url for double in (*doubles, lost)])
            first = _asked(child, adapters, draw, QUESTIONS // 2)
            lost.fault = "cut"  # what it is answering breaks off
            second = _asked(child, adapters, draw, 4 * AT_ONCE)
        third = _asked(child, adapters, draw, QUESTIONS // 2)
    found = first + second + third
    loads = [len(double.loads) for double in (*doubles, lost)]
    print(f"{found.total():,} questions, {ADAPTERS} adapters, four engines, one lost: {dict(found)}; loads {loads}")


def cache() -> None:
    """
    Print how often an adapter is already here, beside an exact LRU cache, which drops the adapter used longest ago.

    The store is in memory; fetching, checking and trimming are the server's, with a short time of use.
    """
    draw = random.Random(0)
    weights = list(accumulate(1 / rank for rank in range(1, MILLION + 1)))
    wanted = draw.choices(range(MILLION), cum_weights=weights, k=CACHE_QUESTIONS)
    store_module.IN_USE_SECONDS = 0.2
    with tempfile.TemporaryDirectory() as place:
        models, source = Path(place) / "models", Path(place) / "source"
        digest = publish(source, _sample)
        size = store_module._size(source)
        store = Store("memory:///", cache_bytes=SLOTS * size)
        for number in set(wanted):
            store.put_folder(f"models/{number}/1", source)
        bytes_seen: list[int] = []

        def ask(number: int) -> bool:
            folder = models / str(number) / "1"
            is_fetched = store.fetch_folder(f"models/{number}/1", folder, digest)
            if is_fetched:
                store.note_added(folder, models)
            open_published(folder, digest)  # as a server does before it answers; fails if it was dropped meanwhile
            return not is_fetched

        hits = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(wanted), 500):
                hits += pool.map(ask, wanted[start : start + 500])
                bytes_seen.append(sum(store_module._size(path) for path in models.glob("*/1")))
    print(
        f"{len(hits):,} questions, Zipf 1.0 over {MILLION:,} adapters, room for {SLOTS:,}: after the first half"
        f" {_late(hits):.1%} were here, {_late(_lru_hits(wanted)):.1%} in an exact LRU cache; at most"
        f" {max(bytes_seen) / (SLOTS * size):.1%} of the bound, none dropped while it was used"
    )


def _sample(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def _late(hits: list[bool]) -> float:
    return statistics.mean(hits[len(hits) // 2 :])


def _lru_hits(wanted: list[int]) -> list[bool]:
    """Return for each question whether a cache that drops the adapter used longest ago would have had it."""
    kept: OrderedDict[int, None] = OrderedDict()
    hits = []
    for number in wanted:
        hits.append(number in kept)
        kept[number] = None
        kept.move_to_end(number)
        if len(kept) > SLOTS:
            kept.popitem(last=False)
    return hits


def _asked(child: Running, adapters: list[tuple[Path, str]], draw: random.Random, count: int) -> Counter[str]:
    """Ask for adapters, a few of them often, and count right, wrong and refused answers."""
    found: Counter[str] = Counter()
    weights = [1 / (rank + 1) for rank in range(len(adapters))]
    for _ in range(0, count, AT_ONCE):
        chosen = draw.choices(adapters, weights, k=AT_ONCE)
        questions = [Question("tiny", (Turn("user", "7"),), adapter=adapter) for adapter in chosen]
        for (path, _), answer in zip(chosen, child.ask(*questions), strict=True):
            is_refused = isinstance(answer, TuneryError)
            found["refused" if is_refused else "right" if answer == _canary_of(path) else "wrong"] += 1
    return found


def _engine(encoder: Encoder) -> Double:
    double = Double(encoder)
    double.answer = lambda path, *_: ([*encoder.tokenizer.encode(_canary_of(Path(str(path))))], "stop")
    return double


def _canary(folder: Path, number: int) -> tuple[Path, str]:
    def write(to: Path) -> None:
        (to / "adapter_config.json").write_text(f"adapter {number}")

    return folder / str(number), publish(folder / str(number), write)


def _canary_of(folder: Path) -> str:
    return (folder / "adapter_config.json").read_text()
