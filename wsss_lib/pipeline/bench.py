"""How fast this machine is at what takes the time of a full-scale run, done as the stages do it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import PartialState
from torch import nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.data.limits import refuse_outside
from wsss_lib.learning.backbones import backbone, fold_norms
from wsss_lib.learning.training import Training, fit
from wsss_lib.methods.advcam import Climbing, advcam
from wsss_lib.methods.amn import AMN, per_pixel_loss
from wsss_lib.methods.cam import Classifier, cam
from wsss_lib.methods.deeplab import DeepLabV2, segmentation_loss

CLASSES = 20
STEPS = 6
TRAINING_STEPS = 3
VIEWS = 2


@dataclass(frozen=True, kw_only=True)
class Bench:
    """CAM and AdvCAM (ResNet-50), training of AMN (ResNet-50) and of DeepLabV2 (ResNet-101), random weights."""

    size: tuple[int, int] = (375, 500)
    """Height and width of the photos to look at and to climb, in pixels."""
    batch_sizes: tuple[int, ...] = (1, 4)
    """Pairs that climb together at scale 1; each is measured. On a GPU try 1 4 16 64. At other scales as many pixels
    climb together, as ``--advcam.batch-pixels`` has it."""
    scales: tuple[float, ...] = (1.0, 2.0)
    """Scales at which they climb; each is measured. AdvCAM spends most of its time at scale 2."""
    precisions: tuple[Literal["fp32", "ieee", "tf32", "bf16"], ...] = ("fp32",)
    """Each is measured. fp32: as PyTorch comes, and as a run has it: a GPU's convolutions in TF32, its matrix products not.
    ieee: neither. tf32: both. bf16: mixed precision."""
    crop: int = 321
    """Side of the crops to train on, in pixels. (AMN: 512; DeepLab: 321.)"""
    train_batch: int = 2
    """Crops a training step. (AMN: 16; DeepLab: 10.)"""
    repeats: int = 2
    """Measurements, of which the fastest counts."""

    def __post_init__(self) -> None:
        refuse_outside(self, "size batch_sizes crop train_batch repeats", least=1, whole=True)
        refuse_outside(self, "scales", above=0)


def measure(asked: Bench) -> dict:
    """Runs the measurements; returns them as a dict for JSON."""
    device = PartialState().device
    name = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads"
    )
    rows = {"device": f"{device.type}: {name}", "torch": torch.__version__}
    for precision in asked.precisions:
        with rounding(precision):
            rows[precision] = {
                "cam": looking(asked, precision, device),
                "advcam": [climbing(asked, precision, device, *each) for each in piles(asked)],
                "amn": training(asked, *amn(), precision),
                "deeplab": training(asked, *deeplab(), precision),
            }
    return rows


@contextlib.contextmanager
def rounding(precision: str) -> Iterator[None]:
    """TF32 on a GPU as a precision has it; fp32 and bf16 leave it as it is."""
    parts = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [part.allow_tf32 for part in parts]
    for part, was in zip(parts, before):
        part.allow_tf32 = {"ieee": False, "tf32": True}.get(precision, was)
    try:
        yield
    finally:
        for part, was in zip(parts, before):
            part.allow_tf32 = was


def piles(asked: Bench) -> list[tuple[float, int]]:
    """Scales, and how many pairs climb together at each: as many pixels as at scale 1, but at least one pair."""
    pairs = {(s, max(1, int(count / s**2))) for s in asked.scales for count in asked.batch_sizes}
    return sorted(pairs)


def fastest(function: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest of some calls, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def rates(function: Callable[[], object], asked: Bench, precision: str, device) -> tuple:
    """Seconds of a function, and its operations a second; in bf16 as a stage does it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        with FlopCounterMode(display=False) as counter:
            function()
        seconds = fastest(function, asked.repeats, device)
    return seconds, round(counter.get_total_flops() / seconds / 1e12, 3)


def classifier(device: torch.device) -> Classifier:
    """A classifier as the stages look with it."""
    model = Classifier(backbone("resnet50", output_stride=16, frozen_norm=True), CLASSES)
    return model.to(device, memory_format=torch.channels_last).eval()


def photos(asked: Bench, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """``image_BCHW`` of noise, and ``tag_BK`` with one tag each."""
    classes = torch.arange(count, device=device) % CLASSES
    tag_BK = nn.functional.one_hot(classes, CLASSES).float()
    return torch.randn(count, 3, *asked.size, device=device), tag_BK


def looking(asked: Bench, precision: str, device: torch.device) -> dict:
    """Photos a second of CAM at scale 1, each with its mirror image, in the largest batch."""
    count = max(asked.batch_sizes)
    model, (image_BCHW, tag_BK) = classifier(device), photos(asked, count, device)
    seconds, tflops = rates(lambda: cam(model, image_BCHW, tag_BK), asked, precision, device)
    rate = round(count / seconds, 2)
    return {"batch": count, "images_per_s": rate, "tflops": tflops, **memory(device)}


def climbing(asked: Bench, precision: str, device: torch.device, scale: float, pairs: int) -> dict:
    """Steps a second and arithmetic rate of AdvCAM, each step on a photo and its mirror image."""
    model = fold_norms(classifier(device))
    image_BCHW, tag_BK = photos(asked, pairs, device)
    settings = Climbing(steps=STEPS, half_steps_below_one=False)

    def climbs() -> None:
        advcam(model, image_BCHW, tag_BK, (scale,), settings)

    seconds, tflops = rates(climbs, asked, precision, device)
    height, width = (round(scale * side) for side in asked.size)
    return {
        "scale": scale,
        "pairs": pairs,
        "pixels": VIEWS * pairs * height * width,
        "pair_steps_per_s": round(pairs * STEPS / seconds, 2),
        "tflops": tflops,
        **memory(device),
    }


def memory(device: torch.device) -> dict:
    """The most memory taken on a GPU since the last call."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return {"peak_GiB": round(peak, 2)}


def amn() -> tuple[nn.Module, Callable]:
    """AMN as on VOC, and its loss."""
    model = AMN(backbone("resnet50", output_stride=16, frozen_norm=True), CLASSES)
    return model, lambda m, batch: per_pixel_loss(m(batch["image"], batch["tags"]), batch["mask"])


def deeplab() -> tuple[nn.Module, Callable]:
    """DeepLabV2-ResNet-101 as on VOC, and its loss over four scales."""
    net = backbone("resnet101", output_stride=8, dilated=True, frozen_norm=True)
    model = DeepLabV2(net, CLASSES)
    return model, lambda m, batch: segmentation_loss(m, batch, scales=(0.75, 0.5))


class Crops(Dataset):
    """Random crops in bytes, as the loader hands them over, drawn once: the network is measured and not the disk."""

    def __init__(self, count: int, side: int):
        self.count = count
        self.item = {
            "image": torch.randint(0, 256, (3, side, side), dtype=torch.uint8),
            "tags": torch.ones(CLASSES),
            "mask": torch.randint(0, CLASSES + 1, (side, side), dtype=torch.uint8),
        }

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        return self.item


def training(asked: Bench, model: nn.Module, loss: Callable, precision: str) -> dict:
    """Photos a second in training steps."""
    settings = Training(
        epochs=1,
        batch_size=asked.train_batch,
        backbone_lr=0.0,
        head_lr=0.0,
        precision="bf16" if precision == "bf16" else "no",
    )
    crops = Crops(asked.train_batch * TRAINING_STEPS, asked.crop)
    device = PartialState().device
    seconds = fastest(
        lambda: fit(model, loss, crops, settings, progress=False), asked.repeats, device
    )
    rate = len(crops) / seconds
    return {"batch": asked.train_batch, "images_per_s": round(rate, 2), **memory(device)}
