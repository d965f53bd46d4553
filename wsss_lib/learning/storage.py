"""Weights as files: whole or not there, and nothing in them is executed.

A safetensors file has no checksum of its own, so that one flipped bit would be other weights, and other maps, without a
word. Here its header holds a digest of the weights (``sha256``), which is compared when they are loaded.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError, regular


def save_state(path: str | Path, model: nn.Module, **facts: str) -> None:
    """Writes the weights of ``model`` as safetensors, with ``facts`` in the header.

    Raises:
        InputError: a weight is not a finite number.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, value in state.items():
        if not value.isfinite().all():
            raise InputError(
                f"{path} was not written: the network has a weight that is not a number ({name}): lower the learning rate"
            )
    facts |= {"sha256": digest(state)}
    with atomic(path) as aside:  # bytes, since safetensors' own file would be left behind by a kill
        aside.write_bytes(safetensors.torch.save(state, metadata=facts))


def digest(state: Mapping[str, Tensor]) -> str:
    """Stands for names, types, shapes and values of weights on the CPU."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def load_state(path: str | Path, model: nn.Module, own: bool = False) -> None:
    """Loads weights (safetensors, or a PyTorch file) into ``model``; nothing in the file is executed.

    Args:
        path: the file.
        model: what it is loaded into.
        own: the file was written by :func:`save_state`, and so it must have a digest.

    Raises:
        InputError: the file is missing or broken, or its weights are those of another network.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"the weights file {path} does not exist")
    try:
        regular(path)
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
            with safetensors.safe_open(path, "pt") as file:
                expected = (file.metadata() or {}).get("sha256")
            if expected != digest(state) and (own or expected):
                raise ValueError("its weights are not those that were written")
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each library has its own errors for a broken file
        raise InputError(
            f"the weights file {path} cannot be read ({type(error).__name__}: {first_line(error)}): make or fetch it again",
            file=path,
        ) from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"the weights in {path} belong to another network than {type(model).__name__}: choose the backbone and the number "
            f"of classes that they were made with ({str(error).splitlines()[-1].strip()[:160]})",
            file=path,
        ) from error


def first_line(error: Exception) -> str:
    """The beginning of what a library says of a file, without its advice to programmers."""
    return (str(error).splitlines() or [""])[0][:160]
