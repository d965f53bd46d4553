"""From maps to labels: a pixel is confident foreground, confident background, or unsure.

Ahn, Cho and Kwak, "Weakly supervised learning of instance segmentation with inter-pixel relations"
(IRN), CVPR 2019, Sec. 4.1, and its step `cam_to_ir_label`; AdvCAM and AMN make their seeds the same
way. A map is turned into labels twice, with a high and a low score for the background, and both
label maps are refined by the CRF. A pixel is

- a class, where the map of the high threshold says so;
- background, where the maps of both thresholds say so;
- unsure, `VOID`, elsewhere: foreground only if one is generous.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.data.layout import VOID
from wsss_lib.methods.crf import DenseCRF, refine_labels


def labels_from_map(map_kHW: Tensor, classes: Sequence[int] | Tensor, threshold: float) -> Tensor:
    """Returns the class with the highest map, or background where no map is above the threshold.

    Args:
        map_kHW: maps of the photo's k classes, fractions of the maximum; k may be 0.
        classes: (k,) their numbers, the first foreground class being 0.
        threshold: the score of the background.

    Returns:
        ``label_HW``, int64: background 0, class c as c + 1.

    Raises:
        ValueError: a map has a value that is not finite, or maps and classes are not as many.
    """
    return _dataset_labels(map_kHW, classes)[_winner(map_kHW, threshold)]


def confident(foreground_HW: Tensor, background_HW: Tensor) -> Tensor:
    """Joins the labels of the high threshold and of the low one into a seed.

    Args:
        foreground_HW: refined labels of the high threshold: confident of what is foreground.
        background_HW: refined labels of the low threshold: confident of what is background.

    Returns:
        ``seed_HW``, uint8: 0 background, c + 1 class c, `VOID` unsure.
    """
    seed_HW = torch.where(foreground_HW == 0, VOID, foreground_HW)
    return torch.where((foreground_HW == 0) & (background_HW == 0), 0, seed_HW).to(torch.uint8)


def seed(
    image_HW3: Tensor,
    map_kHW: Tensor,
    classes: Sequence[int] | Tensor,
    foreground_threshold: float,
    background_threshold: float,
    crf: DenseCRF,
) -> Tensor:
    """Makes the seed of one photo.

    The thresholds depend on the maps. Official: IRN .30 and .05, AdvCAM .35 and .15, AMN .45 and .15.

    Args:
        image_HW3: the photo, uint8.
        map_kHW: maps of the photo's k classes, resized to the photo; fractions of the maximum.
        classes: (k,) their numbers, the first foreground class being 0.
        foreground_threshold: what is above it is foreground.
        background_threshold: what is not above it is background.
        crf: settings of the CRF. Its labels are the k classes and the background.

    Returns:
        ``seed_HW``, uint8: 0 background, c + 1 class c, `VOID` unsure.

    Raises:
        ValueError: as `labels_from_map` and `wsss_lib.methods.crf.refine`; or the foreground threshold is
            below the background threshold.
    """
    if foreground_threshold < background_threshold:
        raise ValueError(
            f"the foreground threshold, {foreground_threshold}, "
            f"is below the background threshold, {background_threshold}"
        )
    thresholds = (foreground_threshold, background_threshold)
    return confident(*_refined(image_HW3, map_kHW, classes, thresholds, crf))


def pseudo_mask(
    image_HW3: Tensor,
    map_kHW: Tensor,
    classes: Sequence[int] | Tensor,
    threshold: float,
    crf: DenseCRF,
) -> Tensor:
    """Makes the pseudo-mask of one photo: every pixel gets a label, refined by the CRF.

    Args:
        image_HW3: the photo, uint8.
        map_kHW: maps of the photo's k classes, resized to the photo; fractions of the maximum.
        classes: (k,) their numbers, the first foreground class being 0.
        threshold: the score of the background.
        crf: settings of the CRF. Its labels are the k classes and the background.

    Returns:
        ``label_HW``, uint8: 0 background, c + 1 class c.

    Raises:
        ValueError: as `labels_from_map` and `wsss_lib.methods.crf.refine`.
    """
    (label_HW,) = _refined(image_HW3, map_kHW, classes, (threshold,), crf)
    return label_HW.to(torch.uint8)


def _refined(
    image_HW3: Tensor,
    map_kHW: Tensor,
    classes: Sequence[int] | Tensor,
    thresholds: tuple[float, ...],
    crf: DenseCRF,
) -> Tensor:
    """Returns refined labels (S, H, W), one map a threshold. The CRF knows the photo's labels only."""
    dataset_label_L = _dataset_labels(map_kHW, classes)
    winner_SHW = torch.stack([_winner(map_kHW, threshold) for threshold in thresholds])
    return dataset_label_L[refine_labels(image_HW3, winner_SHW, len(dataset_label_L), crf)]


def _winner(map_kHW: Tensor, threshold: float) -> Tensor:
    """Returns labels within the photo: 0 background, i + 1 its i-th class. Ties go to the background."""
    if not map_kHW.isfinite().all():
        raise ValueError("a map has a value that is infinite or not a number: make the map again")
    return F.pad(map_kHW.float(), (0, 0, 0, 0, 1, 0), value=threshold).argmax(dim=0)


def _dataset_labels(map_kHW: Tensor, classes: Sequence[int] | Tensor) -> Tensor:
    """Returns what the labels 0..k of the photo are in the dataset: background 0, class c as c + 1."""
    class_k = torch.as_tensor(classes, dtype=torch.int64, device=map_kHW.device).flatten()
    if map_kHW.dim() != 3 or len(map_kHW) != len(class_k):
        raise ValueError(f"{len(class_k)} classes but maps of shape {tuple(map_kHW.shape)}")
    if len(class_k) and not 0 <= class_k.min() <= class_k.max() < VOID - 1:
        raise ValueError(f"classes must be in 0..{VOID - 2}, not {class_k.tolist()}")
    return F.pad(class_k + 1, (1, 0))
