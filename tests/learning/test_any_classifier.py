"""Classifiers of other people are taken apart, or refused in words."""

import pytest
import torch
from torch import nn
from torchvision import models

from wsss_lib.data.layout import InputError
from wsss_lib.learning.any_classifier import taken_apart
from wsss_lib.learning.architectures import efficientnet_lite0
from wsss_lib.methods.advcam import Climbing, climb
from wsss_lib.methods.cam import cam

LINEAR = ["resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x0_5", "swin_t"]
OTHERS = ["mobilenet_v3_small", "convnext_tiny", "squeezenet1_1", "vit"]


def made(name):
    torch.manual_seed(0)
    if name == "vit":
        small = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8, "num_classes": 7}
        return models.VisionTransformer(image_size=32, patch_size=16, **small)
    return models.get_model(name, weights=None, num_classes=7).eval()


@pytest.mark.parametrize("name", LINEAR)
@torch.no_grad()
def test_the_logits_are_the_means_of_the_map(name):
    net = made(name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    found = taken_apart(net, name)
    image = torch.randn(2, 3, 192, 224)
    assert torch.allclose(found(image), net(image), atol=1e-4)
    mean = found.logit_map(image).mean(dim=(2, 3))
    bias = found.head.bias if found.head.bias is not None else 0
    assert torch.allclose(mean + bias, net(image), atol=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_networks_without_such_a_map_are_refused(name):
    with pytest.raises(InputError, match=f"{name}.*no class activation maps"):
        taken_apart(made(name), name)


def test_what_is_no_classifier_is_refused():
    with pytest.raises(InputError, match="no classifier"):
        taken_apart(nn.Conv2d(3, 4, 3), "a convolution")
    with pytest.raises(InputError, match="last layer"):
        taken_apart(
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2), nn.Softmax(1)),
            "one",
        )


def test_a_network_of_ones_own(tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = nn.Conv2d(3, 5, 3, stride=8), nn.Linear(5, 4, bias=False)

        def forward(self, x):
            return self.last(torch.tanh(self.body(x)).relu().mean((2, 3)))

    with pytest.raises(
        InputError, match="not given the mean"
    ):  # tanh is no module, and is not seen
        taken_apart(Own(), "own")
    Own.forward = lambda self, x: self.last(self.body(x).relu().mean((2, 3)))
    assert taken_apart(Own(), "own").rectified


# maps, against plain loops in float64


def literal_maps(net, feature, image, klass, steps, size, lam, threshold):
    """CAM and AdvCAM of one photo and class: Grad-CAM by autograd, one view at a time, one step at a time."""

    def look(view):
        seen = []
        hook = feature.register_forward_hook(lambda m, i, o: seen.append(o))
        logit = net(view)[0, klass]
        hook.remove()
        (weight,) = torch.autograd.grad(logit, seen[0], retain_graph=True)
        positive = (weight.sum(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1)[0].relu()
        return positive, (weight.sum(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1)[0]

    views = [image.clone(), image.flip(-1)]
    total, first = 0.0, None
    for step in range(steps):
        views = [view.detach().requires_grad_(True) for view in views]
        seen = [look(view) for view in views]
        map_hw = (seen[0][0] + seen[1][0].flip(-1)) / 2
        total = total + map_hw.detach()
        first = map_hw.detach() if first is None else first
        if step == steps - 1:
            break
        mask = map_hw.detach() > threshold * map_hw.detach().max()
        change = (mask * (map_hw - first).abs()).mean()
        objective = sum(one[1].mean() - lam * change for one in seen)
        grads = torch.autograd.grad(objective, views)
        largest = max(grad.abs().max() for grad in grads)
        views = [
            view.detach() + size * grad / (largest + 1e-12) for view, grad in zip(views, grads)
        ]
    return total


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
def test_advcam_of_a_network_is_that_of_a_plain_loop(name):
    torch.manual_seed(1)
    net = (
        (efficientnet_lite0() if name == "efficientnet_lite0" else models.resnet50(weights=None))
        .double()
        .eval()
    )
    found = taken_apart(net, name)
    image = torch.randn(1, 3, 96, 128, dtype=torch.float64)
    settings = Climbing(
        steps=3, step_size=0.05, regularization=2.0, regularization_unit="mean", mask_threshold=0.5, suppress="none",
        score="logit", clamp="none", view_weights="equal",
    )  # fmt: skip
    klass = torch.tensor([3])
    ours = climb(
        found, image, klass, torch.zeros(1, 1000).double().scatter(1, klass[:, None], 1), settings
    )[0]
    feature = net.layer4 if name == "resnet50" else net.features
    literal = literal_maps(net, feature, image, 3, 3, 0.05, 2.0, 0.5)
    assert torch.allclose(ours, literal, rtol=1e-6, atol=1e-9 * literal.max())
    one = cam(found, image, torch.zeros(1, 1000).scatter(1, klass[:, None], 1))
    assert one.shape[0] == 1 and one.amax() <= 1
