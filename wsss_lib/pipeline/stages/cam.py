"""Class activation maps of every tagged photo."""

from dataclasses import dataclass

from torch import Tensor

from wsss_lib.data.limits import refuse_outside
from wsss_lib.learning.training import speed
from wsss_lib.methods.cam import Classifier, cam
from wsss_lib.pipeline.kinds import MAPS
from wsss_lib.pipeline.stage import LookingStage, MapStage, later
from wsss_lib.pipeline.stages.classifier import fine_classifier, learned_classifier
from wsss_lib.pipeline.work import Batch, Work


@dataclass(frozen=True, kw_only=True)
class CamStage(MapStage, LookingStage):
    """Class activation maps, by default as in the official code of IRN."""

    title = "CAM"
    line = ("#8a94a0", (0, (1, 1.4)))

    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    threshold: float = later(0.15)
    seed_thresholds: tuple[float, float] = later((0.30, 0.05))
    """Of confident foreground, and of confident background. (Code of IRN.)"""
    output_stride: int = 16
    """Finer than in training is allowed; CAM and AdvCAM share it."""
    dilated: bool = False
    """Spread the convolutions behind a stride that is not taken."""
    batch_pixels: int = speed(24_000_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "output_stride", least=1, whole=True)

    def needs(self, recipe) -> tuple[str, ...]:
        """The classifier."""
        return ("classifier",)

    def network(self, work: Work) -> Classifier:
        """A classifier that has learned nothing."""
        return fine_classifier(work)

    def rehearse(self, work: Work) -> None:
        """Looks whether the network can have the output stride of the maps."""
        fine_classifier(work)

    def look(self, work: Work, model: Classifier, batch: Batch) -> Tensor:
        """``map_Phw`` of the pairs of a batch."""
        with work.autocast(self.precision):
            return cam(model, batch.image_BCHW, batch.tag_BK, self.scales)

    def make(self, work: Work) -> None:
        """Makes the maps."""
        model = learned_classifier(work)
        for batch in self.batches(work, [MAPS]):
            work.save_maps(batch, self.look(work, model, batch))
