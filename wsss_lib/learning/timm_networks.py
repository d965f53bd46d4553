"""Networks of timm as backbones: any whose parts follow one another, at any output stride that timm gives it.

Which parts make the features, and where they are cut into stages, is found and not listed: timm says behind which parts the
grid halves, and a small photo is sent through the network and through its parts, which must come to the same.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from wsss_lib.data.layout import InputError

PREFIX = "timm/"
SIDES = 96, 128  # pixels of the photo that is sent through: whole cells at stride 32
Stages = tuple[list[nn.Module], list[int]]


def timm() -> ModuleType:
    """The library.

    Raises:
        InputError: it is not installed.
    """
    try:
        import timm as library
    except ImportError:
        raise InputError("networks called timm/NAME need timm: pip install timm") from None
    return library


def timm_network(name: str, output_stride: int, dilated: bool) -> tuple[nn.Module, Stages]:
    """Builds a network with random weights.

    Args:
        name: of timm, such as ``resnet50`` or ``resnet50.a1_in1k``.
        output_stride: pixels from one cell of its features to the next.
        dilated: spread the convolutions behind a stride that is not taken, as timm does.

    Returns:
        The whole network; its features, cut where the grid halves, and the channels after each stage.

    Raises:
        InputError: timm has no such network, it cannot have the stride, or its parts do not follow one another.
    """
    refuse_unknown_model(name)
    net = timm().create_model(name).eval()
    coarsest = net.feature_info[-1]["reduction"]
    if output_stride != coarsest:
        net = restrided(name, net, output_stride, dilated)
    parts, seen = features(name, net)
    height, width = (side // output_stride for side in SIDES)
    if seen[-1].shape[2:] != (height, width):
        raise impossible(name, output_stride, coarsest)
    ends = stage_ends([part for part, _ in parts], [each["module"] for each in net.feature_info])
    modules, begin = [module for _, module in parts], 0
    stages = []
    for end in ends:
        stages.append(nn.Sequential(*modules[begin:end]))
        begin = end
    return net.train(), (stages, [seen[end - 1].shape[1] for end in ends])


def refuse_unknown_model(name: str) -> None:
    """Raises an InputError, with the names that are near, if timm has no network of this name."""
    models, model = timm().list_models(), name.partition(".")[0]
    if model not in models:
        near = ", ".join(difflib.get_close_matches(model, models)) or "timm.list_models() in Python"
        raise InputError(f"there is no network {PREFIX}{name}; look at {near}")


def restrided(name: str, net: nn.Module, output_stride: int, dilated: bool) -> nn.Module:
    """The same network at a finer output stride."""
    try:
        finer = timm().create_model(name, output_stride=output_stride).eval()
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise impossible(name, output_stride, net.feature_info[-1]["reduction"]) from error
    if not dilated:  # timm always spreads them
        for convolution, plain in zip(finer.modules(), net.modules()):
            if isinstance(convolution, nn.Conv2d) and convolution.dilation != plain.dilation:
                unspread(convolution)
    return finer


def unspread(convolution: nn.Conv2d) -> None:
    """Takes the dilation away, and the padding that is there for it."""
    if not isinstance(convolution.padding, str):
        spread = zip(convolution.padding, convolution.dilation)
        convolution.padding = tuple(padding // dilation for padding, dilation in spread)
    convolution.dilation = (1, 1)


def impossible(name: str, output_stride: int, coarsest: int) -> InputError:
    """What is said of a stride that a network cannot have."""
    return InputError(
        f"the backbone {PREFIX}{name} cannot have output stride {output_stride}; its coarsest is {coarsest}"
    )


@torch.no_grad()
def features(name: str, net: nn.Module) -> tuple[list[tuple[str, nn.Module]], list[Tensor]]:
    """The parts of a network that make its features one after the other, by name, and what each makes of a small photo."""
    image_BCHW = torch.linspace(-2, 2, 3 * SIDES[0] * SIDES[1]).reshape(1, 3, *SIDES).sin()
    parts = unfolded(net, [each["module"] for each in net.feature_info])
    seen: list[Tensor] = []
    try:
        feature_BChw = net.forward_features(image_BCHW)
        for _, part in parts:
            seen.append(part(seen[-1] if seen else image_BCHW))
    except (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError):
        pass  # a head that wants something else comes behind the features
    same = [n for n, made in enumerate(seen, 1) if is_same(made, feature_BChw)]
    if not same or feature_BChw.ndim != 4:
        raise InputError(
            f"the parts of {PREFIX}{name} do not follow one another, or see no photos of any size: choose another backbone"
        )
    return parts[: same[0]], seen[: same[0]]


def is_same(made: object, feature_BChw: Tensor) -> bool:
    """Whether a part has made the features."""
    return (
        isinstance(made, Tensor)
        and made.shape == feature_BChw.shape
        and bool(made.equal(feature_BChw))
    )


def unfolded(net: nn.Module, ends: list[str], prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The parts of a network in order; one within which a stage ends is taken apart."""
    parts = []
    for name, module in net.named_children():
        if any(end.startswith(f"{prefix}{name}.") for end in ends):
            parts += unfolded(module, ends, f"{prefix}{name}.")
        else:
            parts.append((f"{prefix}{name}", module))
    return parts


def stage_ends(parts: list[str], ends: list[str]) -> list[int]:
    """How many parts there are up to the end of each stage; what follows the last belongs to it."""
    inner = [parts.index(end) + 1 for end in ends[:-1]]
    return [*dict.fromkeys(inner), len(parts)]


def timm_weights(name: str) -> Path:
    """The file of a network's published weights, downloaded once.

    Raises:
        InputError: there are none, or they cannot be had.
    """
    config = timm().get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise InputError(
            f"{PREFIX}{name} has no published weights: give a file with --weights FILE"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(config.hf_hub_id, "model.safetensors"))
    except Exception as error:  # no network, no such file: each in the words of another library
        raise InputError(
            f"the weights of {PREFIX}{name} could not be downloaded from {config.hf_hub_id} ({type(error).__name__}): give a "
            "file that you have with --weights FILE"
        ) from error
