"""The one layout again (see `wsss_lib.data.layout`), with other masks: VOC's, as most programs read it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from wsss_lib.data.annotations import write_annotation
from wsss_lib.data.exports.masked import Masked, bring_photos
from wsss_lib.data.layout import (
    ANNOTATIONS,
    LABELS,
    MASKS,
    PHOTOS,
    SPLITS,
    VOID,
    write_lines,
    write_mask,
)


def write(masked: Masked, to: Path, *, photos: bool = False) -> list[str]:
    """Writes a dataset; its tags are those of the dataset that the photos are of, else the classes of the masks.

    Args:
        masked: the photos and their masks.
        to: a folder.
        photos: copy the photos rather than link to them.

    Returns:
        What was written, in words.
    """
    for folder in (MASKS, ANNOTATIONS):
        (to / folder).mkdir()
    ids: dict[str, list[str]] = {"train": [], "val": []}
    for id, label_HW in masked.labels():
        write_mask(to / MASKS / f"{id}.png", label_HW)
        known = masked.root / ANNOTATIONS / f"{id}.xml" if masked.root else None
        if known is not None and known.is_file():
            shutil.copyfile(known, to / ANNOTATIONS / f"{id}.xml")
        else:
            seen = [(masked.names[k], None) for k in np.unique(label_HW) if 0 < k < VOID]
            file = to / ANNOTATIONS / f"{id}.xml"
            write_annotation(file, id=id, size_HW=label_HW.shape, objects=seen)
        ids[masked.part(id)].append(id)
    bring_photos(masked, masked.photos, to / PHOTOS, photos)
    for part, own in ids.items():
        if own:
            write_lines(to / SPLITS / f"{part}.txt", own)
    write_lines(to / LABELS, masked.names)
    counts = ", ".join(f"{part} {len(own)}" for part, own in ids.items() if own)
    return [f"{PHOTOS}, {MASKS}, {ANNOTATIONS}, {SPLITS}, {LABELS}: {counts}"]
