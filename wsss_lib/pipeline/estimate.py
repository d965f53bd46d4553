"""What a run would take on this machine, before it is begun: time, memory, disk. All of it is estimated.

The model is that of chapter 9. A stage says in ``cost`` what it looks at and learns from. PyTorch runs its own functions on
tensors that have a shape and no values, counts their additions and multiplications, and this module the bytes that they
hold at the same time. How many operations a second this machine does is measured: each network computes for about a second
what the stage will compute for longer. So is the CRF, on one picture of the size of the photos.

Not counted are the reading and writing of files, augmentation, the optimizer, the evaluation, and the start of processes.
Small photos show it: the stages of ``toy-quick`` took 1.0 to 1.8 times the estimate on two CPU cores, and the first pool of
processes another three seconds. Memory is that of tensors in single precision: bf16 takes about half, the workspace of a
convolution comes on top.
"""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from wsss_lib.data.photos import Photos
from wsss_lib.methods.crf import DenseCRF, refine_labels
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.bench import fastest
from wsss_lib.pipeline.cost import Imagined, Size, counted, crops, pile
from wsss_lib.pipeline.kinds import NETWORK
from wsss_lib.pipeline.processes import FEW, free_cpus
from wsss_lib.pipeline.rehearsal import bytes_to_write
from wsss_lib.pipeline.stage import NetworkStage
from wsss_lib.pipeline.work import Batch, Work

Call = Callable[[Work, nn.Module, int, Size], object]

FIRST = 1e10  # operations of the first measurement; the next one has four times as many
ENOUGH = 0.5  # seconds of the last one
LEAST_SIDE = 32  # pixels of a photo that is measured


@dataclass(frozen=True)
class Estimate:
    """What a stage takes.

    Attributes:
        seconds: of time; None: it does not say what it does.
        operations: of its networks, over all processes.
        memory: bytes on the device of one process, at the largest batch.
        disk: bytes of its files.
    """

    seconds: float | None
    operations: float
    memory: float
    disk: float


def estimated(work: Work) -> Estimate:
    """What the stage at work takes."""
    effort, written = Effort(work), bytes_to_write(work, work.name)
    try:
        work.stage.cost(effort)
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error):  # else it needs values, not only shapes
            raise
        return Estimate(None, 0.0, 0.0, written)
    if NETWORK in work.stage.makes:
        written += effort.weights
    seconds = effort.seconds if effort.told else None
    return Estimate(seconds, effort.operations, effort.memory, written)


class Effort:
    """What a stage tells of its work, and what that takes here.

    Attributes:
        work: to ask for photos and batches; its batches have no values, and one photo for each time that one counts.
    """

    def __init__(self, work: Work) -> None:
        self.real = work
        self.work = Imagined(work.recipe, work.run, False, work.name, work.opened)
        self.told = False
        self.seconds = self.operations = self.memory = self.weights = 0.0
        self._model: nn.Module | None = None
        self._rates: dict[str, float] = {}

    def learns(self, stage: NetworkStage, photos: Photos) -> None:
        """A network learns from photos, as ``stage`` says."""
        training, side = stage.training, stage.augmentation.crop
        size = (side, side) if side else max(photos.sizes, key=math.prod)
        together = max(1, training.batch_size // (ranks.count() * training.accumulate))
        model = self._network(stage.network).train()
        states = {"sgd": 1, "adam": 2, "adamw": 2}[training.optimizer]
        kept = states * sum(each.nbytes for each in model.parameters() if each.requires_grad)

        def step(work: Work, model: nn.Module, count: int, size: Size) -> None:
            with work.autocast(training.precision):
                value = stage.loss(model, crops(work, count, size))
            torch.autograd.grad(value, [each for each in model.parameters() if each.requires_grad])

        operations, most = self._counted(step, model, together, size)
        crop = operations / together
        steps = max(1, round(training.epochs * len(photos) / training.batch_size))
        self._hold(kept + most)
        self._do("learns", step, model, steps * training.batch_size * crop, crop, together, size)

    def looks(
        self,
        network: Callable[[Work], nn.Module],
        look: Callable[[Work, nn.Module, Batch], object],
        batches: Iterable[Batch],
        times: float = 1,
    ) -> None:
        """A network looks at batches of photos.

        Args:
            network: makes it, before it has learned; an effort has one.
            look: what it does with a batch.
            batches: made by ``self.work``.
            times: how often; what is told with a negative number is taken away.
        """
        weights, together = collections.Counter(), 0
        for batch in batches:  # the first one has the largest photos, and as many as there can be
            weights[batch.size] += len(batch.image_BCHW)
            together = together or len(batch.image_BCHW)
        if not weights or not times:
            return
        model = self._network(network).eval()

        def call(work: Work, model: nn.Module, count: int, size: Size) -> None:
            look(work, model, pile(work, count, size))

        largest, smallest = max(weights, key=math.prod), min(weights, key=math.prod)
        operations, most = self._counted(call, model, together, largest)
        ends = {largest: operations / together}
        if math.prod(smallest) < math.prod(largest):
            ends[smallest], _ = self._counted(call, model, 1, smallest)
        of_one, size = interpolated(ends, weights), middle(weights)
        operations = sum(of_one[size] * count for size, count in weights.items())
        self._hold(most)
        self._do("looks", call, model, times * operations, of_one[size], together, size)

    def refines(
        self, photos: Photos, crf: DenseCRF, *, maps: int = 1, labels: int | None = None
    ) -> None:
        """The CRF refines the labels of photos, in several processes.

        Args:
            photos: the photos.
            crf: its settings.
            maps: label maps of each photo.
            labels: that a pixel may have; None: the background and the tags of the photo.
        """
        self.told = True
        labels = labels or 1 + max(1, round(float(photos.tags_NK.sum(dim=1).float().mean())))
        size = middle(collections.Counter(photos.sizes))
        pixels = sum(map(math.prod, photos.sizes)) / ranks.count()
        processes = free_cpus() if len(photos) >= FEW * ranks.count() else 1
        one = seconds_of_crf(crf, size, maps, labels)
        self.seconds += one * pixels / math.prod(size) / processes

    def _network(self, network: Callable[[Work], nn.Module]) -> nn.Module:
        """The network on the device, as a stage has it."""
        if self._model is None:
            self._model = self.real.ready(network(self.real))
            self.weights = float(sum(each.nbytes for each in self._model.state_dict().values()))
            self._imagined = copy.deepcopy(self._model).to("meta")
        return self._model

    def _counted(self, call: Call, model: nn.Module, count: int, size: Size) -> tuple[float, float]:
        imagined = self._imagined.train(model.training)
        return counted(lambda: call(self.work, imagined, count, size))

    def _hold(self, size: float) -> None:
        """Notes bytes that are needed at once, besides the weights."""
        self.memory = max(self.memory, self.weights + size)

    def _do(
        self,
        kind: str,
        call: Call,
        model: nn.Module,
        operations: float,
        of_one: float,
        most: int,
        size: Size,
    ) -> None:
        """Adds operations, and their time at the rate of this kind of calls, which is measured once."""
        self.told = True
        if kind not in self._rates:
            self._rates[kind] = self._rate(call, model, max(1.0, of_one), most, size)
        self.operations += operations
        self.seconds += operations / self._rates[kind] / ranks.count()

    def _rate(self, call: Call, model: nn.Module, of_one: float, most: int, size: Size) -> float:
        """Operations a second.

        Measured on one photo of ``size`` that is made so small, or so many of at most ``most``, that it does not take long.
        """
        for asked in (FIRST * 4**number for number in itertools.count()):
            count = min(most, max(1, int(asked / of_one)))
            smaller = min(1.0, math.sqrt(asked / of_one))
            sides = tuple(min(side, max(LEAST_SIDE, round(side * smaller))) for side in size)
            timed = functools.partial(call, self.real, model, count, sides)
            seconds = fastest(timed, 1, self.real.device)
            if seconds >= ENOUGH or asked >= most * of_one:
                return self._counted(call, model, count, sides)[0] / seconds


def interpolated(known: dict[Size, float], sizes: Iterable[Size]) -> dict[Size, float]:
    """What was counted at the smallest and the largest size, for all: nearly proportional to the pixels."""
    points = sorted((math.prod(size), value / math.prod(size)) for size, value in known.items())
    areas = {size: math.prod(size) for size in sizes}
    return {size: area * float(np.interp(area, *zip(*points))) for size, area in areas.items()}


def middle(weights: collections.Counter) -> Size:
    """The size of the photo in the middle of all, by pixels."""
    left = weights.total() / 2
    for size in sorted(weights, key=math.prod):
        left -= weights[size]
        if left <= 0:
            return size
    raise ValueError("there is no size")


@functools.cache
def seconds_of_crf(crf: DenseCRF, size: Size, maps: int, labels: int) -> float:
    """Seconds in which one process refines a picture: patches of colour with some noise, in stripes of labels."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand(1, 3, 6, 8, generator=generator)
    image_HW3 = 200 * F.interpolate(patches, size, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    image_HW3 = (image_HW3 + 20 * torch.rand(*size, 3, generator=generator)).to(torch.uint8)
    stripes_W = torch.arange(size[1]) * labels // size[1]
    label_SHW = torch.stack([stripes_W.expand(size)] * maps)
    start = time.perf_counter()
    refine_labels(image_HW3, label_SHW, labels, crf)
    return time.perf_counter() - start
