"""The lattice equals the paper's algorithm, one pixel and one corner at a time, and blurs as it should."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch

from wsss_lib.methods.lattice import LatticeKernel, _elevated, _simplex

DIMENSIONS = [1, 2, 3, 5]


def features(d: int, num_pixels: int, spread: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.rand(d, num_pixels, generator=generator, dtype=torch.float64)


def elevated_by_hand(f):
    """Sec. 3 of the paper: the columns of E are (1, ..., 1, -i, 0, ..., 0) / sqrt(i (i + 1))."""
    d = len(f)
    E = np.zeros((d + 1, d))
    for i in range(1, d + 1):
        E[:i, i - 1] = 1
        E[i, i - 1] = -i
        E[:, i - 1] /= np.sqrt(i * (i + 1))
    return (d + 1) * np.sqrt(2 / 3) * E @ f


def simplex_by_hand(point):
    """The corners of the simplex that holds a point of the plane, and the weights that make it."""
    d = len(point) - 1
    near = np.floor(point / (d + 1)).astype(int)
    for up in itertools.product((0, 1), repeat=d + 1):  # the corner whose differences span least
        base = (near + up) * (d + 1)
        difference = point - base
        if base.sum() == 0 and np.ptp(difference) <= d + 1:
            break
    smallest_first = np.argsort(difference)
    corners = np.array([base + r for r in range(d + 1)])
    for r in range(d + 1):
        corners[r, smallest_first[:r]] -= d + 1
    system = np.vstack([corners.T, np.ones(d + 1)])
    weights = np.linalg.lstsq(system, np.append(point, 1), rcond=None)[0]
    return [tuple(corner) for corner in corners.tolist()], weights


def filtered_by_hand(feature_dN, q_N):
    """Splat, blur along one direction after the other, slice; corners in a dictionary."""
    d = len(feature_dN)
    simplices = [simplex_by_hand(elevated_by_hand(f)) for f in feature_dN.T]
    value = defaultdict(float)
    for (corners, weights), q in zip(simplices, q_N):
        for corner, weight in zip(corners, weights):
            value[corner] += weight * q
    for direction in range(d + 1):
        step = [d if i == direction else -1 for i in range(d + 1)]
        blurred = {}
        for corner in value:
            ahead = tuple(c + s for c, s in zip(corner, step))
            behind = tuple(c - s for c, s in zip(corner, step))
            blurred[corner] = value[corner] + (value.get(ahead, 0) + value.get(behind, 0)) / 2
        value = blurred
    return np.array(
        [sum(w * value[c] for c, w in zip(corners, weights)) for corners, weights in simplices]
    )


@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_the_paper(d):
    feature_dN = features(d, 60, spread=4.0)
    q_N = np.random.default_rng(1).random(60)
    scale = filtered_by_hand(feature_dN.numpy(), np.ones(60)) ** -0.5
    expected = scale * filtered_by_hand(feature_dN.numpy(), scale * q_N)
    found = LatticeKernel(feature_dN)(torch.tensor(q_N)[None])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_corners_make_the_point(d):
    elevated_DN = _elevated(features(d, 500, spread=30.0) - 15)
    torch.testing.assert_close(elevated_DN.sum(0), torch.zeros(500, dtype=torch.float64))
    corner_dDN, weight_DN = _simplex(elevated_DN)
    assert weight_DN.min() >= -1e-12
    torch.testing.assert_close(weight_DN.sum(0), torch.ones(500, dtype=torch.float64))
    made_dN = (corner_dDN * weight_DN).sum(dim=1)
    torch.testing.assert_close(made_dN, elevated_DN[:d])


@pytest.mark.parametrize("d", DIMENSIONS)
def test_distances_are_kept(d):
    """The plane is only turned and scaled: all distances grow by the same factor."""
    feature_dN = features(d, 30, spread=5.0)
    before, after = (torch.pdist(x.T.contiguous()) for x in (feature_dN, _elevated(feature_dN)))
    torch.testing.assert_close(after / before, torch.full_like(before, (d + 1) * (2 / 3) ** 0.5))


@pytest.mark.parametrize(("d", "worst"), [(1, 0.02), (2, 0.03), (5, 0.12)])
def test_is_close_to_the_gaussian(d, worst):
    feature_dN = features(d, 800, spread=3.0)
    q_CN = (feature_dN[:1] > 1.5).double()
    kernel_NN = torch.exp(-0.5 * torch.cdist(feature_dN.T, feature_dN.T).square())
    scale_N = kernel_NN.sum(0).rsqrt()
    expected_CN = q_CN * scale_N @ kernel_NN * scale_N
    assert (LatticeKernel(feature_dN)(q_CN) - expected_CN).abs().mean() < worst


def test_shapes_and_dtypes():
    kernel = LatticeKernel(features(5, 12, spread=2.0))
    q_SLHW = torch.rand(2, 3, 3, 4)
    found = kernel(q_SLHW)
    assert found.shape == (2, 3, 3, 4) and found.dtype == torch.float32
    torch.testing.assert_close(kernel(q_SLHW[1]), found[1])
    torch.testing.assert_close(kernel(q_SLHW.double()).float(), found)


def test_one_pixel_and_equal_pixels():
    one = torch.ones(1, 1, dtype=torch.float64)
    torch.testing.assert_close(LatticeKernel(torch.zeros(5, 1))(one), one)
    four = torch.arange(4.0, dtype=torch.float64)[None]
    expected = torch.full((1, 4), 1.5, dtype=torch.float64)
    torch.testing.assert_close(LatticeKernel(torch.full((5, 4), 7.3))(four), expected)


def test_too_many_corners_to_number():
    with pytest.raises(ValueError, match="too small for the lattice"):
        LatticeKernel(features(5, 10, spread=1e5))
