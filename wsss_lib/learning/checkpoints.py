"""What a training leaves behind while it runs: where to resume, and its log."""

import io
import json
import math
import sys
import time
import zipfile
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from wsss_lib.data.files import atomic, remove
from wsss_lib.data.layout import InputError, regular

LOG_EVERY = 10  # steps; reading the loss waits for the device, so it is not read at every step


class Checkpoint:
    """The state of a training, to go on from after an interruption.

    Args:
        folder: where ``resume.pt`` is kept; ``None``: nowhere.
        model: the network, not wrapped.
        optimizer: its optimizer, not wrapped.
        accelerator: knows the device, the other processes, and how fp16 is scaled.
    """

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
            # In memory first: a full disk is then an error of the system, and not PyTorch's own in words.
            written = io.BytesIO()
            torch.save({"step": step, **state}, written)
            with atomic(self.path) as aside:
                aside.write_bytes(written.getbuffer())

    def resume(self, steps: int) -> int:
        """Loads the last state, if there is one, and returns its step: all processes do, or none.

        A file that cannot be used (it was damaged, or is of another training) is said and removed.
        """
        if not self.path:
            return 0
        found, state = self.path.exists(), self.read(steps)
        step = state["step"] if state else 0
        if not self.agreed(step):
            if found and self.accelerator.is_main_process:
                message = f"{self.path} cannot be used and is removed: this training begins anew"
                tqdm.write(message, file=sys.stderr)
                remove(self.path)
            return 0
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return step

    def read(self, steps: int) -> dict | None:
        """The last state; ``None`` if there is none, or none that fits to this training of ``steps`` steps."""
        try:
            # torch itself does not compare the checksums that it writes
            with zipfile.ZipFile(regular(self.path)) as archive:
                if archive.testzip() is not None:
                    return None
            # On the CPU first: a process of several without a GPU has a device that torch cannot restore to.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            fits = all(
                outline(part.state_dict()) == outline(state[name])
                for name, part in self.parts.items()
            )
            return state if fits and 0 < state["step"] < steps else None
        except Exception:  # a broken file has many kinds of errors
            return None

    def agreed(self, step: int) -> bool:
        """Whether all processes can go on from this step; not if one of them could not read the file."""
        steps = self.accelerator.gather(torch.tensor([step], device=self.accelerator.device))
        return step > 0 and bool((steps == step).all())


def outline(state: dict) -> object:
    """What does not change while a network or its optimizer learns: names, shapes and settings."""
    if "param_groups" in state:
        return [
            {name: value for name, value in group.items() if name != "lr"}
            for group in state["param_groups"]
        ]
    return {name: getattr(value, "shape", None) for name, value in state.items()}


class Log:
    """The progress bar and ``log.jsonl`` (and TensorBoard, where it is installed).

    Args:
        folder: where they are written; ``None``: nowhere.
        title: stands before the bar.
        start: the steps that are done; what a log has of later ones is taken out.
        steps: of the whole training.
        batch_size: photos a step, over all processes.
        accelerator: knows the other processes.
        progress: show the bar.
    """

    def __init__(self, folder, title, start, steps, batch_size, accelerator, progress):
        main = accelerator.is_main_process
        self.bar = tqdm(
            total=steps, initial=start, desc=title, unit="step", disable=not (progress and main)
        )
        self.title, self.steps, self.accelerator = title, steps, accelerator
        self.path = Path(folder) / "log.jsonl" if folder and main else None
        self.board = tensorboard(self.path.parent, start) if self.path else None
        self.batch_size, self.last, self.since = batch_size, start, time.perf_counter()
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.is_file():  # a pipe, say, would never let itself be written to
                remove(self.path)
            cut_back(self.path, start)

    def step(self, done: int, loss: Tensor, lr: float) -> None:
        """Notes the loss of a step, every few steps and of the last one.

        Raises:
            InputError: it is no longer finite.
        """
        self.bar.update()
        if done % LOG_EVERY and done != self.steps:
            return
        value, now = self.finite(done, loss), time.perf_counter()
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

    def finite(self, done: int, loss: Tensor) -> float:
        """The loss over the whole batch, of all processes.

        Raises:
            InputError: it is no longer finite; in all of them.
        """
        value = self.accelerator.reduce(loss, reduction="mean").item()
        if not math.isfinite(value):
            raise InputError(
                f"{self.title}: the loss is {value} at step {done}: lower the learning rate"
            )
        return value

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


def tensorboard(folder: Path, start: int):
    """A TensorBoard writer that hides the steps after ``start``, or ``None`` where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=start + 1)
