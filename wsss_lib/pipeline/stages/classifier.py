"""The classifier: learns from tags which classes a photo shows."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.photos import Photos
from wsss_lib.learning.backbones import Backbone, backbone
from wsss_lib.learning.metrics import mean_average_precision
from wsss_lib.learning.storage import load_state
from wsss_lib.learning.training import speed
from wsss_lib.methods.cam import Classifier, classification_loss
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.stage import NetworkStage
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class ClassifierStage(NetworkStage):
    """The multi-label classifier, by default as in the official code of AdvCAM for VOC 2012."""

    title = "Classifier"
    reads = ("train",)
    headline = ("val_map", "mean average precision on val")

    batch_pixels: int = speed(12_000_000)
    """Pixels of the ``val`` photos that are looked at together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "batch_pixels", least=1, whole=True)

    def on(self, net: Backbone, num_classes: int) -> Classifier:
        """The classifier on a backbone."""
        return Classifier(net, num_classes)

    def loss(self, model: nn.Module, batch: dict) -> Tensor:
        """The multi-label soft-margin loss."""
        return classification_loss(model, batch)

    def also(self, work: Work) -> dict:
        """The backbone and the seed; and the number of negatives, if there are any, which earlier versions left out."""
        negatives = count_negatives(self.learns_from(work))
        return super().also(work) | ({"negatives": negatives} if negatives else {})

    def learns_from(self, work: Work) -> Photos:
        """All photos of ``train``; one without a tag is a negative of every class."""
        return work.photos("train")

    def warnings(self, work: Work) -> list[str]:
        """Classes that are in every photo: the loss is least where they are seen everywhere."""
        photos = self.learns_from(work)
        everywhere = photos.tags_NK.all(dim=0).tolist()
        names = ", ".join(name for name, always in zip(photos.names[1:], everywhere) if always)
        return [
            f"every photo of the list {photos.split} has the tag {names}, so the classifier cannot learn what is not {names}: "
            "add photos without it (wsss prepare: in a folder called background, or with another tag)"
        ] * bool(names)

    def cost(self, effort) -> None:
        """It learns from tags, and looks at ``val``."""
        super().cost(effort)
        look = torch.no_grad()(lambda work, model, batch: model(batch.image_BCHW))
        val = effort.work.photos("val")
        effort.looks(self.network, look, effort.work.batches(val, pixels=self.batch_pixels))

    def make(self, work: Work) -> dict:
        """Trains on tags and measures the mean average precision on ``val``."""
        photos = self.learns_from(work)
        model = work.train(self.network(work), self.loss, photos)
        return {"val_map": validate(work, model), "negatives": count_negatives(photos)}


def count_negatives(photos: Photos) -> int:
    """How many photos have no tag."""
    return len(photos) - int(photos.tags_NK.any(dim=1).sum())


@torch.no_grad()
def validate(work: Work, model: Classifier) -> float:
    """Mean average precision on ``val``, each photo at its own size; every process takes its share."""
    photos, score_K = work.photos("val"), {}
    for batch in work.batches(photos, pixels=work.stage.batch_pixels):
        score_K |= dict(zip(batch.ids, model(batch.image_BCHW).float().cpu()))
    score_K = {id: score for part in ranks.gathered(score_K) for id, score in part.items()}
    return mean_average_precision(torch.stack([score_K[id] for id in photos.ids]), photos.tags_NK)


def fine_classifier(work: Work) -> Classifier:
    """A classifier at the output stride of the maps, which has learned nothing."""
    grid = work.recipe.cam
    net = backbone(
        work.recipe.classifier.backbone or work.recipe.backbone,
        output_stride=grid.output_stride,
        dilated=grid.dilated,
    )
    return Classifier(net, work.photos("train").num_classes)


def learned_classifier(work: Work) -> Classifier:
    """The classifier of a run, at the output stride of the maps."""
    model = fine_classifier(work)
    load_state(work.run.folder / "checkpoints/classifier.safetensors", model)
    return work.ready(model)
