"""A stage of a run: a dataclass whose fields are its settings, and whose ``make`` does its work.

To add one, say maps that are blurred, write its method into ``methods/`` and one file into ``stages/``::

    @dataclass(frozen=True, kw_only=True)
    class BlurStage(MapStage):
        title = "Blurred CAM"
        source: str = "cam"
        sigma: float = 2.0

        def needs(self, recipe):
            return (self.source,)

        def make(self, work):
            for id in work.unmade(MAPS, work.tagged()):
                classes_k, map_khw, size = load_map(work.run.folder / "maps" / self.source / f"{id}.npz")
                work.save_map(id, classes_k, blurred(map_khw, self.sigma), size)

and give the recipe a field ``blur: BlurStage``. The name of the field is the name of the stage: of its folders, its
command, its row in the report. What it makes (``makes``) decides how it is measured, drawn and shown. All its fields
decide what it makes, another value is another result, but for those of `speed` and `later`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from wsss_lib.data.augmentation import Augmentation
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.learning.backbones import Backbone, backbone, refuse_unknown
from wsss_lib.learning.training import Training, speed
from wsss_lib.learning.weights import weights_fingerprint
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.fingerprints import plain
from wsss_lib.pipeline.kinds import MAPS, NETWORK, Kind

if TYPE_CHECKING:
    from wsss_lib.data.photos import Photos
    from wsss_lib.pipeline.estimate import Effort
    from wsss_lib.pipeline.recipe import Recipe
    from wsss_lib.pipeline.work import Batch, Work


def later(default: object) -> object:
    """A setting that is read only where the stage's files are read: changing it makes none of them again."""
    return field(default=default, metadata={"later": True})


def deciding(settings: object) -> object:
    """The settings that decide what is made, as plain JSON: without those of `speed` and `later`."""
    if not dataclasses.is_dataclass(settings):
        return plain(settings)
    return {
        each.name: deciding(getattr(settings, each.name))
        for each in dataclasses.fields(settings)
        if not each.metadata.keys() & {"speed", "later"}
    }


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a run; see the module.

    Attributes:
        title: what people call it.
        makes: the kinds of files it makes.
        reads: the lists of photos that it reads: ``train``, ``maps``, ``val``.
        version: raised when the same settings give another result than before.
        headline: the figure that says how it went, and what that is; None: that of its first kind.
        line: colour and dashes of its curves.
    """

    title: ClassVar[str]
    makes: ClassVar[tuple[Kind, ...]]
    reads: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, str] | None] = None
    line: ClassVar[tuple[str, object] | None] = None

    def title_in(self, recipe: Recipe) -> str:
        """What people call it in a recipe."""
        return self.title

    def needs(self, recipe: Recipe) -> tuple[str, ...]:
        """The stages whose files it reads."""
        return ()

    def __post_init__(self) -> None:
        """Refuses settings that cannot be, with a ValueError; overriding it, call this one too."""

    def of_network(self, recipe: Recipe) -> NetworkStage:
        """The stage whose settings its network has, if it makes one: itself."""
        return self

    def also(self, work: Work) -> dict:
        """What decides its result besides its own settings, its photos and the stages it needs."""
        return {}

    def possible(self, work: Work) -> bool:
        """Whether it can be made of this data at all; if not, it is left out without a word."""
        return True

    def warnings(self, work: Work) -> list[str]:
        """Sentences that people should read before it is made, which it can be all the same."""
        return []

    def cost(self, effort: Effort) -> None:
        """Tells an estimate what ``make`` will do; a stage that tells nothing is not estimated."""

    def rehearse(self, work: Work) -> None:
        """Looks at what ``make`` will need, before the first stage of a run begins.

        Raises:
            InputError: something is missing or does not fit.
        """

    def make(self, work: Work) -> dict | None:
        """Makes all its files that are not there yet; returns what it measured on the way.

        It may be killed at any moment and called again, and several processes call it side by side.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MapStage(Stage):
    """A stage that makes a map for each photo and each of its tags."""

    makes = (MAPS,)
    reads = ("maps",)

    threshold: float = later(0.25)
    """Fraction of the maximum above which a pixel is foreground in a pseudo-mask."""
    seed_thresholds: tuple[float, float] = later((0.35, 0.15))
    """The same for seeds: of confident foreground, and of confident background."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "threshold seed_thresholds", least=0, most=1)
        foreground, background = self.seed_thresholds
        if background > foreground:
            raise ValueError(
                "seed_thresholds are those of the foreground and of the background, which is not the higher one, but they "
                f"are {foreground} and {background}"
            )


@dataclass(frozen=True, kw_only=True)
class LookingStage(Stage):
    """A stage that looks at photos of any size with a network that has learned: that of its ``network(work)``.

    Attributes:
        told: its network is told the tags of a photo.
        refine: the labels of photos are refined by a CRF.
    """

    told: ClassVar[bool] = False
    refine: ClassVar[bool] = False

    scales: tuple[float, ...] = (1.0,)
    """Factors by which a photo is resized; what is seen at each is fused."""
    batch_pixels: int = speed(24_000_000)
    """Pixels that the network looks at together: of all photos, their mirror images, at the largest scale. Lower it if
    memory does not do; it changes the time."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: faster on a GPU; single maps differ, their mIoU should not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scales:
            raise ValueError("scales must be at least one")
        refuse_outside(self, "scales", above=0)
        refuse_outside(self, "batch_pixels", least=1, whole=True)

    def photos(self, work: Work) -> Photos:
        """What it looks at."""
        return work.tagged()

    def views(self) -> int:
        """How often it looks at a photo at one scale: at itself, and at its mirror image."""
        return 2

    def batches(self, work: Work, makes: Sequence[Kind] = ()) -> Iterator[Batch]:
        """What it looks at, in turn, but for what is there; see `wsss_lib.pipeline.work.Work.batches`."""
        scale, views = max(self.scales), self.views()
        return work.batches(
            self.photos(work), makes, pixels=self.batch_pixels, views=views, scale=scale
        )

    def cost(self, effort: Effort) -> None:
        """It looks at its photos."""
        super().cost(effort)
        effort.looks(self.network, self.look, self.batches(effort.work))

    def look(self, work: Work, model: nn.Module, batch: Batch) -> Tensor:
        """What the network sees in a batch; nothing is written."""
        raise NotImplementedError

    def scores(self, recipe, image_HW3, probability_LHW, tag_K, refined: bool) -> Tensor:
        """``score_LHW`` of a photo, of what `look` has seen in it and the tags that it was told: the largest decides."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NetworkStage(Stage):
    """A stage that trains a network on a pretrained backbone."""

    makes = (NETWORK,)

    training: Training
    augmentation: Augmentation
    backbone: str | None = None
    """None: the recipe's."""
    weights: str | None = None
    """None: the recipe's."""
    output_stride: int = 16
    """Pixels from one cell of the features to the next."""
    dilated: bool = False
    """Spread the convolutions behind a stride that is not taken."""
    frozen_stages: int = 1
    """The first stages of the backbone, counted, that do not learn."""
    frozen_norm: bool = True
    """Batch normalisation keeps the statistics of the pretrained weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unknown(self.backbone)
        refuse_outside(self, "output_stride", least=1, whole=True)
        refuse_outside(self, "frozen_stages", least=0, whole=True)

    def also(self, work: Work) -> dict:
        """The backbone that it starts from, and the seed."""
        recipe = work.recipe
        return {
            "backbone": self.backbone or recipe.backbone,
            "weights": weights_fingerprint(self.weights or recipe.weights),
            "seed": recipe.seed,
        }

    def pretrained(self, recipe: Recipe) -> Backbone:
        """The backbone that it starts from."""
        return self.bare(recipe, self.weights or recipe.weights)

    def bare(self, recipe: Recipe, weights: str | None = None) -> Backbone:
        """The backbone with other weights; None: with random ones, for weights that are loaded afterwards."""
        return backbone(
            self.backbone or recipe.backbone,
            weights=weights,
            output_stride=self.output_stride,
            dilated=self.dilated,
            frozen_stages=self.frozen_stages,
            frozen_norm=self.frozen_norm,
        )

    def on(self, net: Backbone, num_classes: int) -> nn.Module:
        """Its network on a backbone, for so many foreground classes."""
        raise NotImplementedError

    def network(self, work: Work) -> nn.Module:
        """The network before it has learned anything but its pretrained backbone."""
        torch.manual_seed(work.recipe.seed)
        net = self.pretrained(work.recipe)
        return self.on(net, work.photos(self.reads[0]).num_classes)

    def learns_from(self, work: Work) -> Photos:
        """The photos that it learns from: those that get maps and masks, which have a tag."""
        return work.tagged()

    def loss(self, model: nn.Module, batch: dict) -> Tensor:
        """What it minimises."""
        raise NotImplementedError

    def cost(self, effort: Effort) -> None:
        """It learns from its photos."""
        super().cost(effort)
        effort.learns(self, self.learns_from(effort.work))

    def rehearse(self, work: Work) -> None:
        """Builds the network, which needs its weights, and deals a batch to the processes."""
        parts = ranks.count() * self.training.accumulate
        if self.training.batch_size % parts:
            raise InputError(
                f"{work.name}: a batch of {self.training.batch_size} cannot be dealt to {ranks.count()} process(es) in "
                f"{self.training.accumulate} part(s): choose a multiple of {parts} for --{work.name}.training.batch-size"
            )
        sizes = set(self.learns_from(work).sizes)
        if self.augmentation.crop is None and len(sizes) > 1:
            raise InputError(
                f"{work.name}: photos of {len(sizes)} sizes cannot be learned from together: give the side of a square that "
                f"is cut out of them, --{work.name}.augmentation.crop 320"
            )
        self.network(work)
