"""The CRF: both backends against the formula, against each other, and on bad input."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from wsss_lib.methods import crf as crf_module
from wsss_lib.methods.crf import (
    DenseCRF,
    label_probability,
    pydensecrf,
    refine,
    refine_labels,
)

TORCH = DenseCRF(backend="torch")
LATTICE = DenseCRF(backend="lattice")
PYDENSECRF = DenseCRF(backend="pydensecrf")
SETTINGS = {
    "label maps": {},
    "deeplab test": dict(gaussian_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_compat=4),
    "random walk": dict(bilateral_sxy=80, bilateral_srgb=13),
    "drawn photos": dict(gaussian_sxy=2, bilateral_sxy=25, bilateral_srgb=8),
}
needs_pydensecrf = pytest.mark.skipif(pydensecrf() is None, reason="pydensecrf2 is not installed")
each_backend = pytest.mark.parametrize(
    "crf",
    [TORCH, LATTICE, pytest.param(PYDENSECRF, marks=needs_pydensecrf)],
    ids=["torch", "lattice", "pydensecrf"],
)


def drawn(H: int, W: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A noisy photo of a disc and a box, its true labels 0, 1, 2, and badly placed labels."""
    y, x = np.mgrid[:H, :W]
    label = np.zeros((H, W), dtype=np.int64)
    label[(y - 0.35 * H) ** 2 + (x - 0.3 * W) ** 2 < (0.25 * min(H, W)) ** 2] = 1
    label[(y > 0.5 * H) & (y < 0.9 * H) & (x > 0.55 * W) & (x < 0.9 * W)] = 2
    colour = np.array([[90, 110, 90], [200, 60, 60], [60, 80, 190]])[label]
    noise = np.random.default_rng(seed).normal(0, 6, (H, W, 3))
    image = np.clip(colour + 20 * (y / H)[..., None] + noise, 0, 255).astype(np.uint8)
    guess = np.roll(label, (max(1, H // 12), -max(1, W // 12)), (0, 1))
    return torch.tensor(image), torch.tensor(label), torch.tensor(guess)


def literal(image_HW3, probability_LHW, crf):
    """The formula in float64: softmax(log P + sum w D^-1/2 K D^-1/2 Q) with all pairs of pixels."""
    image, p = image_HW3.double().numpy(), probability_LHW.double().numpy()
    L, H, W = p.shape
    y, x = (a.ravel() for a in np.mgrid[:H, :W])
    colour = image.reshape(-1, 3).T / crf.bilateral_srgb
    kernels = []
    for feature in (
        np.stack([x, y]) / crf.gaussian_sxy,
        np.concatenate([np.stack([x, y]) / crf.bilateral_sxy, colour]),
    ):
        distance = ((feature[:, :, None] - feature[:, None]) ** 2).sum(0)
        kernel = np.exp(-distance / 2)
        kernels.append(kernel / np.sqrt(np.outer(kernel.sum(1), kernel.sum(1))))
    evidence = np.log(p.reshape(L, -1))
    q = p.reshape(L, -1) / p.reshape(L, -1).sum(0)
    for _ in range(crf.iterations):
        z = evidence + crf.gaussian_compat * q @ kernels[0] + crf.bilateral_compat * q @ kernels[1]
        q = np.exp(z - z.max(0))
        q /= q.sum(0)
    return torch.tensor(q.reshape(L, H, W))


def assert_alike(found_LHW, expected_LHW):
    """Alike as a whole: single pixels may differ, because the lattice is an approximation."""
    assert (found_LHW.double() - expected_LHW.double()).abs().mean() < 0.03
    assert (found_LHW.argmax(0) == expected_LHW.argmax(0)).double().mean() >= 0.95


def test_defaults_are_the_official_ones():
    crf = DenseCRF()
    assert (crf.iterations, crf.confidence) == (10, 0.7)
    assert (crf.gaussian_sxy, crf.gaussian_compat) == (3, 3)
    assert (crf.bilateral_sxy, crf.bilateral_srgb, crf.bilateral_compat) == (50, 5, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(iterations=-1),
        dict(gaussian_sxy=0),
        dict(bilateral_sxy=-3),
        dict(bilateral_srgb=math.nan),
        dict(gaussian_compat=-1),
        dict(bilateral_compat=math.inf),
        dict(confidence=1),
        dict(confidence=0),
        dict(backend="cuda"),
    ],
    ids=str,
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DenseCRF(**wrong)


@each_backend
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_equals_the_formula(crf, settings):
    image, _, guess = drawn(24, 24)
    probability = label_probability(guess, 3, 0.7).double()
    crf = replace(crf, **settings)
    found, expected = refine(image, probability, crf), literal(image, probability, crf)
    assert_alike(found, expected)
    if crf.backend == "torch":
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_approximation_is_close(settings):
    image, _, guess = drawn(48, 60, seed=1)
    probability = label_probability(guess, 3, 0.7)
    found = [refine(image, probability, replace(crf, **settings)) for crf in (TORCH, LATTICE)]
    assert_alike(*found)
    assert all(q.dtype == torch.float32 for q in found)


@needs_pydensecrf
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_lattices_are_the_same(settings):
    """Up to rounding, which a pixel between two labels can magnify."""
    image, _, guess = drawn(48, 60, seed=1)
    probability = label_probability(guess, 3, 0.7)
    ours, theirs = (
        refine(image, probability, replace(crf, **settings)) for crf in (LATTICE, PYDENSECRF)
    )
    assert (ours - theirs).abs().mean() < 1e-5
    assert (ours.argmax(0) == theirs.argmax(0)).double().mean() > 0.999


@each_backend
def test_finds_the_border_of_the_photo(crf):
    image, label, guess = drawn(64, 64)
    refined = refine_labels(image, guess, 3, replace(crf, **SETTINGS["drawn photos"]))
    assert (guess == label).double().mean() < 0.90
    assert (refined == label).double().mean() > 0.97


@needs_pydensecrf
def test_equals_the_official_code():
    """IRN's `crf_inference_label`, call by call."""
    from pydensecrf.utils import unary_from_labels

    image, _, guess = drawn(40, 56)
    field = pydensecrf().DenseCRF2D(56, 40, 3)
    field.setUnaryEnergy(unary_from_labels(guess.numpy(), 3, gt_prob=0.7, zero_unsure=False))
    field.addPairwiseGaussian(sxy=3, compat=3)
    field.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image.numpy().copy(), compat=10)
    expected = np.array(field.inference(10)).reshape(3, 40, 56)
    found = refine(image, label_probability(guess, 3, 0.7), PYDENSECRF)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.array_equal(refine_labels(image, guess, 3, PYDENSECRF), expected.argmax(0))


@pytest.mark.parametrize("num_labels", [3, 7])
def test_label_probability(num_labels):
    guess = drawn(6, 9)[2]
    found = label_probability(guess, num_labels, 0.7)
    for y in range(6):
        for x in range(9):
            for label in range(num_labels):
                expected = 0.7 if label == guess[y, x] else 0.3 / (num_labels - 1)
                assert found[label, y, x] == pytest.approx(expected, rel=1e-6)


@each_backend
def test_maps_of_one_photo_share_its_kernels(crf):
    image, label, guess = drawn(30, 34)
    together = refine_labels(image, torch.stack([label, guess]), 3, crf)
    alone = [refine_labels(image, one, 3, crf) for one in (label, guess)]
    assert torch.equal(together, torch.stack(alone))


@each_backend
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 3), (1, 1)], ids=str)
def test_thin_photos(crf, size):
    image, _, guess = drawn(*size)
    refined = refine(image, label_probability(guess, 3, 0.7), crf)
    torch.testing.assert_close(refined.sum(0), torch.ones(size))


@each_backend
def test_one_label_stays(crf):
    image = drawn(8, 9)[0]
    label = torch.zeros(8, 9, dtype=torch.uint8)
    assert torch.equal(refine_labels(image, label, 1, crf), label.long())
    assert torch.equal(refine(image, torch.rand(1, 8, 9), crf), torch.ones(1, 8, 9))


@each_backend
def test_a_probability_of_zero_counts_as_1e_5(crf):
    image, _, guess = drawn(20, 20)
    certain = torch.nn.functional.one_hot(guess).movedim(-1, 0).float()
    crf = replace(crf, bilateral_compat=20)  # outweighs log(1e-5) where the photo is clear
    found = refine(image, certain, crf)
    assert_alike(found, literal(image, certain.clamp(min=1e-5), crf))
    assert not torch.equal(found.argmax(0), guess)


@each_backend
def test_no_iteration(crf):
    image, _, guess = drawn(12, 12)
    probability = label_probability(guess, 3, 0.7)
    found = refine(image, probability, replace(crf, iterations=0))
    torch.testing.assert_close(found, probability)


@each_backend
def test_any_memory_layout(crf):
    """Permuted, half-precision, read-only, with a gradient: what users have at hand."""
    image, _, guess = drawn(16, 20)
    probability = label_probability(guess, 3, 0.75)  # exact in half precision
    expected = refine(image, probability, crf)
    chw = image.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    lwh = probability.transpose(1, 2).contiguous().transpose(1, 2)
    read_only = image.numpy().copy()
    read_only.flags.writeable = False
    needs_gradient = probability.clone().requires_grad_()
    before = image.clone(), probability.clone()
    for photo, p in [
        (chw, lwh),
        (read_only, probability.numpy()),
        (image, needs_gradient),
    ]:
        found = refine(photo, p, crf)
        assert torch.equal(found, expected) and not found.requires_grad
    torch.testing.assert_close(refine(image, probability.half(), crf), expected, atol=2e-2, rtol=0)
    assert torch.equal(image, before[0]) and torch.equal(probability, before[1])


def test_same_input_same_output():
    image, _, guess = drawn(32, 32)
    probability = label_probability(guess, 3, 0.7)
    for crf in (TORCH, LATTICE, DenseCRF()):
        assert torch.equal(refine(image, probability, crf), refine(image, probability, crf))


def test_autocast_changes_nothing():
    image, _, guess = drawn(20, 20)
    probability = label_probability(guess, 3, 0.7)
    expected = refine(image, probability, TORCH)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(refine(image, probability, TORCH), expected)


@pytest.mark.parametrize(
    ("photo", "probability", "words"),
    [
        (torch.zeros(3, 8, 9, dtype=torch.uint8), torch.rand(2, 8, 9), r"uint8 \(H, W, 3\)"),
        (torch.zeros(8, 9, 3), torch.rand(2, 8, 9), r"uint8 \(H, W, 3\)"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), torch.rand(2, 4, 5), "resize"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), torch.rand(8, 9), r"\(L, H, W\)"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), torch.ones(2, 8, 9).long(), "floating"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), torch.full((2, 8, 9), torch.nan), "number"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), torch.full((2, 8, 9), torch.inf), "infinite"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), -torch.ones(2, 8, 9), "negative"),
    ],
)
def test_bad_input(photo, probability, words):
    with pytest.raises(ValueError, match=words):
        refine(photo, probability, DenseCRF())


@pytest.mark.parametrize("label", [3, 255, -1])
def test_bad_label(label):
    image, _, guess = drawn(8, 8)
    guess[0, 0] = label
    with pytest.raises(ValueError, match=r"0\.\.2.*" + str(label)):
        refine_labels(image, guess, 3, DenseCRF())


def test_without_pydensecrf(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setattr(crf_module, "pydensecrf", pydensecrf.__wrapped__)
    image, _, guess = drawn(16, 16)
    expected = refine_labels(image, guess, 3, LATTICE)
    assert torch.equal(refine_labels(image, guess, 3, DenseCRF()), expected)
    with pytest.raises(ImportError, match="pip install pydensecrf2"):
        refine_labels(image, guess, 3, PYDENSECRF)


@needs_pydensecrf
def test_auto_takes_pydensecrf_on_the_cpu():
    image, _, guess = drawn(32, 32)
    probability = label_probability(guess, 3, 0.7)
    found = refine(image, probability, DenseCRF())
    assert torch.equal(found, refine(image, probability, PYDENSECRF))
    assert not torch.equal(found, refine(image, probability, LATTICE))


def test_deviations_too_small_for_the_lattice():
    image, _, guess = drawn(12, 12)
    with pytest.raises(ValueError, match="too small for the lattice"):
        refine_labels(image, guess, 3, replace(LATTICE, bilateral_srgb=0.01))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("crf", [TORCH, LATTICE], ids=["torch", "lattice"])
def test_on_a_gpu(crf):
    image, _, guess = drawn(64, 72)
    probability = label_probability(guess, 3, 0.7)
    found = refine(image.cuda(), probability.cuda(), crf)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), refine(image, probability, crf), atol=1e-3, rtol=0)
