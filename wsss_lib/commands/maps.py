"""``wsss maps PHOTO... --network NAME``: CAM and AdvCAM of any photos, with a trained classifier that is only used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.photo_files import find_photos, names_of, refuse_inside

if TYPE_CHECKING:
    from wsss_lib.pipeline.classifiers import Used

ABOUT = """Class activation maps of photos, with a trained classifier as it is: nothing is learned.

  wsss maps cat.jpg --network resnet50 --to maps                     of what the network says is there
  wsss maps cat.jpg --network resnet50 --classes tabby --to maps     of a class by its name or number
  wsss maps holiday/ --network runs/toy --to maps                    with the classifier of a run
  wsss maps x.png --network resnet18 --weights my.pth --labels my-classes.txt --to maps
  wsss maps cat.jpg --network timm/resnet26d.bt_in1k --to maps       with timm installed

Any network of torchvision or timm will do whose last layer is linear in the mean of a map of features; others are
refused in words. DIR/NAME.jpg shows the photo, its CAM and its AdvCAM; DIR/cam and DIR/advcam hold the maps (.npz)."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which photos, and which network."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, and folders of photos with all folders in them."""
    network: str
    """A network of torchvision, timm/NAME, or the folder of a run."""
    to: Path
    """The folder to write."""
    classes: tuple[str, ...] = ()
    """Names or numbers of classes; else those that the network says are there."""
    weights: Path | None = None
    """A file of the whole classifier; else the published weights, which are downloaded once."""
    labels: Path | None = None
    """A file of class names, one a line."""
    multi_label: bool = False
    """The network was trained to say any number of classes, each by a sigmoid (a run's was)."""
    output_stride: int | None = None
    """Pixels from one cell of the map to the next, where the network can be brought to another than its own."""
    steps: int = 10
    """How many maps AdvCAM sums."""
    step_size: float = 0.08
    """How far a value moves at a step, in units of the normalised photo."""
    regularization: float = 3.0
    """How much the places that the score rests on already are held back; 1 just holds them."""
    mask_threshold: float = 0.5
    """Which places these are: those above this fraction of the maximum."""
    suppress: Literal["all", "absent", "none"] | None = None
    """Which other classes are pushed down; if it is not said, none where there are more than a hundred, else all."""
    max_side: int = 480
    """Photos with a longer side are made smaller, to so many pixels; 0: none is."""
    quiet: bool = False
    """No progress bar."""

    def __post_init__(self) -> None:
        refuse_outside(self, "max_side", least=0, whole=True)
        refuse_outside(self, "output_stride", least=1, whole=True)
        refuse_outside(self, "steps", least=1, whole=True)
        refuse_outside(self, "step_size")
        refuse_outside(self, "regularization", least=0)
        refuse_outside(self, "mask_threshold", least=0, most=1)


def maps(arguments: list[str]) -> None:
    """``wsss maps``."""
    asked = parsed(Asked, arguments, "maps", description=ABOUT)
    if not asked.photos:
        raise InputError(
            "give photos, or folders of photos: wsss maps PHOTOS --network NAME --to DIR"
        )
    photos, _ = find_photos(asked.photos)
    refuse_inside(asked.to, asked.photos)
    names = names_of(photos)
    from tqdm.auto import tqdm

    from wsss_lib.data.maps import save_map
    from wsss_lib.pipeline.attribution import attribute, picture

    classifier = opened(asked)
    classes = [classifier.number(each) for each in asked.classes] or None
    settings = climbing(asked, classifier)
    for photo in tqdm(photos, desc="climbing", unit=" photos", disable=asked.quiet):
        found = attribute(classifier, photo, classes, settings=settings, max_side=asked.max_side)
        size_HW = found.image_HW3.shape[:2]
        for kind, map_khw in (("cam", found.cam_khw), ("advcam", found.advcam_khw)):
            save_map(asked.to / kind / f"{names[photo]}.npz", found.classes_k, map_khw, size_HW)
        called = [classifier.name(label) for label in found.classes_k]
        with atomic(asked.to / f"{names[photo]}.jpg") as aside:
            picture(found, called).savefig(aside, format="jpg", dpi=130)
        for name, before, after in zip(called, found.logit_k.tolist(), found.climbed_k.tolist()):
            tqdm.write(f"{photo}: {name}, logit {before:.2f}, climbed to {after:.2f}")


def opened(asked: Asked) -> Used:
    """The classifier that is asked for."""
    from dataclasses import replace

    from wsss_lib.pipeline.classifiers import of_run, used
    from wsss_lib.pipeline.runs import Run
    from wsss_lib.recipes import recipe_of

    if (Path(asked.network) / "recipe.json").is_file():
        if asked.weights or asked.labels or asked.output_stride:
            raise InputError("a run has weights, class names and an output stride of its own")
        run = Run.existing(asked.network)
        return of_run(recipe_of(run, "classifier"), run)
    classifier = used(asked.network, asked.weights, asked.labels, asked.output_stride)
    return replace(classifier, softmax=not asked.multi_label)


def climbing(asked: Asked, classifier: Used):
    """How to climb: of many classes none is pushed down, since their sum would outweigh the one that is climbed."""
    from wsss_lib.methods.advcam import Climbing

    many = classifier.model.head.weight.shape[0] > 100
    return Climbing(
        steps=asked.steps,
        step_size=asked.step_size,
        regularization=asked.regularization,
        regularization_unit="mean",
        mask_threshold=asked.mask_threshold,
        suppress=asked.suppress or ("none" if many else "all"),
    )
