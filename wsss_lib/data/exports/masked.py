"""Photos with their masks, as every format takes them; where they lie does not matter.

The modules of this folder need numpy and Pillow only; COCO's needs pycocotools as well.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.files import read_json
from wsss_lib.data.layout import MASKS, PHOTOS, SPLITS, VOID, InputError, class_names
from wsss_lib.data.photo_files import upright_size
from wsss_lib.data.sources.photos import write_photo

NOTE = "predict.json"  # what a folder of `wsss predict` knows of its masks


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Photos with their masks.

    Attributes:
        names: class names, background first.
        photos: the photo of each id.
        masks: the mask of each id.
        title: what made the masks.
        val: the ids that are for measuring; all others are to learn from.
        root: the dataset that the photos are of; None: of none.
        progress: show bars.
    """

    names: list[str]
    photos: dict[str, Path]
    masks: dict[str, Path]
    title: str
    val: frozenset[str] = field(default_factory=frozenset)
    root: Path | None = None
    progress: bool = True

    @property
    def folder(self) -> Path:
        """The folder in which, or below which, all photos lie."""
        return Path(
            os.path.commonpath([os.path.abspath(file.parent) for file in self.photos.values()])
        )

    def place(self, id: str) -> str:
        """Where a photo lies below `folder`, with slashes."""
        return Path(os.path.relpath(self.photos[id], self.folder)).as_posix()

    def labels(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each id with its mask, uint8 ``(H, W)``.

        Raises:
            InputError: a mask cannot be read, has another size than its photo or a label beyond the classes.
        """
        for id, file in tqdm(self.masks.items(), unit=" masks", disable=not self.progress):
            label_HW = layout.read_labels(file)
            layout.refuse_other_size(file, label_HW.shape, upright_size(self.photos[id]))
            highest = int(np.where(label_HW == VOID, 0, label_HW).max())
            layout.refuse_other_labels(file, highest, len(self.names) - 1)
            yield id, label_HW

    def part(self, id: str) -> str:
        """``train`` or ``val``."""
        return "val" if id in self.val else "train"

    def with_truth(self, split: str) -> Masked:
        """The same, and the photos of a list of the dataset that have a true mask, to measure on."""
        if self.root is None or not (self.root / SPLITS / f"{split}.txt").is_file():
            return self
        there = {id: self.root / MASKS / f"{id}.png" for id in layout.split_ids(self.root, split)}
        new = {id: mask for id, mask in there.items() if id not in self.masks and mask.is_file()}
        return replace(
            self,
            photos=self.photos | {id: self.root / PHOTOS / f"{id}.jpg" for id in new},
            masks=self.masks | new,
            val=self.val | new.keys(),
        )


def of_dataset(folder: Path, root: Path, split: str = "val", **more: object) -> Masked:
    """The masks of a folder, ``<id>.png``, of photos of a dataset.

    Args:
        folder: of the masks.
        root: of the dataset.
        split: its list of photos that are for measuring, if it has one.
        more: other attributes of `Masked`.

    Raises:
        InputError: there is no mask, or a mask has no photo.
    """
    masks = {file.stem: file for file in sorted(folder.glob("*.png"))}
    if not masks:
        raise InputError(f"{folder} holds no masks (.png)")
    names = class_names(root)
    layout.refuse_absent(
        root / PHOTOS, masks, ".jpg", f"it is the photo of a mask in {folder}: give its --data"
    )
    held_out = (root / SPLITS / f"{split}.txt").is_file()
    val = masks.keys() & set(layout.split_ids(root, split)) if held_out else ()
    photos = {id: root / PHOTOS / f"{id}.jpg" for id in masks}
    known = {"names": names, "title": folder.name, "root": root, "val": frozenset(val)}
    return Masked(photos=photos, masks=masks, **{**known, **more})


def of_predictions(folder: Path, **more: object) -> Masked:
    """What `wsss predict` has written: the photos may lie anywhere.

    Raises:
        InputError: it has not written this folder, or a mask or a photo is missing.
    """
    note = read_note(folder)
    photos = {id: Path(photo["file"]) for id, photo in note["photos"].items()}
    masks = {id: folder / f"{id}.png" for id in photos if (folder / f"{id}.png").is_file()}
    if not masks:
        raise InputError(f"{folder} holds no masks (.png)")
    photos = {id: photos[id] for id in masks}
    gone = next((file for file in photos.values() if not file.is_file()), None)
    if gone is not None:
        raise InputError(
            f"{gone} is missing, of which {folder} holds a mask; put it there again.", gone
        )
    names, title = note["classes"], note["made"]["network"]
    return Masked(names=names, photos=photos, masks=masks, title=title, **more)


def read_note(folder: Path) -> dict:
    """What a folder of `wsss predict` knows of its masks: how they were ``made``, the ``classes``, the ``photos``.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    note = read_json(folder / NOTE)
    try:
        names = [*note["classes"], note["made"]["network"], *note["photos"]]
        names += [photo["file"] for photo in note["photos"].values()]
        whole = isinstance(note["classes"], list) and all(isinstance(each, str) for each in names)
        whole = whole and all(
            os.path.basename(id) == id for id in note["photos"]
        )  # in no other folder
    except (LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(
            f"{folder / NOTE} is not what wsss predict has written; delete the folder."
        )
    return note


def bring_photos(masked: Masked, ids: Iterable[str], to: Path, copy: bool) -> None:
    """Puts the photos of ids into a folder as ``<id>.jpg``: links to them, or copies.

    What is no JPEG, or is to be turned, is written as an upright JPEG in any case where it is copied.
    """
    to.mkdir(parents=True, exist_ok=True)
    for id in ids:
        photo, target = masked.photos[id], to / f"{id}.jpg"
        if not copy and photo.suffix.lower() in (".jpg", ".jpeg"):
            try:
                os.symlink(os.path.abspath(photo), target)
                continue
            except OSError:  # a disk, or a system, without links
                shutil.copyfile(photo, target)
                continue
        written = write_photo(photo, target, None)
        if written.error:
            raise InputError(written.error, photo)
