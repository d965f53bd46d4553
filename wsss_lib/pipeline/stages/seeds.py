"""Seeds: labels of confident foreground and background, from maps."""

from dataclasses import dataclass
from functools import partial

from wsss_lib.methods.seeds import seed
from wsss_lib.pipeline.kinds import MAPS, MASKS
from wsss_lib.pipeline.stage import Stage, deciding
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class SeedsStage(Stage):
    """Confident foreground, confident background, unsure."""

    title = "Seeds"
    makes = (MASKS,)
    reads = ("maps",)

    source: str = "advcam"
    """The stage whose maps they are made from, at its ``seed-thresholds``."""

    def needs(self, recipe) -> tuple[str, ...]:
        """The maps."""
        return (recipe.source(MAPS, self.source),)

    def also(self, work: Work) -> dict:
        """The thresholds of the maps, and the CRF."""
        recipe = work.recipe
        thresholds = recipe.stages[self.source].seed_thresholds
        return {"seed_thresholds": thresholds, "crf": deciding(recipe.crf)}

    def cost(self, effort) -> None:
        """Two label maps of a photo are refined."""
        effort.refines(effort.work.tagged(), effort.work.recipe.crf, maps=2)

    def make(self, work: Work) -> None:
        """Makes the seeds."""
        foreground, background = work.recipe.stages[self.source].seed_thresholds
        method = partial(
            seed,
            foreground_threshold=foreground,
            background_threshold=background,
            crf=work.recipe.crf,
        )
        work.write_masks(self.source, method)
