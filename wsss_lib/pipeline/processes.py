"""Many items in several processes of this machine: for code that never lets two threads run at once."""

import collections
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

import torch

FEW = 32  # jobs that are done sooner than processes have started
AHEAD = 4  # jobs in flight for each process: all are busy, and little waits in memory
MOST = 32  # processes: each holds its own torch, 300 MB


def map_processes(
    function: Callable, jobs: Iterable[tuple], processes: int | None = None
) -> Iterator:
    """Yields ``function(*job)`` for each job, in the order of the jobs.

    A job should be small: the name of a file rather than what is in it. Jobs are taken a few ahead
    of the results, so ``jobs`` may be a generator. As always with new processes, a script that calls
    this does so under ``if __name__ == "__main__":``.

    Args:
        function: of a module, or a `functools.partial` of one.
        jobs: the arguments of each call: whatever can be pickled, arrays rather than tensors.
        processes: how many, each with one thread. 1 computes in this process. None takes one for
            each CPU that this process has to itself, and this process for a few jobs.

    Raises:
        Exception: whatever ``function`` or ``jobs`` raised, at its place in the order.
        ValueError: ``processes`` is not positive.
        RuntimeError: a process died.
    """
    if processes is None:
        jobs = iter(jobs)
        first = list(itertools.islice(jobs, FEW))
        processes = free_cpus() if len(first) == FEW else 1
        jobs = itertools.chain(first, jobs)
    if processes < 1:
        raise ValueError(f"processes must be 1 or more, not {processes}")
    if processes == 1:
        yield from itertools.starmap(function, jobs)
    else:
        yield from _map_pool(function, jobs, processes)


def _map_pool(function: Callable, jobs: Iterable[tuple], processes: int) -> Iterator:
    context = _fresh_processes(_module(function))
    pool = ProcessPoolExecutor(processes, context, initializer=_start)
    waiting = collections.deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) == AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process died: out of memory (then take fewer processes), or the script that "
            'started it does its work outside of `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def free_cpus() -> int:
    """The CPUs that this process may use, shared with the other ranks of a distributed run."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(MOST, max(1, cpus // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def _module(function: Callable) -> str:
    """Where a function, or the function of a `functools.partial`, is defined."""
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__


def _fresh_processes(module: str) -> BaseContext:
    """Processes that do not inherit this one's threads and CUDA state, as forked ones would."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # What the jobs need is imported once, not once a process; heard only before the server starts.
    context.set_forkserver_preload([__name__, module])
    return context


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Ends this process when its parent has gone, however that happened."""
    multiprocessing.parent_process().join()
    os._exit(1)
