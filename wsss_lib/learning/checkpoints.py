"""What a training leaves behind while it runs: where to resume, and its log."""

import json
import math
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError

LOG_EVERY = 10  # steps; reading the loss waits for the device, so it is not read at every step


class Checkpoint:
    """The state of a training, to go on from after an interruption."""

    def __init__(self, folder, model, optimizer, accelerator):
        self.path = Path(folder) / "resume.pt" if folder else None
        self.accelerator = accelerator
        self.parts = {"model": model, "optimizer": optimizer}
        if accelerator.scaler is not None:  # of fp16
            self.parts["scaler"] = accelerator.scaler

    def save(self, step: int) -> None:
        """Writes the state after ``step`` steps."""
        if self.path and self.accelerator.is_main_process:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            with atomic(self.path) as aside:
                torch.save({"step": step, **state}, aside)

    def resume(self, steps: int) -> int:
        """Loads the last state, if there is one, and returns its step.

        One that cannot be used (a disk was full, a file was damaged) is said and left aside.
        """
        if not self.path or not self.path.exists():
            return 0
        before = {name: clone(part.state_dict()) for name, part in self.parts.items()}
        try:
            # on the CPU first: a rank of a CPU group has a device that torch cannot restore to
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            if not 0 < int(state["step"]) < steps:
                raise ValueError(f"step {state['step']} of {steps}")
            return int(state["step"])
        except Exception as error:  # each library has its own errors for a broken file
            warnings.warn(
                f"{self.path} cannot be used ({type(error).__name__}): this training begins anew",
                stacklevel=2,
            )
            for name, part in self.parts.items():
                part.load_state_dict(before[name])
            return 0


def clone(state: object) -> object:
    """A copy of a state that does not change with it."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: clone(value) for key, value in state.items()}
    return [clone(value) for value in state] if isinstance(state, list) else state


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
            cut_back(self.path, start)

    def step(self, step: int, loss: Tensor, lr: float) -> None:
        """Notes the loss of a step, every few steps and of the last one.

        Raises:
            InputError: it is no longer finite.
        """
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
        """Ends the bar."""
        self.bar.close()
        if self.board:
            self.board.close()


def cut_back(log: Path, start: int) -> None:
    """Takes the steps out of a log that come again after a resume, and what was not written to its end."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            kept += [line] if json.loads(line)["step"] <= start else []
        except (ValueError, KeyError, TypeError):
            continue
    with atomic(log) as aside:
        aside.write_text("".join(f"{line}\n" for line in kept))


def tensorboard(folder: Path):
    """A TensorBoard writer, or ``None`` where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder)
