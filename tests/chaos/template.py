"""Temporary data folders for the chaos scripts: with the base `tiny`, or with existing bases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog


@contextmanager
def in_a_new_home() -> Iterator[Path]:
    """Yield a new data folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        Catalog(home).add(str(make_folder(Path(folder) / "base")), "tiny")
        yield home


@contextmanager
def in_a_home_with(bases: Path) -> Iterator[Path]:
    """Yield a new data folder with the bases of another one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "bases").symlink_to(bases.expanduser())
        yield home
