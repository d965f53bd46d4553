"""COCO's json of instances: one annotation for each connected component of a class, as run lengths.

Its masks are read back by pycocotools, which also encodes them here (Lin et al., "Microsoft COCO", ECCV 2014).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsss_lib.data.exports.components import components
from wsss_lib.data.exports.masked import Masked, bring_photos
from wsss_lib.data.layout import VOID, InputError


def write(masked: Masked, to: Path, *, whole: bool = False, photos: bool = False) -> list[str]:
    """Writes ``annotations.json``, and ``images/`` if photos are wanted.

    Args:
        masked: the photos and their masks.
        to: a folder.
        whole: one annotation for each class of a photo, however many parts it has.
        photos: copy the photos, as ``<id>.jpg``; else ``file_name`` says where they lie below their folder.

    Returns:
        What was written, in words.

    Raises:
        InputError: pycocotools is not installed, or a mask or photo cannot be used.
    """
    images, annotations, void, pixels = [], [], 0, 0
    for number, (id, label_HW) in enumerate(masked.labels(), 1):
        height, width = label_HW.shape
        file_name = f"{id}.jpg" if photos else masked.place(id)
        images.append({"id": number, "file_name": file_name, "width": width, "height": height})
        for label, part_HW in parts(label_HW, whole):
            known = {"id": len(annotations) + 1, "image_id": number, "category_id": label}
            annotations.append(known | encoded(part_HW))
        void += int((label_HW == VOID).sum())
        pixels += label_HW.size
    categories = [
        {"id": k, "name": name, "supercategory": ""} for k, name in enumerate(masked.names) if k
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (to / "annotations.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    said = [f"annotations.json: {len(images)} photos, {len(annotations)} annotations"]
    if void:
        said.append(f"{void} pixels ({100 * void / pixels:.1f} %) are void and in no annotation")
    if photos:
        bring_photos(masked, masked.photos, to / "images", copy=True)
    else:
        said.append(f"file_name is below {masked.folder}")
    return said


def parts(label_HW: np.ndarray, whole: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Each class of a mask with one of its components, or with all of it."""
    for label in np.unique(label_HW):
        if label in (0, VOID):
            continue
        of_class_HW = label_HW == label
        if whole:
            yield int(label), of_class_HW
            continue
        component_HW, count = components(of_class_HW)
        for component in range(1, count + 1):
            yield int(label), component_HW == component


def encoded(part_HW: np.ndarray) -> dict:
    """The run lengths, area in pixels, and box (left, top, width, height) of a part.

    Raises:
        InputError: pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise InputError("COCO's masks need pycocotools: pip install pycocotools") from None
    rle = mask.encode(np.asfortranarray(part_HW, dtype=np.uint8))
    return {
        "segmentation": {"size": list(part_HW.shape), "counts": rle["counts"].decode("ascii")},
        "area": int(mask.area(rle)),
        "bbox": mask.toBbox(rle).tolist(),
        "iscrowd": 0,
    }
