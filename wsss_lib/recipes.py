"""Recipes: whole runs, each a function that returns every setting.

Derive your own with `dataclasses.replace`, or on the command line:
``wsss run toy --name slow-climb --advcam.steps 27``.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from wsss_lib.data.augmentation import Augmentation
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import known
from wsss_lib.learning.training import Training
from wsss_lib.methods.crf import DenseCRF
from wsss_lib.pipeline.fingerprints import restored
from wsss_lib.pipeline.recipe import Data, Recipe
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.stages.advcam import AdvCamStage
from wsss_lib.pipeline.stages.amn import AmnStage
from wsss_lib.pipeline.stages.cam import CamStage
from wsss_lib.pipeline.stages.classifier import ClassifierStage
from wsss_lib.pipeline.stages.pseudo_masks import PseudoMasksStage
from wsss_lib.pipeline.stages.seeds import SeedsStage
from wsss_lib.pipeline.stages.segmenter import SegmenterStage
from wsss_lib.pipeline.stages.supervised import SupervisedStage
from wsss_lib.pipeline.trained import Trained, labelling, trained


@dataclass(frozen=True, kw_only=True)
class Segmentation(Recipe):
    """From tags to masks, and to a network that needs no tags."""

    classifier: ClassifierStage
    cam: CamStage = CamStage()
    advcam: AdvCamStage = AdvCamStage()
    seeds: SeedsStage = SeedsStage()
    amn: AmnStage
    cam_masks: PseudoMasksStage = PseudoMasksStage(source="cam")
    advcam_masks: PseudoMasksStage = PseudoMasksStage(source="advcam")
    amn_masks: PseudoMasksStage = PseudoMasksStage(source="amn")
    segmenter: SegmenterStage
    supervised: SupervisedStage = SupervisedStage()
    crf: DenseCRF = field(default_factory=DenseCRF)
    """The CRF of seeds and pseudo-masks."""


def toy(data_seed: int = 0, photos: tuple[int, int, int] = (600, 300, 100)) -> Segmentation:
    """The embedded dataset: every stage in minutes on two CPU cores."""
    moved = Augmentation(flip=True, shift=12, jitter=(0.15, 0.15, 0.15), noise=0.3)
    adam = Training(
        epochs=12,
        batch_size=32,
        backbone_lr=2e-3,
        head_lr=2e-3,
        optimizer="adamw",
        weight_decay=0.05,
        schedule="warmup_cosine",
    )
    free = {"frozen_stages": 0, "frozen_norm": False}
    fine = {"output_stride": 4, "dilated": True}
    photo = 128 * 128  # pixels; twice as many with its mirror image
    return Segmentation(
        backbone="toy",
        data=Data(root="data/toy", draw_seed=data_seed, draw_photos=photos),
        classifier=ClassifierStage(
            training=adam, augmentation=moved, output_stride=8, batch_pixels=50 * photo, **free
        ),
        cam=CamStage(
            scales=(1.0,),
            threshold=0.36,
            seed_thresholds=(0.50, 0.28),
            batch_pixels=100 * photo,
            **fine,
        ),
        advcam=AdvCamStage(
            steps=12,
            mask_threshold=0.6,
            regularization=10,
            regularization_unit="mean",
            scales=(1.0,),
            threshold=0.43,
            seed_thresholds=(0.57, 0.35),
            batch_pixels=32 * photo,
        ),
        crf=DenseCRF(gaussian_sxy=2, bilateral_sxy=25, bilateral_srgb=8),
        amn=AmnStage(
            training=replace(adam, epochs=6, batch_size=16, backbone_lr=6e-4, weight_decay=1e-4),
            augmentation=moved,
            start="classifier",
            rates=(1, 2, 4, 6),
            scales=(1.0,),
            threshold=0.46,
            gate=False,
            batch_pixels=100 * photo,
            **fine,
            **free,
        ),
        segmenter=SegmenterStage(
            training=replace(
                adam, epochs=8, batch_size=16, backbone_lr=4e-3, head_lr=4e-3, weight_decay=1e-4
            ),
            augmentation=moved,
            rates=(1, 2, 4, 6),
            balanced=False,
            train_scales=(),
            scales=(1.0,),
            mirrored=True,
            refine=False,
            batch_pixels=100 * photo,
            **fine,
            **free,
        ),
    )


def toy_quick(data_seed: int = 0) -> Segmentation:
    """The toy recipe on few, small photos and for few steps: a rehearsal of under a minute."""
    recipe = toy(data_seed, photos=(64, 32, 16))
    return replace(
        recipe,
        data=replace(recipe.data, root="data/toy-quick", draw_size=64),
        classifier=replace(
            recipe.classifier, training=replace(recipe.classifier.training, epochs=10)
        ),
        advcam=replace(recipe.advcam, steps=3),
        amn=replace(recipe.amn, training=replace(recipe.amn.training, epochs=4)),
        segmenter=replace(recipe.segmenter, training=replace(recipe.segmenter.training, epochs=4)),
    )


def voc12() -> Segmentation:
    """PASCAL VOC 2012 as in the papers: ResNet-50, then DeepLabV2-ResNet-101, on a GPU."""
    return Segmentation(
        data=Data(root="data/VOC2012", workers=8),
        classifier=ClassifierStage(
            training=Training(
                epochs=5, batch_size=16, backbone_lr=0.1, head_lr=1.0, momentum=1e-4, workers=8
            ),
            augmentation=Augmentation(long_side=(320, 640), flip=True, crop=512),
        ),
        amn=AmnStage(
            training=Training(
                epochs=5,
                batch_size=16,
                backbone_lr=5e-6,
                head_lr=1e-4,
                optimizer="adam",
                schedule="constant",
                workers=8,
            ),
            augmentation=Augmentation(rescale=(0.5, 1.5), flip=True, crop=512),
        ),
        segmenter=SegmenterStage(
            training=Training(
                epochs=28,
                batch_size=10,
                backbone_lr=2.5e-4,
                head_lr=2.5e-3,
                weight_decay=5e-4,
                double_bias_lr=True,
                workers=8,
            ),
            augmentation=Augmentation(rescale=(0.5, 2.0), flip=True, crop=321),
            backbone="resnet101",
            weights="default",
        ),
    )


def photos() -> Segmentation:
    """Your own tagged photos: MobileNetV2, sizes that a laptop bears, no truth needed."""
    recipe = voc12()
    adam = Training(
        epochs=15,
        batch_size=16,
        backbone_lr=3e-4,
        head_lr=3e-3,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="warmup_cosine",
    )
    bearable = {"batch_pixels": 4_000_000}
    crop = Augmentation(long_side=(288, 448), flip=True, jitter=(0.2, 0.2, 0.2), crop=288)
    return replace(
        recipe,
        backbone="mobilenet_v2",
        data=Data(root="data/photos"),
        classifier=replace(recipe.classifier, training=adam, augmentation=crop),
        cam=replace(recipe.cam, scales=(1.0,), **bearable),
        advcam=replace(recipe.advcam, scales=(1.0,), steps=10, **bearable),
        amn=replace(
            recipe.amn,
            training=replace(adam, epochs=6),
            augmentation=crop,
            scales=(1.0,),
            **bearable,
        ),
        segmenter=replace(
            recipe.segmenter,
            training=replace(adam, epochs=15),
            augmentation=crop,
            backbone=None,
            weights=None,
            output_stride=16,
            train_scales=(),
            scales=(1.0,),
            mirrored=True,
        ),
    )


RECIPES = {"toy": toy, "toy-quick": toy_quick, "voc12": voc12, "photos": photos}


def recipe_of(run: Run, stage: str | None = None) -> Recipe:
    """The recipe of a run, as it was asked for last.

    Args:
        run: of one of the tasks of `RECIPES`.
        stage: its settings, and the backbone, are those that it was made with.

    Raises:
        InputError: what is written there is no recipe of this version.
    """
    file, asked = run.folder / "recipe.json", run.recipe
    if stage in asked:
        asked = as_made(asked, stage, run.mark(stage)["of"])
    tasks = {type(make()): None for make in RECIPES.values()}
    fitting = [task for task in tasks if asked.keys() <= {each.name for each in fields(task)}]
    if not asked or not fitting:
        raise InputError(f"{file} is no recipe of this version of wsss")
    return restored(min(fitting, key=lambda task: len(fields(task))), asked, str(file))


def network_of(folder: str | Path, name: str | None = None, progress: bool = True) -> Trained:
    """Opens a network of a run that labels pixels, for `wsss_lib.pipeline.prediction.predict`.

    Args:
        folder: of the run.
        name: the stage that made the network; None: the segmentation network.
        progress: show progress bars.

    Raises:
        InputError: there is no such run or network, or it is not trained.
    """
    run = Run.existing(folder)
    networks = labelling(recipe_of(run))
    name = known(name or networks[0], networks, "network that labels pixels")
    return trained(recipe_of(run, name), run, name, progress=progress)


def as_made(recipe: dict, stage: str, of: dict) -> dict:
    """A recipe in which the settings of a stage are those that its mark says it was made with.

    Args:
        recipe: as it was asked for.
        stage: its name.
        of: what the fingerprint of the stage stands for; nothing, where that is not known.
    """
    also = dict(of.get("also") or {})
    also.pop("weights", None)  # the fingerprint of a file, not its name
    made = {**also, stage: of.get("settings") or {}}
    known = {name: value for name, value in made.items() if name in recipe}
    return recipe | {
        name: recipe[name] | value if isinstance(value, dict) else value
        for name, value in known.items()
    }
