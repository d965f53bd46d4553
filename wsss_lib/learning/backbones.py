"""Backbones: networks that turn photos into a grid of features, at a chosen output stride.

The output stride is the number of pixels from one cell of the feature grid to the next. A network made for stride 32 is
brought to a finer grid by not taking its last strides; with ``dilated`` the later convolutions are spread out so that each
still sees what it was trained on (the hole algorithm; Chen et al., "DeepLab", TPAMI 2018, section 3.1).
"""

import hashlib
import itertools
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights
from torchvision import models

from wsss_lib.data.layout import InputError
from wsss_lib.learning.storage import load_state

TOY_WEIGHTS = Path(__file__).parents[1] / "toy" / "backbone.safetensors"


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


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016, Fig. 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (residual + self.shortcut(x)).relu()


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


def toy_stages() -> tuple[list[nn.Module], list[int]]:
    """A residual network of 220,000 weights for the drawn dataset, stride 8."""
    stem = nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()
    )
    blocks = [ResidualBlock(24, 32, 2), ResidualBlock(32, 64, 2), ResidualBlock(64, 96)]
    return [stem, *blocks], [24, 32, 64, 96]


def resnet_stages(net: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """The stem and the four layers of a torchvision ResNet with bottleneck blocks, stride 32."""
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4], [64, 256, 512, 1024, 2048]


def mobilenet_stages(net: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """The features of torchvision's MobileNetV2, cut where its grid halves, stride 32."""
    cuts = [0, 2, 4, 7, 14, 19]
    stages = [net.features[start:end] for start, end in itertools.pairwise(cuts)]
    return stages, [16, 24, 32, 96, 1280]


TORCHVISION = {
    "resnet50": (models.resnet50, resnet_stages, models.ResNet50_Weights.IMAGENET1K_V1),
    "resnet101": (models.resnet101, resnet_stages, models.ResNet101_Weights.IMAGENET1K_V1),
    "mobilenet_v2": (
        models.mobilenet_v2,
        mobilenet_stages,
        models.MobileNet_V2_Weights.IMAGENET1K_V1,
    ),
}
NAMES = ("toy", *TORCHVISION)


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
        name: one of ``NAMES``.
        weights: ``"default"`` for the published ImageNet weights of torchvision (the papers' first version; downloaded once) or
            the toy network's own; a path to a local file of the same format; ``None`` for random weights.
        output_stride: pixels from one cell of the features to the next: 16 for the papers' classifier, 8 for DeepLab.
        dilated: spread the convolutions behind a stride that is not taken. The papers' classifier does not, DeepLab does.
        frozen_stages: the first stages, counted, whose weights get no gradient.
        frozen_norm: batch normalisation keeps its statistics while training, as in all the papers' networks.

    Raises:
        InputError: an unknown name; a stride that the network cannot have; a weights file that is
            missing, broken, or of another network.
    """
    if name not in NAMES:
        raise InputError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    freeze = {"frozen_stages": frozen_stages, "frozen_norm": frozen_norm}
    if name == "toy":
        net = Backbone(*toy_stages(), **freeze)
        if weights is not None:
            load_state(TOY_WEIGHTS if weights == "default" else weights, net)
    else:
        build, stages, _ = TORCHVISION[name]
        net = build()
        if weights is not None:
            load_state(published_weights(name) if weights == "default" else weights, net)
        net = Backbone(*stages(net), **freeze)
    set_output_stride(net, output_stride, dilated)
    return net


def published_weights(name: str) -> Path:
    """The file of the published ImageNet weights of a network; downloaded once, and compared with its checksum.

    Raises:
        InputError: it is not there and cannot be had.
    """
    url = TORCHVISION[name][2].url
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
    """Folds every batch normalisation into the convolution before it, in place, and returns the model.

    In evaluation mode a normalisation scales and shifts each channel, and so may the convolution itself: the model computes
    the same function in less time, and can no longer be trained. In all backbones here each normalisation is defined right
    behind its convolution.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            convolution = module
        elif isinstance(module, nn.BatchNorm2d):
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                module.running_mean,
                module.running_var,
                module.eps,
                module.weight,
                module.bias,
            )
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
    return model
