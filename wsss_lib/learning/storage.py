"""Weights as files: whole or not there, and nothing in them is executed."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError


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
    with atomic(path) as aside:  # bytes, since safetensors' own file would be left behind by a kill
        aside.write_bytes(safetensors.torch.save(state, metadata=facts))


def load_state(path: str | Path, model: nn.Module) -> None:
    """Loads weights (safetensors, or a PyTorch file) into ``model``; nothing in the file is executed.

    Raises:
        InputError: the file is missing or broken, or its weights are those of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each library has its own errors for a broken file
        raise InputError(
            f"the weights file {path} cannot be read ({type(error).__name__}): make or fetch it again",
            file=path,
        ) from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"the weights in {path} belong to another network than {type(model).__name__}: choose the backbone and the number "
            f"of classes that they were made with ({str(error).splitlines()[-1].strip()[:160]})"
        ) from error
