"""Weights to start from, as people have them: published ones, and files of their own.

Of a file only the features are used, whatever head it has or lacks. Its names may be those of the whole network or of our
backbone, with a prefix that another program put before them (``module.``, ``backbone.``, ``encoder_q.``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from wsss_lib.data.augmentation import MEAN, STD
from wsss_lib.data.layout import InputError
from wsss_lib.learning.storage import read_state

MOCO = "encoder_q."  # the network that learns; encoder_k is its moving average
DENSENET = re.compile(
    r"(denselayer\d+\.(?:norm|conv))\.([12])\."
)  # norm.1, as the published files have it
LITE0_STEM, LITE0_NORM = "_conv_stem.weight", "_bn0.running_mean"  # as its distribution names them


def load_features(path: str | Path, net: nn.Module, chain: nn.Module) -> None:
    """Loads the features of a network from a file; nothing in the file is executed.

    Args:
        path: safetensors or a PyTorch file.
        net: the whole network, whose names the file may have.
        chain: its features, which are loaded; the same tensors under other names.

    Raises:
        InputError: the file is missing or broken, lacks features of this network, or has them twice.
    """
    load_from(read_state(path), path, net, chain)


def load_from(
    state: Mapping[str, Tensor], path: str | Path, net: nn.Module, chain: nn.Module
) -> None:
    """The same of a file that has been read; ``path`` is for what is said."""
    state = {DENSENET.sub(r"\1\2.", name): value for name, value in state.items()}
    if LITE0_STEM in state:
        state = renamed_lite0(state, net)
    wanted = {id(tensor) for _, tensor in tensors(chain)}
    schemes = [{n: t for n, t in tensors(each) if id(t) in wanted} for each in (net, chain)]
    fits = [(names, prefix) for names in schemes for prefix in prefixes(state, names)]
    names, prefix = max(fits, key=lambda fit: matching(state, *fit), default=(schemes[0], ""))
    if matching(state, names, prefix) < len(names):
        lacking = [
            n for n, t in names.items() if getattr(state.get(prefix + n), "shape", None) != t.shape
        ]
        raise InputError(
            f"the weights in {path} belong to another network than {type(net).__name__}: {len(lacking)} of {len(names)} "
            f"tensors are missing or have another shape (the first is {lacking[0]}; the file has {next(iter(state))}): choose "
            "the backbone that they were made with",
            file=Path(path),
        )
    refuse_several(path, state, names, prefix)
    with torch.no_grad():
        for name, tensor in names.items():
            tensor.copy_(state[prefix + name])


def refuse_several(
    path: str | Path, state: Mapping[str, Tensor], names: Mapping[str, Tensor], prefix: str
) -> None:
    """Raises an InputError if other tensors of the file, under another prefix, fit as well: a student's and its teacher's."""
    others = [
        other
        for other in prefixes(state, names)
        if matching(state, names, other) == len(names)
        and any(not state[other + name].equal(state[prefix + name]) for name in names)
    ]
    if others and MOCO not in prefix:
        raise InputError(
            f"the weights file {path} holds several networks ({prefix}* and {others[0]}*): save the one that you mean alone",
            file=Path(path),
        )


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors that make the features: weights, and the statistics of normalisations."""
    yield from module.named_parameters()
    yield from ((n, t) for n, t in module.named_buffers() if not n.endswith("num_batches_tracked"))


def prefixes(state: Mapping[str, Tensor], names: Mapping[str, Tensor]) -> list[str]:
    """What may stand before the names in a file, in its order, but MoCo's learner before its moving average."""
    first = next(iter(names))
    found = dict.fromkeys(key.removesuffix(first) for key in state if key.endswith(first))
    return sorted(found, key=lambda prefix: MOCO not in prefix)


def matching(state: Mapping[str, Tensor], names: Mapping[str, Tensor], prefix: str) -> int:
    """How many tensors a file has of those that are wanted."""
    shapes = (
        getattr(state.get(prefix + name), "shape", None) == t.shape for name, t in names.items()
    )
    return sum(shapes)


def renamed_lite0(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """EfficientNet-Lite0's published weights under torchvision's names, for photos normalised as torchvision does.

    They were learned on ``(x - 127) / 128`` of pixels in [0, 255]; scale and shift go into the first convolution and the
    normalisation behind it.
    """
    scale_C = 255 * torch.tensor(STD) / 128
    shift_C = (255 * torch.tensor(MEAN) - 127) / 128
    state = dict(state)
    stem = state[LITE0_STEM]
    state[LITE0_STEM] = stem * scale_C[:, None, None]
    state[LITE0_NORM] = state[LITE0_NORM] - (stem * shift_C[:, None, None]).sum(dim=(1, 2, 3))
    return dict(zip(net.state_dict(), state.values()))  # the same tensors in the same order


def downloaded(url: str) -> Path:
    """A published file of weights; downloaded once, and compared with the checksum in its name.

    Raises:
        InputError: it is not there and cannot be had.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / url.rpartition("/")[2]
    if not file.is_file():
        (digest,) = re.findall(r"-([0-9a-f]{8,})\.", file.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), digest)  # aside, then renamed
        except (OSError, RuntimeError) as error:  # no network, no space; a wrong checksum
            raise InputError(
                f"the weights {file.name} are not in {folder} and could not be downloaded from {url} ({error}): bring them "
                "there, or give a file that you have with --weights FILE"
            ) from error
    return file


def weights_fingerprint(weights: str | Path | None) -> str:
    """Stands for weights that a network starts from: a name, or what is in a file.

    Raises:
        InputError: there is no such file.
    """
    if weights in (None, "default"):
        return str(weights)
    if not Path(weights).is_file():
        raise InputError(f"the weights file {weights} does not exist")
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
