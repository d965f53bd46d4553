"""Processes that are killed for good; the whole of it is `make faults`."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.faults.kills import MADE, ROOT, Undisturbed, finished
from tests.small_runs import figures, files

DYING = """
import os, sys
from wsss_lib.data import files
replace, left = os.replace, int(sys.argv.pop(1))
def dying(source, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
    replace(source, target)
files.os.replace = dying
sys.argv = ["small_run", *sys.argv[1:]]
import runpy
runpy.run_module("tests.faults.small_run", run_name="__main__")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("stage", ["classifier", "amn"])
def test_killed_at_a_random_moment_a_run_ends_as_if_nothing_had_happened(stage, undisturbed):
    assert undisturbed.trial(stage, seed=1)[0] == "mended"


@pytest.mark.parametrize("rename", [3, 17, 60])
def test_killed_while_a_file_takes_its_name_it_does_so_too(rename, undisturbed, tmp_path):
    folder = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DYING, str(rename), str(undisturbed.data), str(folder)]
    died = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list(folder.rglob("*.part"))  # half a file, which is not taken for a whole one
    finished(undisturbed.data, folder)
    assert files(folder, *MADE) == files(undisturbed.folder, *MADE)
    assert figures(folder) == figures(undisturbed.folder)
    shutil.rmtree(folder)
