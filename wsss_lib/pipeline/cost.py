"""What a function costs, counted on tensors that have a shape and no values: nothing is read, nothing computed.

PyTorch runs the package's own functions on its device ``meta``. The additions and multiplications of their convolutions and
matrix products are counted by its own counter, the bytes that are held at the same time by a `Ledger`.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.data.batches import same_size_batches
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline.kinds import Kind
from wsss_lib.pipeline.work import Batch, Work

Size = tuple[int, int]


class Imagined(Work):
    """Work on tensors that have a shape and no values: nothing is read, nothing computed."""

    device = torch.device("meta")

    def autocast(self, precision: str) -> contextlib.AbstractContextManager:
        """Precision does not change the count."""
        return contextlib.nullcontext()

    def batches(
        self,
        photos: Photos,
        makes: Sequence[Kind] = (),
        *,
        pixels: int,
        costs: Sequence[int] | None = None,
        **counted: object,
    ) -> Iterator[Batch]:
        """Those of `Work.batches`, whether or not they are there; a photo that counts twice is two photos."""
        for batch in same_size_batches(photos.sizes, pixels, costs=costs, **counted):
            count = sum(costs[i] for i in batch) if costs else len(batch)
            yield pile(self, count, photos.sizes[batch[0]])


class Ledger(TorchDispatchMode):
    """Notes how many bytes tensors hold at the same time, but for those that were there before."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.most = 0
        self.alive: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Runs an operation, and notes what it has made."""
        if function is torch.ops.aten.nonzero.default:  # of tags: how many is a value
            rows, dims = len(args[0]), args[0].dim()
            made = torch.empty(rows, dims, dtype=torch.int64, device="meta")
        else:
            made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self.note(each.untyped_storage())
        return made

    def note(self, storage: torch.UntypedStorage) -> None:
        """Notes a piece of memory until it is given back."""
        key, size = storage._cdata, storage.nbytes()
        if key not in self.alive:
            self.alive.add(key)
            self.bytes += size
            self.most = max(self.most, self.bytes)
            weakref.finalize(storage, self.forget, key, size)

    def forget(self, key: int, size: int) -> None:
        """Takes it out again."""
        self.alive.discard(key)
        self.bytes -= size


def counted(function: Callable[[], object]) -> tuple[float, float]:
    """Operations of a function on tensors without values, and the most bytes that it holds at once."""
    with FlopCounterMode(display=False) as counter, Ledger() as ledger:
        function()
    return float(counter.get_total_flops()), float(ledger.most)


def pile(work: Work, count: int, size: Size) -> Batch:
    """Photos of noise, each with one tag."""
    classes = work.photos("train").num_classes
    tag_BK = F.one_hot(torch.arange(count) % classes, classes).float().to(work.device)
    image_BCHW = torch.randn(count, 3, *size, device=work.device)
    return Batch([""] * count, image_BCHW, tag_BK)


def crops(work: Work, count: int, size: Size) -> dict[str, Tensor]:
    """The same to learn from: half background, half the first class."""
    batch = pile(work, count, size)
    mask_BHW = torch.zeros(count, *size, dtype=torch.uint8, device=work.device)
    mask_BHW[:, : size[0] // 2] = 1
    return {"image": batch.image_BCHW, "tags": batch.tag_BK, "mask": mask_BHW}
