"""What a stage has made, drawn over its photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from wsss_lib.data.layout import InputError
from wsss_lib.data.maps import whole_map
from wsss_lib.data.photos import Photos, read_mask
from wsss_lib.pipeline import plots


def map_picture(file: Path, image: Tensor, colours: np.ndarray) -> np.ndarray | None:
    """The maps of a photo over it, or None if there are none that can be read."""
    try:
        map_kHW, classes_k = whole_map(file.parent, file.stem)
        return plots.overlay_map(image, map_kHW, classes_k, colours)
    except (InputError, ValueError, IndexError):  # a map of another photo, or of other classes
        return None


def mask_picture(file: Path, image: Tensor, colours: np.ndarray) -> np.ndarray | None:
    """A mask over its photo, or None if there is none that can be read."""
    try:
        return plots.overlay(image, read_mask(file, size=tuple(image.shape[-2:])), colours)
    except InputError:
        return None


def choose(photos: Photos, folders: list[Path], count: int) -> list[int]:
    """Photos that show every class soon: each next one is the first with the most classes not yet shown."""
    made = {file.stem for folder in folders if folder.is_dir() for file in folder.iterdir()}
    left = [index for index, id in enumerate(photos.ids) if id in made]
    chosen, shown = [], np.zeros(photos.num_classes, dtype=bool)
    while left and len(chosen) < count:
        gains = [int((photos.tags_NK[index].numpy() & ~shown).sum()) for index in left]
        if max(gains) == 0 and shown.any():
            shown[:] = False
            continue
        chosen.append(left.pop(int(np.argmax(gains))))
        shown |= photos.tags_NK[chosen[-1]].numpy()
    return sorted(chosen)
