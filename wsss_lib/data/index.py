"""The index of a list of photos: ``<root>/<split>.csv``, made where it is missing, so that a million photos open in seconds.

It holds for each photo what would else be read from its bytes, its annotation and its mask. A row is trusted while these
files have the sizes and dates that stand in it; whatever has changed is looked at again, and the photo is decoded once, so
that a broken one is found before anything is learned. (A file that is replaced by one of the same size and date is not
noticed: within the same tick of the clock, or by a copy that keeps dates. To have all looked at again, delete the table.)

This module needs no torch.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from wsss_lib.data import annotations, layout
from wsss_lib.data.annotations import Box
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import ANNOTATIONS, MASKS, PHOTOS, VOID, InputError

COLUMNS = "id height width digest objects photo annotation mask mask_of".split()
OURS = b"id,height,width,digest,"  # a table that begins otherwise is somebody else's
NAMED = 5  # photos that are named, of those with something wrong
MANY = 1000  # photos to look at, from which on a progress bar is shown
AT_ONCE = 4096  # photos that are handed to the threads together
csv.field_size_limit(2**31 - 1)  # a photo may have very many objects


@dataclass(frozen=True)
class Index:
    """A list of photos, in its order.

    Attributes:
        ids: of the photos.
        sizes: height and width in pixels, turned as EXIF says.
        digests: of the bytes of each photo.
        objects: name, and box where known, of each object; see `wsss_lib.data.annotations.objects`.
    """

    ids: list[str]
    sizes: list[tuple[int, int]]
    digests: list[str]
    objects: list[list[tuple[str, Box | None]]]


class Mask(NamedTuple):
    """What is known of a mask; its highest label is that but void."""

    height: int
    width: int
    highest: int
    digest: str


class Row(NamedTuple):
    """What is known of a photo, and size and date of each file that was looked at (empty: none was)."""

    id: str
    size: tuple[int, int]
    digest: str
    objects: list[tuple[str, Box | None]]
    photo: str
    annotation: str
    mask: str
    mask_of: Mask | None


# what could not be written, by the name of the table: it is looked at once in each process
UNWRITTEN: dict[Path, dict[str, Row]] = {}


def read_index(root: str | Path, split: str, progress: bool = False) -> Index:
    """Opens a list of photos; what is new or has changed is looked at, and remembered.

    Args:
        root: a dataset in the one layout.
        split: one of the lists in ``ImageSets/Segmentation``.
        progress: show a bar if there are many photos to look at.

    Raises:
        InputError: the list, a photo or an annotation is missing or broken.
    """
    rows = current(Path(root), split, progress).values()
    return Index(
        ids=[row.id for row in rows],
        sizes=[row.size for row in rows],
        digests=[row.digest for row in rows],
        objects=[row.objects for row in rows],
    )


def current(root: Path, split: str, progress: bool) -> dict[str, Row]:
    """The rows of a list by id, in its order, as the photos and annotations are now."""
    ids, table = layout.split_ids(root, split), root / f"{split}.csv"
    rows, photos, annotations = stored(table), root / PHOTOS, root / ANNOTATIONS

    def stale(id: str) -> bool:
        row = rows.get(id)
        return (
            row is None
            or row.photo != stamp(f"{photos}/{id}.jpg")
            or row.annotation != stamp(f"{annotations}/{id}.xml")
        )

    changed = [id for id in ids if stale(id)]
    renew(table, ids, rows, looked_at(changed, lambda id: look(root, id), split, progress))
    return {id: rows[id] for id in ids}


def with_masks(root: Path, split: str, progress: bool) -> list[Row]:
    """The rows of the photos of a list that have a true mask, as the masks are now."""
    rows, folder = current(root, split, progress), root / MASKS
    there = listing(folder)
    masked = [id for id in rows if f"{id}.png" in there]
    changed = [rows[id] for id in masked if rows[id].mask != stamp(f"{folder}/{id}.png")]
    title = f"masks of {split}"
    new = looked_at(changed, lambda row: look_at_mask(root, row), title, progress)
    renew(root / f"{split}.csv", list(rows), rows, new)
    return [rows[id] for id in masked]


def listing(folder: Path) -> set[str]:
    """The names in a folder; none if it is not there."""
    return set(os.listdir(folder)) if folder.is_dir() else set()


class Wrong(NamedTuple):
    """A photo with something wrong, and what."""

    id: str
    error: InputError


def attempted(look: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function of an id or a row, which returns what is wrong instead of raising it."""

    def attempt(item: str | Row) -> Any:
        try:
            return look(item)
        except InputError as error:
            return Wrong(item if isinstance(item, str) else item.id, error)

    return attempt


def refuse_wrong(wrong: Sequence[Wrong]) -> None:
    """Raises an InputError that says what is wrong with the first photo, and which other ones there are."""
    if not wrong:
        return
    (_, first), *others = wrong
    if others:
        names = ", ".join(each.id for each in others[:NAMED])
        names += " ..." if len(others) > NAMED else ""
        sentence = str(first).rstrip(".")
        raise InputError(f"{sentence} (and {len(others)} more: {names}).", first.file) from first
    raise first


def renew(
    table: Path, ids: Sequence[str], rows: dict[str, Row], new: Iterator[Row | Wrong]
) -> None:
    """Puts new rows among those that are known, and stores them.

    If some cannot be had (or somebody presses Ctrl-C), the others are stored all the same: nothing is looked at twice.
    """
    changed, wrong = len(rows) != len(ids), []
    try:
        for row in new:
            if isinstance(row, Wrong):
                wrong.append(row)
            else:
                rows[row.id], changed = row, True
    finally:
        if changed:
            store(table, [rows[id] for id in ids if id in rows])
    refuse_wrong(wrong)


def looked_at(
    items: Sequence[Any], look: Callable[[Any], Row], title: str, progress: bool
) -> Iterator[Row | Wrong]:
    """The row that ``look`` makes of each item, or what is wrong with it; in threads, since decoding lets others run."""
    hidden = not (progress and len(items) >= MANY)
    with tqdm(desc=title, total=len(items), disable=hidden) as bar, ThreadPoolExecutor() as pool:
        for start in range(0, len(items), AT_ONCE):
            for row in pool.map(attempted(look), items[start : start + AT_ONCE]):
                bar.update()
                yield row


def look(root: Path, id: str) -> Row:
    """The row of a photo. Its dates are taken first: a file that changes meanwhile is looked at again."""
    photo, annotation = root / PHOTOS / f"{id}.jpg", root / ANNOTATIONS / f"{id}.xml"
    dates = stamp(photo), stamp(annotation)
    width, height = layout.read_photo(photo).size
    return Row(id, (height, width), digest(photo), annotations.objects(root, id), *dates, "", None)


def look_at_mask(root: Path, row: Row) -> Row:
    """The same row with what is in the mask of its photo."""
    file = root / MASKS / f"{row.id}.png"
    date, mask_HW = stamp(file), layout.read_labels(file)
    highest = int(np.where(mask_HW == VOID, 0, mask_HW).max())
    return row._replace(mask=date, mask_of=Mask(*mask_HW.shape, highest, digest(file)))


def digest(file: Path) -> str:
    """Stands for the bytes of a file."""
    return hashlib.blake2b(file.read_bytes(), digest_size=12).hexdigest()


def stamp(file: str | Path) -> str:
    """Size and date of a file; empty if it is not there."""
    try:
        known = os.stat(file)
    except OSError:
        return ""
    return f"{known.st_size}:{known.st_mtime_ns}"


def stored(table: Path) -> dict[str, Row]:
    """The rows of a table, by id; none if there is no table, or a damaged one, or one of somebody else."""
    if table in UNWRITTEN:
        return dict(UNWRITTEN[table])
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            return {row.id: row for row in map(parsed, reader)} if next(reader) == COLUMNS else {}
    except (OSError, ValueError, TypeError, StopIteration, csv.Error):
        return {}


def parsed(cells: list[str]) -> Row:
    """A row from its cells. A name is kept once, however many objects have it."""
    id, height, width, digest, objects, photo, annotation, mask, mask_of = cells
    found = [(sys.intern(name), box and tuple(box)) for name, box in json.loads(objects)]
    known = Mask(*json.loads(mask_of)) if mask else None
    return Row(id, (int(height), int(width)), digest, found, photo, annotation, mask, known)


def cells(row: Row) -> tuple:
    """The cells of a row: the inverse of :func:`parsed`. JSON, since a name may hold any sign."""
    objects = json.dumps(row.objects, ensure_ascii=False)
    known = json.dumps(row.mask_of) if row.mask else ""
    return row.id, *row.size, row.digest, objects, row.photo, row.annotation, row.mask, known


def store(table: Path, rows: list[Row]) -> None:
    """Writes a table; if its place is somebody else's or cannot be written to, its rows are kept in memory."""
    UNWRITTEN.pop(table, None)
    try:
        if not of_somebody_else(table):
            with atomic(table) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(COLUMNS)
                writer.writerows(map(cells, rows))
            return
    except OSError:
        pass  # a folder that is only lent, or a full disk
    UNWRITTEN[table] = {row.id: row for row in rows}


def of_somebody_else(table: Path) -> bool:
    """Whether there is such a table, and not one of ours; an empty one is what a failure of power may leave of ours."""
    if not table.is_file():
        return False
    with table.open("rb") as stream:
        head = stream.read(len(OURS))
    return head.strip(b"\0") not in (b"", OURS)
