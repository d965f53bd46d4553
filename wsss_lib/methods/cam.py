"""The classifier, and the class activation maps that it gives for free.

Zhou et al., "Learning deep features for discriminative localization", CVPR 2016; fused over views and
scales as in Ahn, Cho and Kwak, "IRN", CVPR 2019.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.data.augmentation import mirrored_views, scaled
from wsss_lib.learning.backbones import Backbone

EPSILON = 1e-5  # keeps the map of a class without any response at zero (official IRN code)


class Classifier(nn.Module):
    """A multi-label classifier whose last layer can be moved in front of the pooling.

    Features, their mean over the photo (global average pooling), and one weight vector a class
    without bias. Mean and weights are both linear, so the logit of a class is the mean of its
    `logit_map`: the evidence for the class, cell by cell.

    Args:
        backbone: gives the features.
        num_classes: the number of foreground classes, ``K``.
    """

    def __init__(self, backbone: Backbone, num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels[-1], num_classes, kernel_size=1, bias=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``logit_BK``."""
        pooled_BC11 = self.backbone(image_BCHW).mean(dim=(2, 3), keepdim=True)
        return self.head(pooled_BC11).flatten(1)

    def logit_map(self, image_BCHW: Tensor) -> Tensor:
        """Returns ``logit_BKhw``; its mean over the cells is ``forward``."""
        return self.head(self.backbone(image_BCHW))


def classification_loss(classifier: nn.Module, batch: dict) -> Tensor:
    """The multi-label soft-margin loss: the mean over classes of the binary cross-entropy."""
    return F.multilabel_soft_margin_loss(classifier(batch["image"]), batch["tags"])


def cam(
    classifier: Classifier,
    image_BCHW: Tensor,
    tag_BK: Tensor,
    scales: tuple[float, ...] = (1.0,),
) -> Tensor:
    """Class activation maps of the tagged classes, fused over scales and mirror images.

    Args:
        classifier: in evaluation mode.
        image_BCHW: normalised photos.
        tag_BK: 1 where the photo has the class.
        scales: factors by which the photos are resized; the papers take (1, 0.5, 1.5, 2).

    Returns:
        ``map_Phw`` in [0, 1] on the grid of `map_size`, one for each pair of a photo and one of its
        classes, in the order of ``tag_BK.nonzero()``.
    """
    photo_P, class_P = tag_BK.nonzero(as_tuple=True)
    fused_Phw = 0.0
    for scale in scales:
        view_BVCHW = mirrored_views(scaled(image_BCHW, scale))
        with torch.no_grad():
            logit_BKhw = at_least_float32(classifier.logit_map(view_BVCHW.flatten(0, 1)))
        logit_BVKhw = logit_BKhw.unflatten(0, (-1, 2))
        response_PVhw = logit_BVKhw[photo_P, :, class_P].relu()
        map_Phw = response_PVhw[:, 0] + response_PVhw[:, 1].flip(-1)
        fused_Phw = fused_Phw + resize(map_Phw, map_size(image_BCHW))
    return max_normalised(fused_Phw)


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits that may be summed: a network in mixed precision gives them in 16 bits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def map_size(image_BCHW: Tensor) -> tuple[int, int]:
    """Rows and columns of a quarter of the photo, rounded up: the grid on which maps are kept."""
    height, width = image_BCHW.shape[-2:]
    return (height - 1) // 4 + 1, (width - 1) // 4 + 1


def resize(map_Phw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of maps to ``size`` (rows, columns)."""
    return F.interpolate(map_Phw[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def max_normalised(map_Phw: Tensor) -> Tensor:
    """Divides each map by its maximum."""
    return map_Phw / (map_Phw.amax(dim=(1, 2), keepdim=True) + EPSILON)
