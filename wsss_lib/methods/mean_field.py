"""Mean-field inference in a fully connected CRF: the formula itself, on any device.

Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials",
NIPS 2011: the pairwise kernels of their Eq. 3 and the updates of their Algorithm 1, without the
lattice that approximates the sums over all pixels. The paper leaves the pixel itself out of these
sums and does not normalise them. The authors' code, which everybody uses and which is followed here,
keeps the pixel itself and normalises: D^-1/2 K D^-1/2, with D the row sums of K.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_field(
    unary_SLHW: Tensor,
    kernels: Iterable[tuple[float, Callable[[Tensor], Tensor]]],
    iterations: int,
) -> Tensor:
    """Passes label probabilities along the kernels: ``Q <- softmax(sum_m w_m K_m Q - unary)``.

    Args:
        unary_SLHW: minus log probability of the labels, for S maps of one photo.
        kernels: weights, and functions from q_SLHW to its filtered self.
        iterations: number of updates, of all pixels at once.

    Returns:
        probabilities q_SLHW.
    """
    q_SLHW = F.softmax(-unary_SLHW, dim=1)
    for _ in range(iterations):
        message_SLHW = sum(weight * kernel(q_SLHW) for weight, kernel in kernels)
        q_SLHW = F.softmax(message_SLHW - unary_SLHW, dim=1)
    return q_SLHW


def pixel_features(image_HW3: Tensor, sxy: float, srgb: float | None = None) -> Tensor:
    """Place of each pixel, and its colour, in standard deviations of a kernel.

    Args:
        image_HW3: the photo, uint8.
        sxy: standard deviation in place, pixels.
        srgb: standard deviation in colour, grey levels of 0..255; None leaves the colour out.

    Returns:
        ``feature_dN``, float64: rows x, y, and red, green, blue.
    """
    height, width, _ = image_HW3.shape
    place_N2 = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    place_2N = place_N2.T.flip(0).to(image_HW3.device, torch.float64) / sxy
    if srgb is None:
        return place_2N
    return torch.cat([place_2N, image_HW3.reshape(-1, 3).T.double() / srgb])


class SeparableKernel:
    """The kernel of place alone, normalised, of all pairs of pixels.

    A Gaussian of the distance is a product of one in y and one in x, and so are its row sums: two
    small matrices do the work of one that has all pairs.

    Args:
        size_HW: height and width, pixels.
        sxy: standard deviation, pixels.
    """

    def __init__(self, size_HW: tuple[int, int], sxy: float):
        self.along_y_HH, self.along_x_WW = (self._along(length, sxy) for length in size_HW)

    @staticmethod
    def _along(length: int, sxy: float) -> Tensor:
        place = torch.arange(length, dtype=torch.float64) / sxy
        kernel = torch.exp(-0.5 * (place[:, None] - place).square())
        scale = kernel.sum(dim=1).rsqrt()
        return scale[:, None] * kernel * scale

    def __call__(self, q_SLHW: Tensor) -> Tensor:
        return self.along_y_HH.to(q_SLHW) @ q_SLHW @ self.along_x_WW.to(q_SLHW)


class PairwiseKernel:
    """The kernel of any features, ``exp(-|f_i - f_j|^2 / 2)``, normalised, of all pairs of pixels.

    Args:
        feature_dN: `pixel_features`.
        dtype: of the computation, float32 or float64.
        memory: bytes. The kernel has N^2 / 2 different numbers. Where they fit they are kept; where
            they do not they are computed anew, block by block, whenever the kernel is applied.
    """

    def __init__(self, feature_dN: Tensor, *, dtype: torch.dtype, memory: int):
        self.feature_dN = feature_dN.to(dtype)
        num_pixels, row = feature_dN.shape[1], self.feature_dN[0].nbytes
        # blocks of rows that stay in a CPU's cache, or that keep a GPU busy
        block = min(memory // 4, 2**22 if feature_dN.device.type == "cpu" else 2**28)
        self.starts = range(0, num_pixels, max(1, block // row))
        self.kept = list(self._blocks()) if row * num_pixels // 2 <= memory else None
        self.scale_N = self._times_kernel(torch.ones_like(self.feature_dN[:1]))[0].rsqrt()

    def _blocks(self) -> Iterator[Tensor]:
        """Computes ``K_ij = exp(-|f_i - f_j|^2 / 2)``, some rows i at a time, from their diagonal on."""
        for start in self.starts:
            rest_dm = self.feature_dN[:, start:]
            some_dn = rest_dm[:, : self.starts.step]
            exponent_nm = rest_dm.new_zeros(some_dn.shape[1], rest_dm.shape[1])
            # differences, not |a|^2 + |b|^2 - 2ab: as fast here, and nothing cancels
            for some_n, rest_m in zip(some_dn, rest_dm):
                difference_nm = some_n[:, None] - rest_m
                exponent_nm.addcmul_(difference_nm, difference_nm, value=-0.5)
            # exp() takes ten times as long where it underflows, and exp(-80) is as good as 0
            yield exponent_nm.clamp_(min=-80).exp_()

    def _times_kernel(self, q_CN: Tensor) -> Tensor:
        """Returns ``q_CN @ K_NN``. K is symmetric: each block stands for its mirror image too."""
        filtered_CN = torch.zeros_like(q_CN)
        for start, block_nm in zip(self.starts, self.kept or self._blocks()):
            end = start + len(block_nm)
            filtered_CN[:, start:end] += q_CN[:, start:] @ block_nm.T
            filtered_CN[:, end:] += q_CN[:, start:end] @ block_nm[:, end - start :]
        return filtered_CN

    def __call__(self, q_SLHW: Tensor) -> Tensor:
        q_CN = q_SLHW.reshape(-1, len(self.scale_N))
        return (self._times_kernel(q_CN * self.scale_N) * self.scale_N).view_as(q_SLHW)
