"""Many items in several processes, in order: for code that never lets two threads run at once."""

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
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

FEW = 32  # jobs that are done sooner than processes have started
AHEAD = 4  # jobs in flight for each process: all are busy, and little waits in memory


def map_processes(
    function: Callable, jobs: Iterable[tuple], processes: int | None = None
) -> Iterator:
    """Yields ``function(*job)`` for each job, in the order of the jobs.

    Jobs are taken a few ahead of the results, so ``jobs`` may be a generator that reads files. As
    always with new processes, a script that calls this does so under
    ``if __name__ == "__main__":``.

    Args:
        function: of a module, or a `functools.partial` of one.
        jobs: the arguments of each call. Tensors must be on the CPU.
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
        processes = _free_cpus() if len(first) == FEW else 1
        jobs = itertools.chain(first, jobs)
    if processes < 1:
        raise ValueError(f"processes must be 1 or more, not {processes}")
    if processes == 1:
        yield from itertools.starmap(function, jobs)
    else:
        yield from _map_pool(function, jobs, processes)


def _map_pool(function: Callable, jobs: Iterable[tuple], processes: int) -> Iterator:
    pool = ProcessPoolExecutor(processes, _fresh_processes(), initializer=_start)
    call = functools.partial(_call, function)
    waiting = collections.deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(call, *map(_pack, job)))
            if len(waiting) == AHEAD * processes:
                yield _unpack(waiting.popleft().result())
        while waiting:
            yield _unpack(waiting.popleft().result())
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process died: out of memory (then take fewer processes), or the script that "
            'started it does its work outside of `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _free_cpus() -> int:
    """The CPUs that this process may use, shared with the other ranks of a distributed run."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cpus // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


class _Packed(NamedTuple):
    """A tensor on its way: as a tensor it would take up shared memory and open files."""

    array: np.ndarray


def _pack(value: object) -> object:
    return _Packed(value.numpy()) if isinstance(value, Tensor) else value


def _unpack(value: object) -> object:
    return torch.from_numpy(value.array) if isinstance(value, _Packed) else value


def _call(function: Callable, *packed: object) -> object:
    return _pack(function(*map(_unpack, packed)))


def _fresh_processes() -> BaseContext:
    """Processes that do not inherit this one's threads and CUDA state, as forked ones would."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imports torch once, not once a process
    return context


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Ends this process when its parent has gone, however that happened."""
    multiprocessing.parent_process().join()
    os._exit(1)
