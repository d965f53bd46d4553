"""How fast this machine is at the three things that take the time of a full-scale run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import PartialState
from torch import nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.learning.backbones import backbone, fold_norms
from wsss_lib.learning.training import Training, fit
from wsss_lib.methods.advcam import Climbing, climb
from wsss_lib.methods.amn import AMN, per_pixel_loss
from wsss_lib.methods.cam import Classifier
from wsss_lib.methods.deeplab import DeepLabV2, segmentation_loss

CLASSES = 20
STEPS = 6
TRAINING_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Climbing (ResNet-50), training of AMN (ResNet-50) and of DeepLabV2 (ResNet-101), random weights."""

    size: tuple[int, int] = (375, 500)
    """Height and width of the photos to climb, in pixels."""
    batch_sizes: tuple[int, ...] = (1, 4)
    """Pairs that climb together; each is measured. On a GPU try 1 4 16 64."""
    precisions: tuple[Literal["fp32", "tf32", "bf16"], ...] = ("fp32",)
    """Each is measured; tf32 and bf16 are for GPUs."""
    crop: int = 321
    """Side of the crops to train on, in pixels. (AMN: 512; DeepLab: 321.)"""
    train_batch: int = 2
    """Crops a training step. (AMN: 16; DeepLab: 10.)"""
    repeats: int = 2
    """Measurements, of which the fastest counts."""


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
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            rows[precision] = {
                "advcam": [climbing(asked, batch, device) for batch in asked.batch_sizes],
                "amn": training(asked, *amn(), precision),
                "deeplab": training(asked, *deeplab(), precision),
            }
    return rows


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


def climbing(asked: Bench, batch: int, device: torch.device) -> dict:
    """Steps a second and arithmetic rate of AdvCAM, each step on a photo and its mirror image."""
    net = backbone("resnet50", output_stride=16, frozen_norm=True)
    model = fold_norms(Classifier(net, CLASSES).to(device).eval())
    image = torch.randn(batch, 3, *asked.size, device=device)
    classes = torch.arange(batch, device=device) % CLASSES
    tags = nn.functional.one_hot(classes, CLASSES).float()

    def climbs() -> None:
        climb(model, image, classes, tags, Climbing(steps=STEPS))

    with FlopCounterMode(display=False) as counter:
        climbs()
    seconds = fastest(climbs, asked.repeats, device)
    return {
        "pairs": batch,
        "pair_steps_per_s": round(batch * STEPS / seconds, 2),
        "tflops": round(counter.get_total_flops() / seconds / 1e12, 3),
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
    """Random crops, drawn once, so that the network is measured and not the disk."""

    def __init__(self, count: int, side: int):
        self.count = count
        self.item = {
            "image": torch.randn(3, side, side),
            "tags": torch.ones(CLASSES),
            "mask": torch.randint(0, CLASSES + 1, (side, side)),
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
