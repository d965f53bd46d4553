"""DeepLabV2: the segmentation network that learns from pseudo-masks and needs no tags at test time.

Chen et al., "DeepLab", TPAMI 2018: a dilated backbone at stride 8 and the sum of dilated convolutions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.data.augmentation import mirrored_views, scaled
from wsss_lib.learning.backbones import ASPP, Backbone
from wsss_lib.methods.amn import per_pixel_loss
from wsss_lib.methods.cam import at_least_float32


class DeepLabV2(nn.Module):
    """Backbone and `ASPP` over ``L = K + 1`` labels.

    Args:
        backbone: gives the features.
        num_classes: the number of foreground classes, ``K``.
        rates: dilation of the convolutions of the head, in cells. (Paper: 6, 12, 18, 24.)
    """

    def __init__(self, backbone: Backbone, num_classes: int, rates=(6, 12, 18, 24)):
        super().__init__()
        self.backbone = backbone
        self.head = ASPP(backbone.channels[-1], num_classes + 1, rates)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``logit_BLhw``, the background first."""
        return self.head(self.backbone(image_BCHW))


def segmentation_loss(
    model: nn.Module,
    batch: dict,
    *,
    balanced: bool = True,
    scales: tuple[float, ...] = (),
) -> Tensor:
    """Cross-entropy with the pseudo-mask, summed over scales.

    Args:
        model: a `DeepLabV2`.
        batch: ``image`` BCHW and ``mask`` BHW (``VOID`` for no opinion).
        balanced: background and foreground weigh the same (Huang et al., "DSRG", CVPR 2018, Eq. 2, halved).
        scales: also learn at these factors, and on the largest logit of all of them. (Code: 0.75, 0.5.)
    """
    logit_BLhw = model(batch["image"])
    logits = [logit_BLhw]
    for scale in scales:
        logits.append(model(scaled(batch["image"], scale)))
    if scales:
        size = logit_BLhw.shape[-2:]
        logits.append(torch.stack([upsampled(logit, size) for logit in logits]).amax(dim=0))
    return sum(
        per_pixel_loss(logit, batch["mask"], smoothing=0.0, balanced=balanced) for logit in logits
    )


@torch.no_grad()
def segment(
    model: DeepLabV2,
    image_BCHW: Tensor,
    scales: tuple[float, ...] = (1.0,),
    *,
    mirrored: bool = False,
) -> Tensor:
    """``probability_BLHW`` at the size of the photos.

    Args:
        model: in evaluation mode.
        image_BCHW: normalised photos of one size.
        scales: the largest logit over these factors counts. (DeepLab: 1, 0.75, 0.5.)
        mirrored: average the logits with those of the mirror images.
    """
    size = image_BCHW.shape[-2:]
    best_BLHW = None
    for scale in scales:
        image = scaled(image_BCHW, scale)
        if mirrored:
            logit_BLhw = at_least_float32(model(mirrored_views(image).flatten(0, 1)))
            logit_BVLhw = logit_BLhw.unflatten(0, (-1, 2))
            logit_BLhw = (logit_BVLhw[:, 0] + logit_BVLhw[:, 1].flip(-1)) / 2
        else:
            logit_BLhw = at_least_float32(model(image))
        logit_BLHW = upsampled(logit_BLhw, size)
        best_BLHW = logit_BLHW if best_BLHW is None else torch.maximum(best_BLHW, logit_BLHW)
    return best_BLHW.softmax(dim=1)


def upsampled(logit_BLhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of logits to ``size`` (rows, columns)."""
    return F.interpolate(logit_BLhw, size, mode="bilinear", align_corners=False)
