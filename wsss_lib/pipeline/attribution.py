"""CAM and AdvCAM of single photos, with a classifier that is only used."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from wsss_lib.data.layout import read_photo
from wsss_lib.data.maps import upsampled
from wsss_lib.data.sources.photos import within
from wsss_lib.methods.advcam import Climbing, Step, climb
from wsss_lib.methods.cam import cam, map_size, max_normalised, resize
from wsss_lib.pipeline.classifiers import Used
from wsss_lib.pipeline.plots import INK, overlay_map, palette

SURE = 0.5  # of a multi-label network: what it says is there
LIKELIEST = 3  # of a network for one class of many
ACROSS, TITLE = 3.4, 0.35  # inches of a picture, and of what stands over it


@dataclass(frozen=True)
class Attribution:
    """Maps of one photo.

    Attributes:
        image_HW3: the photo as it was looked at, uint8.
        classes_k: the classes, counted from 0.
        cam_khw: in [0, 1], at a quarter of the photo.
        advcam_khw: the same, of climbing.
        logit_k: of each class, of the photo.
        climbed_k: of each class, of the photo that has climbed towards it.
    """

    image_HW3: np.ndarray
    classes_k: list[int]
    cam_khw: Tensor
    advcam_khw: Tensor
    logit_k: Tensor
    climbed_k: Tensor


def attribute(
    classifier: Used,
    photo: str | Path,
    classes: Sequence[int] | None = None,
    *,
    settings: Climbing | None = None,
    max_side: int | None = None,
) -> Attribution:
    """CAM and AdvCAM of a photo, at one scale.

    Args:
        classifier: see `wsss_lib.pipeline.classifiers`.
        photo: a file.
        classes: counted from 0; None: what the network says is there.
        settings: how to climb; None: as on PASCAL VOC 2012.
        max_side: longer side at most, in pixels; None: as it is.

    Raises:
        InputError: the photo cannot be read.
    """
    image, settings = read_photo(photo), settings or Climbing()
    image = image.resize(
        within(max_side, image.height, image.width)[::-1], Image.Resampling.LANCZOS
    )
    image_BCHW = classifier.seen(pil_to_tensor(image)[None])
    with torch.no_grad():
        logit_K = classifier.model(image_BCHW)[0]
    if classes is None:
        classes = said_to_be_there(logit_K, classifier.softmax)
    tag_BK = torch.zeros_like(logit_K)[None]
    tag_BK[0, list(classes)] = 1
    class_k = tag_BK[0].nonzero().flatten()  # in the order of the maps
    climbs = [
        climbed(classifier, image_BCHW, tag_BK, label, settings) for label in class_k.split(1)
    ]
    return Attribution(
        image_HW3=np.asarray(image),
        classes_k=class_k.tolist(),
        cam_khw=cam(classifier.model, image_BCHW, tag_BK).cpu(),
        advcam_khw=torch.cat([map_Phw for map_Phw, _ in climbs]).cpu(),
        logit_k=logit_K[class_k],
        climbed_k=torch.stack([logit for _, logit in climbs]),
    )


def climbed(
    classifier: Used, image_BCHW: Tensor, tag_BK: Tensor, class_P: Tensor, settings: Climbing
) -> tuple[Tensor, Tensor]:
    """AdvCAM of one class, and its logit for the photo that has climbed (without the mirror image)."""
    last: deque[Step] = deque(maxlen=1)
    map_Phw = climb(classifier.model, image_BCHW, class_P, tag_BK, settings, trace=last)
    with torch.no_grad():
        logit_K = classifier.model(last[0].image_PVCHW[:1, 0])[0]
    return max_normalised(resize(map_Phw, map_size(image_BCHW))), logit_K[class_P[0]]


def said_to_be_there(logit_K: Tensor, softmax: bool) -> list[int]:
    """The classes that a network sees: the three likeliest of many, or all of which it is sure, but at least one."""
    sure = [] if softmax else (logit_K.sigmoid() > SURE).nonzero().flatten().tolist()
    return sure or logit_K.topk(min(LIKELIEST if softmax else 1, len(logit_K))).indices.tolist()


def picture(found: Attribution, names: Sequence[str]) -> Figure:
    """The photo, and for each class its CAM and its AdvCAM laid over it.

    Args:
        found: see `attribute`.
        names: of its classes.
    """
    height, width = found.image_HW3.shape[:2]
    rows = len(names)
    size = (3 * ACROSS, rows * (ACROSS * height / width + TITLE))
    figure = Figure(figsize=size, layout="constrained")
    image = torch.from_numpy(found.image_HW3.copy()).permute(2, 0, 1)
    one = torch.zeros(1, dtype=torch.int64)
    for row, axes in enumerate(figure.subplots(rows, 3, squeeze=False)):
        maps = [m[row : row + 1].float() for m in (found.cam_khw, found.advcam_khw)]
        shown = [overlay_map(image, upsampled(m, (height, width)), one, palette(2)) for m in maps]
        before, after = float(found.logit_k[row]), float(found.climbed_k[row])
        titles = (names[row], f"CAM (logit {before:.1f})", f"AdvCAM (climbed to {after:.1f})")
        for axis, pixels, title in zip(axes, (found.image_HW3, *shown), titles):
            axis.imshow(pixels)
            axis.set_title(title, fontsize=10, color=INK)
            axis.axis("off")
    return figure
