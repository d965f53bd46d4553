import pytest
import torch
import torch.nn.functional as F

from tests.networks import calibrated_classifier
from wsss_lib.data.augmentation import scaled
from wsss_lib.methods.cam import cam, classification_loss


@pytest.fixture(scope="module")
def classifier():
    return calibrated_classifier()


@pytest.fixture
def photos():
    torch.manual_seed(3)
    return torch.randn(2, 3, 50, 42, dtype=torch.float64)


def literal_cam(classifier, image_CHW, c, scales):
    """Zhou et al., Eq. 2, view by view and scale by scale."""
    size = [(side - 1) // 4 + 1 for side in image_CHW.shape[-2:]]
    total = torch.zeros(size, dtype=torch.float64)
    for scale in scales:
        for mirrored in (False, True):
            image = scaled(image_CHW[None], scale)
            feature = classifier.backbone(image.flip(-1) if mirrored else image)[0]
            map_hw = torch.zeros(feature.shape[1:], dtype=torch.float64)
            for channel, weight in zip(feature, classifier.head.weight[c].flatten()):
                map_hw = map_hw + weight * channel
            map_hw = map_hw.clamp(min=0)
            map_hw = map_hw.flip(-1) if mirrored else map_hw
            total += F.interpolate(map_hw[None, None], size, mode="bilinear")[0, 0]
    return total / (total.max() + 1e-5)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5, 1.5, 2.0)], ids=str)
def test_cam_equals_the_equation(classifier, photos, scales):
    tags = torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.float64)
    ours = cam(classifier, photos, tags, scales)
    pairs = [(0, 1), (0, 3), (1, 0)]
    assert len(ours) == len(pairs)
    for map_hw, (b, c) in zip(ours, pairs):
        literal = literal_cam(classifier, photos[b], c, scales).detach()
        torch.testing.assert_close(map_hw, literal, rtol=1e-6, atol=1e-12)


def test_the_score_is_the_mean_of_the_logit_map(classifier, photos):
    mean = classifier.logit_map(photos).mean(dim=(2, 3))
    torch.testing.assert_close(classifier(photos), mean, rtol=1e-9, atol=1e-12)


def test_maps_lie_in_the_unit_interval_and_mirror_with_the_photo(classifier, photos):
    tags = torch.ones(2, 4, dtype=torch.float64)
    maps = cam(classifier, photos, tags)
    assert maps.min() >= 0 and 0.99 < maps.amax() <= 1
    # the grid of 42 pixels is symmetric only if its cells are: take 40
    even = photos[..., :40]
    mirrored = cam(classifier, even.flip(-1), tags)
    torch.testing.assert_close(mirrored.flip(-1), cam(classifier, even, tags))


def test_the_loss_is_a_mean_of_binary_cross_entropies(classifier, photos):
    tags = torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.float64)
    probability = classifier(photos).sigmoid()
    literal = -(tags * probability.log() + (1 - tags) * (1 - probability).log()).mean()
    loss = classification_loss(classifier, {"image": photos, "tags": tags})
    torch.testing.assert_close(loss, literal, rtol=1e-6, atol=1e-12)


def test_no_gradient_is_kept(classifier, photos):
    tags = torch.ones(2, 4, dtype=torch.float64)
    assert not cam(classifier, photos, tags).requires_grad


def test_a_photo_without_tags_has_no_map(classifier, photos):
    tags = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.float64)
    assert cam(classifier, photos, tags).shape == (1, 13, 11)


def test_in_mixed_precision_maps_are_summed_in_float32(classifier, photos):
    network, seen = calibrated_classifier().float(), []
    own = network.logit_map
    network.logit_map = lambda image: seen.append(own(image)) or seen[-1]
    with torch.autocast("cpu", torch.bfloat16):
        ours = cam(network, photos.float(), torch.eye(4)[:2], (1.0, 0.5, 1.5))
    assert {logits.dtype for logits in seen} == {torch.bfloat16}
    for p in range(2):  # of class p
        total = torch.zeros(1, 1, 13, 11)
        for logits in seen:
            photo, mirror = logits[2 * p, p].float(), logits[2 * p + 1, p].float().flip(-1)
            map_hw = photo.relu() + mirror.relu()
            total += F.interpolate(map_hw[None, None], (13, 11), mode="bilinear")
        literal = total[0, 0] / (total.max() + 1e-5)
        torch.testing.assert_close(ours[p], literal, rtol=1e-5, atol=1e-6)
