"""The ceiling: the same segmentation network, trained on the true masks."""

from dataclasses import dataclass

from wsss_lib.data.truth import truth_fingerprint
from wsss_lib.pipeline.evaluation import with_truth
from wsss_lib.pipeline.kinds import NETWORK, PREDICTIONS
from wsss_lib.pipeline.stage import NetworkStage, Stage, deciding
from wsss_lib.pipeline.stages.segmenter import learn_masks
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class SupervisedStage(Stage):
    """The segmentation network, with its settings, on true masks: how far pseudo-masks are from them."""

    title = "The same, from true masks"
    makes = (NETWORK, PREDICTIONS)
    reads = ("maps", "val")

    wanted: bool = True
    """Train it, where there are true masks."""

    def also(self, work: Work) -> dict:
        """The settings of the segmentation network, but for the masks that it learns from; and the truth."""
        network = work.recipe.segmenter
        settings = deciding(network)
        del settings["source"]
        truth = truth_fingerprint(work.recipe.data.root, work.recipe.split("maps"))
        return {"segmenter": settings, "truth": truth, **network.also(work)}

    def of_network(self, recipe) -> NetworkStage:
        """The segmentation network."""
        return recipe.segmenter

    def possible(self, work: Work) -> bool:
        """Only where true masks are."""
        return self.wanted and with_truth(work.photos("maps")) is not None

    def cost(self, effort) -> None:
        """As the segmentation network, on the photos that have a true mask."""
        photos = with_truth(effort.work.photos("maps"))
        effort.work.recipe.segmenter.cost(effort, photos)

    def rehearse(self, work: Work) -> None:
        """As the segmentation network."""
        work.recipe.segmenter.rehearse(work.of("segmenter"))

    def make(self, work: Work) -> None:
        """Trains on true masks and predicts the ``val`` photos."""
        learn_masks(work, work.recipe.segmenter, with_truth(work.photos("maps")))
