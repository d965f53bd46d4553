"""Whether the memory of the machine does for the largest batch of each stage: counted before the first one begins.

On a GPU the largest batch is tried, see `wsss_lib.pipeline.rehearsal.try_largest`. On a CPU a try would be ended by the system
without a word, so the bytes are counted as `wsss_lib.pipeline.estimate` does, which computes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import nn

from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.estimate import Effort
from wsss_lib.pipeline.stage import LookingStage
from wsss_lib.pipeline.work import Batch, Work

PROGRAM = 0.7e9  # bytes that Python with PyTorch takes itself
CGROUPS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


class Weighed(Effort):
    """An effort of which the memory alone is counted, so that nothing has to be measured."""

    def looks(
        self,
        network: Callable[[Work], nn.Module],
        look: Callable[[Work, nn.Module, Batch], object],
        batches: Iterable[Batch],
        times: float = 1,
    ) -> None:
        """A network looks at the first batch, which is the largest."""
        super().looks(network, look, itertools.islice(batches, 1), times)

    def refines(self, *_: object, **__: object) -> None:
        """The CRF is not counted."""

    def _do(self, *_: object) -> None:
        """Nothing is timed."""


def refuse_small_memory(work: Work) -> None:
    """Compares what the stage at work needs at once with what there is.

    Raises:
        InputError: there is less.
    """
    effort, most = Weighed(work), memory()
    try:
        work.stage.cost(effort)
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error):  # else it needs values, not only shapes
            raise
        return
    if (needed := effort.memory + PROGRAM) > most:
        raise InputError(
            f"{work.name}: about {needed / 1e9:.1f} GB of memory are needed at once, but this machine has "
            f"{most / 1e9:.1f} GB: {remedy(effort.work)}"
        )


def remedy(work: Work) -> str:
    """What to do if the memory does not do for the stage of an imagined work."""
    stage, name = work.stage, work.name
    first = next(stage.batches(work), None) if isinstance(stage, LookingStage) else None
    if first is not None and len(first.image_BCHW) == 1:
        height, width = first.size
        one = f"one photo of {width} x {height} pixels takes as much"
        return f"{one}, so make the photos smaller (wsss prepare --max-side 1000)"
    options = [f"lower --{name}.batch-pixels"] * hasattr(stage, "batch_pixels")
    options += [f"raise --{name}.training.accumulate"] * hasattr(stage, "training")
    return ", or ".join(options) or "take a smaller backbone"


def memory() -> float:
    """Bytes of memory that this process may use at most, of those that share the machine; infinity if that is not known."""
    known = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # no POSIX
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        known += [soft] if soft != resource.RLIM_INFINITY else []
    for file in CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            known.append(int(Path(file).read_text()))
    return min(known) / int(os.environ.get("LOCAL_WORLD_SIZE", 1))
