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


def load_state(path: str | Path, model: nn.Module) -> None:
    """Loads weights that :func:`save_state` wrote into ``model``.

    Raises:
        InputError: the file is missing or broken, or its weights are those of another network.
    """
    state = read_state(path, own=True)
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"the weights in {path} belong to another network than {type(model).__name__}: choose the backbone and the number "
            f"of classes that they were made with ({str(error).splitlines()[-1].strip()[:160]})",
            file=Path(path),
        ) from error


def read_state(path: str | Path, own: bool = False) -> dict[str, Tensor]:
    """Reads weights (safetensors, or a PyTorch file); nothing in the file is executed.

    Args:
        path: the file.
        own: it was written by :func:`save_state`, and so it must have a digest.

    Returns:
        Names and tensors. What trainings store around them (``state_dict``, ``model`` and the like) is taken off.

    Raises:
        InputError: the file is missing or broken, holds no weights, those of several networks, or one that is not a number.
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
            state = unwrapped(torch.load(path, map_location="cpu", weights_only=True), path)
        if not all(value.isfinite().all() for value in state.values()):
            raise ValueError("a weight is not a number")
    except InputError:
        raise
    except Exception as error:  # each library has its own errors for a broken file
        raise InputError(
            f"the weights file {path} cannot be read ({type(error).__name__}: {first_line(error)}): {remedy(error)}",
            file=path,
        ) from error
    return state


def unwrapped(found: object, path: Path) -> dict[str, Tensor]:
    """The names and tensors in what a training has stored: the only large dictionary of tensors.

    Raises:
        ValueError: there is none.
        InputError: there are several, such as a network and its moving average.
    """
    inside = {"": found} if isinstance(found, Mapping) else {}
    inside |= {k: v for each in inside.values() for k, v in each.items() if isinstance(v, Mapping)}
    states = {
        name: {k: v for k, v in each.items() if isinstance(v, Tensor)}
        for name, each in inside.items()
    }
    largest = max(states.values(), key=len, default={})
    if not largest:
        raise ValueError("it holds no tensors by their names")
    alike = [str(name) for name, each in states.items() if 2 * len(each) > len(largest)]
    if len(alike) > 1:
        raise InputError(
            f"the weights file {path} holds several networks ({', '.join(alike)}): save the one that you mean alone",
            file=path,
        )
    return largest


def remedy(error: Exception) -> str:
    """What to do with a file that cannot be read."""
    if "Unsupported global" in str(error) or "GLOBAL" in str(error):
        return "it holds a whole network or other objects, which is not executed here; save its state_dict() alone"
    return "make or fetch it again"


def first_line(error: Exception) -> str:
    """The beginning of what a library says of a file, without its advice to programmers."""
    return (str(error).splitlines() or [""])[0][:160]
