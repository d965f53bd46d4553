"""VOC's XML, as LabelImg, CVAT, Roboflow and Label Studio write it: any classes, beside the photos or apart."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item, boxed
from wsss_lib.data.sources.listing import Listing, part_in, part_named
from wsss_lib.data.sources.names import Names
from wsss_lib.data.sources.table_files import CORNERS
from wsss_lib.data.sources.tables import refuse_missing, unused
from wsss_lib.data.sources.tags import several, tidy

NAMES_FILES = ("labels.txt", "labelmap.txt", "classes.txt", "predefined_classes.txt")
NO_CLASSES = {BACKGROUND, "_background_", "__background__", "__ignore__", "void"}
LISTS = ("Main", "Segmentation")  # in ImageSets; the last one counts where both have one
LOOKED_AT = 5  # XML files, to find out what they are


def annotations_in(listing: Listing) -> list[Path]:
    """The XML files, if the first ones hold annotations of VOC's form."""
    files = listing.others.get(".xml", [])
    heads = (file.read_bytes()[:2000] for file in files[:LOOKED_AT])
    return files if any(re.search(rb"<annotation[\s>/]", head) for head in heads) else []


def read_voc(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos of annotations in VOC's format, with the lists that name them.

    Raises:
        InputError: an annotation cannot be read, or two are of one photo; photos are missing.
    """
    names = Names(listing)
    found = Collection(kind="voc", about="annotations in VOC's format (XML)", items=[])
    missing, boxless, items, by = [], 0, {}, {}
    stems = Counter(photo.stem.lower() for photo in listing.photos)
    for file in files:
        objects, named, bad = read_annotation(file)
        photo = names.find(file.stem, file.parent) or (
            names.find(named, file.parent) if named else None
        )
        if photo is None:
            missing.append((file, named or file.stem))
            continue
        if by.setdefault(photo, file) != file:
            raise InputError(
                f"{photo} has two annotations, {by[photo]} and {file}: take one of them away."
            )
        boxless += bad
        part = part_in(listing.folders(file)) or part_in(listing.folders(photo))
        id = photo.stem if stems[photo.stem.lower()] == 1 else None
        items[photo] = Item(file=photo, objects=tuple(objects), part=part, id=id)
    refuse_missing(missing, asked.skip_missing)
    found.left_out += unused(listing, items, "has no annotation", missing)
    if boxless:
        found.said.append(
            f"{boxless} objects have no box that can be read: their names count, which is enough for tags"
        )
    found.items = listed_in(listing, items, names, found)
    found.names = with_all_tags(class_names(listing), found)
    found.masks = listing.mask_folder()
    maps = [file for file in listing.others.get(".txt", ()) if file.name.lower() == "labelmap.txt"]
    found.mask_values = maps[0] if maps and found.masks else None
    return found


def read_annotation(file: Path) -> tuple[list[tuple[str, Box | None]], str, int]:
    """The objects of one XML, the name of its photo, and how many boxes cannot be read.

    Raises:
        InputError: it is no annotation, or an object has no name.
    """
    try:
        root = ET.parse(layout.regular(file)).getroot()
        if root.tag != "annotation":
            raise ValueError(f"it holds {root.tag}")
        elements = root.findall("object")
        tags = [element.findtext("name").strip() for element in elements]
        if "" in tags:
            raise ValueError("an object has no name")
    except (*layout.UNREADABLE, LookupError, AttributeError) as error:
        raise InputError(
            f"{file} is not an annotation in VOC's format ({error}); restore it or take it away."
        ) from error
    bndboxes = [element.find("bndbox") for element in elements]
    boxes = [
        b if b is None else boxed([b.findtext(corner) for corner in CORNERS]) for b in bndboxes
    ]
    bad = sum(box is None and bndbox is not None for box, bndbox in zip(boxes, bndboxes))
    return list(zip(tags, boxes)), (root.findtext("filename") or "").strip(), bad


def listed_in(
    listing: Listing, items: dict[Path, Item], names: Names, found: Collection
) -> list[Item]:
    """The photos with the list that names each; where there are lists, those in none are left out."""
    lists: dict[tuple[Path, str], Path] = {}
    for folder in LISTS:
        for file in listing.others.get(".txt", ()):
            if file.parts[-3:-1] == ("ImageSets", folder) and part_named(file.stem):
                lists[file.parents[2], part_named(file.stem)] = file
    if not lists:
        return list(items.values())
    part_of: dict[Path, str] = {}
    moved, absent = [], []
    for (near, part), file in lists.items():
        for line in layout.lines_of(file, "restore it"):
            photo = names.find(line, near) or names.find(line.split()[0], near)
            if photo not in items:
                absent.append(f"{line.split()[0]} of {file.name}")
            elif part_of.setdefault(photo, part) != part:
                moved.append(f"{photo.name} ({part_of[photo]}, {part})")
    if absent:
        found.said.append(
            f"{len(absent)} ids of lists have no photo with an annotation: {several(absent)}"
        )
    if moved:
        found.said.append(f"photos that are in two lists stay in the first: {several(moved)}")
    found.about += f", with the lists {several(sorted({part for _, part in lists}))}"
    found.left_out += [(str(photo), "is in no list") for photo in items if photo not in part_of]
    return [replace(items[photo], part=part_of[photo]) for photo in items if photo in part_of]


def class_names(listing: Listing) -> list[str]:
    """The classes in the order of a file that names them, without the background; none if there is no such file."""
    files = [
        file
        for name in NAMES_FILES
        for file in listing.others.get(".txt", ())
        if file.name.lower() == name
    ]
    if not files:
        return []
    lines = [line for line in layout.lines_of(files[0], "restore it") if line[0] != "#"]
    if files[0].name.lower() == "labelmap.txt":  # name:colour:parts:actions
        lines = [line.split(":")[0].strip() for line in lines]
    return [line for line in lines if line.lower() not in NO_CLASSES]


def with_all_tags(order: list[str], found: Collection) -> list[str] | None:
    """The classes in an order, and behind them the tags that it lacks, which is said; None without an order."""
    known = {tidy(name).casefold() for name in order}
    tags = {tidy(name) for item in found.items for name, _ in item.objects}
    lacking = sorted(tag for tag in tags if tag.casefold() not in known | {BACKGROUND})
    if order and lacking:
        found.said.append(f"the file of classes lacks {several(lacking)}: taken as further classes")
    return [*order, *lacking] if order else None
