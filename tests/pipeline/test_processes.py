"""Results in order, errors where they belong, and no process left behind."""

import functools
import itertools
import math
import operator
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from wsss_lib.pipeline import processes
from wsss_lib.pipeline.processes import AHEAD, map_processes

SCRIPT = """
import time
from wsss_lib.pipeline.processes import map_processes
if __name__ == "__main__":
    for _ in map_processes(time.sleep, [(0.05,)] * 10_000, 2):
        print("one", flush=True)
"""
UNGUARDED = """
import time
from wsss_lib.pipeline.processes import map_processes
print(list(map_processes(time.sleep, [(0,)] * 4, 2)))
"""


def test_order_and_laziness():
    taken = []

    def jobs():
        for i in range(40):
            taken.append(i)
            yield np.full((2, 3), i), i

    results = map_processes(operator.add, jobs(), 2)
    first = next(results)
    assert np.array_equal(first, np.zeros((2, 3), dtype=int))
    assert len(taken) == AHEAD * 2  # not all 40: they may be large
    assert [int(r[0, 0]) for r in results] == [2 * i for i in range(1, 40)]


def test_an_error_comes_to_the_caller_in_its_place():
    results = map_processes(math.sqrt, [(4,), (-1,), (9,)], 2)
    assert next(results) == 2
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        next(results)


def test_an_error_in_the_jobs_comes_to_the_caller():
    def jobs():
        yield (4,)
        raise FileNotFoundError("photo.jpg")

    with pytest.raises(FileNotFoundError, match=r"photo\.jpg"):
        list(map_processes(math.sqrt, jobs(), 2))


def test_a_dead_process_is_an_error_not_a_wait():
    with pytest.raises(RuntimeError, match="worker process died"):
        list(map_processes(os._exit, [(1,)], 2))


def test_workers_have_one_thread():
    assert list(map_processes(torch.get_num_threads, [()], 2)) == [1]


def test_one_process_is_this_one():
    assert list(map_processes(os.getpid, [(), ()], 1)) == [os.getpid()] * 2


def test_a_few_jobs_stay_here():
    assert set(map_processes(os.getpid, [()] * 5)) == {os.getpid()}
    assert list(map_processes(os.getpid, [])) == []


@pytest.mark.parametrize("count", [0, -2])
def test_no_processes(count):
    with pytest.raises(ValueError, match="1 or more"):
        list(map_processes(os.getpid, [()], count))


def test_what_jobs_need_is_imported_before_they_start():
    """Once, not once a process and once a stage."""
    job = functools.partial(functools.partial(math.pow, 2))
    assert processes._module(job) == "math"
    assert processes._module(map_processes) == "wsss_lib.pipeline.processes"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups and no SIGKILL")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_nothing_is_left_behind(tmp_path, how):
    """Every process holds the pipe's end: it closes when the last one has gone."""
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = start(tmp_path / "script.py")
    assert parent.stdout.readline() == b"one\n"
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as a terminal does, to all of them
    else:
        parent.kill()
    _, errors = parent.communicate(timeout=60)
    assert parent.returncode != 0
    if how == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups and no SIGKILL")
def test_a_script_without_a_guard_is_told_so(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    _, errors = start(tmp_path / "script.py").communicate(timeout=60)
    assert b"RuntimeError: a worker process died" in errors


def test_leaving_early_ends_the_processes():
    results = map_processes(time.sleep, itertools.repeat((0.01,)), 2)
    next(results)
    begin = time.monotonic()
    results.close()
    assert time.monotonic() - begin < 5


def start(script) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
