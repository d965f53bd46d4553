"""The dense CRF: moves the borders of a label map to the borders that the photo shows.

Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials",
NIPS 2011. Every pixel is tied to every other one, the more tightly the closer the two are in place
and colour. Mean-field inference passes each pixel's label probabilities along these ties, and adds
what arrives to the pixel's own evidence P:

    Q <- softmax(log P + sum_m w_m D_m^-1/2 K_m D_m^-1/2 Q),    K_m = exp(-|f_i - f_j|^2 / 2)

with D the row sums of K, and two kernels: the Gaussian one (f = place), the bilateral one (f = place
and colour). The sums over all pairs of pixels are taken by one of three backends:

- `pydensecrf` (the distribution pydensecrf2, compiled): on a permutohedral lattice, an
  approximation; the fastest on a CPU, and what the published numbers were made with;
- `lattice`: the same approximation in torch (`wsss_lib.methods.lattice`), on any device, nothing to compile;
- `torch`: the formula itself (`wsss_lib.methods.mean_field`), at a cost that grows with the square of the
  number of pixels: for small photos, and to see what the approximation costs.
"""

import functools
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.data.limits import refuse_outside
from wsss_lib.methods.lattice import LatticeKernel
from wsss_lib.methods.mean_field import PairwiseKernel, SeparableKernel, mean_field, pixel_features

CLIP = 1e-5  # the least probability, so that its logarithm is finite (pydensecrf's own value)
GIBIBYTE = 2**30


@dataclass(frozen=True, kw_only=True)
class DenseCRF:
    """Settings of the CRF.

    The defaults refine label maps in the official code of IRN, AdvCAM and AMN. Other parts of the
    same pipelines take other values: PSA's random walk `bilateral_sxy=80, bilateral_srgb=13`;
    DeepLab's test `gaussian_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_compat=4`.

    Attributes:
        iterations: mean-field updates.
        gaussian_sxy: standard deviation of the Gaussian kernel, pixels.
        gaussian_compat: its weight; the penalty for two tied pixels with different labels (Potts).
        bilateral_sxy: standard deviation of the bilateral kernel in place, pixels.
        bilateral_srgb: the same in colour, grey levels of 0..255.
        bilateral_compat: its weight.
        confidence: how sure `refine_labels` is of each label it is given, a probability.
        backend: "pydensecrf", "lattice" or "torch"; "auto" is pydensecrf where it is installed and
            the photo is on the CPU, else lattice. Those two differ by rounding only.

    Raises:
        ValueError: a setting is out of its range.
    """

    iterations: int = 10
    gaussian_sxy: float = 3
    gaussian_compat: float = 3
    bilateral_sxy: float = 50
    bilateral_srgb: float = 5
    bilateral_compat: float = 10
    confidence: float = 0.7
    backend: Literal["auto", "pydensecrf", "lattice", "torch"] = "auto"

    def __post_init__(self):
        # below, pydensecrf's lattice counts further than its integers reach, and ends the program
        refuse_outside(self, "gaussian_sxy bilateral_sxy bilateral_srgb", least=0.01)
        refuse_outside(self, "iterations", least=0, whole=True)
        refuse_outside(self, "gaussian_compat bilateral_compat", least=0)
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence}")
        if self.backend not in ("auto", "pydensecrf", "lattice", "torch"):
            raise ValueError(
                f'backend must be "auto", "pydensecrf", "lattice" or "torch", not {self.backend!r}'
            )


@functools.cache
def pydensecrf() -> ModuleType | None:
    """Returns the module `pydensecrf.densecrf`, or None where it is not installed."""
    try:
        from pydensecrf import densecrf
    except ImportError:
        return None
    return densecrf


@torch.no_grad()
def refine(
    image_HW3: Tensor | np.ndarray,
    probability_LHW: Tensor | np.ndarray,
    crf: DenseCRF,
    *,
    memory: int = GIBIBYTE,
) -> Tensor:
    """Refines the label probabilities of one photo.

    Args:
        image_HW3: the photo, uint8.
        probability_LHW: probabilities of the labels, on the photo's device; below 1e-5 they count
            as 1e-5. Several maps of the same photo, (S, L, H, W), share its kernels, which is
            faster than one call each.
        crf: the settings.
        memory: bytes, for the backend "torch": it keeps its kernel, 2 (HW)^2 bytes, where it fits,
            and else computes it anew in every iteration.

    Returns:
        probabilities of the same shape, float32; float64 if given float64, but for pydensecrf.

    Raises:
        ValueError: a wrong shape or dtype, or a probability that is negative or not finite.
        ImportError: the backend is "pydensecrf" and it is not installed.
    """
    image_HW3, probability_LHW = _tensor(image_HW3), _tensor(probability_LHW)
    _check_photo(image_HW3, probability_LHW)
    if not (probability_LHW.isfinite() & (probability_LHW >= 0)).all():
        raise ValueError("a probability is negative, infinite or not a number")
    if probability_LHW.shape[-3] == 1:
        return torch.ones_like(probability_LHW, dtype=torch.float32)
    if probability_LHW.dtype != torch.float64:
        probability_LHW = probability_LHW.float()
    unary_SLHW = -probability_LHW.reshape(-1, *probability_LHW.shape[-3:]).clamp(min=CLIP).log()
    if crf.backend == "pydensecrf" or (
        crf.backend == "auto" and image_HW3.device.type == "cpu" and pydensecrf()
    ):
        refined_SLHW = _in_pydensecrf(image_HW3, unary_SLHW, crf)
    else:
        with torch.autocast(image_HW3.device.type, enabled=False):
            refined_SLHW = _in_torch(image_HW3, unary_SLHW, crf, memory)
    return refined_SLHW.reshape(probability_LHW.shape)


def refine_labels(
    image_HW3: Tensor | np.ndarray,
    label_HW: Tensor | np.ndarray,
    num_labels: int,
    crf: DenseCRF,
    *,
    memory: int = GIBIBYTE,
) -> Tensor:
    """Refines a label map of one photo: `label_probability`, `refine`, the likeliest label.

    Args:
        image_HW3: the photo, uint8.
        label_HW: labels in 0..num_labels - 1; or (S, H, W), which share the photo's kernels.
        num_labels: the number of labels, ``L``.
        crf: the settings.
        memory: as in `refine`.

    Returns:
        refined labels of the same shape, int64.

    Raises:
        ValueError: as `refine`; or a label is not in 0..num_labels - 1.
    """
    label_HW = _tensor(label_HW)
    probability_LHW = label_probability(label_HW, num_labels, crf.confidence)
    return refine(image_HW3, probability_LHW, crf, memory=memory).argmax(dim=-3)


def label_probability(label_HW: Tensor, num_labels: int, confidence: float) -> Tensor:
    """Probabilities that trust a label map so far: `confidence` for the label, the rest evenly.

    The unary of IRN's `crf_inference_label`, pydensecrf's `unary_from_labels`.

    Args:
        label_HW: labels in 0..num_labels - 1, any integer dtype, any leading dimensions.
        num_labels: the number of labels, ``L``.
        confidence: the probability that a label is right.

    Returns:
        ``probability_LHW``, float32, behind the leading dimensions.

    Raises:
        ValueError: a label is not in 0..num_labels - 1.
    """
    label_HW = label_HW.long()
    if label_HW.numel() and not 0 <= label_HW.min() <= label_HW.max() < num_labels:
        low, high = int(label_HW.min()), int(label_HW.max())
        raise ValueError(f"labels must be in 0..{num_labels - 1}, but range from {low} to {high}")
    given_LHW = F.one_hot(label_HW, num_labels).movedim(-1, -3).float()
    other = (1 - confidence) / max(num_labels - 1, 1)
    return given_LHW * confidence + (1 - given_LHW) * other


def _tensor(array: Tensor | np.ndarray) -> Tensor:
    return array if isinstance(array, Tensor) else torch.tensor(np.asarray(array))


def _check_photo(image_HW3: Tensor, probability_LHW: Tensor) -> None:
    if image_HW3.dtype != torch.uint8 or image_HW3.dim() != 3 or image_HW3.shape[2] != 3:
        raise ValueError(
            f"the photo must be uint8 (H, W, 3), not {image_HW3.dtype} {tuple(image_HW3.shape)}"
        )
    if probability_LHW.dim() not in (3, 4) or not probability_LHW.is_floating_point():
        raise ValueError(
            "probabilities must be floating-point (L, H, W) or (S, L, H, W), "
            f"not {probability_LHW.dtype} {tuple(probability_LHW.shape)}"
        )
    if probability_LHW.shape[-2:] != image_HW3.shape[:2]:
        raise ValueError(
            f"the map is {tuple(probability_LHW.shape[-2:])} but the photo is "
            f"{tuple(image_HW3.shape[:2])}: resize the map to the photo first"
        )


# ── the backends ──


def _in_torch(image_HW3: Tensor, unary_SLHW: Tensor, crf: DenseCRF, memory: int) -> Tensor:
    place_2N = pixel_features(image_HW3, crf.gaussian_sxy)
    alike_5N = pixel_features(image_HW3, crf.bilateral_sxy, crf.bilateral_srgb)
    if crf.backend == "torch":
        gaussian = SeparableKernel(image_HW3.shape[:2], crf.gaussian_sxy)
        bilateral = PairwiseKernel(alike_5N, dtype=unary_SLHW.dtype, memory=memory)
    else:
        gaussian, bilateral = LatticeKernel(place_2N), LatticeKernel(alike_5N)
    kernels = [(crf.gaussian_compat, gaussian), (crf.bilateral_compat, bilateral)]
    return mean_field(unary_SLHW, kernels, crf.iterations)


def _in_pydensecrf(image_HW3: Tensor, unary_SLHW: Tensor, crf: DenseCRF) -> Tensor:
    if pydensecrf() is None:
        raise ImportError(
            'backend "pydensecrf" needs the package pydensecrf2: pip install pydensecrf2; on Python 3.13, pip install '
            '"cython>=3" setuptools wheel && pip install --no-build-isolation pydensecrf2. Backend "lattice" does without.'
        )
    _, labels, height, width = unary_SLHW.shape
    field = pydensecrf().DenseCRF2D(width, height, labels)
    field.addPairwiseGaussian(sxy=crf.gaussian_sxy, compat=crf.gaussian_compat)
    field.addPairwiseBilateral(
        sxy=crf.bilateral_sxy,
        srgb=crf.bilateral_srgb,
        rgbim=np.array(image_HW3.cpu().numpy(), order="C"),  # it refuses views and read-only arrays
        compat=crf.bilateral_compat,
    )
    refined_SLN = []
    for unary_LN in unary_SLHW.flatten(2).cpu().numpy():
        field.setUnaryEnergy(np.array(unary_LN, np.float32, order="C"))
        refined_SLN.append(np.array(field.inference(crf.iterations)))
    refined_SLHW = torch.from_numpy(np.stack(refined_SLN)).view(unary_SLHW.shape)
    return refined_SLHW.to(unary_SLHW.device)
