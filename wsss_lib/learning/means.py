"""Means over a batch, also when several processes have parts of it."""

import torch.distributed
from torch import Tensor


def masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask is set; 0 where it nowhere is.

    Where several processes learn together it is over the whole batch, and not over the part of this process: its sum
    over the parts, divided by the number of processes, is the mean of all of them. (Gradients are averaged so.)
    """
    return (value * mask).sum() / share_of_total(mask.sum())


def share_of_total(count: Tensor) -> Tensor:
    """A count over all processes, at least 1, divided by their number."""
    if not torch.distributed.is_initialized():
        return count.clamp(min=1)
    total = count.detach().clone()
    torch.distributed.all_reduce(total)
    return total.clamp(min=1) / torch.distributed.get_world_size()
