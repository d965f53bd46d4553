"""``wsss export RUN --as FORMAT --to DIR``: the masks of a run as other tools have them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.exports import coco, label_studio, masked, mmseg, voc
from wsss_lib.data.files import atomic_folder
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import known
from wsss_lib.data.sources.dataset import refuse_taken

if TYPE_CHECKING:
    from wsss_lib.data.exports.masked import Masked

ABOUT = """Bring masks to other tools: to look at them, to correct them, to train other networks with them.

  wsss export runs/toy --as coco --to for-coco                the masks that the segmentation network learns from
  wsss export runs/toy --as labelstudio --to tasks            as pre-annotations, to be corrected by hand
  wsss export runs/toy --as mmseg --stage cam_masks --to for-mmseg
  wsss export runs/toy --as voc --to pseudo-voc --photos      a dataset of its own, with the photos in it
  wsss export masks --as labelstudio --to tasks               what `wsss predict` has written
  wsss export my-masks --data data/toy --as coco --to for-coco     any folder of palette masks, ID.png

coco: annotations.json, an annotation for each connected component; void pixels are left out, and counted.
labelstudio: tasks.json to import, config.xml as the labeling configuration.
mmseg: img_dir and ann_dir of train and val, dataset.py for the configuration; voc: the layout that wsss reads.
These two get the true masks of `val`, where there are any, to measure with."""


@dataclass(frozen=True, kw_only=True)
class Exporting:
    """Which masks, and in which format."""

    source: tyro.conf.Positional[Path]
    """The folder of a run, one that `wsss predict` has written, or any folder of masks with --data."""
    format: Annotated[Literal["coco", "labelstudio", "mmseg", "voc"], tyro.conf.arg(name="as")]
    """The format."""
    to: Path
    """The new folder to write."""
    stage: str | None = None
    """Of a run: the stage whose masks or predictions they are; else that whose masks the segmentation network learns from."""
    data: Path | None = None
    """The dataset of the masks, if it is not where the run had it."""
    whole: bool = False
    """For coco: one annotation for each class of a photo, however many parts it has."""
    photos: bool = False
    """Copy the photos too. Without it, coco and labelstudio name them where they are, mmseg and voc link to them."""
    prefix: str | None = None
    """For labelstudio: what stands before the name of a photo in its address, such as https://host/photos/. Else photos are
    local files (/data/local-files/?d=...)."""
    quiet: bool = False
    """No progress bar."""

    def __post_init__(self) -> None:
        for name, only in (("whole", "coco"), ("prefix", "labelstudio")):
            if getattr(self, name) and self.format != only:
                raise ValueError(f"--{name} is for --as {only}")


def export(arguments: list[str]) -> None:
    """``wsss export``."""
    asked = parsed(Exporting, arguments, "export", description=ABOUT)
    refuse_taken(asked.to)
    masks = given(asked)
    writers = {
        "coco": partial(coco.write, whole=asked.whole),
        "labelstudio": partial(label_studio.write, root=asked.to.resolve(), prefix=asked.prefix),
        "mmseg": partial(mmseg.write, root=asked.to.resolve()),
        "voc": voc.write,
    }
    if asked.format == "coco" and find_spec("pycocotools") is None:
        raise InputError("COCO's masks need pycocotools: pip install pycocotools")
    with atomic_folder(asked.to) as aside:
        said = writers[asked.format](masks, aside, photos=asked.photos)
    print(f"{asked.to}: masks of {masks.title}")
    for line in said:
        print(f"  {line}")


def given(asked: Exporting) -> Masked:
    """The masks that are asked for."""
    more = {"progress": not asked.quiet}
    if (asked.source / "recipe.json").is_file():
        return of_run(asked, more)
    if asked.stage is not None:
        raise InputError(f"{asked.source} is no run, so it has no stages: leave out --stage")
    if (asked.source / masked.NOTE).is_file() and asked.data is None:
        return masked.of_predictions(asked.source, **more)
    if not asked.source.is_dir():
        raise InputError(f"{asked.source} is not a folder: give that of a run, or of masks")
    if asked.data is None:
        raise InputError(
            f"{asked.source} is neither a run nor written by wsss predict: give the dataset of its masks with --data"
        )
    masks = masked.of_dataset(asked.source, asked.data, **more)
    return masks.with_truth("val") if asked.format in ("mmseg", "voc") else masks


def of_run(asked: Exporting, more: dict) -> Masked:
    """The masks of a stage of a run."""
    from wsss_lib.pipeline.kinds import MASKS, PREDICTIONS
    from wsss_lib.pipeline.runs import Run
    from wsss_lib.pipeline.trained import dataset_of
    from wsss_lib.recipes import recipe_of

    run = Run(asked.source)
    recipe = recipe_of(run)
    kinds = {name: kind for kind in (MASKS, PREDICTIONS) for name in recipe.making(kind)}
    learned = [recipe.stages[name] for name in recipe.making(PREDICTIONS)]
    default = next(
        (each.source for each in learned if hasattr(each, "source")), next(iter(kinds), "")
    )
    stage = known(asked.stage or default, list(kinds), "stage that makes masks")
    if not run.mark(stage)["done"]:
        raise InputError(
            f"{run.folder} has not finished {stage}: make it with `wsss {stage} RECIPE --name {run.folder.resolve().name}` and "
            "the settings of this run"
        )
    root = asked.data or dataset_of(recipe, run)
    if root is None:
        raise InputError(
            f"the dataset of {run.folder}, {recipe.data.root}, is gone: say where it is with --data"
        )
    folder = run.folder / kinds[stage].folder / stage
    masks = masked.of_dataset(folder, root, recipe.data.val, **more)
    return masks.with_truth(recipe.data.val) if asked.format in ("mmseg", "voc") else masks
