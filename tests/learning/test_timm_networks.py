"""Networks of timm as backbones: the features are timm's own, at the stride that is asked for."""

import sys

import pytest
import torch
from torch import nn

from wsss_lib.data.layout import InputError
from wsss_lib.learning.backbones import backbone, fold_norms
from wsss_lib.learning.timm_networks import timm_weights

timm = pytest.importorskip("timm")

CHANNELS = {
    "resnet18": [64, 64, 128, 256, 512],
    "efficientnet_lite0": [16, 24, 40, 112, 1280],
    "regnety_002": [32, 24, 56, 152, 368],
    "convnext_atto": [40, 80, 160, 320],
    "densenet121": [64, 256, 512, 1024, 1024],  # the last stage is a normalisation alone
}


def image(height=64, width=96, seed=0):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", CHANNELS)
@torch.no_grad()
def test_a_file_of_the_whole_network_gives_its_features(name, tmp_path):
    torch.manual_seed(1)
    theirs = timm.create_model(name, num_classes=5)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = backbone(f"timm/{name}", weights=tmp_path / "weights.pth", output_stride=32)
    assert net.training and net.channels == CHANNELS[name]
    assert net.eval()(image()).equal(theirs.eval().forward_features(image()))
    for stage, channels in enumerate(net.channels, 1):
        assert net.stages[:stage](image()).shape[1] == channels


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("stride", [16, 8])
@torch.no_grad()
def test_dilation_computes_the_same_features_at_more_places(name, stride):
    coarse = backbone(f"timm/{name}", output_stride=32).double().eval()
    fine = backbone(f"timm/{name}", output_stride=stride, dilated=True).double().eval()
    fine.load_state_dict(coarse.state_dict())
    step = 32 // stride
    first = (
        step - 1 if name.startswith("tf") else 0
    )  # TensorFlow pads behind before it pads in front
    found = fine(image().double())[..., first::step, first::step]
    torch.testing.assert_close(found, coarse(image().double()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dilated", [True, False])
@torch.no_grad()
def test_strides_are_those_of_our_own_networks(dilated):
    ours = backbone("resnet18", output_stride=8, dilated=dilated).double().eval()
    theirs = backbone("timm/resnet18", output_stride=8, dilated=dilated).double().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    torch.testing.assert_close(theirs(image().double()), ours(image().double()))


def test_frozen_stages_and_norms_do_not_learn():
    net = backbone("timm/resnet18", output_stride=16, frozen_stages=2, frozen_norm=True).train()
    asks = [any(weight.requires_grad for weight in stage.parameters()) for stage in net.stages]
    assert asks == [False, False, True, True, True]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_lite0", "regnety_002"])
@torch.no_grad()
def test_only_what_follows_a_convolution_is_folded(name):
    """In DenseNet normalisations come before their convolutions, in EfficientNet they are activations too."""
    net = backbone(f"timm/{name}", output_stride=32).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    plain = net(image().double())
    torch.testing.assert_close(fold_norms(net)(image().double()), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name, stride, sentence",
    [
        ("resnet81", 32, "no network timm/resnet81; look at .*resnet18"),
        ("densenet121", 16, "timm/densenet121 cannot have output stride 16; its coarsest is 32"),
        ("resnet18", 4, "timm/resnet18 cannot have output stride 4; its coarsest is 32"),
        ("vit_tiny_patch16_224", 16, "vit_tiny_patch16_224 do not follow one another"),
        ("hrnet_w18_small", 32, "hrnet_w18_small do not follow one another"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name, stride, sentence):
    with pytest.raises(InputError, match=sentence):
        backbone(f"timm/{name}", output_stride=stride)


def test_weights_that_cannot_be_had_are_said_in_one_sentence(monkeypatch):
    def unreachable(repository, file):
        raise OSError(f"no way\nto {repository}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(InputError, match=r"timm/resnet18\.a1_in1k.*--weights FILE") as caught:
        timm_weights("resnet18.a1_in1k")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no published weights"):
        timm_weights("test_resnet_without_weights")


def test_without_timm_it_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="pip install timm"):
        backbone("timm/resnet18", output_stride=32)
