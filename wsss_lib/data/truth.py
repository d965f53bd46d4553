"""The true masks of a list of photos: all are looked at before anything is learned or measured.

What was looked at stands in the index of the list. This module needs no torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.index import Row, Wrong, attempted, listing, refuse_wrong, with_masks
from wsss_lib.data.layout import LABELS, MASKS, PHOTOS, VOID, InputError

BRING = "bring them with wsss prepare --masks FOLDER"


def refuse_bad_masks(root: str | Path, split: str, progress: bool = False) -> None:
    """Looks at every true mask of a list; what was looked at is remembered.

    Args:
        root: a dataset in the one layout.
        split: one of the lists in ``ImageSets/Segmentation``.
        progress: show a bar if there are many masks to look at.

    Raises:
        InputError: no mask is called like a photo; some cannot be read, have another size than their photo, or a label beyond
            the classes; or none shows a class, although the photos have tags.
    """
    root, classes = Path(root), len(layout.class_names(root)) - 1
    refuse_other_names(root)
    rows = with_masks(root, split, progress)

    def judge(row: Row) -> None:
        file, mask = root / MASKS / f"{row.id}.png", row.mask_of
        layout.refuse_other_size(file, (mask.height, mask.width), row.size)
        layout.refuse_other_labels(file, mask.highest, classes)

    refuse_wrong([each for each in map(attempted(judge), rows) if isinstance(each, Wrong)])
    tagged = [row for row in rows if row.objects]
    if tagged and not any(row.mask_of.highest for row in tagged):
        raise no_class_shown(root, split, len(tagged))


def no_class_shown(root: Path, split: str, count: int) -> InputError:
    """What is to be said where all the true masks of a list hold 0 and 255 only."""
    return InputError(
        f"the {count} masks of the list {split} in {root / MASKS} hold 0 and {VOID} only, so they show no class: 0 means "
        f"background and {VOID} void, which is never measured; write 1 for the first class of {LABELS}, or {BRING} "
        "--mask-values foreground."
    )


def refuse_other_names(root: Path) -> None:
    """Raises an InputError if there are masks and none of them is called like a photo."""
    masks = sorted(file for file in listing(root / MASKS) if file.endswith(".png"))
    ids = {Path(file).stem for file in listing(root / PHOTOS)}
    if masks and not any(Path(file).stem in ids for file in masks):
        raise InputError(
            f"{len(masks)} masks lie in {root / MASKS}, but none is called like a photo: the first mask is {masks[0]}, the "
            f"first id is {min(ids, default='missing')}; call each mask <id>.png, or {BRING}."
        )


def truth_fingerprint(root: str | Path, split: str) -> str:
    """Stands for the true masks of a list: which photos have one, and what is in it."""
    rows = with_masks(Path(root), split, progress=False)
    text = "".join(f"{row.id} {row.mask_of.digest}\n" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()
