"""The processes of one run that torchrun started (ranks), or the only one there is.

Every process calls these functions at the same places of the program. Nothing here is called inside
a loop over a set, whose order differs between processes.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from wsss_lib.data.layout import InputError

# Who is done first waits for the others: with AdvCAM on ImageNet that may be hours.
PATIENCE = timedelta(days=7)


def join() -> None:
    """Has the processes that torchrun started, if it did, work together, on GPUs or on CPUs."""
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    PartialState(cpu=not gpu, timeout=PATIENCE)  # without a GPU each would think itself alone


def is_main() -> bool:
    """Whether this process is the one that speaks, and writes what there is once."""
    return PartialState().is_main_process


def count() -> int:
    """How many processes share the work."""
    return PartialState().num_processes


def device() -> torch.device:
    """What this process computes on."""
    return PartialState().device


def wait() -> None:
    """Returns when every process has come here."""
    PartialState().wait_for_everyone()


def share(items: Sequence) -> Sequence:
    """The items that this process takes care of: each by one process, in turns."""
    return items[PartialState().process_index :: count()]


@contextlib.contextmanager
def own_share() -> Iterator[None]:
    """Marks an error (``error.own_share``) that meets one process in its share of the work: only it can say so."""
    try:
        yield
    except Exception as error:
        error.own_share = True
        raise


def gathered(value: object) -> list:
    """What every process gives, in their order; for all of them."""
    return gather_object([value])


def decided_by_main(function: Callable[[], object]) -> object:
    """What ``function`` gives to the main process, which alone calls it; for all of them.

    Raises:
        InputError: in every process, if ``function`` raised it.
    """
    found = [None, None]
    if is_main():
        try:
            found = [function(), None]
        except InputError as error:
            found = [None, error]
    value, error = broadcast_object_list(found)
    if error is not None:
        raise error
    return value
