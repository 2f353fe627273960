"""
Fetch models from the Hugging Face hub with its own client: pinned to a commit, safe files only.

The client's settings for mirrors, proxies and sign-in apply. It writes where it is told and knows no catalog.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tunery.engine.bases.download import offline_message
from tunery.errors import InvalidArgument, Unavailable
from tunery.files import OnProgress, Progress, ignore

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HubListing:
    """What a model repository of the hub holds at one commit: `files` with their bytes."""

    commit: str
    files: dict[str, int]


def list_hub(repository: str, revision: str | None) -> HubListing:
    """
    Return the commit of a revision (default: the newest) and its files.

    Raises Unavailable when the hub cannot be reached or does not give the model out.
    """
    from huggingface_hub import snapshot_download

    def look() -> Any:
        return snapshot_download(repository, revision=revision, dry_run=True, tqdm_class=_reporter(ignore))

    listed = _ask_hub(repository, look)
    if not listed:
        raise InvalidArgument(f"{repository} holds no files on the Hugging Face hub.")
    return HubListing(listed[0].commit_hash, {file.filename: file.file_size for file in listed})


def fetch_from_hub(
    repository: str, commit: str, files: list[str], folder: Path, on_progress: OnProgress = ignore
) -> None:
    """
    Download `files` of a commit into `folder`.

    `on_progress` may be called from other threads. Raises Unavailable as `list_hub` does.
    """
    from huggingface_hub import snapshot_download

    def download() -> str:
        return str(
            snapshot_download(
                repository, revision=commit, allow_patterns=files, local_dir=folder, tqdm_class=_reporter(on_progress)
            )
        )

    _ask_hub(repository, download)
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise Unavailable(f"The hub did not send {', '.join(missing)} of {repository}. Try again.")


def _ask_hub(repository: str, question: Callable[[], Answer]) -> Answer:
    from huggingface_hub import errors

    # errors of its HTTP library, whichever that is in this version, and OSError: no connection, or HF_HUB_OFFLINE
    unreachable: Any = errors.HfHubHTTPError.__bases__
    try:
        return question()
    except unreachable as error:
        # a listing that fails hides the answer of the hub behind an error of its own
        answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        raise Unavailable(_explain(repository, answer)) from error


def _explain(repository: str, answer: BaseException | None) -> str:
    from huggingface_hub import errors

    match answer:
        case errors.GatedRepoError():
            return f"{repository} asks for its licence to be accepted: do so on its page, then run `hf auth login`."
        case errors.RepositoryNotFoundError() | errors.RevisionNotFoundError():
            return f"The hub knows no {repository}, or not at this revision, or it is private."
        case errors.HfHubHTTPError():
            return f"The hub did not give out {repository}: {answer}"
        case _:
            return offline_message(repository)


def _reporter(on_progress: OnProgress) -> Any:
    """
    Return the progress bar class that the hub's client shall use: it draws nothing and reports bytes.

    The client counts bytes twice, as received and as written; the larger number is passed on.
    """
    tqdm: Any = importlib.import_module("tqdm.std").tqdm  # comes without types

    reached = 0

    class Reporter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            self._counts_bytes = settings.get("unit") == "B"
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal reached
            self.n += n or 0
            if self._counts_bytes and self.n > reached:
                reached = int(self.n)
                on_progress(Progress("download", reached, int(self.total) if self.total else None))
            return None

    return Reporter
