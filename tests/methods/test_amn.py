import math

import pytest
import torch

from wsss_lib.data.augmentation import scaled
from wsss_lib.data.layout import VOID
from wsss_lib.learning.backbones import backbone
from wsss_lib.methods.amn import (
    AMN,
    absent_foreground,
    amn_maps,
    label_probability,
    min_max_normalised,
    nearest,
    per_pixel_loss,
)


def network(classes=3, **settings):
    torch.manual_seed(0)
    net = backbone("toy", output_stride=4, dilated=True)
    return AMN(net, classes, rates=(1, 2), **settings).double()


def literal_loss(logit_BLhw, label_Bhw, smoothing, balanced):
    """Pixel by pixel, label by label."""
    B, L, h, w = logit_BLhw.shape
    groups = {"background": [], "foreground": []}
    for b in range(B):
        for y in range(h):
            for x in range(w):
                label = int(label_Bhw[b, y, x])
                if label == VOID:
                    continue
                total = sum(math.exp(float(v)) for v in logit_BLhw[b, :, y, x])
                value = 0.0
                for k in range(L):
                    target = 1 - smoothing if k == label else smoothing / (L - 1)
                    value -= target * math.log(math.exp(float(logit_BLhw[b, k, y, x])) / total)
                groups["background" if label == 0 else "foreground"].append(value)
    means = [sum(group) / len(group) if group else 0.0 for group in groups.values()]
    if balanced:
        return sum(means) / 2
    values = groups["background"] + groups["foreground"]
    return sum(values) / max(len(values), 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("labels", ["mixed", "background", "foreground", "void"])
def test_loss_equals_the_equation(smoothing, balanced, labels):
    torch.manual_seed(1)
    logits = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    label = {
        "mixed": torch.tensor([0, 0, 1, 2, 3, VOID])[torch.randint(6, (2, 5, 6))],
        "background": torch.zeros(2, 5, 6, dtype=torch.long),
        "foreground": torch.randint(1, 4, (2, 5, 6)),
        "void": torch.full((2, 5, 6), VOID),
    }[labels]
    loss = per_pixel_loss(logits, label, smoothing=smoothing, balanced=balanced)
    literal = literal_loss(logits.detach(), label, smoothing, balanced)
    assert loss.item() == pytest.approx(literal, rel=1e-9, abs=1e-12)
    loss.backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad.abs().sum() > 0) == (labels != "void")


def test_labels_are_read_at_the_centre_of_their_cell():
    label = torch.arange(100).view(1, 10, 10)
    ours = nearest(label, (4, 3))
    for y in range(4):
        for x in range(3):
            assert ours[0, y, x] == label[0, int((y + 0.5) * 10 / 4), int((x + 0.5) * 10 / 3)]
    assert (nearest(torch.full((1, 8, 8), VOID), (2, 2)) == VOID).all()


def test_features_are_multiplied_by_a_linear_function_of_the_tags():
    model = network().eval()
    image, tags = (
        torch.randn(2, 3, 32, 32).double(),
        torch.tensor([[1.0, 0, 1], [0, 1, 0]]).double(),
    )
    feature = model.backbone(image)
    gain = tags @ model.gain.weight.T + model.gain.bias
    literal = model.head(feature * gain[:, :, None, None])
    torch.testing.assert_close(model(image, tags), literal, rtol=1e-9, atol=1e-12)
    assert model(image, tags).shape == (2, 4, 8, 8)


def test_conditioning_can_be_moved_and_turned_off():
    image = torch.randn(1, 3, 32, 32).double()
    for stage in (0, -1):
        model = network(condition_stage=stage).eval()
        assert model.gain.out_features == model.backbone.channels[stage]
        assert not torch.equal(*[model(image, torch.eye(3)[i : i + 1].double()) for i in (0, 1)])
    plain = network(condition_stage=None).eval()
    assert torch.equal(*[plain(image, torch.eye(3)[i : i + 1].double()) for i in (0, 1)])
    assert not any("gain" in name for name, _ in plain.named_parameters())


def test_dropout_is_off_at_test_time():
    model = network(dropout=0.5).eval()
    image, tags = torch.randn(1, 3, 32, 32).double(), torch.ones(1, 3).double()
    assert torch.equal(model(image, tags), model(image, tags))
    model.train()
    assert not torch.equal(model(image, tags), model(image, tags))


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.5)], ids=str)
def test_maps_equal_the_official_procedure(scales):
    model = network().eval()
    images = torch.randn(2, 3, 40, 32).double()
    tags = torch.tensor([[1.0, 0, 1], [0, 1, 0]]).double()
    gate = torch.randint(0, 4, (2, 40, 32))
    probability = label_probability(model, images, tags, scales)
    ours, gated = amn_maps(probability, tags), amn_maps(probability, tags, gate)
    for number, (b, c) in enumerate([(0, 0), (0, 2), (1, 1)]):
        total = 0.0
        for scale in scales:
            for mirrored in (False, True):
                image = scaled(images[b, None], scale)
                with torch.no_grad():
                    logit = model(image.flip(-1) if mirrored else image, tags[b, None])
                logit = logit.flip(-1) if mirrored else logit
                total = total + torch.nn.functional.interpolate(logit, (10, 8), mode="bilinear")
        raw = (total / (2 * len(scales))).softmax(dim=1)[0, c + 1]
        stretched = (raw - raw.min()) / (raw.max() - raw.min())
        torch.testing.assert_close(ours[number], stretched, rtol=1e-6, atol=1e-12)
        background = nearest(gate[b, None], (10, 8))[0] == 0
        assert background.any() and not background.all()
        literal = torch.where(background, raw, stretched)
        torch.testing.assert_close(gated[number], literal, rtol=1e-6, atol=1e-12)


def test_in_mixed_precision_logits_are_averaged_in_float32():
    model, seen = network().float().eval(), []
    model.register_forward_hook(lambda module, given, logits: seen.append(logits))
    image, tags = torch.randn(1, 3, 32, 32), torch.ones(1, 3)
    with torch.autocast("cpu", torch.bfloat16):
        ours = label_probability(model, image, tags, (0.5, 1.0, 1.5))
    assert {logits.dtype for logits in seen} == {torch.bfloat16}
    total = torch.zeros(1, 4, 8, 8)
    for logits in seen:
        for logit in (logits[:1].float(), logits[1:].float().flip(-1)):
            total += torch.nn.functional.interpolate(logit, (8, 8), mode="bilinear")
    torch.testing.assert_close(ours, (total / 6).softmax(dim=1), rtol=1e-5, atol=1e-6)


def test_a_flat_map_stays_finite():
    assert torch.equal(min_max_normalised(torch.full((1, 3, 3), 0.2)), torch.zeros(1, 3, 3))


def test_absent_foreground_counts_classes_without_a_tag():
    label = torch.tensor([[0, 1, 2], [2, 3, 0]], dtype=torch.uint8)
    assert absent_foreground(label, torch.tensor([1, 0, 1])) == (2, 4)
    assert absent_foreground(label, torch.tensor([1, 1, 1])) == (0, 4)
