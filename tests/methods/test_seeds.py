"""Seeds and pseudo-masks equal the official step, and odd photos are taken or refused clearly."""

import numpy as np
import pytest
import torch

from wsss_lib.data.layout import VOID
from wsss_lib.methods.crf import DenseCRF, pydensecrf
from wsss_lib.methods.seeds import confident, labels_from_map, pseudo_mask, seed

H, W = 40, 48
FOREGROUND, BACKGROUND = 0.45, 0.2
TORCH = DenseCRF(backend="torch", gaussian_sxy=2, bilateral_sxy=25, bilateral_srgb=8)
needs_pydensecrf = pytest.mark.skipif(pydensecrf() is None, reason="pydensecrf2 is not installed")


@pytest.fixture(scope="module")
def photo() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]:
    """A photo of two boxes, their mask, maps that are high in their middle, and their classes."""
    rng = np.random.default_rng(0)
    mask = np.zeros((H, W), dtype=np.int64)
    mask[6:28, 4:22] = 8  # class 7
    mask[12:36, 28:44] = 3  # class 2
    colour = {0: (100, 120, 100), 8: (190, 60, 50), 3: (60, 70, 180)}
    image = np.array([[colour[label] for label in row] for row in mask])
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    y, x = np.mgrid[:H, :W]
    maps = [np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / 9**2) for cy, cx in ((16, 12), (23, 35))]
    return torch.tensor(image), torch.tensor(mask), torch.tensor(np.stack(maps)).float(), [7, 2]


def argmax_by_hand(maps, classes, threshold):
    """Pixel by pixel: the background has the constant score and wins ties."""
    label = np.zeros(maps.shape[1:], dtype=np.int64)
    for y in range(maps.shape[1]):
        for x in range(maps.shape[2]):
            best = threshold
            for one, c in zip(maps, classes):
                if one[y, x] > best:
                    best, label[y, x] = one[y, x], c + 1
    return label


def test_labels_from_map(photo):
    _, _, maps, classes = photo
    for threshold in (0.0, 0.3, 0.45, 1.0):
        found = labels_from_map(maps, classes, threshold)
        expected = argmax_by_hand(maps.numpy(), classes, np.float32(threshold))
        assert found.dtype == torch.int64 and np.array_equal(found, expected)


def test_ties_go_to_the_background():
    maps = torch.tensor([[[0.25, 0.5, 0.75]], [[0.5, 0.5, 0.75]]])
    assert labels_from_map(maps, [4, 1], 0.5).tolist() == [[0, 0, 5]]


def test_half_precision_maps_meet_the_exact_threshold():
    """Half precision has nothing between 0.44995 and 0.4502: rounded, the two would be a tie."""
    maps = torch.tensor([[[0.4502]]], dtype=torch.float16)
    assert labels_from_map(maps, [0], 0.4501).item() == 1


def test_confident_is_the_official_rule():
    foreground = torch.tensor([0, 0, 3, 3, 3])
    background = torch.tensor([0, 3, 3, 0, 5])
    found = confident(foreground, background)
    assert found.dtype == torch.uint8 and found.tolist() == [0, VOID, 3, 3, 3]
    conf = foreground.numpy().copy()  # the two lines of cam_to_ir_label, in this order
    conf[foreground.numpy() == 0] = 255
    conf[background.numpy() + foreground.numpy() == 0] = 0
    assert conf.tolist() == found.tolist()


@needs_pydensecrf
def test_equals_the_official_step(photo):
    """IRN's `cam_to_ir_label`, call by call, with its own CRF settings."""
    from pydensecrf.utils import unary_from_labels

    image, _, maps, classes = photo
    keys = np.array([0, *(c + 1 for c in classes)])
    conf = []
    for threshold in (FOREGROUND, BACKGROUND):
        scores = np.pad(maps.numpy(), ((1, 0), (0, 0), (0, 0)), constant_values=threshold)
        field = pydensecrf().DenseCRF2D(W, H, 3)
        unary = unary_from_labels(scores.argmax(0), 3, gt_prob=0.7, zero_unsure=False)
        field.setUnaryEnergy(unary)
        field.addPairwiseGaussian(sxy=3, compat=3)
        field.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image.numpy().copy(), compat=10)
        conf.append(keys[np.array(field.inference(10)).argmax(0).reshape(H, W)])
    expected = conf[0].copy()
    expected[conf[0] == 0] = 255
    expected[conf[0] + conf[1] == 0] = 0
    for backend in ("pydensecrf", "lattice"):
        crf = DenseCRF(backend=backend)
        found = seed(image, maps, classes, FOREGROUND, BACKGROUND, crf)
        assert np.array_equal(found, expected)
        assert np.array_equal(pseudo_mask(image, maps, classes, FOREGROUND, crf), conf[0])


def test_seed_is_surer_than_the_pseudo_mask(photo):
    image, mask, maps, classes = photo
    label = pseudo_mask(image, maps, classes, 0.35, TORCH)
    made = seed(image, maps, classes, 0.6, 0.15, TORCH)
    sure = made != VOID
    assert label.dtype == made.dtype == torch.uint8
    assert 0.3 < sure.double().mean() < 1
    assert (made == mask)[sure].double().mean() >= (label == mask).double().mean() > 0.9


def test_equal_thresholds_leave_nothing_unsure(photo):
    image, _, maps, classes = photo
    made = seed(image, maps, classes, 0.4, 0.4, TORCH)
    assert torch.equal(made, pseudo_mask(image, maps, classes, 0.4, TORCH))


def test_order_of_classes_does_not_matter(photo):
    image, _, maps, classes = photo
    swapped = seed(image, maps.flip(0), classes[::-1], FOREGROUND, BACKGROUND, TORCH)
    assert torch.equal(swapped, seed(image, maps, classes, FOREGROUND, BACKGROUND, TORCH))


def test_classes_as_stored(photo):
    """Map files hold int16 classes."""
    image, _, maps, classes = photo
    expected = pseudo_mask(image, maps, classes, 0.4, TORCH)
    for stored in (torch.tensor(classes, dtype=torch.int16), np.array(classes, dtype=np.int16)):
        assert torch.equal(pseudo_mask(image, maps, stored, 0.4, TORCH), expected)


def test_a_photo_without_classes_is_background(photo):
    image, none = photo[0], torch.zeros(0, H, W)
    expected = torch.zeros(H, W, dtype=torch.uint8)
    assert torch.equal(labels_from_map(none, [], 0.4), expected.long())
    assert torch.equal(pseudo_mask(image, none, [], 0.4, DenseCRF()), expected)
    assert torch.equal(seed(image, none, [], 0.4, 0.2, DenseCRF()), expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_maps(photo, value):
    image, expected = photo[0], 5 if value else 0
    flat = torch.full((1, H, W), value)
    assert (pseudo_mask(image, flat, [4], 0.4, DenseCRF()) == expected).all()
    assert (seed(image, flat, [4], 0.4, 0.2, DenseCRF()) == expected).all()


@pytest.mark.parametrize("crf", [TORCH, DenseCRF()], ids=["torch", "auto"])
@pytest.mark.parametrize("size", [(1, 30), (30, 1), (1, 1)], ids=str)
def test_thin_photos(crf, size):
    image = torch.full((*size, 3), 90, dtype=torch.uint8)
    made = seed(image, torch.rand(2, *size), [0, 1], 0.6, 0.2, crf)
    assert made.shape == size and set(made.unique().tolist()) <= {0, 1, 2, VOID}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_map_that_is_not_finite(photo, bad):
    image, _, maps, classes = photo
    broken = maps.clone()
    broken[1, 3, 4] = bad
    for call in (
        lambda: labels_from_map(broken, classes, 0.4),
        lambda: pseudo_mask(image, broken, classes, 0.4, DenseCRF()),
        lambda: seed(image, broken, classes, 0.4, 0.2, DenseCRF()),
    ):
        with pytest.raises(ValueError, match="not a number"):
            call()


def test_what_does_not_fit(photo):
    image, _, maps, classes = photo
    with pytest.raises(ValueError, match="3 classes but maps of shape"):
        labels_from_map(maps, [1, 2, 3], 0.4)
    with pytest.raises(ValueError, match="maps of shape"):
        labels_from_map(maps[0], [1], 0.4)
    with pytest.raises(ValueError, match=r"0\.\.253"):
        labels_from_map(maps, [1, 254], 0.4)
    with pytest.raises(ValueError, match="resize"):
        pseudo_mask(image, maps[:, ::2, ::2], classes, 0.4, DenseCRF())
    with pytest.raises(ValueError, match=r"0\.2, is below .* 0\.4"):
        seed(image, maps, classes, 0.2, 0.4, DenseCRF())
