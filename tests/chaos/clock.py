"""
A clock that jumps: by an hour or a day, forwards and backwards, while jobs run; needs a C compiler.

    python -m tests.chaos.clock --jumps 20    # one JSON line

A lease is kept by the monotonic clock, so no job may change hands; no duration may be negative; a token expires by the
wall clock and is good again when the clock is set back.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home
from tunery.service.library import Library

JUMPS_SECONDS = (3_600, -3_600, 86_400, -86_400)
PAUSE_SECONDS = 1.0
JOBS = 6


# libfaketime also shifts absolute sleeps on the monotonic clock, which then end at once or with EINVAL.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("TUNERY_TEST_CLOCK"), "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    int result = clock_gettime(CLOCK_REALTIME, &found);
    (void)zone;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now != NULL) *now = found.tv_sec;
    return found.tv_sec;
}
"""


class Clock:
    """The wall clock of a server and its children: the machine's, moved by the seconds in a file."""

    def __init__(self, folder: Path) -> None:
        self._file, self._library, self.offset = folder / "clock", folder / "clock.so", 0
        source = folder / "clock.c"
        source.write_text(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self._library, source], check=True)
        self.jump(0)

    def jump(self, seconds: int) -> None:
        self.offset += seconds
        self._file.with_suffix(".new").write_text(str(self.offset))
        self._file.with_suffix(".new").replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "TUNERY_TEST_CLOCK": str(self._file)}


def jump(server: Served, clock: Clock, jumps: int, seed: int = 0) -> dict[str, object]:
    """Return what the jumps did to jobs and times."""
    order, statuses = random.Random(seed), Counter[int]()
    for number in range(JOBS):
        assert server.create(f"job-{number}", epochs=jumps * 2)[0] == 200
    for _ in range(jumps):
        time.sleep(PAUSE_SECONDS)
        clock.jump(order.choice(JUMPS_SECONDS))
        statuses[server.ask("GET", "tunedModels")[0]] += 1
    clock.jump(-clock.offset)
    wait_until(lambda: {server.phase(f"job-{number}") for number in range(JOBS)} == {"SUCCEEDED"})
    with Library.open(server.home) as library:
        claims = [library.get(f"job-{number}").task.claim_number for number in range(JOBS)]
    return {
        "jumps": jumps, "jobs": JOBS, "takeovers": sum(claims) - len(claims), "answers": dict(statuses),
        "negative durations": sum(_goes_back(server.operation(f"job-{number}")["metadata"]) for number in range(JOBS)),
    }  # fmt: skip


def _goes_back(metadata: dict[str, object]) -> bool:
    """Return whether a time of a job lies before an earlier one."""
    names = ("createTime", "startTime", "completeTime")
    times = [datetime.fromisoformat(str(metadata[name])) for name in names if name in metadata]
    return times != sorted(times)


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jumps", type=int, default=20)
    asked = parser.parse_args()
    with in_a_new_home() as home:
        clock = Clock(home.parent)
        server = Served.fake(home, step_seconds=0.05, environment=clock.environment)
        with server:
            print(json.dumps(jump(server, clock, asked.jumps)))  # noqa: T201


if __name__ == "__main__":
    main()
