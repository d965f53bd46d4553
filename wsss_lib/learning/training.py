"""The one training loop: the classifier, AMN and the segmentation network all learn through `fit`.

Every random number of a step is a function of the seed and of the step: which photos it takes, how
each one is augmented, which features dropout sets to zero. So a run that was killed and started
again ends with the same weights as one that was not, with any number of loading workers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import Dataset

from wsss_lib.data.augmentation import normalise
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.learning.checkpoints import Checkpoint, Log
from wsss_lib.learning.loading import make_loader, step_seed
from wsss_lib.learning.norms import whole_batch_norms


def speed(default: object) -> object:
    """A field of settings that changes how long something takes and not what it makes: it may change at any time."""
    return dataclasses.field(default=default, metadata={"speed": True})


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one network is trained."""

    epochs: float
    """Passes over the photos."""
    batch_size: int
    """Photos a step, over all processes. Loss and batch normalisation are over the whole batch, however many processes share
    it; but each process drops features of its own."""
    backbone_lr: float
    """Learning rate of the pretrained backbone."""
    head_lr: float
    """Learning rate of everything else."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.9
    """Momentum of SGD. The classifiers of IRN, AdvCAM and AMN in effect use 1e-4."""
    weight_decay: float = 1e-4
    schedule: Literal["poly", "warmup_cosine", "constant"] = "poly"
    """poly: (1 - progress)^0.9, as DeepLab. warmup_cosine: up for a fifth of the steps, then down."""
    double_bias_lr: bool = False
    """The head's biases learn at twice the rate and without decay, as in DeepLab."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; "no" is float32. It decides the result, a little. fp16 is for GPUs; a CPU stays with float32."""
    accumulate: int = 1
    """Parts in which a batch goes through the network, when it does not fit at once. It decides the result, a little: a mean
    over pixels, and batch normalisation that learns, are over one part."""
    workers: int = speed(0)
    """Processes that load photos."""
    checkpoint_every: int = speed(0)
    """Steps between two checkpoints to resume from; 0: one an epoch."""

    def __post_init__(self) -> None:
        refuse_outside(self, "epochs", above=0)
        refuse_outside(self, "batch_size accumulate", least=1, whole=True)
        refuse_outside(self, "backbone_lr head_lr weight_decay", least=0)
        refuse_outside(self, "momentum", least=0, most=1)
        refuse_outside(self, "workers checkpoint_every", least=0, whole=True)


Loss = Callable[[nn.Module, dict], Tensor]


def fit(
    model: nn.Module,
    loss: Loss,
    dataset: Dataset,
    settings: Training,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    title: str = "training",
    progress: bool = True,
) -> nn.Module:
    """Trains ``model`` and returns it, in evaluation mode, on the device that was found.

    Args:
        model: a network; parameters below ``model.backbone`` learn at ``backbone_lr``.
        loss: maps the model and a batch (a dict of stacked items) to a scalar.
        dataset: gives dicts of tensors of equal shapes.
        settings: how to train.
        seed: of every random choice.
        folder: where ``log.jsonl`` and the checkpoint to resume from are kept; ``None``: nowhere.
        title: stands before the progress bar.
        progress: show a bar with loss and images per second.

    Raises:
        InputError: an empty dataset, a batch that cannot be dealt to the processes, or a loss that is no longer finite.
    """
    if len(dataset) == 0:
        raise InputError(f"{title}: there is no photo to train on")
    AcceleratorState._reset_state()  # stages of one process may differ in precision
    accelerator = Accelerator(mixed_precision=settings.precision)
    if settings.batch_size % (accelerator.num_processes * settings.accumulate):
        raise InputError(
            f"{title}: a batch of {settings.batch_size} cannot be dealt to {accelerator.num_processes} "
            f"process(es) in {settings.accumulate} part(s): choose a multiple"
        )
    steps = max(1, round(settings.epochs * len(dataset) / settings.batch_size))
    model.to(accelerator.device, memory_format=torch.channels_last).train()  # faster convolutions
    optimizer = make_optimizer(model, settings)
    checkpoint = Checkpoint(folder, model, optimizer, accelerator)
    start = checkpoint.resume(steps)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    if accelerator.num_processes > 1:
        # The statistics of batch normalisation are equal in all of them. Sending them before every forward pass, as is the
        # default, breaks the backward pass of a loss that looks at several scales (PyTorch issue 175024).
        wrapped.broadcast_buffers = False
    every = settings.checkpoint_every or math.ceil(len(dataset) / settings.batch_size)
    batches = make_loader(dataset, settings, seed, range(start, steps), accelerator)
    log = Log(folder, title, start, steps, settings.batch_size, accelerator, progress)
    together = whole_batch_norms(model) if accelerator.num_processes > 1 else nullcontext()
    with together:
        for step, batch in zip(range(start, steps), batches, strict=True):
            set_learning_rate(optimizer, lr_factor(settings.schedule, step / steps))
            torch.manual_seed(step_seed(seed, step, accelerator.process_index))
            value = train_step(wrapped, loss, batch, optimizer, accelerator, settings.accumulate)
            done = step + 1
            log.step(done, value, optimizer.param_groups[-1]["lr"])
            if done % every == 0 and done < steps:
                log.finite(done, value)  # nothing is saved that has diverged
                checkpoint.save(done)
    log.close()
    accelerator.wait_for_everyone()
    return accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False).eval()


def train_step(model, loss, batch, optimizer, accelerator, parts: int) -> Tensor:
    """One step of the optimizer on one batch, in ``parts``; returns the mean loss."""
    total = torch.zeros((), device=accelerator.device)
    for number, part in enumerate(split(batch, parts, accelerator.device), start=1):
        last = number == parts  # processes exchange their gradients once a step
        with nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                value = loss(model, part) / parts
            accelerator.backward(value)
        total += value.detach()
    optimizer.step()
    optimizer.zero_grad()
    return total


def split(batch: dict, parts: int, device: torch.device) -> Iterator[dict]:
    """Moves a batch to the device, where photos in bytes are normalised, and cuts its tensors into equal parts."""
    tensors = {k: v.to(device, non_blocking=True) for k, v in batch.items() if torch.is_tensor(v)}
    if "image" in tensors and tensors["image"].dtype == torch.uint8:
        tensors["image"] = normalise(tensors["image"])
    chunks = {name: value.chunk(parts) for name, value in tensors.items()}
    for i in range(parts):
        yield {name: chunk[i] for name, chunk in chunks.items()}


def make_optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """An optimizer with two learning rates: the backbone's and the head's."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    backbone = [value for name, value in trained.items() if name.startswith("backbone.")]
    head = {name: value for name, value in trained.items() if not name.startswith("backbone.")}
    bias = [v for name, v in head.items() if settings.double_bias_lr and name.endswith("bias")]
    weight = [v for v in head.values() if not any(v is b for b in bias)]
    groups = [
        {"params": backbone, "lr": settings.backbone_lr},
        {"params": bias, "lr": 2 * settings.head_lr, "weight_decay": 0.0},
        {"params": weight, "lr": settings.head_lr},
    ]
    groups = [{**group, "peak_lr": group["lr"]} for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, weight_decay=settings.weight_decay)


def lr_factor(schedule: str, progress: float) -> float:
    """The share of the peak learning rate at ``progress`` in [0, 1)."""
    if schedule == "poly":
        return (1 - progress) ** 0.9
    if schedule == "warmup_cosine":
        rising = progress < 0.2
        angle = 1 - progress / 0.2 if rising else (progress - 0.2) / 0.8
        return 0.04 * rising + (1 - 0.04 * rising) * 0.5 * (1 + math.cos(math.pi * angle))
    return 1.0


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets each group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak_lr"]
