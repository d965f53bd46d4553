"""AdvCAM of every tagged photo: the maps seen while the score of a class is climbed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from wsss_lib.learning.backbones import fold_norms
from wsss_lib.learning.training import speed
from wsss_lib.methods.advcam import Climbing, advcam
from wsss_lib.methods.cam import Classifier
from wsss_lib.pipeline.kinds import MAPS, Kind
from wsss_lib.pipeline.stage import LookingStage, MapStage, later
from wsss_lib.pipeline.stages.classifier import fine_classifier, learned_classifier
from wsss_lib.pipeline.work import Batch, Work


@dataclass(frozen=True, kw_only=True)
class AdvCamStage(MapStage, LookingStage, Climbing):
    """Anti-adversarial climbing; switches that are not explained here are in `wsss_lib.methods.advcam`."""

    title = "AdvCAM"
    line = ("#e06c1c", (0, (5, 2)))

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    threshold: float = later(0.19)
    seed_thresholds: tuple[float, float] = later((0.35, 0.15))
    """Of confident foreground, and of confident background. (Its code.)"""
    batch_pixels: int = speed(6_000_000)
    """Pixels that climb together: of all pairs of a photo and a class, their mirror images, at the scale at hand. Six
    million take 6 GB with a ResNet-50. Lower it if memory does not do; it changes the time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        Climbing.__post_init__(self)

    def needs(self, recipe) -> tuple[str, ...]:
        """The classifier."""
        return ("classifier",)

    def also(self, work: Work) -> dict:
        """The grid of the maps is that of CAM."""
        return {"cam": [work.recipe.cam.output_stride, work.recipe.cam.dilated]}

    def network(self, work: Work) -> Classifier:
        """A classifier that has learned nothing."""
        return fold_norms(work.ready(fine_classifier(work)))

    def rehearse(self, work: Work) -> None:
        """Looks whether the network can have the output stride of the maps."""
        fine_classifier(work)

    def look(self, work: Work, model: Classifier, batch: Batch) -> Tensor:
        """``map_Phw`` of the pairs of a batch."""
        with work.autocast(self.precision):
            return advcam(
                model,
                batch.image_BCHW,
                batch.tag_BK,
                self.scales,
                self,
                batch_pixels=self.batch_pixels,
            )

    def pairs(self, work: Work) -> list[int]:
        """How many classes each photo is climbed towards."""
        return self.photos(work).tags_NK.sum(dim=1).tolist()

    def cost(self, effort) -> None:
        """At each scale every step behind the first takes what the second takes."""
        for scale in sorted(self.scales, reverse=True):
            steps = self.steps_at(scale)
            for few, times in ((2, steps - 1), (1, 2 - steps)):
                climb = replace(self, scales=(scale,), steps=few)
                effort.looks(self.network, climb.look, self.batches(effort.work), times)

    def batches(self, work: Work, makes: Sequence[Kind] = ()) -> Iterator[Batch]:
        """Photos count once for each of their classes; finer scales are climbed in parts."""
        return work.batches(
            self.photos(work),
            makes,
            pixels=self.batch_pixels,
            views=self.views(),
            costs=self.pairs(work),
        )

    def make(self, work: Work) -> None:
        """Makes the maps."""
        model = fold_norms(learned_classifier(work))
        for batch in self.batches(work, [MAPS]):
            work.save_maps(batch, self.look(work, model, batch))
