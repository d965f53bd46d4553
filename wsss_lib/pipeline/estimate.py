"""What a run would take on this machine, before it is begun: time, memory, disk. All of it is estimated.

The model is that of chapter 9: a stage costs so many forward passes of its network (`wsss_lib.pipeline.cost.Cost`), and a
pass is timed here, on this machine, as it is busy now. Left out are the reading of files, the evaluation, and all that
Python does between two passes, which is most of the time where networks and photos are very small.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wsss_lib.methods.crf import DenseCRF, refine_labels
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.make import Planned, opened, plan
from wsss_lib.pipeline.processes import free_cpus
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.rehearsal import bytes_to_write, free_bytes, rehearse, training_batch
from wsss_lib.pipeline.report import duration
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.stage import LookingStage, NetworkStage, Stage
from wsss_lib.pipeline.work import Work

SIDE = 128  # pixels of the picture that the CRF is timed on
PASS_PIXELS = 500_000  # that a network is timed on, at most
STATES = {
    "done": "is done",
    "begun": "goes on",
    "taken over": "is taken over",
    "new": "will be made",
    "otherwise": "made otherwise: needs --again",
}


@dataclass(frozen=True)
class Estimate:
    """What a stage takes.

    Attributes:
        seconds: of time.
        memory: bytes on the device, of its largest batch.
        disk: bytes of its files.
    """

    seconds: float
    memory: float
    disk: float


def dry_run(
    recipe: Recipe, folder: str | Path, targets: Sequence[str], reuse: Sequence[str | Path] = ()
) -> str:
    """What there is of each stage, and what the others would take, as a table; nothing is made.

    Raises:
        InputError: as the run itself would, before its first stage.
    """
    if recipe.data.draw_seed is not None and not Path(recipe.data.root).exists():
        count = sum(recipe.data.draw_photos)
        return (
            f"{recipe.data.root} is not there: {count} photos would be drawn, and then made:\n"
            + ("\n".join(f"  {name}" for name in targets))
        )
    work = opened(recipe, folder, progress=False)
    stages = [each for each in plan(work, [Run.existing(other) for other in reuse])]
    stages = [each for each in stages if each.name in targets]
    to_make = [each.name for each in stages if each.state in ("begun", "new", "otherwise")]
    rehearse(work, to_make)
    seconds = Seconds(work)
    estimates = {name: estimated(work.of(name), seconds) for name in to_make}
    return table(work, stages, estimates)


def table(work: Work, stages: Sequence[Planned], estimates: dict[str, Estimate]) -> str:
    """One line a stage, and their sum."""
    lines = [f"{'stage':14} {'':30} {'time':>12} {'memory':>9} {'disk':>9}"]
    for each in stages:
        line = f"{each.name:14} {STATES[each.state]:30}"
        if each.name in estimates:
            one = estimates[each.name]
            line += f" {duration(one.seconds):>12} {gigabytes(one.memory)} {gigabytes(one.disk)}"
        lines.append(line)
    seconds = sum(one.seconds for one in estimates.values())
    disk = sum(one.disk for one in estimates.values())
    most = max((one.memory for one in estimates.values()), default=0)
    lines.append(
        f"{'together':14} {'':30} {duration(seconds):>12} {gigabytes(most)} {gigabytes(disk)}"
    )
    lines.append(
        f"Estimated for {ranks.count()} process(es) on {work.device.type}, without reading, writing and measuring; "
        f"free on the disk: {free_bytes(work) / 1e9:.1f} GB."
    )
    return "\n".join(lines)


def gigabytes(value: float) -> str:
    """Bytes, as a column of the table."""
    return f"{value / 1e9:6.2f} GB"


def estimated(work: Work, seconds: Seconds) -> Estimate:
    """What the stage at work takes."""
    stage, cost = work.stage, work.stage.cost(work)
    busy = 0.0
    if cost.passes:
        busy += cost.passes * seconds.a_pixel(stage.learner(work.recipe), work) / ranks.count()
    if cost.refined:
        busy += cost.refined * seconds.a_refined_label() / (free_cpus() * ranks.count())
    return Estimate(busy, memory(stage.learner(work.recipe), work), bytes_to_write(work, work.name))


class Seconds:
    """Times of this machine, each taken once."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.known: dict[str, float] = {}

    def a_pixel(self, stage: LookingStage | NetworkStage, work: Work) -> float:
        """Seconds in which a pixel goes forward through the network of a stage."""
        backbone = work.ready(stage.network(work)).backbone
        kind = str(backbone)
        if kind not in self.known:
            height, width = median_size(work)
            count = max(1, PASS_PIXELS // (height * width))
            image_BCHW = torch.zeros(count, 3, height, width, device=work.device)
            with torch.no_grad():
                taken = fastest(lambda: backbone(image_BCHW), work.device)
            self.known[kind] = taken / (count * height * width)
        return self.known[kind]

    def a_refined_label(self) -> float:
        """Seconds in which the CRF refines a pixel, for each label that it may have."""
        crf = getattr(self.work.recipe, "crf", DenseCRF())
        if "crf" not in self.known:
            generator = torch.Generator().manual_seed(0)
            image_HW3 = torch.randint(
                0, 256, (SIDE, SIDE, 3), dtype=torch.uint8, generator=generator
            )
            label_HW = torch.arange(SIDE).mul(2).div(SIDE, rounding_mode="floor").expand(SIDE, SIDE)
            taken = fastest(lambda: refine_labels(image_HW3, label_HW, 2, crf), torch.device("cpu"))
            self.known["crf"] = taken / (2 * SIDE * SIDE)
        return self.known["crf"]


def fastest(function: Callable[[], object], device: torch.device, repeats: int = 2) -> float:
    """Seconds of the fastest of some calls, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def median_size(work: Work) -> tuple[int, int]:
    """The size of a photo in the middle of all, by its pixels."""
    sizes = sorted(work.photos("maps").sizes, key=lambda size: size[0] * size[1])
    return sizes[len(sizes) // 2]


def memory(stage: Stage, work: Work) -> float:
    """Bytes on the device for the largest batch: what a backward pass needs, or what a forward pass holds at once.

    Counted on tensors that have a shape and no values.
    """
    most = 0.0
    if isinstance(stage, NetworkStage):
        model = stage.network(work).to("meta").train()
        batch = training_batch(work, stage, torch.device("meta"))
        # the weights, their gradients and two moments of them
        most = 4 * weight(model) + kept(lambda: stage.loss(model, batch), model)
    if isinstance(stage, LookingStage):
        height, width = median_size(work)
        image_BCHW = torch.empty(1, 3, height, width, device="meta", requires_grad=stage.climbs)
        backbone = stage.network(work).to("meta").eval().requires_grad_(False).backbone
        a_photo = (kept if stage.climbs else held)(lambda: backbone(image_BCHW), backbone)
        photos = stage.batch_pixels / (height * width)
        most = max(most, weight(backbone) + photos * a_photo)
    return most


def weight(model: nn.Module) -> int:
    """Bytes of the weights of a network."""
    return sum(each.nbytes for each in model.parameters())


def kept(forward: Callable[[], Tensor], model: nn.Module) -> float:
    """Bytes that a forward pass keeps for the backward pass besides the weights; each storage counts once."""
    alive, storages = [], {}  # tensors stay alive, so that no other storage gets the same id

    def note(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return float(sum(size for key, size in storages.items() if key not in weights))


def held(forward: Callable[[], Tensor], model: nn.Module) -> float:
    """Bytes of the inputs and outputs of that layer which has the most of them."""
    most = [0]

    def note(_: nn.Module, inputs: tuple, output: Tensor) -> None:
        most[0] = max(most[0], sum(each.nbytes for each in (*inputs, output)))

    layers = [each for each in model.modules() if not list(each.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    return 2.0 * most[0]  # beside a shortcut, and the workspace of a convolution
