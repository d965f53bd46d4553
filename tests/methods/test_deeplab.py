import pytest
import torch
import torch.nn.functional as F

from wsss_lib.data.augmentation import scaled
from wsss_lib.data.layout import VOID
from wsss_lib.learning.backbones import backbone
from wsss_lib.methods.deeplab import DeepLabV2, segment, segmentation_loss


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DeepLabV2(backbone("toy", output_stride=4, dilated=True), 3, (1, 2)).double().eval()


def batch():
    torch.manual_seed(1)
    mask = torch.tensor([0, 1, 2, 3, VOID])[torch.randint(5, (2, 32, 32))]
    return {"image": torch.randn(2, 3, 32, 32).double(), "mask": mask}


def literal_loss(logit_BLhw, mask_BHW, balanced):
    label = mask_BHW[:, 2::4, 2::4]  # the pixel at the centre of each cell
    each = F.cross_entropy(logit_BLhw, label, ignore_index=VOID, reduction="none")
    back, fore = label == 0, (label > 0) & (label != VOID)
    if balanced:
        return (each[back].mean() + each[fore].mean()) / 2
    return each[back | fore].mean()


@pytest.mark.parametrize("balanced", [True, False])
def test_loss_is_the_cross_entropy_summed_over_scales(model, balanced):
    data = batch()
    logits = [model(data["image"])]
    one = segmentation_loss(model, data, balanced=balanced)
    torch.testing.assert_close(one, literal_loss(logits[0], data["mask"], balanced))
    small = model(scaled(data["image"], 0.5))
    up = F.interpolate(small, (8, 8), mode="bilinear")
    literal = one + literal_loss(torch.maximum(logits[0], up), data["mask"], balanced)
    label = data["mask"][:, 4::8, 4::8]
    each = F.cross_entropy(small, label, ignore_index=VOID, reduction="none")
    fore = (label > 0) & (label != VOID)
    halves = (each[label == 0].mean() + each[fore].mean()) / 2
    literal = literal + (halves if balanced else each[label != VOID].mean())
    ours = segmentation_loss(model, data, balanced=balanced, scales=(0.5,))
    torch.testing.assert_close(ours, literal, rtol=1e-6, atol=1e-12)


def test_prediction_takes_the_largest_logit_of_all_scales(model):
    image = batch()["image"]
    logits = [
        F.interpolate(model(scaled(image, scale)), (32, 32), mode="bilinear")
        for scale in (1.0, 0.75, 0.5)
    ]
    literal = torch.stack(logits).amax(dim=0).softmax(dim=1)
    ours = segment(model, image, (1.0, 0.75, 0.5))
    torch.testing.assert_close(ours, literal, rtol=1e-6, atol=1e-12)
    assert not ours.requires_grad


def test_a_mirrored_photo_has_a_mirrored_prediction(model):
    image = batch()["image"]
    ours = segment(model, image, mirrored=True)
    other = segment(model, image.flip(-1), mirrored=True).flip(-1)
    torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-9)
    assert not torch.equal(ours, segment(model, image))


@pytest.mark.parametrize("mirrored", [False, True])
def test_in_mixed_precision_logits_are_enlarged_in_float32(mirrored):
    torch.manual_seed(0)
    net = DeepLabV2(backbone("toy", output_stride=4, dilated=True), 3, (1, 2)).eval()
    seen = []
    net.register_forward_hook(lambda module, given, logits: seen.append(logits))
    with torch.autocast("cpu", torch.bfloat16):
        ours = segment(net, batch()["image"][:1].float(), (1.0, 0.75), mirrored=mirrored)
    assert {logits.dtype for logits in seen} == {torch.bfloat16}
    each = []
    for logits in seen:
        logit = logits.float()
        logit = (logit[:1] + logit[1:].flip(-1)) / 2 if mirrored else logit
        each.append(F.interpolate(logit, (32, 32), mode="bilinear"))
    literal = torch.maximum(*each).softmax(dim=1)
    torch.testing.assert_close(ours, literal, rtol=1e-5, atol=1e-6)
