"""Bring your own tagged photos into the one layout.

    python data_scripts/prepare_folder.py my_photos data/mine

The photos (JPEG, PNG, WebP, BMP, TIFF) lie either in one folder per tag,

    my_photos/cat/a.jpg                 a photo that lies in several folders has all their tags;
    my_photos/dog/b.png                 the folder my_photos/background is for photos without a tag

or beside a table my_photos/tags.csv, whose tags are separated by semicolons and may be none:

    file,tags
    holiday/a.jpg,cat;dog
    b.png,

A photo is written as <id>.jpg, turned upright; a part of the photos becomes the split val. If you have masks of some
photos, put them into SegmentationClass/<id>.png: 0 background, then the classes in the order of labels.txt, 255 void.
"""

import csv
import hashlib
import os
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm.auto import tqdm

from wsss_lib.data import annotations, layout
from wsss_lib.data.files import atomic_folder
from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.exits import in_one_sentence

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
TABLE = "tags.csv"

Tagged = dict[Path, set[str]]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What to prepare."""

    source: tyro.conf.Positional[Path]
    """Your photos: a folder per tag, or a folder with tags.csv."""
    root: tyro.conf.Positional[Path]
    """The new folder to write."""
    val: float = 0.2
    """The part of the photos that is not trained on."""
    seed: int = 0
    """Which photos these are."""


def read_table(file: Path) -> Tagged:
    """The photos and tags that ``tags.csv`` names; a first line ``file,...`` is a heading.

    Raises:
        InputError: a line is not ``file,tag;tag`` or its photo is missing.
    """
    photos: Tagged = {}
    for number, cells in enumerate(_rows(file), start=1):
        if not any(cells) or (number == 1 and cells[0].lower() == "file"):
            continue
        if len(cells) > 2:
            raise InputError(
                f"{file} has too many commas in line {number}; write it as file,tag;tag."
            )
        photo = file.parent / cells[0]
        if not photo.is_file():
            raise InputError(f"{photo} is missing; add it or take line {number} out of {file}.")
        tags = cells[1].split(";") if len(cells) == 2 else []
        photos.setdefault(photo, set()).update(tag.strip() for tag in tags if tag.strip())
    return photos


def _rows(table: Path) -> list[list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            return [[cell.strip() for cell in row] for row in csv.reader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read ({error}); save it as CSV in UTF-8.") from error


def read_folders(source: Path) -> Tagged:
    """The photos in one folder per tag; equal files count as one photo with all their tags."""
    photos: Tagged = {}
    first: dict[str, Path] = {}
    files = sorted(file for file in source.glob("*/*") if not file.name.startswith("."))
    strange = [f for f in files if f.suffix.lower() not in ENDINGS or not f.is_file()]
    if strange:
        print(f"left out {len(strange)} files that are no photos, for example {strange[0]}")
    for file in sorted(set(files) - set(strange)):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        photos.setdefault(first.setdefault(digest, file), set()).add(file.parent.name.strip())
    return photos


def ids_of(photos: Tagged, source: Path) -> dict[Path, str]:
    """An id for each photo, from its path; letters, digits, ``_``, ``-`` and ``.`` only."""
    ids: dict[Path, str] = {}
    taken: set[str] = set()
    for file in photos:
        path = Path(os.path.relpath(file, source)).with_suffix("")
        stem = re.sub(r"[^\w.-]+", "_", "_".join(path.parts)).strip("._") or "photo"
        id, number = stem, 2
        while id.lower() in taken:  # some file systems do not tell A from a
            id, number = f"{stem}_{number}", number + 1
        taken.add(id.lower())
        ids[file] = id
    return ids


def divide(photos: Tagged, val: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Divide into train and val, every combination of tags in about the same proportion.

    Raises:
        InputError: a part would be empty, or a tag would not be trained on.
    """
    chance = random.Random(seed)
    order = sorted(photos, key=lambda file: (sorted(photos[file]), chance.random()))
    is_val = [int((i + 1) * val) > int(i * val) for i in range(len(order))]
    train = [file for file, out in zip(order, is_val) if not out]
    held_out = [file for file, out in zip(order, is_val) if out]
    if not train or not held_out:
        raise InputError(
            f"{len(photos)} photos cannot be divided with --val {val}; add photos or change --val."
        )
    lost = set().union(*photos.values()) - set().union(*(photos[file] for file in train))
    if lost:
        raise InputError(
            f"no photo is left to learn the tag '{min(lost)}' from; add photos of it, lower --val or try another --seed."
        )
    return sorted(train), sorted(held_out)


def write_photo(file: Path, target: Path) -> tuple[int, int]:
    """Write one photo as JPEG and return its height and width; a plain JPEG is copied as it is.

    Raises:
        InputError: the photo cannot be read.
    """
    image = layout.read_photo(file)
    if image.format == "JPEG":  # it is gone as soon as anything had to be changed
        shutil.copyfile(file, target)
    else:
        image.save(target, quality=95, subsampling=0)
    return image.height, image.width


def read(source: Path) -> Tagged:
    """The photos and their tags, from the table if there is one.

    Raises:
        InputError: there are no photos, or none has a tag.
    """
    table = source / TABLE
    photos = read_table(table) if table.is_file() else read_folders(source)
    for tags in photos.values():
        tags.discard(BACKGROUND)
    if not any(photos.values()):
        raise InputError(
            f"{source} holds no tagged photos; make one folder per tag in it, or write {table}."
        )
    return photos


def refuse_names(names: list[str]) -> None:
    """Raise an InputError for class names that labels.txt and masks cannot hold."""
    for name in names:
        if not name.isprintable():
            raise InputError(
                f"the tag {name!r} has a line break or a control character in it; rename it."
            )
    if len(names) - 1 > layout.MAX_CLASSES:
        raise InputError(
            f"there are {len(names) - 1} tags, but masks hold {layout.MAX_CLASSES} at most; merge or drop some."
        )


def prepare(options: Folder) -> None:
    """Write the dataset; it is there afterwards or not at all.

    Raises:
        InputError: something that was given cannot be used.
    """
    root = options.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} is there already; give a new folder.")
    photos = read(options.source)
    ids = ids_of(photos, options.source)
    parts = divide(photos, options.val, options.seed)
    names = [BACKGROUND, *sorted(set().union(*photos.values()))]
    refuse_names(names)
    with atomic_folder(root) as aside:
        for folder in (layout.PHOTOS, layout.ANNOTATIONS):
            (aside / folder).mkdir(parents=True)
        for file, id in tqdm(ids.items(), desc="writing", unit=" photos"):
            size = write_photo(file, aside / layout.PHOTOS / f"{id}.jpg")
            objects = [(tag, None) for tag in sorted(photos[file])]
            xml = aside / layout.ANNOTATIONS / f"{id}.xml"
            annotations.write_annotation(xml, id=id, size_HW=size, objects=objects)
        for split, files in zip(("train", "val"), parts):
            layout.write_lines(aside / layout.SPLITS / f"{split}.txt", [ids[f] for f in files])
        layout.write_lines(aside / layout.LABELS, names)
    print(
        f"{root} is ready: {len(parts[0])} photos to train on, {len(parts[1])} in val; tags: {', '.join(names[1:])}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, or say in one sentence why not."""
    with in_one_sentence("prepare_folder"):
        prepare(tyro.cli(Folder, args=arguments, description=__doc__))


if __name__ == "__main__":
    main()
