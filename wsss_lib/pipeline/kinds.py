"""The kinds of files that stages make: where they lie, how they are measured and drawn.

Evaluation, report and command line go over kinds and know no stage by its name. A stage ``name`` of a
run has its files in ``<folder>/<name>/<id><ending>``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_lib.data.layout import InputError
from wsss_lib.data.maps import is_map
from wsss_lib.data.photos import read_mask
from wsss_lib.pipeline import evaluation, pictures

if TYPE_CHECKING:
    from wsss_lib.pipeline.work import Work


def is_mask(file: Path) -> bool:
    """Whether a mask is there and whole."""
    try:
        read_mask(file)
    except InputError:
        return False
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of files.

    Attributes:
        folder: below the run's.
        ending: of its files, with the dot.
        split: the list of photos that have such a file: ``maps``, or ``val``; None: it is not one a photo.
        whole: whether a file is there and can be read.
        measure: compares the files of the stage of a `Work` with the truth; every process calls it.
        picture: draws a file over its photo, given the photo and the colours; None where it cannot be read.
        headline: the figure that says most, and what it is.
        size: bytes of the file of a photo of a height, a width and a number of tags, roughly.
        holds_labels: a label a pixel in 8 bits, so at most 254 classes.
    """

    folder: str
    ending: str
    split: str | None = None
    whole: Callable[[Path], bool] = lambda file: file.is_file()
    measure: Callable[[Work], dict] | None = None
    picture: Callable | None = None
    headline: tuple[str, str] | None = None
    size: Callable[[int, int, int], float] = lambda height, width, tags: 0
    holds_labels: bool = False

    def outputs(self, name: str) -> list[str]:
        """What the stage ``name`` writes, relative to the run's folder."""
        lone = [f"{self.folder}/{name}{self.ending}"] if self.split is None else []
        return [f"{self.folder}/{name}", *lone]


NETWORK = Kind("checkpoints", ".safetensors")
"""Weights. Beside them lies the folder of their training, with its log and where to resume."""

MAPS = Kind(
    "maps",
    ".npz",
    split="maps",
    whole=is_map,
    measure=evaluation.measure_maps,
    picture=pictures.map_picture,
    headline=("miou", "mIoU on train, one threshold"),
    size=lambda height, width, tags: tags * height * width / 8 + 700,  # float16, a quarter a side
)
"""A map in [0, 1] for each tag of a photo, see `wsss_lib.data.maps`."""

MASKS = Kind(
    "masks",
    ".png",
    split="maps",
    whole=is_mask,
    measure=evaluation.measure_training_masks,
    picture=pictures.mask_picture,
    headline=("miou", "mIoU on train"),
    size=lambda height, width, tags: height * width / 40 + 1000,
    holds_labels=True,
)
"""A label for each pixel of a training photo, 255 where it is unsure."""

LABELS = Kind(
    "labels",
    ".png",
    split="maps",
    whole=is_mask,
    measure=evaluation.measure_absent_foreground,
    size=lambda height, width, tags: height * width / 400 + 1000,
    holds_labels=True,
)
"""A label for each cell, before it is held to the tags of the photo."""

PREDICTIONS = Kind(
    "predictions",
    ".png",
    split="val",
    whole=is_mask,
    measure=evaluation.measure_predictions,
    picture=pictures.mask_picture,
    headline=("val_miou", "mIoU on val"),
    size=lambda height, width, tags: height * width / 40 + 1000,
    holds_labels=True,
)
"""A label for each pixel of a photo that nothing was learned from."""

KINDS = {kind.folder: kind for kind in (NETWORK, MAPS, MASKS, LABELS, PREDICTIONS)}
"""By their folder."""
