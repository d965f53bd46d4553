"""AMN: learns the seeds pixel by pixel, told the tags, and makes maps of what it has learned."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.maps import upsampled
from wsss_lib.data.photos import read_mask
from wsss_lib.learning.backbones import Backbone
from wsss_lib.learning.training import speed
from wsss_lib.methods.amn import AMN, amn_maps, label_probability, per_pixel_loss
from wsss_lib.methods.seeds import labels_from_map, pseudo_mask
from wsss_lib.pipeline.kinds import LABELS, MAPS, MASKS, NETWORK
from wsss_lib.pipeline.stage import LookingStage, MapStage, NetworkStage, later
from wsss_lib.pipeline.stages.classifier import learned_classifier
from wsss_lib.pipeline.work import Batch, Work


@dataclass(frozen=True, kw_only=True)
class AmnStage(MapStage, LookingStage, NetworkStage):
    """The activation manipulation network, by default as in its official code for VOC 2012."""

    title = "AMN"
    makes = (NETWORK, MAPS, LABELS)
    told = True
    refine = True
    line = ("#3d6fe0", "solid")

    source: str = "seeds"
    """The stage whose seeds it learns from."""
    start: Literal["pretrained", "classifier"] = "pretrained"
    """Weights that the backbone starts from."""
    rates: tuple[int, ...] = (6, 12, 18, 24)
    """Dilation of the head, in cells."""
    dropout: float = 0.1
    """Share of the features set to zero while it learns."""
    smoothing: float = 0.4
    """Label smoothing epsilon; 0: hard labels."""
    balanced: bool = True
    """Background and foreground pixels weigh the same. Off, with smoothing 0: no PCL."""
    condition_stage: int | None = -1
    """The stage of the backbone that is told the tags; None: no LC."""
    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    threshold: float = later(0.25)
    seed_thresholds: tuple[float, float] = later((0.45, 0.15))
    """Of confident foreground, and of confident background, for a next network. (Its code.)"""
    gate: bool = True
    """Stretch maps only where the seed does not say background (official post-processing)."""
    batch_pixels: int = speed(24_000_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "rates", least=1, whole=True)
        refuse_outside(self, "dropout smoothing", least=0, most=1)
        refuse_outside(self, "condition_stage", whole=True)

    def needs(self, recipe) -> tuple[str, ...]:
        """The seeds, and the classifier if it starts from it."""
        seeds = recipe.source(MASKS, self.source)
        return ("classifier", seeds) if self.start == "classifier" else (seeds,)

    def scores(self, recipe, image_HW3, probability_LHW, tag_K, refined: bool) -> Tensor:
        """1 for the label of its pseudo-mask: its map, cut at the threshold, and what the CRF makes of that.

        There is no seed, so the maps are stretched everywhere, as with ``gate`` off. (The likeliest label would be far worse.)
        """
        map_khw = amn_maps(probability_LHW[None], tag_K[None])
        map_kHW = upsampled(map_khw.half().float(), image_HW3.shape[:2])  # as a file of maps has it
        classes_k = tag_K.nonzero().flatten()
        if refined:
            label_HW = pseudo_mask(image_HW3, map_kHW, classes_k, self.threshold, recipe.crf)
        else:
            label_HW = labels_from_map(map_kHW, classes_k, self.threshold)
        return F.one_hot(label_HW.long(), len(probability_LHW)).movedim(-1, 0).float()

    def begun(self, work: Work) -> AMN:
        """AMN before its training, with the weights that it starts from."""
        torch.manual_seed(work.recipe.seed)
        net = self.pretrained(work.recipe)
        if self.start == "classifier":
            net.load_state_dict(learned_classifier(work).backbone.state_dict())
        return self.on(net, work.photos("maps").num_classes)

    def on(self, net: Backbone, num_classes: int) -> AMN:
        """AMN on a backbone."""
        return AMN(
            net,
            num_classes,
            rates=self.rates,
            condition_stage=self.condition_stage,
            dropout=self.dropout,
        )

    def loss(self, model: nn.Module, batch: dict) -> Tensor:
        """Cross-entropy with the seeds, softened and balanced."""
        return self.told_loss(model, batch, batch["tags"])

    def told_loss(self, model: nn.Module, batch: dict, told_BK: Tensor) -> Tensor:
        """The loss of a network that is told ``told_BK``."""
        logit_BLhw = model(batch["image"], told_BK)
        return per_pixel_loss(
            logit_BLhw, batch["mask"], smoothing=self.smoothing, balanced=self.balanced
        )

    def look(self, work: Work, model: AMN, batch: Batch) -> Tensor:
        """``probability_BLhw`` of the labels."""
        return self.told_look(work, model, batch, batch.tag_BK)

    def told_look(self, work: Work, model: AMN, batch: Batch, told_BK: Tensor) -> Tensor:
        """The same from a network that is told ``told_BK``."""
        with work.autocast(self.precision):
            return label_probability(model, batch.image_BCHW, told_BK, self.scales)

    def make(self, work: Work) -> None:
        """Trains on the seeds and makes labels and maps of every tagged photo."""
        self.learn(work, self.begun(work))

    def learn(self, work: Work, model: AMN, told: Callable[[Tensor], Tensor] | None = None) -> None:
        """Trains a network and makes its labels and maps.

        Args:
            work: the run.
            model: see `begun`.
            told: for experiments, what the network is told, given ``tag_BK``; None: the tags.
        """
        told = told or nn.Identity()
        seeds = work.run.folder / "masks" / self.source

        def loss(model: nn.Module, batch: dict) -> Tensor:
            return self.told_loss(model, batch, told(batch["tags"]))

        model = work.train(model, loss, self.learns_from(work).with_masks(seeds))
        for batch in self.batches(work, [MAPS, LABELS]):
            probability_BLhw = self.told_look(work, model, batch, told(batch.tag_BK))
            for id, label_hw in zip(batch.ids, probability_BLhw.argmax(dim=1)):
                work.save_label(LABELS, id, label_hw)
            gate_BHW = None
            if self.gate:
                gate_BHW = torch.stack([read_mask(seeds / f"{id}.png") for id in batch.ids])
                gate_BHW = gate_BHW.to(work.device)
            work.save_maps(batch, amn_maps(probability_BLhw, batch.tag_BK, gate_BHW))
