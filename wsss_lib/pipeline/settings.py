"""The settings of every stage: one frozen dataclass each, and a `Recipe` that holds them all.

Defaults are those of the official code for PASCAL VOC 2012; each field says what it is, in which
unit. `wsss_lib.recipes` has whole recipes.
"""

from dataclasses import dataclass, field
from typing import Literal

from wsss_lib.data.augmentation import Augmentation
from wsss_lib.learning.training import Training
from wsss_lib.methods.advcam import Climbing
from wsss_lib.methods.crf import DenseCRF

Network = Literal["toy", "resnet50", "resnet101", "mobilenet_v2"]
Source = Literal["cam", "advcam", "amn"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the photos are."""

    root: str
    """A folder in the one layout (see README): make it with a script of data_scripts/."""
    train: str = "train"
    """The split whose tags are learned from."""
    val: str = "val"
    """The split on which the classifier and the segmentation network are measured."""
    draw_seed: int | None = None
    """Draw the embedded dataset with this seed into ``root``, if it is not there yet."""
    draw_photos: tuple[int, int, int] = (600, 300, 100)
    """How many train, val and test photos to draw."""
    draw_size: int = 128
    """Side of the drawn photos, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ClassifierStage:
    """The multi-label classifier, by default as in the official code of AdvCAM for VOC 2012."""

    training: Training
    augmentation: Augmentation
    output_stride: int = 16
    dilated: bool = False
    """Spread the convolutions behind a stride that is not taken."""
    frozen_stages: int = 1
    """The first stages of the backbone, counted, that do not learn."""
    frozen_norm: bool = True
    """Batch normalisation keeps the statistics of the pretrained weights."""


@dataclass(frozen=True, kw_only=True)
class CamStage:
    """Class activation maps, by default as in the official code of IRN."""

    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    batch_size: int = 16
    """Photos of one size that are looked at together."""
    output_stride: int = 16
    """Finer than in training is allowed; CAM and AdvCAM share it."""
    dilated: bool = False


@dataclass(frozen=True, kw_only=True)
class AdvCamStage(Climbing):
    """Anti-adversarial climbing; switches that are not explained here are in `wsss_lib.methods.advcam`."""

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    batch_size: int = 16
    """Pairs of a photo and a class that climb together, at most."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: faster on a GPU; single maps differ, their mIoU should not."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Fractions of the maximum of a map above which a pixel is foreground in a pseudo-mask.

    They are read only where maps become masks, so that changing one makes no map again.
    """

    cam: float = 0.15
    advcam: float = 0.19
    amn: float = 0.25


@dataclass(frozen=True, kw_only=True)
class SeedsStage:
    """Confident foreground, confident background, unsure."""

    source: Literal["cam", "advcam"] = "advcam"
    """The maps that seeds are made from."""
    cam: tuple[float, float] = (0.30, 0.05)
    """Thresholds of foreground and background for CAM. (Code of IRN.)"""
    advcam: tuple[float, float] = (0.35, 0.15)
    """The same for AdvCAM. (Its code.)"""

    def __post_init__(self):
        for name in ("cam", "advcam"):
            foreground, background = getattr(self, name)
            if not 0 <= background <= foreground <= 1:
                raise ValueError(
                    f"thresholds of seeds are 0 <= background <= foreground <= 1, but {name} has "
                    f"foreground {foreground} and background {background}"
                )


@dataclass(frozen=True, kw_only=True)
class AmnStage:
    """The activation manipulation network, by default as in its official code for VOC 2012."""

    training: Training
    augmentation: Augmentation
    start: Literal["pretrained", "classifier"] = "pretrained"
    """Weights that the backbone starts from."""
    output_stride: int = 16
    dilated: bool = False
    frozen_stages: int = 1
    frozen_norm: bool = True
    rates: tuple[int, ...] = (6, 12, 18, 24)
    """Dilation of the head, in cells."""
    dropout: float = 0.1
    smoothing: float = 0.4
    """Label smoothing epsilon; 0: hard labels."""
    balanced: bool = True
    """Background and foreground pixels weigh the same. Off, with smoothing 0: no PCL."""
    condition_stage: int | None = -1
    """The stage of the backbone that is told the tags; None: no LC."""
    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    gate: bool = True
    """Stretch maps only where the seed does not say background (official post-processing)."""
    batch_size: int = 16
    """Photos of one size that are looked at together, once it is trained."""


@dataclass(frozen=True, kw_only=True)
class PseudoMasksStage:
    """Maps, cut at their threshold and refined by the CRF."""

    sources: tuple[Source, ...] = ("cam", "advcam", "amn")


@dataclass(frozen=True, kw_only=True)
class SegmenterStage:
    """DeepLabV2 on pseudo-masks, by default as AdvCAM trains it: deeplab-pytorch, balanced loss."""

    training: Training
    augmentation: Augmentation
    source: Source = "amn"
    """The pseudo-masks to learn from."""
    backbone: Network | None = None
    """None: the recipe's."""
    weights: str | None = None
    """None: the recipe's."""
    output_stride: int = 8
    dilated: bool = True
    frozen_stages: int = 1
    frozen_norm: bool = True
    rates: tuple[int, ...] = (6, 12, 18, 24)
    balanced: bool = True
    train_scales: tuple[float, ...] = (0.75, 0.5)
    """Further factors at which the network learns."""
    scales: tuple[float, ...] = (1.0, 0.75, 0.5)
    """Factors at which it is tested."""
    mirrored: bool = False
    """Also look at mirror images in the test."""
    refine: bool = True
    """Refine the predictions by `test_crf`."""
    test_crf: DenseCRF = field(
        default_factory=lambda: DenseCRF(
            gaussian_sxy=1,
            gaussian_compat=3,
            bilateral_sxy=67,
            bilateral_srgb=3,
            bilateral_compat=4,
        )
    )
    batch_size: int = 8
    """Photos of one size that are tested together."""
    supervised: bool = True
    """Also train on the true masks, where they exist: the ceiling."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run, from tags to masks."""

    data: Data
    classifier: ClassifierStage
    cam: CamStage
    advcam: AdvCamStage
    crf: DenseCRF
    """The CRF of seeds and pseudo-masks."""
    thresholds: Thresholds
    seeds: SeedsStage
    amn: AmnStage
    pseudo_masks: PseudoMasksStage
    segmenter: SegmenterStage
    backbone: Network = "resnet50"
    """The network that every stage starts from."""
    weights: str = "default"
    """"default": the published ImageNet weights (or the toy's own); else a file in torchvision's format."""
    seed: int = 0
    """Of every random choice in training."""
