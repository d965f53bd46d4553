"""The one training loop: the classifier, AMN and the segmentation network all learn through `fit`.

Every random number of a step is a function of the seed and of the step: which photos it takes, how
each one is augmented, which features dropout sets to zero. So a run that was killed and started
again ends with the same weights as one that was not, with any number of loading workers.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError

LOG_EVERY = 10  # steps; reading the loss waits for the device, so it is not read at every step


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one network is trained."""

    epochs: float
    """Passes over the photos."""
    batch_size: int
    """Photos a step, over all processes."""
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
    """Mixed precision; "no" is float32."""
    accumulate: int = 1
    """Parts in which a batch goes through the network, when it does not fit at once."""
    workers: int = 0
    """Processes that load photos."""
    checkpoint_every: int = 0
    """Steps between two checkpoints to resume from; 0: one an epoch."""


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
        InputError: an empty dataset, or a loss that is no longer finite.
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
    start = checkpoint.resume()
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    every = settings.checkpoint_every or math.ceil(len(dataset) / settings.batch_size)
    batches = make_loader(dataset, settings, seed, range(start, steps), accelerator)
    log = Log(folder, title, start, steps, settings.batch_size, accelerator, progress)
    for step, batch in zip(range(start, steps), batches, strict=True):
        set_learning_rate(optimizer, lr_factor(settings.schedule, step / steps))
        torch.manual_seed(step_seed(seed, step, accelerator.process_index))
        value = train_step(wrapped, loss, batch, optimizer, accelerator, settings.accumulate)
        log.step(step, value, optimizer.param_groups[-1]["lr"])
        if (step + 1) % every == 0 and step + 1 < steps:
            checkpoint.save(step + 1)
    log.close()
    accelerator.wait_for_everyone()
    return accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False).eval()


def train_step(model, loss, batch, optimizer, accelerator, parts: int) -> Tensor:
    """One step of the optimizer on one batch, in ``parts``; returns the mean loss."""
    total = torch.zeros((), device=accelerator.device)
    for part in split(batch, parts, accelerator.device):
        with accelerator.autocast():
            value = loss(model, part) / parts
        accelerator.backward(value)
        total += value.detach()
    optimizer.step()
    optimizer.zero_grad()
    return total


def split(batch: dict, parts: int, device: torch.device) -> Iterator[dict]:
    """Moves a batch to the device and cuts its tensors into equal parts."""
    tensors = {k: v.to(device, non_blocking=True) for k, v in batch.items() if torch.is_tensor(v)}
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


def step_seed(seed: int, step: int, position: int) -> int:
    """A seed for one place in one step; neighbours have nothing in common."""
    digest = hashlib.blake2b(f"{seed} {step} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Seeded(Dataset):
    """Draws the item of a key (index, seed) with that seed."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, seed = key
        torch.manual_seed(seed)
        return self.dataset[index]


def batch_keys(
    size: int, batch_size: int, seed: int, steps: range, part: slice = slice(None)
) -> Iterator[list[tuple[int, int]]]:
    """For each step its (index, seed) keys: consecutive pieces of one shuffle of the photos after another."""
    shuffles: dict[int, list[int]] = {}
    for step in steps:
        keys = []
        for place in range(step * batch_size, (step + 1) * batch_size):
            epoch, position = divmod(place, size)
            if epoch not in shuffles:
                generator = torch.Generator().manual_seed(step_seed(seed, epoch, -1))
                shuffles = {epoch: torch.randperm(size, generator=generator).tolist()}
            keys.append((shuffles[epoch][position], step_seed(seed, place, -2)))
        yield keys[part]


def make_loader(dataset, settings: Training, seed: int, steps: range, accelerator) -> DataLoader:
    """Loads the batches of ``steps``; each process takes its share of every batch."""
    part = slice(accelerator.process_index, None, accelerator.num_processes)
    keys = batch_keys(len(dataset), settings.batch_size, seed, steps, part)
    return DataLoader(
        Seeded(dataset),
        batch_sampler=list(keys),
        num_workers=settings.workers,
        pin_memory=accelerator.device.type == "cuda",
        persistent_workers=False,
    )


class Checkpoint:
    """The state of a training, to go on from after an interruption."""

    def __init__(self, folder, model, optimizer, accelerator):
        self.path = Path(folder) / "resume.pt" if folder else None
        self.model, self.optimizer, self.accelerator = model, optimizer, accelerator

    def save(self, step: int) -> None:
        if self.path and self.accelerator.is_main_process:
            state = {
                "step": step,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            with atomic(self.path) as aside:
                torch.save(state, aside)

    def resume(self) -> int:
        """Loads the last state, if there is one, and returns its step."""
        if not self.path or not self.path.exists():
            return 0
        state = torch.load(self.path, map_location=self.accelerator.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return state["step"]


class Log:
    """The progress bar and ``log.jsonl`` (and TensorBoard, where it is installed)."""

    def __init__(self, folder, title, start, steps, batch_size, accelerator, progress):
        main = accelerator.is_main_process
        self.bar = tqdm(
            total=steps, initial=start, desc=title, unit="step", disable=not (progress and main)
        )
        self.title, self.steps = title, steps
        self.path = Path(folder) / "log.jsonl" if folder and main else None
        self.board = tensorboard(self.path.parent) if self.path else None
        self.batch_size, self.last, self.since = batch_size, start, time.perf_counter()
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def step(self, step: int, loss: Tensor, lr: float) -> None:
        self.bar.update()
        done = step + 1
        if done % LOG_EVERY and done != self.steps:
            return
        value, now = loss.item(), time.perf_counter()
        if not math.isfinite(value):
            raise InputError(
                f"{self.title}: the loss is {value} at step {done}: lower the learning rate"
            )
        rate = (done - self.last) * self.batch_size / (now - self.since)
        self.last, self.since = done, now
        self.bar.set_postfix_str(f"loss {value:.3f}, {rate:.0f} images/s")
        if self.path:
            entry = {"step": done, "loss": value, "lr": lr, "images_per_s": round(rate, 1)}
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        if self.board:
            self.board.add_scalar("loss", value, done)
            self.board.add_scalar("lr", lr, done)

    def close(self) -> None:
        self.bar.close()
        if self.board:
            self.board.close()


def tensorboard(folder: Path):
    """A TensorBoard writer, or ``None`` where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder)
