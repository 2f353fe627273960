"""Tests of bases from the hub, against a small server on this machine: what comes, what is refused, what goes on."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.tiny_bases import WINDOW, make_folder
from tests.hub import COMMIT, Hub, hub_of
from tunery.engine import fetch
from tunery.engine.catalog import Catalog, wanted_files
from tunery.engine.fetch import list_hub, search_hub
from tunery.engine.offered import offered_bases
from tunery.engine.pull import get, pull
from tunery.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from tunery.files import Progress
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

TINY = "tiny-labs/Tiny-Base"
WEIGHTS = "model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder that the hub shows as tiny-labs/Tiny-Base."""
    folder = make_folder(tmp_path / "shown")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    return folder


@pytest.fixture(autouse=True)
def hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub, with nobody's token and without pauses between attempts."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.001)
    with hub_of({TINY: model}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


class Stopped(Exception):
    pass


def stop_midway(progress: Progress) -> None:
    """Stop as somebody does who presses Ctrl-C when half has come."""
    if progress.stage == "download" and progress.total and progress.done > progress.total // 2:
        raise Stopped


def test_hub_id_is_pinned_and_fetched_without_code_and_pickles(home: Path) -> None:
    """Commit, sizes and digests are recorded, only safe files come, and the base is found by its hub id."""
    stages: list[Progress] = []

    added = Catalog(home).add(TINY)
    pulled = pull(added.name, home, on_progress=stages.append)

    assert (added.name, added.source) == ("tiny-base", f"hub:{TINY}@{COMMIT}")
    assert (added.licence, added.input_token_limit) == ("apache-2.0", WINDOW)
    assert (added.is_present, pulled.is_present) == (False, True)
    files = {path.name for path in Catalog(home).folder(TINY).iterdir()}
    assert {WEIGHTS, "config.json", "tokenizer.json", "base.json", "manifest.json"} <= files
    assert not [name for name in files if name.endswith((".py", ".bin"))]
    assert {report.stage for report in stages} == {"download", "check"}
    downloads = [report.done for report in stages if report.stage == "download"]
    assert downloads == sorted(downloads)
    assert downloads[-1] == stages[0].total
    record = Catalog(home).record("tiny-base")
    assert record is not None
    assert record.hub_files[WEIGHTS].sha256 == Catalog(home).digest("tiny-base")
    assert not list((home / "bases").glob(".*arriving"))


def test_an_offered_base_is_got_by_its_name(home: Path, hub: Hub, model: Path) -> None:
    """A base of the list is added under its name from its repository, also if its name is an API name."""
    hub.repositories["google/gemma-3-1b-it"] = model

    with pytest.raises(NotFound, match=r"qwen3-0\.6b is not on this machine yet. Run `tunery bases get qwen3-0\.6b`"):
        Catalog(home).resolve("qwen3-0.6b")
    assert Catalog(home).resolve("gemma-3-1b-it").alias_of == DEFAULT_BASE_MODEL
    entry = get("gemma-3-1b-it", home)

    assert (entry.name, entry.alias_of, entry.is_present) == ("gemma-3-1b-it", None, True)
    assert Catalog(home).resolve("models/gemma-3-1b-it") == entry
    assert get("google/gemma-3-1b-it", home) == entry


def test_any_hub_id_is_got(home: Path, hub: Hub) -> None:
    """What is not in the list is named by OWNER/NAME; getting it again asks nobody."""
    entry = get(TINY, home)
    asked = len(hub.asked)

    assert get(TINY, home) == entry
    assert len(hub.asked) == asked


def test_revision_can_be_named(home: Path) -> None:
    """A commit in the source is the commit in the record; one that is not there is named."""
    assert Catalog(home).add(f"{TINY}@{COMMIT}").source == f"hub:{TINY}@{COMMIT}"
    with pytest.raises(Unavailable, match=f"no such revision of {TINY}"):
        list_hub(TINY, "v2")


def test_a_broken_connection_goes_on_where_it_broke(home: Path, hub: Hub) -> None:
    """A reply that ends early is asked for again from its last byte; the digests are right in the end."""
    hub.breaks = 2

    assert get(TINY, home).is_present

    assert [asked for name in (WEIGHTS, "tokenizer.json") for asked in hub.ranges(name) if asked]


def test_a_stopped_download_is_resumed(home: Path, hub: Hub, model: Path) -> None:
    """What has come stays, and only the rest is asked for by the next call, from the recorded revision."""
    with pytest.raises(Stopped):
        get(TINY, home, on_progress=stop_midway)
    catalog = Catalog(home)
    kept, asked = catalog.arrived_bytes("tiny-base"), len(hub.asked)
    assert 0 < kept < sum(path.stat().st_size for path in model.iterdir())
    assert not catalog.is_present("tiny-base")

    get(TINY, home)

    again = [path for path, _ in hub.asked[asked:]]
    assert not [path for path in again if path.startswith("/api/")]
    assert any(headers.get("Range", "").startswith("bytes=") for _, headers in hub.asked[asked:])
    assert (catalog.folder("tiny-base") / WEIGHTS).read_bytes() == (model / WEIGHTS).read_bytes()


def test_a_hub_that_ignores_ranges_sends_all_again(home: Path, hub: Hub, model: Path) -> None:
    """A reply from the first byte replaces what had come, instead of being appended."""
    with pytest.raises(Stopped):
        get(TINY, home, on_progress=stop_midway)
    hub.ignores_ranges = True

    get(TINY, home)

    assert (Catalog(home).folder("tiny-base") / WEIGHTS).read_bytes() == (model / WEIGHTS).read_bytes()


@pytest.mark.parametrize("name", [WEIGHTS, "generation_config.json"])
def test_a_wrong_digest_is_told_and_discarded(home: Path, hub: Hub, name: str) -> None:
    """Large files have a sha256, small ones the digest of git; after the fault the file comes once more."""
    hub.wrong = {name}
    with pytest.raises(DataLoss, match=rf"{name} of {TINY} came with digest .* instead of .*discarded; try again"):
        get(TINY, home)
    hub.wrong = set()

    assert get(TINY, home).is_present


def test_a_gated_base_wants_a_token(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the sentence says where to accept the terms; with HF_TOKEN or the file of `hf` it comes."""
    hub.gated = {TINY}
    with pytest.raises(Unavailable, match=rf"{TINY} is gated: accept its terms on {hub.address}/{TINY} .*HF_TOKEN"):
        get(TINY, home)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    assert get(TINY, home).is_present
    assert hub.asked[-1][1]["Authorization"] == "Bearer hf_secret"

    monkeypatch.delenv("HF_TOKEN")
    (home.parent / "hf").mkdir()
    (home.parent / "hf" / "token").write_text("hf_of_a_file\n")
    assert fetch.hub_token() == "hf_of_a_file"


def test_the_token_stays_with_the_hub(home: Path, hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are often at another address: they come from there, without the token, and resumed there too."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_of({TINY: model}) as store:
        hub.sends_to, store.breaks = store.address, 1

        assert get(TINY, home).is_present

        assert {"Authorization" in headers for _, headers in hub.asked} == {True}
        assert {"Authorization" in headers for _, headers in store.asked} == {False}
        assert any(headers.get("Range") for _, headers in store.asked)


def test_the_proxy_of_the_user_is_used(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that only a proxy reaches is reached; without the proxy the sentence names connection and proxy."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    with pytest.raises(Unavailable, match=r"http://hub\.invalid cannot be reached .*Check the connection and proxy"):
        get(TINY, home)
    monkeypatch.setenv("http_proxy", hub.address)

    assert get(TINY, home).is_present
    assert {headers["Host"] for _, headers in hub.asked} == {"hub.invalid"}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (403, "is gated: accept its terms"),
        (404, f"The hub has no {TINY}, or it is private. Check the name"),
        (429, "too many requests. Wait some minutes"),
        (503, "status 503. Try again later"),
    ],
)
def test_each_refusal_says_what_to_do(home: Path, hub: Hub, status: int, sentence: str) -> None:
    """One sentence for what the hub may answer instead of a file."""
    hub.refuses = status

    with pytest.raises(Unavailable, match=sentence):
        get(TINY, home)


def test_unknown_model_is_an_error(home: Path) -> None:
    """The message says what the hub does not know."""
    with pytest.raises(Unavailable, match="has no nobody/nothing"):
        get("nobody/nothing", home)


@pytest.mark.parametrize("setting", [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:1")])
def test_offline_machine_is_told_how_to_add_weights(
    home: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    """Offline by setting or by fact: one sentence with the way out."""
    monkeypatch.setenv(*setting)

    with pytest.raises(Unavailable, match=r"copy a folder or GGUF file .*tunery bases add PATH"):
        get(TINY, home)


def test_a_connection_that_stays_broken_keeps_what_came(home: Path, hub: Hub) -> None:
    """After some attempts without a byte the sentence says how far it came, and that it goes on from there."""
    added = Catalog(home).add(TINY)

    def end_of_the_hub(progress: Progress) -> None:
        hub.breaks, hub.refuses = 0, 0
        if progress.total and progress.done > progress.total // 2:
            raise fetch._cut_short("the cable is out")

    with pytest.raises(Unavailable, match=r"broke at [\d.]+ of [\d.]+ MB of .* What has come is kept; try again"):
        pull(added.name, home, on_progress=end_of_the_hub)
    assert Catalog(home).arrived_bytes(added.name)


def test_a_small_disk_is_told_before_the_first_byte(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that are still missing are compared with those that are free; nothing is fetched."""
    added = Catalog(home).add(TINY)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**7, 10**7))

    with pytest.raises(ResourceExhausted, match=rf"{TINY} needs 0.00 GB more in .*0.01 GB are free. Free some space"):
        pull(added.name, home)

    assert not hub.ranges(WEIGHTS)


def test_search(hub: Hub) -> None:
    """Names, licences and downloads of what the hub finds; a mirror without search is named."""
    assert [(found.repository, found.licence, found.downloads) for found in search_hub("tiny")] == [
        (TINY, "apache-2.0", 7)
    ]
    assert search_hub("nothing of this name") == []
    hub.refuses = 503
    with pytest.raises(Unavailable, match="status 503"):
        search_hub("tiny")


def test_a_base_from_the_hub_is_removed(home: Path, hub: Hub) -> None:
    """Weights and record go; with the record kept, the same revision comes again although nothing is added."""
    get(TINY, home)
    catalog = Catalog(home)

    assert catalog.remove("tiny-base", keep_record=True) > 0
    assert not catalog.is_present("tiny-base")
    assert not any(path.startswith("/api/") for path in asked_by(hub, lambda: pull("tiny-base", home)))
    catalog.remove("tiny-base")

    with pytest.raises(NotFound):
        catalog.resolve("tiny-base")
    assert not (home / "bases" / "tiny-base").exists()


def test_what_has_arrived_is_removed_too(home: Path) -> None:
    """A download that was stopped leaves nothing behind once its base is removed."""
    with pytest.raises(Stopped):
        get(TINY, home, on_progress=stop_midway)

    assert Catalog(home).remove("tiny-base") > 0
    assert Catalog(home).arrived_bytes("tiny-base") == 0


def test_counting_what_has_arrived_survives_its_publication(home: Path) -> None:
    """A file that goes between being listed and being looked at is no error."""
    arriving = home / "bases" / ".tiny-base.arriving"
    arriving.mkdir(parents=True)
    (arriving / "gone").symlink_to(home / "nowhere")

    assert Catalog(home).arrived_bytes("tiny-base") == 0


def test_files_in_place_stay_when_their_base_is_removed(home: Path, model: Path) -> None:
    """Removing a folder that was added forgets it; removing an API name is refused."""
    Catalog(home).add(str(model), "mine")

    Catalog(home).remove("mine")

    assert (model / WEIGHTS).is_file()
    assert [entry.name for entry in Catalog(home).entries() if not entry.alias_of] == [DEFAULT_BASE_MODEL]
    with pytest.raises(InvalidArgument, match="Remove that base instead"):
        Catalog(home).remove("gemini-1.0-pro")


def test_code_in_the_config_is_refused_before_the_weights_are_fetched(home: Path, hub: Hub, model: Path) -> None:
    """What asks for its own code is not added."""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "x.Y"}}))

    with pytest.raises(InvalidArgument, match="auto_map"):
        get(TINY, home)
    assert not hub.ranges(WEIGHTS)


def test_pickles_only_are_refused(home: Path, model: Path) -> None:
    """A model that has no safetensors is not added."""
    (model / WEIGHTS).unlink()

    with pytest.raises(InvalidArgument, match=r"pytorch_model\.bin"):
        get(TINY, home)


def test_only_known_files_are_wanted() -> None:
    """Files in subfolders, other formats, other precisions and code stay where they are."""
    names = [WEIGHTS, "model.fp16.safetensors", "consolidated.safetensors", "onnx/model.safetensors", "x.py"]

    assert wanted_files([*names, "tokenizer.json", "merges.txt"]) == ["merges.txt", WEIGHTS, "tokenizer.json"]


def test_the_list_holds_only_what_it_may() -> None:
    """Each base has a valid name of its own, a repository, a licence and a window; about fifteen in all."""
    bases = offered_bases()

    assert 12 <= len(bases) <= 20
    assert len({base.repository for base in bases.values()}) == len(bases)
    for name, base in bases.items():
        assert name == base.name == name.lower() != DEFAULT_BASE_MODEL
        assert base.repository.count("/") == 1
        assert base.licence
        assert base.good_at.endswith(".")
        assert 10**8 < base.parameters < 10**10
        assert base.context >= 4096


def asked_by(hub: Hub, act: object) -> list[str]:
    """Return the paths that the hub was asked for by a call."""
    before = len(hub.asked)
    assert callable(act)
    entry = act()
    assert isinstance(entry, CatalogEntry)
    return [path for path, _ in hub.asked[before:]]
