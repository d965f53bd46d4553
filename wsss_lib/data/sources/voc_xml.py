"""VOC's XML, as LabelImg, CVAT, Roboflow and Label Studio write it: any classes, beside the photos or apart."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item
from wsss_lib.data.sources.listing import PARTS, Listing, Names
from wsss_lib.data.sources.tables import refuse_missing
from wsss_lib.data.sources.tags import several

NAMES_FILES = ("labels.txt", "labelmap.txt", "classes.txt", "predefined_classes.txt")


def annotations_in(listing: Listing) -> list[Path]:
    """The XML files that hold an annotation: the first one says what all of them are."""
    files = listing.others.get(".xml", [])
    return files if any(b"<annotation" in file.read_bytes()[:2000] for file in files[:5]) else []


def read_voc(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos of annotations in VOC's format, with the lists that name them.

    Raises:
        InputError: an annotation cannot be read; photos are missing.
    """
    names = Names(listing)
    found = Collection(kind="voc", about="annotations in VOC's format (XML)", items=[])
    missing, boxless, items = [], 0, {}
    stems = Counter(photo.stem.lower() for photo in listing.photos)
    for file in files:
        objects, named, bad = read_annotation(file)
        photo = names.find(file.stem, file.parent) or (
            names.find(named, file.parent) if named else None
        )
        if photo is None:
            missing.append((file, named or file.stem))
            continue
        boxless += bad
        before = items.get(photo, Item(file=photo)).objects
        part = PARTS.get(file.parent.name.lower()) or PARTS.get(photo.parent.name.lower())
        id = photo.stem if stems[photo.stem.lower()] == 1 else None
        items[photo] = Item(file=photo, objects=(*before, *objects), part=part, id=id)
    refuse_missing(missing, asked.skip_missing)
    found.left_out += [
        (f"{name} of {file}", "is named, but is not there") for file, name in missing
    ]
    found.left_out += [
        (str(photo), "has no annotation") for photo in listing.photos if photo not in items
    ]
    if boxless:
        found.said.append(
            f"{boxless} objects have no box that can be read: their names count, which is enough for tags"
        )
    found.items = listed_in(listing, list(items.values()), names, found)
    found.names = class_names(listing)
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
        elements = root.findall("object")
        tags = [element.findtext("name").strip() for element in elements]
    except (*layout.UNREADABLE, LookupError, AttributeError) as error:
        raise InputError(
            f"{file} is not an annotation in VOC's format ({error}); restore it or take it away."
        ) from error
    boxes = [box_of(element.find("bndbox")) for element in elements]
    bad = sum(
        box is None and element.find("bndbox") is not None for box, element in zip(boxes, elements)
    )
    return list(zip(tags, boxes)), (root.findtext("filename") or "").strip(), bad


def box_of(bndbox: ET.Element | None) -> Box | None:
    """The corners of a box; None where one is missing or no number."""
    try:
        return tuple(
            round(float(bndbox.findtext(corner))) for corner in ("xmin", "ymin", "xmax", "ymax")
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def listed_in(listing: Listing, items: list[Item], names: Names, found: Collection) -> list[Item]:
    """The photos with the list that names each; where there are lists, those in none are left out."""
    lists = {}
    for folder in ("Main", "Segmentation"):  # which counts where both have one
        for file in listing.others.get(".txt", ()):
            if file.parts[-3:-1] == ("ImageSets", folder) and file.stem.lower() in PARTS:
                lists[PARTS[file.stem.lower()]] = file
    if not lists:
        return items
    part_of: dict[Path, str] = {}
    for part, file in lists.items():
        for line in layout.lines_of(file, "restore it"):
            photo = names.find(line, file.parent) or names.find(line.split()[0], file.parent)
            if photo is not None and part_of.setdefault(photo, part) != part:
                found.said.append(
                    f"{photo.name} is in the lists {part_of[photo]} and {part}: it stays in {part_of[photo]}"
                )
    found.about += f", with the lists {several(sorted(lists))}"
    found.left_out += [
        (str(item.file), "is in no list") for item in items if item.file not in part_of
    ]
    kept = [item for item in items if item.file in part_of]
    return [Item(file=i.file, objects=i.objects, part=part_of[i.file], id=i.id) for i in kept]


def class_names(listing: Listing) -> list[str] | None:
    """The classes in the order of a file that names them, without the background."""
    for name in NAMES_FILES:
        for file in listing.others.get(".txt", ()):
            if file.name.lower() == name:
                lines = [
                    line.split(":")[0].strip()
                    for line in layout.lines_of(file, "restore it")
                    if line[0] != "#"
                ]
                return [
                    line for line in lines if line.lower() not in (BACKGROUND, "__ignore__", "void")
                ]
    return None
