"""The exact mean field equals the paper's formula, written out pixel by pixel."""

import numpy as np
import pytest
import torch

from wsss_lib.methods.mean_field import PairwiseKernel, SeparableKernel, mean_field, pixel_features

SETTINGS = {  # gaussian_sxy, bilateral_sxy, bilateral_srgb, gaussian_compat, bilateral_compat
    "label maps": (3, 50, 5, 3, 10),
    "deeplab test": (1, 67, 3, 3, 4),
    "drawn photos": (2, 25, 8, 3, 10),
}
MUCH = 2**30


def drawn(H: int, W: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photo of a disc and a box, and its true labels 0, 1, 2."""
    y, x = np.mgrid[:H, :W]
    label = np.zeros((H, W), dtype=np.int64)
    label[(y - 0.35 * H) ** 2 + (x - 0.3 * W) ** 2 < (0.25 * min(H, W)) ** 2] = 1
    label[(y > 0.5 * H) & (y < 0.9 * H) & (x > 0.55 * W) & (x < 0.9 * W)] = 2
    colour = np.array([[90, 110, 90], [200, 60, 60], [60, 80, 190]])[label]
    noise = np.random.default_rng(seed).normal(0, 6, (H, W, 3))
    shade = 20 * (y / H)[..., None]
    return np.clip(colour + shade + noise, 0, 255).astype(np.uint8), label


def evidence(label: np.ndarray, seed: int = 0) -> np.ndarray:
    """Minus log probability (3, H, W) for a moved copy of the labels, with some noise."""
    moved = np.roll(label, (2, -2), (0, 1))
    p = np.where(moved == np.arange(3)[:, None, None], 0.7, 0.15)
    p = p + np.random.default_rng(seed).uniform(0, 0.2, p.shape)
    return -np.log(p / p.sum(0))


def reference(image, unary, settings, iterations=10):
    """Float64, a matrix of all pairs of pixels, one pixel's features at a time."""
    gaussian_sxy, bilateral_sxy, bilateral_srgb, gaussian_compat, bilateral_compat = settings
    L, H, W = unary.shape
    place, alike = [], []
    for y in range(H):
        for x in range(W):
            place.append([x / gaussian_sxy, y / gaussian_sxy])
            colour = [float(c) / bilateral_srgb for c in image[y, x]]
            alike.append([x / bilateral_sxy, y / bilateral_sxy, *colour])
    kernels = [normalised(np.array(place)), normalised(np.array(alike))]
    u = unary.reshape(L, -1)
    q = softmax(-u)
    for _ in range(iterations):
        q = softmax(-u + gaussian_compat * q @ kernels[0] + bilateral_compat * q @ kernels[1])
    return q.reshape(L, H, W)


def normalised(feature_N):
    kernel = np.array([np.exp(-((feature_N - f) ** 2).sum(1) / 2) for f in feature_N])
    degree = kernel.sum(1)
    return kernel / np.sqrt(np.outer(degree, degree))


def softmax(z):
    e = np.exp(z - z.max(0))
    return e / e.sum(0)


def exact(image, unary_SLHW, settings, *, memory=MUCH, iterations=10):
    gaussian_sxy, bilateral_sxy, bilateral_srgb, gaussian_compat, bilateral_compat = settings
    feature_5N = pixel_features(torch.tensor(image), bilateral_sxy, bilateral_srgb)
    gaussian = SeparableKernel(image.shape[:2], gaussian_sxy)
    bilateral = PairwiseKernel(feature_5N, dtype=unary_SLHW.dtype, memory=memory)
    kernels = [(gaussian_compat, gaussian), (bilateral_compat, bilateral)]
    return mean_field(unary_SLHW, kernels, iterations)


@pytest.mark.parametrize("size", [(24, 24), (17, 30), (1, 40), (40, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_equals_the_formula(settings, size):
    image, label = drawn(*size)
    unary = evidence(label)
    expected = reference(image, unary, settings)
    found = exact(image, torch.tensor(unary)[None], settings)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_float32_is_close():
    image, label = drawn(24, 24)
    unary = evidence(label)
    expected = reference(image, unary, SETTINGS["label maps"])
    found = exact(image, torch.tensor(unary)[None].float(), SETTINGS["label maps"])[0].numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("memory", [0, 60_000])
def test_little_memory_changes_nothing(memory):
    image, label = drawn(24, 31)
    unary = torch.tensor(evidence(label))[None]
    settings = SETTINGS["drawn photos"]
    found = exact(image, unary, settings, memory=memory)
    torch.testing.assert_close(found, exact(image, unary, settings), rtol=1e-12, atol=0)


def test_memory_bounds_what_is_kept():
    feature_5N = pixel_features(torch.tensor(drawn(24, 31)[0]), 25, 8)
    kernel = PairwiseKernel(feature_5N, dtype=torch.float32, memory=2**21)
    assert sum(block.nbytes for block in kernel.kept) <= 2**21
    assert PairwiseKernel(feature_5N, dtype=torch.float32, memory=2**20).kept is None


def test_the_separable_kernel_is_the_one_of_all_pairs():
    q_SLHW = torch.rand(2, 3, 13, 18, dtype=torch.float64)
    place_2N = pixel_features(torch.zeros(13, 18, 3, dtype=torch.uint8), 2.5)
    expected = PairwiseKernel(place_2N, dtype=torch.float64, memory=MUCH)(q_SLHW)
    torch.testing.assert_close(SeparableKernel((13, 18), 2.5)(q_SLHW), expected)


def test_maps_of_one_photo_do_not_mix():
    image, label = drawn(20, 26)
    unary_SLHW = torch.tensor(np.stack([evidence(label, 0), evidence(label.T.reshape(20, 26), 1)]))
    together = exact(image, unary_SLHW, SETTINGS["label maps"])
    for s in range(2):
        alone = exact(image, unary_SLHW[s : s + 1], SETTINGS["label maps"])
        torch.testing.assert_close(together[s : s + 1], alone, rtol=1e-12, atol=0)


def test_no_iteration_is_the_evidence():
    image, label = drawn(12, 12)
    unary = evidence(label)
    found = exact(image, torch.tensor(unary)[None], SETTINGS["label maps"], iterations=0)[0]
    np.testing.assert_allclose(found, softmax(-unary), rtol=1e-12)
