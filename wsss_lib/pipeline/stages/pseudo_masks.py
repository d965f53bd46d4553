"""Pseudo-masks: maps, cut at their threshold and refined by the CRF."""

from dataclasses import dataclass
from functools import partial

from wsss_lib.methods.seeds import pseudo_mask
from wsss_lib.pipeline.kinds import MAPS, MASKS
from wsss_lib.pipeline.stage import Stage, deciding
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class PseudoMasksStage(Stage):
    """A label for every pixel, for a network to learn from."""

    title = "Pseudo-masks"
    headline = ("miou", "mIoU on train, after the CRF")
    makes = (MASKS,)
    reads = ("maps",)

    source: str
    """The stage whose maps are cut, at its ``threshold``."""

    def title_in(self, recipe) -> str:
        """With the name of the maps."""
        return f"{self.title} from {recipe.stages[self.source].title}"

    def needs(self, recipe) -> tuple[str, ...]:
        """The maps."""
        return (recipe.source(MAPS, self.source),)

    def also(self, work: Work) -> dict:
        """The threshold of the maps, and the CRF."""
        recipe = work.recipe
        return {"threshold": recipe.stages[self.source].threshold, "crf": deciding(recipe.crf)}

    def cost(self, effort) -> None:
        """One label map of a photo is refined."""
        effort.refines(effort.work.tagged(), effort.work.recipe.crf)

    def make(self, work: Work) -> None:
        """Makes the masks."""
        threshold = work.recipe.stages[self.source].threshold
        work.write_masks(
            self.source, partial(pseudo_mask, threshold=threshold, crf=work.recipe.crf)
        )
