"""AMN: activation manipulation with a per-pixel classifier, told the tags of the photo.

Lee, Kim and Shim, "Threshold matters in WSSS: manipulating the activation for the robust and accurate
segmentation model against thresholds", CVPR 2022. A network is trained on noisy seeds, pixel by
pixel, with softened targets (per-pixel classification, PCL), and its features are scaled by a linear
function of the tags (label conditioning, LC).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.data.augmentation import mirrored_views, scaled
from wsss_lib.data.layout import VOID, InputError
from wsss_lib.learning.backbones import ASPP, Backbone
from wsss_lib.learning.means import masked_mean
from wsss_lib.methods.cam import at_least_float32, map_size


class AMN(nn.Module):
    """Backbone, label conditioning, dropout, dilated convolutions over ``L = K + 1`` labels.

    Args:
        backbone: gives the features.
        num_classes: the number of foreground classes, ``K``.
        rates: dilation of the convolutions of the head, in cells. (Code: 6, 12, 18, 24.)
        condition_stage: the stage of the backbone whose features are conditioned, counted from 0 or, negative,
            from the end; ``None``: no conditioning. (Code: the last.)
        dropout: share of features set to zero while training. (Code: 0.1.)

    Raises:
        InputError: the backbone has no such stage.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        rates: tuple[int, ...] = (6, 12, 18, 24),
        condition_stage: int | None = -1,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.backbone = backbone
        self.condition_stage = None
        if condition_stage is not None:
            stages = len(backbone.channels)
            if not -stages <= condition_stage < stages:
                raise InputError(
                    f"condition stage {condition_stage}: the backbone has the stages 0 to {stages - 1}"
                )
            self.condition_stage = range(stages)[condition_stage]
            self.gain = nn.Linear(num_classes, backbone.channels[condition_stage])
        self.dropout = nn.Dropout(dropout)
        self.head = ASPP(backbone.channels[-1], num_classes + 1, rates)

    def forward(self, image_BCHW: Tensor, tag_BK: Tensor) -> Tensor:
        """Returns ``logit_BLhw``, the background first."""
        feature_BChw = image_BCHW
        for number, stage in enumerate(self.backbone.stages):
            feature_BChw = stage(feature_BChw)
            if number == self.condition_stage:
                feature_BChw = feature_BChw * self.gain(tag_BK)[:, :, None, None]
        return self.head(self.dropout(feature_BChw))


def per_pixel_loss(
    logit_BLhw: Tensor, label_BHW: Tensor, *, smoothing: float = 0.4, balanced: bool = True
) -> Tensor:
    """Cross-entropy with smoothed labels, background and foreground weighing the same (Eqs. 3 to 5).

    The target of a pixel is ``1 - smoothing`` for its label and an equal share of ``smoothing`` for each
    other one. A batch without foreground (or without background, or all void) has a loss: the
    missing half counts as zero.

    Args:
        logit_BLhw: logits on a coarser grid.
        label_BHW: 0 for the background, ``VOID`` for no opinion; read at the centre of each cell.
        smoothing: epsilon. (Code: 0.4.)
        balanced: average over background and foreground pixels apart; else over all at once.
    """
    label_Bhw = nearest(label_BHW, logit_BLhw.shape[-2:])
    others = logit_BLhw.shape[1] - 1
    log_BLhw = logit_BLhw.log_softmax(dim=1)
    known_Bhw = label_Bhw != VOID
    own_Bhw = log_BLhw.gather(1, (label_Bhw * known_Bhw)[:, None])[:, 0]
    other_Bhw = (log_BLhw.sum(dim=1) - own_Bhw) / others
    loss_Bhw = -(1 - smoothing) * own_Bhw - smoothing * other_Bhw
    if not balanced:
        return masked_mean(loss_Bhw, known_Bhw)
    background_Bhw = label_Bhw == 0
    foreground_Bhw = known_Bhw & ~background_Bhw
    return (masked_mean(loss_Bhw, background_Bhw) + masked_mean(loss_Bhw, foreground_Bhw)) / 2


def nearest(label_BHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Reads labels at the centres of the cells of a coarser grid; returns int64."""
    label_B1HW = label_BHW[:, None].to(torch.float32)  # exact: labels are below 256
    return F.interpolate(label_B1HW, size, mode="nearest-exact")[:, 0].long()


def amn_maps(probability_BLhw: Tensor, tag_BK: Tensor, gate_BHW: Tensor | None = None) -> Tensor:
    """The localization maps of the tagged classes: their probabilities, stretched to [0, 1].

    The softmax was over all labels, with or without a tag. The map of the background is not used.

    Args:
        probability_BLhw: from `label_probability`.
        tag_BK: 1 where the photo has the class.
        gate_BHW: seed labels; where they say background the probability is kept as it is, not
            stretched. The official code does so; it carries the CRF of the seed into the map.

    Returns:
        ``map_Phw`` in [0, 1], one for each pair, in the order of ``tag_BK.nonzero()``.
    """
    photo_P, class_P = tag_BK.nonzero(as_tuple=True)
    map_Phw = probability_BLhw[photo_P, class_P + 1]
    stretched_Phw = min_max_normalised(map_Phw)
    if gate_BHW is None:
        return stretched_Phw
    background_Phw = (nearest(gate_BHW, map_Phw.shape[-2:]) == 0)[photo_P]
    return torch.where(background_Phw, map_Phw, stretched_Phw)


@torch.no_grad()
def label_probability(
    model: AMN, image_BCHW: Tensor, tag_BK: Tensor, scales: tuple[float, ...] = (1.0,)
) -> Tensor:
    """``probability_BLhw``: the softmax of logits averaged over scales and mirror images.

    Args:
        model: in evaluation mode, so that dropout is off (in the official code it stays on).
        image_BCHW: normalised photos of one size.
        tag_BK: 1 where the photo has the class; what the network is told.
        scales: factors by which the photos are resized. (Code: 0.5, 1, 1.5, 2.)
    """
    total_BLhw = 0.0
    for scale in scales:
        view_BVCHW = mirrored_views(scaled(image_BCHW, scale))
        logit_BLhw = model(view_BVCHW.flatten(0, 1), tag_BK.repeat_interleave(2, dim=0))
        logit_BVLhw = at_least_float32(logit_BLhw).unflatten(0, (-1, 2))
        logit_BLhw = (logit_BVLhw[:, 0] + logit_BVLhw[:, 1].flip(-1)) / 2
        total_BLhw = total_BLhw + F.interpolate(
            logit_BLhw, map_size(image_BCHW), mode="bilinear", align_corners=False
        )
    return (total_BLhw / len(scales)).softmax(dim=1)


def min_max_normalised(map_Phw: Tensor) -> Tensor:
    """Stretches each map from its minimum and maximum to [0, 1]."""
    low, high = map_Phw.amin((1, 2), keepdim=True), map_Phw.amax((1, 2), keepdim=True)
    return (map_Phw - low) / (high - low).clamp(min=1e-12)


def absent_foreground(label_HW: Tensor, tag_K: Tensor) -> tuple[int, int]:
    """How many pixels are given a class that the photo does not have, and how many a class at all."""
    absent_L = torch.cat([torch.zeros(1, dtype=torch.bool), ~tag_K.bool().cpu()])
    return int(absent_L[label_HW.long()].sum()), int((label_HW > 0).sum())
