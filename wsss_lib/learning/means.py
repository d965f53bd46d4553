"""Means over a batch, also when several processes have parts of it."""

from torch import Tensor, distributed


def masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask is set; 0 where it nowhere is.

    Where several processes learn together, each has the sum over its own part, but all divide it by the count over the
    whole batch. The gradients of processes are averaged, so the sum is multiplied by their number: on average the
    processes have the mean over the whole batch, however unevenly the mask is dealt to them.

    Args:
        value: any shape.
        mask: 1 or true where a value counts; the same shape.
    """
    count, processes = mask.sum().detach(), 1
    if distributed.is_available() and distributed.is_initialized():
        processes = distributed.get_world_size()
        distributed.all_reduce(count)
    return processes * (value * mask).sum() / count.clamp(min=1)
