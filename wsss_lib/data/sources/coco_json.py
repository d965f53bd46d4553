"""COCO's json: images, categories and annotations; boxes alone will do."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item
from wsss_lib.data.sources.listing import PARTS, Listing, Names
from wsss_lib.data.sources.tables import refuse_missing
from wsss_lib.data.sources.tags import several

PARTS_IN_NAMES = re.compile(r"(train|valid|val|test)", re.IGNORECASE)


def jsons_in(listing: Listing) -> list[Path]:
    """The files that look like COCO's."""
    return [file for file in listing.others.get(".json", ()) if looks_like(file)]


def looks_like(file: Path) -> bool:
    """Whether a file names images and annotations; it is not read whole for that."""
    with file.open("rb") as stream:
        head = stream.read(2**16)
        stream.seek(max(0, file.stat().st_size - 2**16))
        ends = head + stream.read()
    keys = (b'"images"', b'"annotations"', b'"categories"')
    return (
        head.lstrip(b"\xef\xbb\xbf \n\r\t").startswith(b"{")
        and sum(key in ends for key in keys) >= 2
    )


def read_coco(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos of COCO's files, with the names and boxes of their objects.

    Raises:
        InputError: a file is no json of this form; photos are missing.
    """
    names = Names(listing)
    found = Collection(
        kind="coco", about=f"COCO json ({several([file.name for file in files])})", items=[]
    )
    missing, items, order, used = [], {}, {}, set()
    for file in files:
        images, categories, objects = read_json(file)
        part = part_of(file) if len(files) > 1 or part_of(file) == "train" else None
        for id, name in categories.items():
            order.setdefault(name, (len(order), id))
        for id, name in images.items():
            photo = names.find(name, file.parent)
            if photo is None:
                missing.append((file, name))
                continue
            before = items.get(photo, Item(file=photo, part=part))
            own = [(categories[category], box) for category, box in objects.get(id, ())]
            used.update(name for name, _ in own)
            items[photo] = Item(file=photo, objects=(*before.objects, *own), part=before.part)
    refuse_missing(missing, asked.skip_missing)
    found.items = list(items.values())
    found.names = sorted(
        order, key=lambda name: order[name][1] if len(files) == 1 else order[name][0]
    )
    found.left_out += [
        (f"{name} of {file}", "is named, but is not there") for file, name in missing
    ]
    found.left_out += [
        (str(photo), "no json names it") for photo in listing.photos if photo not in items
    ]
    return found


def part_of(file: Path) -> str | None:
    """The list that a file is of, by its name or its folder."""
    in_name = PARTS_IN_NAMES.search(file.stem)
    return PARTS[in_name[1].lower()] if in_name else PARTS.get(file.parent.name.lower())


Objects = dict[object, list[tuple[object, Box | None]]]


def read_json(file: Path) -> tuple[dict, dict, Objects]:
    """Names of images and of categories by their ids, and the objects of each image.

    Raises:
        InputError: it is no json, or lacks a part.
    """
    try:
        tree = json.loads(file.read_bytes())
        images = {image["id"]: str(image["file_name"]) for image in tree["images"]}
        categories = {each["id"]: str(each["name"]) for each in tree["categories"]}
        objects: Objects = {}
        for each in tree.get("annotations", ()):
            if each["category_id"] not in categories:
                raise KeyError(f"the category {each['category_id']}")
            objects.setdefault(each["image_id"], []).append(
                (each["category_id"], box_of(each.get("bbox")))
            )
    except KeyError as error:
        raise InputError(f"{file} is not COCO's json: it has no {error.args[0]}.") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise InputError(f"{file} is not COCO's json ({error}); export it again.") from error
    return images, categories, objects


def box_of(bbox: object) -> Box | None:
    """A box as VOC has it, of left, top, width and height counted from 0."""
    try:
        left, top, width, height = (float(value) for value in bbox)
        return (
            round(left) + 1,
            round(top) + 1,
            max(round(left) + 1, round(left + width)),
            max(round(top) + 1, round(top + height)),
        )
    except (TypeError, ValueError, OverflowError):
        return None
