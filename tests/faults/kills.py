"""Processes that are killed (SIGKILL) in the middle of a stage, and the run that goes on from there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from tests.small_runs import figures, files
from wsss_lib import toy

ROOT = Path(__file__).parents[2]
MADE = (".npz", ".png", ".safetensors")
PATIENCE = 300  # seconds


def command(data: Path, folder: Path, processes: int) -> list[str]:
    """What starts a run."""
    alone = [sys.executable, "-m"]
    several = [
        *alone,
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "-m",
    ]
    start = alone if processes == 1 else several
    return [*start, "tests.faults.small_run", str(data), str(folder)]


def started(data: Path, folder: Path, processes: int = 1) -> subprocess.Popen:
    """Starts a run in a group of processes of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command(data, folder, processes), env=environment, start_new_session=True, **options
    )


def finished(data: Path, folder: Path, processes: int = 1) -> None:
    """Runs to the end."""
    process = started(data, folder, processes)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said[-3000:]


def workers(process: subprocess.Popen, processes: int) -> list[int]:
    """The processes of a run: itself, or those that torchrun has started."""
    if processes == 1:
        return [process.pid]
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def killed(
    data: Path, folder: Path, stage: str, processes: int, rng: Random, seconds: float
) -> str:
    """Starts a run, kills one of its processes while it makes a stage; returns at what moment.

    Args:
        seconds: that the stage takes; the moment is drawn from them.
    """
    process, mark = started(data, folder, processes), folder / f"stages/{stage}.json"
    until = time.monotonic() + PATIENCE
    while not mark.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    delay = rng.uniform(0, seconds)
    time.sleep(delay)
    alive = workers(process, processes)
    done = mark.exists() and json.loads(mark.read_text())["done"]
    if alive and process.poll() is None:
        os.kill(rng.choice(alive), signal.SIGKILL)
    try:
        process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return f"{stage} {'just done' if done else 'at work'}, {delay:.2f} s after it began"


class Undisturbed:
    """A dataset, and a run on it that nothing disturbed."""

    def __init__(self, place: Path, processes: int = 1) -> None:
        self.place, self.processes = place, processes
        self.data, self.folder = place / "data", place / "reference"
        toy.write(self.data, train=8, val=4, test=1, size=32, progress=False)
        finished(self.data, self.folder, processes)
        metrics = json.loads((self.folder / "metrics.json").read_text())
        self.seconds = {stage: each["seconds"] for stage, each in metrics.items()}

    def trial(self, stage: str, seed: int) -> tuple[str, str]:
        """Kills one process in a stage, goes on, and compares; returns the outcome, and what was done."""
        folder = self.place / f"{stage}-{seed}"
        rng = Random(f"{stage} {seed} {self.processes}")
        words = killed(self.data, folder, stage, self.processes, rng, self.seconds[stage])
        finished(self.data, folder, self.processes)
        same = files(folder, *MADE) == files(self.folder, *MADE)
        same = same and figures(folder) == figures(self.folder)
        left = [str(path) for path in folder.rglob("*.part")]
        shutil.rmtree(folder)
        return ("mended" if same else "lost"), f"{words}; left: {left}"
