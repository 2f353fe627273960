"""Which tests start processes, and the guard that stops the others: `make check` runs without processes."""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests import backend

HERE = Path(__file__).parent

# folders, files and tests (with or without parameters), and fixtures
PLACES = frozenset(
    {
        "acceptance",
        "chaos",
        "benchmarks/test_decode.py::test_contenders_give_equal_answers",
        "benchmarks/test_department.py",
        "benchmarks/test_speed.py::test_contenders_agree_on_the_loss_of_each_epoch",
        "benchmarks/test_start.py::test_waits_for_the_first_step",
        "cli/test_backup.py",
        "cli/test_bases.py::test_get_use_and_remove",
        "cli/test_data_and_bases.py",
        "cli/test_data_curve.py",
        "cli/test_decide.py",
        "cli/test_doctor.py::test_a_damaged_database_is_wrong",
        "cli/test_evaluate.py",
        "cli/test_generate.py",
        "cli/test_login.py::test_google_auth_renews_a_login_in_two_processes_in_turn",
        "cli/test_login.py::test_google_auth_takes_a_key_file",
        "cli/test_lost_database.py",
        "cli/test_models.py",
        "cli/test_rescue.py",
        "cli/test_serve.py",
        "cli/test_served.py",
        "cli/test_served_exports.py",
        "cli/test_silences.py::test_a_quiet_program_is_heard_to_be_silent",
        "cli/test_silences.py::test_quick_commands_do_what_the_script_expects",
        "cli/test_surgery.py",
        "cli/test_tune.py",
        "data/test_bad_files.py::test_the_corpus_takes_little_memory_and_time",
        "data/test_dataset.py::test_import_loads_no_heavy_library",
        "data/test_sandbox.py",
        "engine/test_catalog.py::test_catalog_loads_no_torch",
        "engine/test_checkpoint.py::test_full_disk_keeps_the_checkpoint_before",
        "engine/test_export.py::test_a_proof_counts_equal_answers",
        "engine/test_export.py::test_a_runtime_that_crashes_is_named_with_its_signal",
        "engine/test_export.py::test_a_runtime_that_is_missing_is_named",
        "engine/test_fetch.py",
        "engine/test_hostile_models.py",
        "engine/test_lanes.py::test_a_forked_process_has_two_lanes_as_well",
        "engine/test_lanes.py::test_threads_sleep_while_they_wait",
        "server/test_access_matrix.py::test_only_allowed_callers_come_in[ExportTunedModel]",
        "server/test_access_matrix.py::test_only_allowed_callers_come_in[ParseDataset]",
        "server/test_audit.py::test_the_life_of_a_model",
        "server/test_engines.py",
        "server/test_estimates.py::test_a_first_guess_becomes_a_measurement",
        "server/test_paths.py::test_no_id_leads_out_of_the_data_folder",
        "server/test_ray_executor.py::test_a_killed_worker_is_replaced_and_its_task_ends",
        "server/test_serve.py::test_a_server_that_is_not_secured_stays_on_this_machine",
        "service/test_answering.py",
        "service/test_disk.py",
        "service/test_folder.py::test_a_dead_holder_leaves_no_lock",
        "service/test_folder.py::test_a_forked_child_does_not_keep_the_lock",
        "service/test_folder.py::test_the_second_process_learns_who_holds_the_folder",
        "service/test_folder.py::test_two_competing_processes_are_never_inside_together",
        "service/test_kill.py",
        "service/test_library.py::test_another_process_reads_while_this_one_owns",
        "service/test_library.py::test_nothing_heavy_is_imported_to_list_models",
        "service/test_library.py::test_processes_that_open_a_new_folder_together_wait_for_each_other",
        "service/test_process.py",
        "service/test_reports.py",
        "service/test_worker.py",
        "studio",
        "test_audit.py::test_a_source_that_cannot_be_reached_is_not_run",
        "test_config.py::test_a_settled_process_leaves_out_what_it_has_loaded",
        "test_config.py::test_commands_collect_less_often",
        "test_config.py::test_the_library_leaves_the_collector_alone",
        "test_docs.py::test_commands_of_the_readme_exist",
        "test_files.py::test_a_file_over_the_limit_of_the_process_is_a_full_disk",
        "test_imports.py",
        "test_midnight.py",
        "test_model.py",
        "test_progress.py::test_another_process_stands_in_for_one_that_is_stuck",
    }
)
FIXTURES = frozenset({"live", "postgres"})

_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"})
_forbids = False
_for_all_threads = False
_started: list[str] = []


def starts_process(item: pytest.Item) -> bool:
    """Return whether a test is one of those that start processes, by itself or by a fixture."""
    if backend.chosen() is not None:  # whichever comes first starts the servers of all
        return True
    return not PLACES.isdisjoint(_places(item)) or bool(_fixtures(item))


def unknown_places(items: list[pytest.Item]) -> list[str]:
    """Return the places at which none of these tests is."""
    return sorted(PLACES.difference(*map(_places, items)))


def folder(item: pytest.Item) -> str:
    """Return the folder of a test below tests/."""
    return item.path.relative_to(HERE).parts[0]


def watch(*, all_threads: bool) -> None:
    """Watch the starts of processes from now on; in threads only if no other test has left servers running."""
    global _for_all_threads
    _for_all_threads = all_threads
    sys.addaudithook(lambda name, arguments: _refuse(str(arguments[:2])) if name in _STARTS else None)
    signal.signal(signal.SIGUSR1, lambda *_: _fail(_started[0]))
    start = multiprocessing.process.BaseProcess.start

    def start_if_allowed(process: Any) -> None:
        _refuse(process.name)
        start(process)

    multiprocessing.process.BaseProcess.start = start_if_allowed  # type: ignore[method-assign]


@contextmanager
def guarding(item: pytest.Item) -> Iterator[None]:
    """Fail if a process is started within the block, unless the test is marked `process`."""
    global _forbids
    if item.get_closest_marker("process"):
        yield
        return
    _started.clear()
    _forbids = True
    try:
        yield
    finally:
        _forbids = False
    if _started:
        _fail(_started[0])


def _places(item: pytest.Item) -> set[str]:
    file = item.path.relative_to(HERE)
    return {file.parts[0], str(file), f"{file}::{item.name}", f"{file}::{item.name.partition('[')[0]}"}


def _fixtures(item: pytest.Item) -> frozenset[str]:
    """Return the shared servers that a test uses; a parameter of a fixture may name one too."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = {value for value in parameters if isinstance(value, str)}
    return FIXTURES.intersection(names.union(getattr(item, "fixturenames", ())))


def _refuse(what: str) -> None:
    is_main = threading.current_thread() is threading.main_thread()
    if _forbids and (_for_all_threads or is_main):
        _started.append(what)
        if not is_main:  # the test may wait for this thread
            os.kill(os.getpid(), signal.SIGUSR1)
        _fail(what)


def _fail(what: str) -> NoReturn:
    message = f"This test starts a process ({what}): add it to PLACES or FIXTURES in tests/processes.py."
    pytest.fail(message, pytrace=False)
