"""Where a result comes from: versions, code, machine, command line, date."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision

import wsss_lib


def provenance(seed: int | None = None) -> dict:
    """Everything besides the recipe that a result may depend on, and the date."""
    program = Path(sys.argv[0]).name
    program = "python -m wsss_lib" if program == "__main__.py" else program
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join([*program.split(" "), *sys.argv[1:]]),
        "seed": seed,
        "wsss_lib": wsss_lib.__version__,
        **_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "device": _device(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _commit() -> dict:
    """The commit of this code, if it is run from its own repository and not from an installed copy inside another one."""
    root = Path(wsss_lib.__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() == root.resolve():
            dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
            return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": None, "dirty": None}


def _device() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"
