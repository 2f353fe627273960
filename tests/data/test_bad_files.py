"""A corpus of files that cannot be tuned on: clear messages, little memory, little time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.bad_files import BadFile, bad_files
from tunery.data.dataset import Dataset
from tunery.errors import DatasetInvalid, Level

MAX_MEMORY_MB = 512
MAX_SECONDS = 10
CORPUS = bad_files()

# Reads every file named in its input in one process, which therefore shows the largest of all peaks.
READ_ALL = """
import json, resource, sys, time
from pathlib import Path
from tunery.data.dataset import Dataset
from tunery.errors import DatasetInvalid

slowest = 0.0
for path, options in json.load(sys.stdin):
    begin = time.process_time()
    try:
        Dataset.read(path, **options)
    except DatasetInvalid:
        slowest = max(slowest, time.process_time() - begin)
# Not ru_maxrss where it can be helped: on Linux that begins with what the parent had when it forked.
status = Path("/proc/self/status")
if status.exists():
    kilobytes = int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
else:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": slowest, "kilobytes": kilobytes}))
"""


def test_the_corpus_is_large_and_names_are_unique() -> None:
    """At least 200 different files."""
    assert len({bad.name for bad in CORPUS}) == len(CORPUS) >= 200


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_with_a_clear_message(bad: BadFile, tmp_path: Path) -> None:
    """The first error says what is wrong, and names row and column where there are any."""
    path = tmp_path / bad.name
    path.write_bytes(bad.content)

    with pytest.raises(DatasetInvalid) as caught:
        Dataset.read(path, **bad.options)

    first = next(problem for problem in caught.value.problems if problem.level is Level.ERROR)
    assert bad.words in first.message
    assert (first.row, first.column) == (bad.row, bad.column) or bad.row is None
    assert str(caught.value).startswith(f"{bad.name}: ")
    assert len(str(caught.value)) < 2_000
    str(caught.value).encode()  # can be printed and sent


@pytest.mark.slow
def test_the_corpus_takes_little_memory_and_time(tmp_path: Path) -> None:
    """No bad file takes more than 512 MB of memory or 10 s of processor time."""
    requests = []
    for bad in CORPUS:
        path = tmp_path / bad.name
        path.write_bytes(bad.content)
        requests.append([str(path), bad.options])

    done = subprocess.run(
        [sys.executable, "-c", READ_ALL], input=json.dumps(requests), capture_output=True, text=True, check=True
    )

    measured = json.loads(done.stdout)
    assert measured["kilobytes"] / 1024 <= MAX_MEMORY_MB
    assert measured["seconds"] <= MAX_SECONDS
