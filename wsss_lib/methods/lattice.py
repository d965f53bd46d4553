"""The permutohedral lattice: Gaussian filtering in many dimensions in linear time.

Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice",
Eurographics 2010: the filter of pydensecrf, here in torch alone, so that it runs wherever torch does.

A sum over all pairs of pixels, ``sum_j exp(-|f_i - f_j|^2 / 2) q_j``, is a blur in the space of the
features f, d dimensions. That space is tiled by simplices with d + 1 corners. Each pixel spreads its
values over the corners of its simplex (splat), the corners that were met blur with their neighbours
along the d + 1 directions of the lattice, and each pixel reads its corners again (slice). The
lattice is written in d + 1 coordinates whose sum is zero, in which its corners are whole numbers.
"""

import math

import torch
from torch import Tensor


class LatticeKernel:
    """The Gaussian kernel of pixel features, D^-1/2 K D^-1/2, approximately.

    Args:
        feature_dN: features of the N pixels, in standard deviations of the kernel.

    Raises:
        ValueError: the features spread over more standard deviations than corners can be numbered.
    """

    def __init__(self, feature_dN: Tensor):
        elevated_DN = _elevated(feature_dN.double())
        corner_dDN, self.weight_DN = _simplex(elevated_DN)
        self._number(corner_dDN)
        self.scale_N = 1.0
        ones_1N = torch.ones_like(self.weight_DN[:1])
        self.scale_N = self._filter(ones_1N)[0].rsqrt()

    def _number(self, corner_dDN: Tensor) -> None:
        """Finds the distinct corners, M of them, and the two neighbours of each along each direction."""
        d, D, _ = corner_dDN.shape
        low_d = corner_dDN.amin(dim=(1, 2)) - D
        size_d = (corner_dDN.amax(dim=(1, 2)) + D - low_d + 1).tolist()
        if math.prod(size_d) >= 2**63:
            raise ValueError("the standard deviations of the kernel are too small for the lattice")
        digit_d = [math.prod(size_d[i + 1 :]) for i in range(d)]
        key_DN = sum((corner_dDN[i] - low_d[i]) * digit_d[i] for i in range(d))
        key_M, self.corner_DN = key_DN.unique(return_inverse=True)
        self.neighbours = []
        for direction in range(D):
            # one step: -1 in each coordinate, d in one; the last coordinate follows from the others
            step = (D * digit_d[direction] if direction < d else 0) - sum(digit_d)
            self.neighbours.append([_find(key_M, key_M + step), _find(key_M, key_M - step)])

    def _filter(self, q_CN: Tensor) -> Tensor:
        q_NC = q_CN.T.contiguous()
        # one row more than there are corners: the value of those that no pixel has met
        value_MC = q_NC.new_zeros(len(self.neighbours[0][0]) + 1, q_NC.shape[1])
        for corner_N, weight_N in zip(self.corner_DN, self.weight_DN.to(q_NC)):
            value_MC.index_add_(0, corner_N, weight_N[:, None] * q_NC)
        for ahead_M, behind_M in self.neighbours:
            around_MC = value_MC[ahead_M] + value_MC[behind_M]
            value_MC[:-1].add_(around_MC, alpha=0.5)
        filtered_NC = torch.zeros_like(q_NC)
        for corner_N, weight_N in zip(self.corner_DN, self.weight_DN.to(q_NC)):
            filtered_NC.addcmul_(weight_N[:, None], value_MC[corner_N])
        return filtered_NC.T

    def __call__(self, q_SLHW: Tensor) -> Tensor:
        scale_N = self.scale_N.to(q_SLHW)
        q_CN = q_SLHW.reshape(-1, len(scale_N))
        return (self._filter(q_CN * scale_N) * scale_N).reshape(q_SLHW.shape)


def _elevated(feature_dN: Tensor) -> Tensor:
    """Places the features in the plane of the lattice, scaled to the width of its blur: (d + 1, N)."""
    d = len(feature_dN)
    i_d1 = torch.arange(1.0, d + 1, device=feature_dN.device, dtype=feature_dN.dtype)[:, None]
    scaled_dN = feature_dN * math.sqrt(2 / 3) * (d + 1) / (i_d1 * (i_d1 + 1)).sqrt()
    rest_dN = scaled_dN.flip(0).cumsum(dim=0).flip(0)
    return torch.cat([rest_dN, 0 * rest_dN[:1]]) - torch.cat([0 * rest_dN[:1], i_d1 * scaled_dN])


def _simplex(elevated_DN: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the simplex around each pixel: its D corners (first d coordinates) and their weights."""
    D = len(elevated_DN)
    d = D - 1
    base_DN = (elevated_DN / D).round() * D
    order_DN = (elevated_DN - base_DN).argsort(dim=0, descending=True, stable=True)
    rank_DN = order_DN.argsort(dim=0)
    # the sum of the base has to be zero: move the coordinates that were rounded the farthest
    rank_DN += base_DN.sum(dim=0).div(D).round().long()
    base_DN += D * (rank_DN < 0) - D * (rank_DN > d)
    rank_DN %= D
    # barycentric coordinates: differences of neighbours in the order of the ranks
    falling_DN = ((elevated_DN - base_DN) / D).gather(0, rank_DN.argsort(dim=0)).flip(0)
    weight_DN = falling_DN - falling_DN.roll(1, dims=0)
    weight_DN[0] += 1
    corner_D11 = torch.arange(D, device=elevated_DN.device)[:, None, None]
    corner_DdN = base_DN[:d].long() + corner_D11 - D * (rank_DN[:d] > d - corner_D11)
    return corner_DdN.transpose(0, 1), weight_DN


def _find(key_M: Tensor, wanted_M: Tensor) -> Tensor:
    """Returns where the wanted keys stand in the sorted keys, M for those that do not."""
    place_M = torch.searchsorted(key_M, wanted_M).clamp(max=len(key_M) - 1)
    return torch.where(key_M[place_M] == wanted_M, place_M, len(key_M))
