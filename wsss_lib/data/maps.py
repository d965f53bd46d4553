"""Files of maps: one npz for each photo, the same for CAM, AdvCAM and AMN.

Each holds ``classes`` (int16, foreground classes counted from 0), ``map`` (float16, at the feature grid or finer) and ``size``
(height and width of the photo in pixels). A step of float16 is below 0.0005 in [0, 1], a tenth of the distance between two of
the thresholds at which maps are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError, regular

ROUNDING = 1e-3  # how far outside [0, 1] a map may lie; it is clipped


class CorruptMap(Exception):
    """A map file that cannot be read, so its stage has to make it again."""


def save_map(
    path: str | Path, classes_k: Sequence[int] | Tensor, map_khw: Tensor, size_HW: Sequence[int]
) -> None:
    """Writes the maps of one photo as npz: float16, no pickle.

    Args:
        path: the file to write.
        classes_k: foreground classes, counted from 0; there may be none.
        map_khw: one map for each of them, in [0, 1], at the feature grid or finer.
        size_HW: height and width of the photo in pixels.

    Raises:
        ValueError: shapes that do not fit, or a value outside [0, 1].
    """
    classes = np.asarray(classes_k, dtype=np.int16).reshape(-1)
    maps = torch.as_tensor(map_khw).detach().float().cpu().numpy()
    if maps.ndim != 3 or len(maps) != len(classes):
        raise ValueError(f"{path}: {len(classes)} classes, but maps of shape {maps.shape}")
    if not np.all((maps >= -ROUNDING) & (maps <= 1 + ROUNDING)):  # false for nan too
        raise ValueError(f"{path}: a map must lie in [0, 1] everywhere")
    maps = maps.clip(0, 1).astype(np.float16)
    with atomic(path) as aside, aside.open("wb") as file:
        np.savez(file, classes=classes, map=maps, size=np.int32(size_HW))


def load_map(path: str | Path) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Reads what :func:`save_map` wrote.

    Returns:
        ``classes_k`` int64, ``map_khw`` float32, and height and width of the photo.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptMap: the file is damaged, or is something else.
    """
    try:
        with np.load(regular(path), allow_pickle=False) as file:
            classes, maps, size = file["classes"], file["map"], file["size"]
        if maps.ndim != 3 or classes.shape != maps.shape[:1] or size.shape != (2,):
            raise ValueError("shapes that do not fit")
        height, width = (int(side) for side in size)
        if classes.dtype.kind not in "iu" and len(classes):
            raise ValueError("classes that are not whole numbers")
        classes = classes.astype(np.int64)
        if min(height, width, *maps.shape[1:]) < 1 or (len(classes) and classes.min() < 0):
            raise ValueError("sizes or classes that cannot be")
        maps = torch.from_numpy(maps.astype(np.float32))
        if not maps.isfinite().all():
            raise ValueError("values that are not numbers")
        return torch.from_numpy(classes), maps, (height, width)
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, zlib and numpy have a dozen kinds of errors for a broken file
        raise CorruptMap(f"{path} is not a map file, or is damaged ({error})") from error


def is_map(file: Path) -> bool:
    """Whether a map file is there and whole."""
    try:
        load_map(file)
    except (FileNotFoundError, CorruptMap):
        return False
    return True


def whole_map(
    folder: Path, id: str, size: Sequence[int] | None = None, classes: int | None = None
) -> tuple[Tensor, Tensor]:
    """The maps of a photo at its size, ``map_kHW``, and their classes.

    Args:
        folder: of the files of maps.
        id: of the photo.
        size: its height and width; if given, maps of another photo are refused.
        classes: K; if given, maps of classes beyond are refused.

    Raises:
        InputError: the map is missing, damaged, or that of another photo or dataset.
    """
    file = folder / f"{id}.npz"
    try:
        classes_k, map_khw, own_size = load_map(file)
    except (FileNotFoundError, CorruptMap) as error:
        raise InputError(f"{file} is missing or damaged: make the maps again", file=file) from error
    if size is not None and own_size != tuple(size):
        sizes = f"{own_size[1]} x {own_size[0]} pixels, but this photo has {size[1]} x {size[0]}"
        raise InputError(f"{file} is of a photo of {sizes}: make the maps again", file=file)
    if classes is not None and len(classes_k) and int(classes_k.max()) >= classes:
        known = f"the class {int(classes_k.max())}, counted from 0, but there are {classes}"
        raise InputError(f"{file} has a map of {known}: make the maps again", file=file)
    return upsampled(map_khw, own_size), classes_k


def upsampled(map_khw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation to height and width ``size``."""
    if not len(map_khw):
        return map_khw.new_zeros(0, *size)
    return F.interpolate(map_khw[None], size, mode="bilinear", align_corners=False)[0]
