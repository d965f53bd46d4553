"""Writes what people bring in the one layout: photos, tags, lists, masks, and where each photo came from."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

from wsss_lib.data import annotations, layout
from wsss_lib.data.files import atomic_folder
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item
from wsss_lib.data.sources.dataset import Dataset, Wanted, refuse_taken
from wsss_lib.data.sources.division import class_order, divide
from wsss_lib.data.sources.look import write_page
from wsss_lib.data.sources.masks import look_at_masks
from wsss_lib.data.sources.photos import Written, equal_files, in_threads, write_photo
from wsss_lib.data.sources.recognise import read

ORIGINALS = "originals.csv"
NO_MASKS = Path("none")


def prepare(
    source: str | Path,
    root: str | Path | None,
    asked: Asked | None = None,
    wanted: Wanted | None = None,
    progress: bool = True,
) -> Dataset:
    """Brings tagged photos into the one layout.

    Args:
        source: the photos, see `wsss_lib.data.sources.recognise`.
        root: the new folder, which is there afterwards or not at all; None: everything is looked at, nothing is written.
        asked: what the source does not say of itself.
        wanted: how it is to be written.
        progress: show a bar.

    Returns:
        What was written.

    Raises:
        InputError: something that was given cannot be used, or can be read in two ways.
    """
    wanted = wanted or Wanted()
    if root is not None:
        refuse_taken(Path(root))
    collection = read(Path(source), asked or Asked())
    dataset = merged(collection)
    if root is None:
        look_and_divide(dataset, None, wanted, progress)
        return dataset
    with atomic_folder(root) as aside:
        write(dataset, aside, wanted, progress)
        write_page(dataset, aside, Path(root).resolve().name)
    return dataset


def merged(collection: Collection) -> Dataset:
    """One photo for all equal files, with the tags of all of them."""
    dataset = Dataset(collection=collection, said=list(collection.said))
    first = equal_files(item.file for item in collection.items)
    kept: dict[Path, Item] = {}
    for item in collection.items:
        file = first[item.file]
        if file not in kept:
            kept[file] = item
            continue
        if item.file != file:
            dataset.copies[item.file] = file
        if item.part not in (None, kept[file].part):
            dataset.said.append(
                f"{item.file} is the same photo as {file}, which is in {kept[file].part}: it stays there"
            )
        if bool(item.objects) != bool(kept[file].objects):
            dataset.said.append(
                f"{item.file} is the same photo as {file}, once with tags and once without: it keeps the tags"
            )
        both = dict.fromkeys((*kept[file].objects, *item.objects))
        kept[file] = replace(kept[file], objects=tuple(both))
    ids = ids_of(kept, Path(os.path.commonpath([file.parent for file in kept])) if kept else Path())
    dataset.items = {ids[file]: item for file, item in kept.items()}
    return dataset


def ids_of(items: dict[Path, Item], source: Path) -> dict[Path, str]:
    """An id for each photo: its own, or one from its path of letters, digits, ``_``, ``-`` and ``.`` only."""
    ids: dict[Path, str] = {}
    taken: set[str] = set()
    for file, item in items.items():
        path = Path(os.path.relpath(file, source)).with_suffix("")
        given = item.id or "_".join(path.parts)
        stem = re.sub(r"[^\w.-]+", "_", given).strip("._") or "photo"
        id, number = stem, 2
        while id.lower() in taken:  # some file systems do not tell A from a
            id, number = f"{stem}_{number}", number + 1
        taken.add(id.lower())
        ids[file] = id
    return ids


def write(dataset: Dataset, root: Path, wanted: Wanted, progress: bool) -> None:
    """Writes all files of a dataset into a folder."""
    for folder in (layout.PHOTOS, layout.ANNOTATIONS):
        (root / folder).mkdir(parents=True)
    look_and_divide(dataset, root, wanted, progress)
    for id, item in dataset.items.items():
        known = dataset.written[id]
        file = root / layout.ANNOTATIONS / f"{id}.xml"
        objects = [(name, scaled(box, known)) for name, box in item.objects]
        annotations.write_annotation(file, id=id, size_HW=known.size_HW, objects=objects)
    for split, ids in dataset.lists.items():
        layout.write_lines(root / layout.SPLITS / f"{split}.txt", ids)
    layout.write_lines(root / layout.LABELS, dataset.names)
    with (root / ORIGINALS).open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "file"])
        rows.writerows([id, str(item.file)] for id, item in dataset.items.items())


def look_and_divide(dataset: Dataset, root: Path | None, wanted: Wanted, progress: bool) -> None:
    """Decodes every photo and mask, and writes them if there is a folder for it; divides the photos into lists."""
    look_at_photos(dataset, root, wanted, progress)
    order = class_order(dataset, wanted)
    divide(dataset, wanted)
    folder = wanted.masks or dataset.collection.masks
    if folder not in (None, NO_MASKS):
        look_at_masks(dataset, root, folder, wanted, order, progress)


def look_at_photos(dataset: Dataset, root: Path | None, wanted: Wanted, progress: bool) -> None:
    """Decodes every photo, and writes it if there is a folder for it.

    Raises:
        InputError: some cannot be read, and are not to be skipped; or none is left.
    """

    def look(id: str) -> Written:
        target = None if root is None else root / layout.PHOTOS / f"{id}.jpg"
        return write_photo(dataset.items[id].file, target, wanted.max_side)

    ids = list(dataset.items)
    title = "looking" if root is None else "writing"
    dataset.written = dict(zip(ids, in_threads(look, ids, title, len(ids), progress)))
    broken = {id: known.error for id, known in dataset.written.items() if known.error}
    if broken and not wanted.skip_broken:
        others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        first = next(iter(broken))
        raise InputError(
            f"{len(broken)} of {len(ids)} photos cannot be read; the first is {dataset.items[first].file}{others} "
            f"({broken[first]}): copy them again, or leave them out with --skip-broken."
        )
    for id in broken:
        dataset.collection.left_out.append((str(dataset.items.pop(id).file), "cannot be read"))
    if not any(item.objects for item in dataset.items.values()):
        raise InputError(f"{dataset.collection.about}: no photo that can be read has a tag.")
    note(dataset, "come out black or nearly so", lambda id, known: known.dark)
    boxed = {id for id, item in dataset.items.items() if any(box for _, box in item.objects)}
    note(dataset, "lose their boxes, since the file says that the photo is turned, and not whether its boxes are",
         lambda id, known: known.turn and id in boxed)  # fmt: skip


def note(dataset: Dataset, what: str, true_of) -> None:
    """Says of how many photos something is true."""
    ids = [id for id in dataset.items if true_of(id, dataset.written[id])]
    if ids:
        dataset.said.append(f"{len(ids)} photos {what}, for example {dataset.items[ids[0]].file}")


def scaled(box: annotations.Box | None, known: Written) -> annotations.Box | None:
    """A box at the size at which its photo was written; None where it cannot be told."""
    if box is None or known.turn:
        return None
    (h, w), (H, W) = known.stored_HW, known.size_HW
    left, top, right, bottom = box
    return (
        min(W, int((left - 1) * W / w) + 1), min(H, int((top - 1) * H / h) + 1),
        max(1, min(W, round(right * W / w))), max(1, min(H, round(bottom * H / h))),
    )  # fmt: skip
