"""A classifier that somebody else has trained, taken apart as class activation maps need it.

What AdvCAM asks of a network is that its logits are a linear function of the mean of a map of features. Which map and which
function is found by looking at a photo: the last linear layer, and the last map whose mean that layer is given. Networks
that do something else behind their pooling have no such map, and are refused.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.layout import InputError

PROBE = (
    2,
    3,
    256,
    288,
)  # of a photo that every network here can look at; the last grid is 8 x 9 at stride 32
AGREES = 1e-3  # of the largest value: how far a mean may be from what the last layer is given


class AnyClassifier(nn.Module):
    """A trained network in two parts, with the interface of `wsss_lib.methods.cam.Classifier`.

    Its logits are the means of its `logit_map`, plus a bias a class. The bias is the same at every place of every photo, so
    it is no evidence for a place: maps leave it out, as CAM does (Zhou et al., CVPR 2016, section 2).

    Args:
        net: the whole network, in evaluation mode.
        place: the module in it whose output is the map of features.
        rectified: only the positive part of that output is.
        head: the linear layer.
    """

    def __init__(self, net: nn.Module, place: nn.Module, rectified: bool, head: nn.Module):
        super().__init__()
        self.net, self.head, self.rectified = net, head, rectified
        self.__dict__["place"] = place  # a part of net, which is not to be counted twice

    def features(self, image_BCHW: Tensor) -> Tensor:
        """``feature_BChw``: what the network makes of photos up to its pooling."""
        feature_BChw = output_of(self.net, self.place, image_BCHW)
        return feature_BChw.relu() if self.rectified else feature_BChw

    def logit_map(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``logit_BKhw``; its mean over the cells is ``forward`` without the bias."""
        weight_KC11 = self.head.weight.flatten(1)[:, :, None, None]
        return F.conv2d(self.features(image_BCHW), weight_KC11)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``logit_BK``."""
        logit_BK = self.logit_map(image_BCHW).mean(dim=(2, 3))
        return logit_BK if self.head.bias is None else logit_BK + self.head.bias


class Enough(Exception):
    """What was wanted has been seen: the rest of a network need not be computed."""


def output_of(net: nn.Module, place: nn.Module, image_BCHW: Tensor) -> Tensor:
    """What a module inside a network gives for photos; what stands behind it is not computed."""
    seen: list[Tensor] = []

    def look(module: nn.Module, given: tuple, made: Tensor) -> None:
        seen.append(made)
        raise Enough

    hook = place.register_forward_hook(look)
    try:
        net(image_BCHW)
    except Enough:
        pass
    finally:
        hook.remove()
    return seen[0]


@torch.no_grad()
def taken_apart(net: nn.Module, name: str) -> AnyClassifier:
    """Finds the map of features and the last layer of a classifier, and checks that they give its logits.

    Args:
        net: the network; it is put into evaluation mode.
        name: of it, for what is said.

    Raises:
        InputError: it is no classifier of photos whose logits are linear in the mean of a map.
    """
    net.eval()
    weight = next(net.parameters())
    probe_BCHW = torch.randn(PROBE, generator=torch.Generator().manual_seed(0)).to(weight)
    try:
        calls, logit_BK = watched(net, probe_BCHW)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        size = f"{PROBE[3]} x {PROBE[2]}"
        raise InputError(
            f"{name} cannot look at photos of {size} pixels, so it has no class activation maps of any size ({error})"
        ) from error
    if not isinstance(logit_BK, Tensor) or logit_BK.ndim != 2:
        raise InputError(
            f"{name} is no classifier: it does not give one number for each photo and class"
        )
    head = next((call for call in reversed(calls) if is_head(*call, logit_BK)), None)
    if head is None:
        raise InputError(
            f"the last layer of {name} is not a linear one that gives its logits, so it has no class activation maps"
        )
    layer, pooled_BC, _ = head
    times = Counter(id(module) for module, _, _ in calls)
    for module, _, feature_BChw in reversed(calls[: calls.index(head)]):
        if times[id(module)] == 1 and is_map(feature_BChw):
            for rectified in (False, True):
                mean_BC = (feature_BChw.relu() if rectified else feature_BChw).mean(dim=(2, 3))
                if close(mean_BC, pooled_BC.flatten(1)):
                    found = AnyClassifier(net, module, rectified, layer)
                    if close(found(probe_BCHW), logit_BK):
                        return found
    raise InputError(
        f"the last layer of {name} is not given the mean of a map of features: something else stands behind its pooling (as in "
        "VGG, MobileNetV3, ConvNeXt and ViT), so it has no class activation maps; take a network such as a ResNet"
    )


Call = tuple[nn.Module, Tensor, Tensor]


def watched(net: nn.Module, image_BCHW: Tensor) -> tuple[list[Call], object]:
    """Every call of a module that takes and gives one tensor, in the order of their ends; and what the network gives."""
    calls: list[Call] = []

    def look(module: nn.Module, given: tuple, made: object) -> None:
        if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(made, Tensor):
            calls.append((module, given[0], made))

    hooks = [module.register_forward_hook(look) for module in net.modules() if module is not net]
    try:
        return calls, net(image_BCHW)
    finally:
        for hook in hooks:
            hook.remove()


def is_head(module: nn.Module, given: Tensor, made: Tensor, logit_BK: Tensor) -> bool:
    """Whether a call was that of a linear layer which gave the logits."""
    linear = isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    )
    return linear and made.numel() == logit_BK.numel() and torch.equal(made.flatten(1), logit_BK)


def is_map(made: Tensor) -> bool:
    """Whether something has rows and columns."""
    return made.ndim == 4 and min(made.shape[2:]) > 1


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same but for rounding."""
    return one.shape == other.shape and bool(
        (one - other).abs().max() <= AGREES * other.abs().max()
    )


def named_head(net: nn.Module, name: str) -> str:
    """The name of the last layer inside a network."""
    head = taken_apart(net, name).head
    return next(each for each, module in net.named_modules() if module is head)
