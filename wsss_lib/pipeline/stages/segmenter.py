"""The segmentation network: learns from pseudo-masks, needs no tags afterwards.

Photos without a tag have no pseudo-mask, so it does not see them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import pil_to_tensor

from wsss_lib.data.layout import PHOTOS, read_photo
from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.photos import MaskedPhotos, Photos
from wsss_lib.learning.backbones import Backbone
from wsss_lib.learning.training import speed
from wsss_lib.methods.crf import DenseCRF, refine
from wsss_lib.methods.deeplab import DeepLabV2, segment, segmentation_loss
from wsss_lib.pipeline.kinds import MASKS, NETWORK, PREDICTIONS
from wsss_lib.pipeline.processes import map_processes
from wsss_lib.pipeline.stage import LookingStage, NetworkStage
from wsss_lib.pipeline.work import Batch, Work, write_label


@dataclass(frozen=True, kw_only=True)
class SegmenterStage(LookingStage, NetworkStage):
    """DeepLabV2 on pseudo-masks, by default as AdvCAM trains it: deeplab-pytorch, balanced loss."""

    title = "Segmentation network"
    makes = (NETWORK, PREDICTIONS)
    reads = ("maps", "val")

    source: str = "amn_masks"
    """The stage whose masks it learns from."""
    output_stride: int = 8
    dilated: bool = True
    rates: tuple[int, ...] = (6, 12, 18, 24)
    """Dilation of the head, in cells."""
    balanced: bool = True
    """Background and foreground pixels weigh the same."""
    train_scales: tuple[float, ...] = (0.75, 0.5)
    """Further factors at which the network learns."""
    scales: tuple[float, ...] = (1.0, 0.75, 0.5)
    """Factors at which it is tested."""
    mirrored: bool = False
    """Also look at mirror images in the test."""
    refine: bool = True
    """Refine the predictions by ``test-crf``."""
    test_crf: DenseCRF = field(
        default_factory=lambda: DenseCRF(
            gaussian_sxy=1,
            gaussian_compat=3,
            bilateral_sxy=67,
            bilateral_srgb=3,
            bilateral_compat=4,
        )
    )
    batch_pixels: int = speed(1_500_000)
    """Pixels that are tested together: of all photos and, if ``mirrored``, their mirror images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "rates", least=1, whole=True)
        refuse_outside(self, "train_scales", above=0)

    def needs(self, recipe) -> tuple[str, ...]:
        """The masks."""
        return (recipe.source(MASKS, self.source),)

    def on(self, net: Backbone, num_classes: int) -> DeepLabV2:
        """DeepLabV2 on a backbone."""
        return DeepLabV2(net, num_classes, self.rates)

    def loss(self, model: nn.Module, batch: dict) -> Tensor:
        """Cross-entropy with the masks, over scales."""
        return segmentation_loss(model, batch, balanced=self.balanced, scales=self.train_scales)

    def photos(self, work: Work) -> Photos:
        """It is tested on ``val``."""
        return work.photos("val")

    def views(self) -> int:
        """Mirror images are looked at if that is asked for."""
        return 2 if self.mirrored else 1

    def scores(self, recipe, image_HW3, probability_LHW, tag_K, refined: bool) -> Tensor:
        """The probabilities, or what the CRF makes of them."""
        return refine(image_HW3, probability_LHW, self.test_crf) if refined else probability_LHW

    def cost(self, effort, photos: Photos | None = None) -> None:
        """It learns from the photos with a tag, or those given; is tested; and the CRF refines what it says of all labels."""
        effort.learns(self, photos or self.learns_from(effort.work))
        effort.looks(self.network, self.look, self.batches(effort.work))
        if self.refine:
            val = effort.work.photos("val")
            effort.refines(val, self.test_crf, labels=len(val.names))

    def look(self, work: Work, model: DeepLabV2, batch: Batch) -> Tensor:
        """``probability_BLHW`` at the size of the photos."""
        with work.autocast(self.precision):
            return segment(model, batch.image_BCHW, self.scales, mirrored=self.mirrored)

    def make(self, work: Work) -> None:
        """Trains on pseudo-masks and predicts the ``val`` photos."""
        masks = work.run.folder / "masks" / self.source
        learn_masks(work, self, self.learns_from(work).with_masks(masks))


def learn_masks(work: Work, stage: SegmenterStage, photos: MaskedPhotos) -> None:
    """Trains a network on photos with masks and writes its predictions of ``val``."""
    model = work.train(stage.network(work), stage.loss, photos, stage)
    job = partial(
        predict,
        photos=Path(work.recipe.data.root) / PHOTOS,
        to=work.folder(PREDICTIONS.folder),
        crf=stage.test_crf if stage.refine else None,
    )
    processes = None if stage.refine else 1  # without the CRF there is nothing to share
    for _ in map_processes(job, seen(work, stage, model), processes):
        pass


def seen(work: Work, stage: SegmenterStage, model: nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    """The id and ``probability_LHW`` of each ``val`` photo that has no prediction yet."""
    for batch in stage.batches(work, [PREDICTIONS]):
        probability_BLHW = stage.look(work, model, batch).cpu().numpy()
        yield from zip(batch.ids, probability_BLHW)


def predict(
    id: str, probability_LHW: np.ndarray, photos: Path, to: Path, crf: DenseCRF | None
) -> None:
    """Writes the likeliest label of each pixel of a photo: the job of a process, on a CPU."""
    probability_LHW = torch.from_numpy(probability_LHW)
    if crf is not None:
        image_HW3 = pil_to_tensor(read_photo(photos / f"{id}.jpg")).permute(1, 2, 0)
        probability_LHW = refine(image_HW3, probability_LHW, crf)
    write_label(to / f"{id}{PREDICTIONS.ending}", probability_LHW.argmax(dim=0))
