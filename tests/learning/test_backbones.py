import hashlib
from dataclasses import replace
from functools import partial

import pytest
import torch
import torchvision

from wsss_lib.data.layout import InputError
from wsss_lib.learning.architectures import ARCHITECTURES, NAMES, architecture
from wsss_lib.learning.backbones import ASPP, backbone, fold_norms
from wsss_lib.learning.storage import save_state
from wsss_lib.learning.weights import downloaded, weights_fingerprint


def randomised(net):
    """Normalisation layers that do something, in evaluation mode."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize(
    "name, stride, channels",
    [
        ("toy", 8, 96),
        ("toy", 4, 96),
        ("resnet50", 16, 2048),
        ("resnet50", 32, 2048),
        ("resnet101", 8, 2048),
        ("mobilenet_v2", 16, 1280),
        ("mobilenet_v2", 8, 1280),
        ("resnet18", 16, 512),
        ("resnet34", 8, 512),
        ("efficientnet_lite0", 16, 1280),
        ("efficientnet_lite0", 8, 1280),
    ],
)
@pytest.mark.parametrize("dilated", [False, True])
@torch.no_grad()
def test_features_have_the_chosen_stride(name, stride, channels, dilated):
    net = backbone(name, output_stride=stride, dilated=dilated).eval()
    feature = net(torch.randn(1, 3, 64, 96))
    assert feature.shape == (1, channels, 64 // stride, 96 // stride)
    assert net.channels[-1] == channels and len(net.channels) == len(net.stages)


@pytest.mark.parametrize(
    "name, coarse, fine",
    [("toy", 8, 4), ("toy", 8, 2)]
    + [(name, 32, 8) for name in ("mobilenet_v2", "resnet18", "efficientnet_lite0")],
)
@torch.no_grad()
def test_dilation_computes_the_same_features_at_more_places(name, coarse, fine):
    net = randomised(backbone(name, output_stride=coarse).double())
    dense = backbone(name, output_stride=fine, dilated=True).double().eval()
    dense.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    step = coarse // fine
    torch.testing.assert_close(dense(image)[..., ::step, ::step], net(image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("replace, stride", [([False, False, True], 16), ([False, True, True], 8)])
@torch.no_grad()
def test_dilated_resnet_equals_torchvision(replace, stride):
    theirs = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=replace)
    randomised(theirs.double())
    ours = backbone("resnet50", output_stride=stride, dilated=True).double().eval()
    state = list(theirs.state_dict().values())[:-2]  # without the fully connected layer
    ours.load_state_dict(dict(zip(ours.state_dict(), state, strict=True)))
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    features = torch.nn.Sequential(*list(theirs.children())[:-2])
    torch.testing.assert_close(ours(image), features(image), rtol=1e-9, atol=1e-9)


def test_a_local_file_in_torchvisions_format_is_loaded(tmp_path):
    torch.manual_seed(1)
    theirs = torchvision.models.mobilenet_v2(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = backbone("mobilenet_v2", weights=tmp_path / "weights.pth", output_stride=32)
    torch.testing.assert_close(net.stages[0][0][0].weight, theirs.features[0][0].weight)
    torch.testing.assert_close(net.stages[-1][-1][0].weight, theirs.features[-1][0].weight)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A place that publishes weights of MobileNetV2, and a cache that is empty; returns the published file."""
    torch.manual_seed(2)
    made = tmp_path / "server" / "made.pth"
    made.parent.mkdir()
    torch.save(torchvision.models.mobilenet_v2(weights=None).state_dict(), made)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()[:8]
    file = made.rename(made.with_name(f"mobilenet_v2-{digest}.pth"))
    there = replace(ARCHITECTURES["mobilenet_v2"], published=partial(downloaded, file.as_uri()))
    monkeypatch.setitem(ARCHITECTURES, "mobilenet_v2", there)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return file


def test_published_weights_are_downloaded_once(server, tmp_path):
    state = torch.load(server, weights_only=True)
    for _ in range(2):
        net = backbone("mobilenet_v2", weights="default", output_stride=32)
        assert torch.equal(net.stages[0][0][0].weight, state["features.0.0.weight"])
        server.unlink(missing_ok=True)
    assert (
        architecture("mobilenet_v2").published().parent == tmp_path / "home" / "hub" / "checkpoints"
    )


def damaged(server, folder):
    server.write_bytes(server.read_bytes()[:-1])


def not_there(server, folder):
    server.unlink()


def no_place(server, folder):
    folder.parents[1].write_text("a file where the folder should be")


@pytest.mark.parametrize("trouble", [damaged, not_there, no_place])
def test_weights_that_cannot_be_had_are_said_in_one_sentence(trouble, server, tmp_path):
    folder = tmp_path / "home" / "hub" / "checkpoints"
    trouble(server, folder)
    with pytest.raises(InputError) as caught:
        backbone("mobilenet_v2", weights="default", output_stride=32)
    sentence = str(caught.value)
    for part in (server.name, str(folder), server.as_uri(), "--weights FILE"):
        assert part in sentence
    assert "\n" not in sentence
    assert not list(folder.glob("*"))  # nothing half-written


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("toy", "efficientnet_lite0")])
def test_every_download_is_compared_with_its_checksum(name, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *given: asked.append(given))
    file = architecture(name).published()
    ((url, target, digest),) = asked
    assert target == str(file) and file.name == f"{name}-{digest}.pth" and len(digest) == 8
    assert url.endswith(f"/{file.name}")


def test_a_fingerprint_follows_what_is_in_a_file(tmp_path):
    one, other = tmp_path / "one.pth", tmp_path / "other.pth"
    one.write_bytes(b"some weights")
    before = weights_fingerprint(one)
    one.rename(other)
    assert weights_fingerprint(str(other)) == before
    other.write_bytes(b"others")
    assert weights_fingerprint(other) != before
    assert weights_fingerprint("default") != weights_fingerprint(None)
    with pytest.raises(InputError, match=r"one\.pth does not exist"):
        weights_fingerprint(one)


def test_weights_of_another_network_are_refused(tmp_path):
    save_state(tmp_path / "toy.safetensors", backbone("toy", output_stride=8))
    with pytest.raises(InputError, match=r"toy\.safetensors belong to another network"):
        backbone("resnet50", weights=tmp_path / "toy.safetensors", output_stride=16)
    with pytest.raises(InputError, match=r"nowhere\.pth does not exist"):
        backbone("toy", weights=tmp_path / "nowhere.pth", output_stride=8)
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(InputError, match=r"broken\.pth cannot be read"):
        backbone("toy", weights=tmp_path / "broken.pth", output_stride=8)


def test_a_weights_file_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError):
        backbone("toy", weights=tmp_path / "trap.pth", output_stride=8)
    assert not (tmp_path / "sprung").exists()


def test_names_and_strides_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="unknown backbone 'resnet5'.*resnet50.*timm/NAME"):
        backbone("resnet5", output_stride=16)
    with pytest.raises(ValueError, match="stride 16"):
        backbone("toy", output_stride=16)


def test_frozen_stages_and_norms_do_not_learn():
    net = backbone("toy", output_stride=8, frozen_stages=2, frozen_norm=True).train()
    asks = [any(w.requires_grad for w in stage.parameters()) for stage in net.stages]
    assert asks == [False, False, True, True]
    before = {name: value.clone() for name, value in net.named_buffers()}
    net(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    free = backbone("toy", output_stride=8).train()
    free(torch.randn(2, 3, 32, 32))
    assert any("num_batches" in name and value > 0 for name, value in free.named_buffers())


def test_aspp_is_the_sum_of_its_branches():
    aspp = ASPP(3, 2, (1, 2))
    x = torch.randn(1, 3, 9, 9)
    literal = sum(
        torch.nn.functional.conv2d(x, b.weight, b.bias, padding=r, dilation=r)
        for b, r in zip(aspp.branches, (1, 2))
    )
    torch.testing.assert_close(aspp(x), literal)


STRIDES = {name: 4 if name == "toy" else 8 for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_folding_the_normalisations_changes_nothing_but_the_time(name):
    net = randomised(backbone(name, output_stride=STRIDES[name], dilated=True).double())
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    image = torch.randn(1, 3, 64, 48, dtype=torch.float64)
    plain = net(image)
    folded = fold_norms(net)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(image), plain, rtol=1e-9, atol=1e-9)
