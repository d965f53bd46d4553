"""The index of a list of photos: ``<root>/<split>.csv``, made where it is missing, so that a million photos open in seconds.

It holds for each photo what would else be read from its header, its bytes, its annotation and its mask. A row is trusted
while these files have the sizes and dates that stand in it; whatever has changed is looked at again, and the photo is
decoded once, so that a broken one is found before anything is learned. (A file that is replaced by one of the same size
within the same tick of the clock is not noticed.)

This module needs numpy and Pillow only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import ANNOTATIONS, MASKS, PHOTOS, VOID, Box

COLUMNS = "id height width digest objects photo annotation mask mask_of".split()
MANY = 1000  # photos to look at, from which on a progress bar is shown
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a photo may have very many objects


@dataclass(frozen=True)
class Index:
    """A list of photos, in its order.

    Attributes:
        ids: of the photos.
        sizes: height and width in pixels, turned as EXIF says.
        digests: of the bytes of each photo.
        objects: name, and box where known, of each object; see `wsss_lib.data.layout.objects`.
    """

    ids: list[str]
    sizes: list[tuple[int, int]]
    digests: list[str]
    objects: list[list[tuple[str, Box | None]]]


def read_index(root: str | Path, split: str, progress: bool = False) -> Index:
    """Opens a list of photos; what is new or has changed is looked at, and remembered.

    Args:
        root: a dataset in the one layout.
        split: one of the lists in ``ImageSets/Segmentation``.
        progress: show a bar if there are many photos to look at.

    Raises:
        InputError: the list, a photo or an annotation is missing or broken.
    """
    root, ids = Path(root), layout.split_ids(root, split)
    rows = stored(root, split)

    def stale(id: str) -> bool:
        row, place = rows.get(id), (root / PHOTOS / f"{id}.jpg", root / ANNOTATIONS / f"{id}.xml")
        return row is None or [row["photo"], row["annotation"]] != [*map(stamp, place)]

    changed = [id for id in ids if stale(id)]
    for id, row in looked_at(changed, lambda id: look(root, id), f"looking at {split}", progress):
        rows[id] = row
    if changed or len(rows) != len(ids):
        store(root, split, [rows[id] for id in ids])
    found = [rows[id] for id in ids]
    return Index(
        ids=ids,
        sizes=[(int(row["height"]), int(row["width"])) for row in found],
        digests=[row["digest"] for row in found],
        objects=[
            [(name, box and tuple(box)) for name, box in json.loads(row["objects"])]
            for row in found
        ],
    )


def refuse_bad_masks(root: str | Path, split: str, progress: bool = False) -> None:
    """Looks at every true mask of a list; what was looked at is remembered.

    Raises:
        InputError: a mask cannot be read, has another size than its photo, or a label beyond the classes.
    """
    root, classes = Path(root), len(layout.class_names(root)) - 1
    for id, size, mask in masks(root, split, progress):
        file = root / MASKS / f"{id}.png"
        layout.refuse_other_size(file, (mask["height"], mask["width"]), size)
        layout.refuse_other_labels(file, mask["highest"], classes)


def truth_fingerprint(root: str | Path, split: str) -> str:
    """Stands for the true masks of a list: which photos have one, and what is in it."""
    text = "".join(f"{id} {mask['digest']}\n" for id, _, mask in masks(Path(root), split))
    return hashlib.sha256(text.encode()).hexdigest()


def masks(root: Path, split: str, progress: bool = False) -> Iterator[tuple[str, tuple, dict]]:
    """For each photo of a list that has a true mask: its id, its size, and what is known of the mask."""
    index = read_index(root, split, progress)
    there = {file.stem for file in (root / MASKS).glob("*.png")}
    rows = stored(root, split) or {id: {} for id in index.ids}
    with_mask = [id for id in index.ids if id in there]
    changed = [id for id in with_mask if rows[id].get("mask") != stamp(root / MASKS / f"{id}.png")]
    for id, known in looked_at(
        changed, lambda id: look_at_mask(root, id), "looking at masks", progress
    ):
        rows[id] |= known
    if changed:
        store(root, split, [rows[id] for id in index.ids])
    sizes = dict(zip(index.ids, index.sizes))
    return ((id, sizes[id], json.loads(rows[id]["mask_of"])) for id in with_mask)


def looked_at(
    ids: list[str], look: Callable[[str], dict], title: str, progress: bool
) -> Iterable[tuple[str, dict]]:
    """What ``look`` finds of each id; in threads, since decoding and hashing let others run."""
    shown = progress and len(ids) >= MANY
    with ThreadPoolExecutor() as pool:
        try:
            yield from zip(ids, tqdm(pool.map(look, ids), title, len(ids), disable=not shown))
        finally:
            pool.shutdown(cancel_futures=True)


def look(root: Path, id: str) -> dict:
    """The row of a photo. Its dates are taken first: a file that changes meanwhile is looked at again."""
    photo, annotation = root / PHOTOS / f"{id}.jpg", root / ANNOTATIONS / f"{id}.xml"
    stamps = {"photo": stamp(photo), "annotation": stamp(annotation)}
    image = layout.read_photo(photo)
    return {
        "id": id,
        "height": str(image.height),
        "width": str(image.width),
        "digest": digest(photo),
        "objects": json.dumps(layout.objects(root, id), ensure_ascii=False),
        **stamps,
        "mask": "",
        "mask_of": "",
    }


def look_at_mask(root: Path, id: str) -> dict:
    """What is known of a mask: its size, its highest label but void, and a digest."""
    file = root / MASKS / f"{id}.png"
    date, mask_HW = stamp(file), layout.read_labels(file)
    known = {
        "height": mask_HW.shape[0],
        "width": mask_HW.shape[1],
        "highest": int(np.where(mask_HW == VOID, 0, mask_HW).max()),
        "digest": digest(file),
    }
    return {"mask": date, "mask_of": json.dumps(known)}


def digest(file: Path) -> str:
    """Stands for the bytes of a file."""
    return hashlib.blake2b(file.read_bytes(), digest_size=12).hexdigest()


def stamp(file: Path) -> str:
    """Size and date of a file; empty if it is not there."""
    try:
        known = os.stat(file)
    except OSError:
        return ""
    return f"{known.st_size}:{known.st_mtime_ns}"


def stored(root: Path, split: str) -> dict[str, dict]:
    """The rows of the file, by id; none if there is no file, or a damaged one, or one of somebody else."""
    try:
        with (root / f"{split}.csv").open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames != COLUMNS:
                return {}
            rows = {row["id"]: row for row in reader}
        complete = all(None not in row.values() and None not in row for row in rows.values())
        return rows if complete else {}
    except (OSError, ValueError, csv.Error):
        return {}


def store(root: Path, split: str, rows: list[dict]) -> None:
    """Writes the file, unless its place is taken by another table or cannot be written to."""
    file = root / f"{split}.csv"
    try:
        if file.is_file():
            with file.open("rb") as stream:
                if not stream.readline().startswith(b"id,height,width,digest"):
                    return
        with atomic(file) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError:
        return
