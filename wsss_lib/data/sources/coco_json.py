"""COCO's json: images, categories and annotations; boxes alone will do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item, boxed
from wsss_lib.data.sources.listing import Listing, part_in
from wsss_lib.data.sources.names import Names
from wsss_lib.data.sources.tables import part_of, refuse_missing, unused
from wsss_lib.data.sources.tags import several

ENDS = 2**16  # bytes at the beginning and at the end of a file that are looked at
KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"category_id"')

Objects = dict[object, list[tuple[int, Box | None]]]


def jsons_in(listing: Listing) -> list[Path]:
    """The files that look like COCO's; of those of COCO itself the instances, not captions and others of the same photos."""
    files = [file for file in listing.others.get(".json", ()) if looks_like(file)]
    return [file for file in files if file.name.lower().startswith("instances")] or files


def looks_like(file: Path) -> bool:
    """Whether a file names images and annotations; it is not read whole for that."""
    with file.open("rb") as stream:
        head = stream.read(ENDS)
        stream.seek(max(0, file.stat().st_size - ENDS))
        ends = head + stream.read()
    begins = head.lstrip(b"\xef\xbb\xbf \n\r\t").startswith(b"{")
    return begins and KEYS[0] in ends and any(key in ends for key in KEYS[1:])


def read_coco(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos of COCO's files, with the names and boxes of their objects.

    Raises:
        InputError: a file is no json of this form; photos are missing.
    """
    names = Names(listing)
    about = f"COCO json ({several([str(file.relative_to(listing.root)) for file in files])})"
    found = Collection(kind="coco", about=about, items=[])
    missing, strays, items, order = [], 0, {}, {}
    told = {file: part_of(file) for file in files}
    alone = len(files) == 1
    for file in files:
        images, categories, objects = read_json(file)
        order |= {name: None for _, name in sorted(categories.items()) if name not in order}
        strays += sum(len(each) for id, each in objects.items() if id not in images)
        for id, name in images.items():
            photo = names.claim(name, file.parent)
            if photo is None:
                missing.append((file, name))
                continue
            part = told[file] or (part_in(listing.folders(photo)) if alone else None)
            before = items.get(photo, Item(file=photo, part=part))
            own = [(categories[category], box) for category, box in objects.get(id, ())]
            items[photo] = Item(file=photo, objects=(*before.objects, *own), part=before.part)
    refuse_missing(missing, asked.skip_missing)
    if strays:
        found.said.append(f"{strays} objects belong to no image, and are left out")
    found.items, found.names = list(items.values()), list(order)
    found.left_out += unused(listing, items, "no json names it", missing)
    return found


def read_json(file: Path) -> tuple[dict, dict[int, str], Objects]:
    """Names of images and of categories by their ids, and the objects of each image.

    Raises:
        InputError: it is no json, or lacks a part.
    """
    try:
        tree = json.loads(file.read_bytes())
        images = {image["id"]: str(image["file_name"]) for image in tree["images"]}
        categories = {int(each["id"]): str(each["name"]) for each in tree["categories"]}
        objects: Objects = {}
        for each in tree.get("annotations", ()):
            category = int(each["category_id"])
            if category not in categories:
                raise KeyError(f"the category {category}")
            objects.setdefault(each["image_id"], []).append((category, box_of(each.get("bbox"))))
    except KeyError as error:
        raise InputError(f"{file} is not COCO's json: it has no {error.args[0]}.") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise InputError(f"{file} is not COCO's json ({error}); export it again.") from error
    return images, categories, objects


def box_of(bbox: object) -> Box | None:
    """A box as VOC has it, of left, top, width and height counted from 0; one that is thinner than a pixel gets one."""
    try:
        left, top, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError):
        return None
    if not (width > 0 and height > 0):
        return None
    return boxed((left + 1, top + 1, max(left + 1, left + width), max(top + 1, top + height)))
