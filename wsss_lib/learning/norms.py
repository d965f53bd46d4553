"""Batch normalisation of a batch whose parts several processes have, on CPUs as on GPUs.

`torch.nn.SyncBatchNorm` does the same on GPUs only.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, distributed, nn


@contextlib.contextmanager
def whole_batch_norms(model: nn.Module) -> Iterator[None]:
    """Has every batch normalisation that learns take mean and variance over the parts of all processes.

    Args:
        model: in training mode; its modules are as before when the block has ended.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d) and each.training]
    for norm in norms:
        norm.forward = partial(normalised, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def normalised(norm: nn.BatchNorm2d, x_BCHW: Tensor) -> Tensor:
    """What ``norm`` makes of the whole batch, of which each process has an equal part (Ioffe and Szegedy, Algorithm 1)."""
    dims, processes = (0, 2, 3), distributed.get_world_size()
    x = x_BCHW.float() if x_BCHW.dtype in (torch.float16, torch.bfloat16) else x_BCHW
    mean_C = SumOverProcesses.apply(x.mean(dims)) / processes
    centred = x - mean_C[:, None, None]
    variance_C = SumOverProcesses.apply(centred.square().mean(dims)) / processes
    if norm.track_running_stats:
        with torch.no_grad():
            count = processes * x[:, 0].numel()
            norm.num_batches_tracked += 1
            momentum = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean_C, momentum)
            norm.running_var.lerp_(variance_C * count / (count - 1), momentum)
    x = centred * (variance_C + norm.eps).rsqrt()[:, None, None]
    if norm.affine:
        x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
    return x.to(x_BCHW.dtype)


class SumOverProcesses(torch.autograd.Function):
    """The sum of what all processes give; its gradient is the sum of theirs."""

    @staticmethod
    def forward(context, value: Tensor) -> Tensor:
        """Sums."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        """Sums again: each process' value is in the result of all."""
        return SumOverProcesses.apply(gradient)
