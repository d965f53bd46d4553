"""A disk that is full, or may not be written to, in the middle of a run."""

import os
import subprocess
import sys

import pytest

from tests.faults.kills import MADE, ROOT, Undisturbed, finished
from tests.small_runs import figures, files

LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["small_run", *sys.argv[2:]]
runpy.run_module("tests.faults.small_run", run_name="__main__")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp("disks"))


def small_run(code: str, *arguments) -> subprocess.CompletedProcess:
    """The small run behind some code, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def assert_one_sentence(done: subprocess.CompletedProcess, words: str) -> None:
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("wsss: ") and words in sentence


@pytest.mark.parametrize("size", [600, 5_000, 300_000])
def test_where_a_file_finds_no_room_a_sentence_says_so_and_nothing_is_lost(
    size, undisturbed, tmp_path
):
    """A limit on the size of a file stands for a quota: the first larger one cannot be written."""
    folder = tmp_path / "run"
    assert_one_sentence(small_run(LIMITED, size, undisturbed.data, folder), "disk is full")
    assert not list(folder.rglob("*.part"))
    finished(undisturbed.data, folder)
    assert files(folder, *MADE) == files(undisturbed.folder, *MADE)
    assert figures(folder) == figures(undisturbed.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_may_not_be_written_to_is_said(undisturbed, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,ro", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        code = "import runpy; runpy.run_module('tests.faults.small_run', run_name='__main__')"
        done = small_run(
            f"import sys; sys.argv[0] = 'small_run'; {code}", undisturbed.data, place / "run"
        )
        assert_one_sentence(done, "Read-only file system")
    finally:
        subprocess.run(["umount", str(place)], check=True)
