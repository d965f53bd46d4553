"""Backbones: networks that turn photos into a grid of features, at a chosen output stride.

The output stride is the number of pixels from one cell of the feature grid to the next. A network made for stride 32 is
brought to a finer grid by not taking its last strides; with ``dilated`` the later convolutions are spread out so that each
still sees what it was trained on (the hole algorithm; Chen et al., "DeepLab", TPAMI 2018, section 3.1).
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from wsss_lib.data.layout import InputError
from wsss_lib.learning.architectures import NAMES, architecture
from wsss_lib.learning.timm_networks import PREFIX, timm_network, timm_weights
from wsss_lib.learning.weights import load_features


class Backbone(nn.Module):
    """A chain of stages, each a module, and the channels that each one gives.

    Args:
        stages: modules applied one after the other.
        channels: channels after each stage.
        frozen_stages: the first stages, counted, whose weights get no gradient.
        frozen_norm: batch normalisation keeps the statistics it was loaded with, also while training.
    """

    def __init__(
        self,
        stages: list[nn.Module],
        channels: list[int],
        *,
        frozen_stages: int = 0,
        frozen_norm: bool = False,
    ):
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.channels = channels
        self.frozen_norm = frozen_norm
        self.stages[:frozen_stages].requires_grad_(False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``feature_BChw`` of the last stage."""
        return self.stages(image_BCHW)

    def train(self, mode: bool = True):
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class ASPP(nn.Module):
    """The sum of dilated 3x3 convolutions, one for each rate (atrous spatial pyramid pooling, DeepLabV2, Fig. 7).

    Args:
        channels: channels of the features.
        outputs: channels of the sum.
        rates: dilation of each branch, in cells.
    """

    def __init__(self, channels: int, outputs: int, rates: tuple[int, ...]):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, outputs, 3, padding=rate, dilation=rate) for rate in rates
        )
        for branch in self.branches:  # DeepLab starts its head close to zero
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, feature_BChw: Tensor) -> Tensor:
        return sum(branch(feature_BChw) for branch in self.branches)


def backbone(
    name: str,
    *,
    weights: str | Path | None = None,
    output_stride: int,
    dilated: bool = False,
    frozen_stages: int = 0,
    frozen_norm: bool = False,
) -> Backbone:
    """Builds a backbone.

    Args:
        name: one of `wsss_lib.learning.architectures.NAMES`, or ``timm/`` and a network of timm.
        weights: ``"default"`` for the published ImageNet weights (torchvision's first version, as in the papers, downloaded
            once; the toy network's own); a file, see `wsss_lib.learning.weights`; ``None`` for random weights.
        output_stride: pixels from one cell of the features to the next: 16 for the papers' classifier, 8 for DeepLab.
        dilated: spread the convolutions behind a stride that is not taken. The papers' classifier does not, DeepLab does.
        frozen_stages: the first stages, counted, whose weights get no gradient.
        frozen_norm: batch normalisation keeps its statistics while training, as in all the papers' networks.

    Raises:
        InputError: an unknown name; a stride that the network cannot have; a weights file that is
            missing, broken, or of another network.
    """
    if name.startswith(PREFIX):
        theirs = name.removeprefix(PREFIX)
        net, parts = timm_network(theirs, output_stride, dilated)
        published = partial(timm_weights, theirs)
    else:
        net = architecture(name).build()
        parts, published = architecture(name).stages(net), architecture(name).published
    chain = Backbone(*parts, frozen_stages=frozen_stages, frozen_norm=frozen_norm)
    if weights is not None:
        load_features(published() if weights == "default" else weights, net, chain)
    if not name.startswith(PREFIX):
        set_output_stride(chain, output_stride, dilated)
    return chain


def refuse_unknown(name: str | None) -> None:
    """Raises a ValueError if no backbone has this name; whether timm has it is seen when it is built. None is left out."""
    if name is not None and name not in NAMES and not name.startswith(PREFIX):
        raise ValueError(f"backbone must be {', '.join(NAMES)} or {PREFIX}NAME, but is {name}")


def set_output_stride(net: Backbone, output_stride: int, dilated: bool) -> None:
    """Takes strides until ``output_stride`` is reached and none after it.

    The convolution that loses its stride keeps its own dilation: it reads the same cells as before, at more places.
    Only those behind it see a finer grid than they were trained on, and are spread out.
    """
    stride = dilation = 1
    skipping = False
    for module in net.modules():
        if isinstance(module, nn.MaxPool2d):
            stride *= 2
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            if skipping and module.stride == (
                2,
                2,
            ):  # the shortcut beside the convolution before it
                module.stride = (1, 1)
        elif isinstance(module, nn.Conv2d):
            module.dilation = (dilation, dilation)
            module.padding = tuple(dilation * (size // 2) for size in module.kernel_size)
            if module.stride == (2, 2):
                skipping = stride >= output_stride
                if skipping:
                    module.stride = (1, 1)
                    dilation *= 2 if dilated else 1
                else:
                    stride *= 2
    if stride != output_stride:
        raise InputError(
            f"this backbone cannot have output stride {output_stride}; its coarsest is {stride}"
        )


def fold_norms(model: nn.Module) -> nn.Module:
    """Folds every batch normalisation into the convolution before it, in place, and returns the model in evaluation mode.

    In evaluation mode a normalisation scales and shifts each channel, and so may the convolution itself: the model computes
    the same function in less time, and can no longer be trained. A normalisation that does more, or is given something else
    than what a convolution has made, stays.
    """
    names = {module: name for name, module in model.named_modules()}
    for norm, convolution in norms_of_convolutions(model.eval()):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        parent, _, child = names[norm].rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    return model


@torch.no_grad()
def norms_of_convolutions(model: nn.Module) -> list[tuple[nn.BatchNorm2d, nn.Conv2d]]:
    """Each batch normalisation that is given what a convolution has made, and that convolution: seen on a small photo."""
    made: dict[
        int, tuple[nn.Conv2d, Tensor]
    ] = {}  # the tensors too, so that no other gets the same id
    pairs = []

    def look(module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module, output
        elif id(given[0]) in made:
            pairs.append((module, made[id(given[0])][0]))

    hooks = [
        module.register_forward_hook(look)
        for module in model.modules()
        if type(module) is nn.BatchNorm2d or isinstance(module, nn.Conv2d)
    ]
    try:
        model(torch.zeros(1, 3, 64, 64).to(next(model.parameters())))
    finally:
        for hook in hooks:
            hook.remove()
    return pairs
