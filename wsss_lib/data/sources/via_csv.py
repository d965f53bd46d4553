"""The CSV of VIA, the VGG Image Annotator: a row for each region, or for a photo without one, with attributes as json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import boxed
from wsss_lib.data.sources.table_files import Table
from wsss_lib.data.sources.tags import several

SHAPE, REGION, FILE = "region_shape_attributes", "region_attributes", "file_attributes"
NO_TAGS = {"caption", "public_domain", "image_url"}  # what VIA itself asks of every photo
USUAL = {"name", "class", "label", "tag", "category", "object"}

Objects = list[tuple[str, Box | None]]


def is_via(table: Table) -> bool:
    """Whether VIA wrote a table."""
    return table.column({REGION}) is not None


def via_objects(table: Table) -> tuple[Callable[[list[str]], Objects], str]:
    """What gives the tags of a row, with a box where its region is a rectangle; and that in words.

    Raises:
        InputError: several attributes may be the tags.
    """
    columns = {name: table.column({name}) for name in (SHAPE, REGION, FILE)}

    def cell(row: list[str], name: str) -> dict:
        return attributes(row[columns[name]], table.file) if columns[name] is not None else {}

    for name, whose in ((REGION, "regions"), (FILE, "photos")):
        held = {key: None for row in table.rows for key in cell(row, name)}
        keys = [key for key in held if name == REGION or key not in NO_TAGS]
        if keys:
            key = the_tags(keys, table.file, whose)
            break
    else:
        return (lambda row: []), "VIA, without attributes"

    def objects(row: list[str]) -> Objects:
        box = box_of(cell(row, SHAPE)) if name == REGION else None
        return [(value, box) for value in values_of(cell(row, name).get(key, ""))]

    return objects, f"VIA, tags are the attribute {key} of its {whose}"


def the_tags(keys: list[str], file: Path, whose: str) -> str:
    """The attribute that holds the tags.

    Raises:
        InputError: it may be several.
    """
    usual = keys if len(keys) == 1 else [key for key in keys if key.lower() in USUAL]
    if len(usual) == 1:
        return usual[0]
    raise InputError(
        f"{file} has the attributes {several(keys)} of {whose}: delete in VIA all but the one that holds the tags."
    )


def attributes(cell: str, file: Path) -> dict:
    """The attributes in a cell.

    Raises:
        InputError: it is no json of attributes.
    """
    try:
        return dict(json.loads(cell or "{}"))
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{file} holds {cell!r}, which are no attributes of VIA.") from None


def values_of(value: object) -> list[str]:
    """What an attribute says: a text or one choice, or each choice that is ticked."""
    ticked = [key for key, on in value.items() if on] if isinstance(value, dict) else [str(value)]
    return [each for each in ticked if each.strip()]


def box_of(shape: dict) -> Box | None:
    """The box of a rectangle; None for other shapes."""
    if shape.get("name") != "rect":
        return None
    try:
        left, top, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return None
    return boxed((left + 1, top + 1, left + width, top + height))
