"""Annotations: which objects a photo shows, and where; VOC's XML, read and written.

This module needs numpy only.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wsss_lib.data import layout
from wsss_lib.data.layout import ANNOTATIONS, LABELS, UNREADABLE, InputError

Box = tuple[int, int, int, int]


def objects(root: str | Path, id: str) -> list[tuple[str, Box | None]]:
    """The objects of one photo's annotation: name, and box where known.

    Boxes are ``(xmin, ymin, xmax, ymax)`` in pixels, counted from 1, the last pixel included, as
    in VOC. The parts (head, hand, foot) inside VOC's person objects are not objects.

    Raises:
        InputError: the XML is missing, is not XML, or has an object without a name.
    """
    file = Path(root) / ANNOTATIONS / f"{id}.xml"
    try:
        elements = ET.parse(layout.regular(file)).getroot().findall("object")
        return [(e.findtext("name").strip(), _box(e.find("bndbox"))) for e in elements]
    except FileNotFoundError:
        raise InputError(
            f"{file} is missing, but the tags of a photo are read from it; write the "
            "annotations with data_scripts/prepare_folder.py."
        ) from None
    except (*UNREADABLE, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise InputError(
            f"{file} is not an annotation in VOC's format ({error}); restore it or write it anew."
        ) from error


def tags(
    root: str | Path,
    ids: Sequence[str],
    found: Iterable[list[tuple[str, Box | None]]],
    names: Sequence[str],
) -> np.ndarray:
    """The image-level labels of photos: bool ``(N, K)``, column ``k`` is class ``names[k + 1]``.

    Args:
        root: of the dataset.
        ids: of the photos.
        found: the objects of each, see :func:`objects`.
        names: of the classes, background first.

    Raises:
        InputError: an object is of a class that is not in ``names``.
    """
    column = {name: k for k, name in enumerate(names[1:])}
    tags_NK = np.zeros((len(ids), len(column)), dtype=bool)
    for row, id, objects in zip(tags_NK, ids, found, strict=True):
        for name, _ in objects:
            if name not in column:
                raise InputError(
                    f"{Path(root) / ANNOTATIONS / id}.xml names the class '{name}'; "
                    f"add it to {Path(root) / LABELS} or correct the XML."
                )
            row[column[name]] = True
    return tags_NK


def boxes(root: str | Path, id: str) -> list[tuple[str, Box]]:
    """The boxes of one photo, see :func:`objects`; objects without a box are left out."""
    return [(name, box) for name, box in objects(root, id) if box is not None]


def write_annotation(
    file: str | Path,
    *,
    id: str,
    size_HW: tuple[int, int],
    objects: Iterable[tuple[str, Box | None]],
) -> None:
    """Write one photo's objects as VOC XML: the inverse of :func:`objects`.

    Args:
        file: the XML to write.
        id: the photo's id.
        size_HW: height and width of the photo in pixels.
        objects: name and box (or None) of each object, see :func:`objects`.
    """
    tree = ET.Element("annotation")
    ET.SubElement(tree, "filename").text = f"{id}.jpg"
    size = ET.SubElement(tree, "size")
    for key, value in zip(("width", "height", "depth"), (size_HW[1], size_HW[0], 3), strict=True):
        ET.SubElement(size, key).text = str(int(value))
    for name, box in objects:
        element = ET.SubElement(tree, "object")
        ET.SubElement(element, "name").text = name
        if box is not None:
            bndbox = ET.SubElement(element, "bndbox")
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
                ET.SubElement(bndbox, key).text = str(int(value))
    ET.indent(tree)
    Path(file).write_bytes(ET.tostring(tree, encoding="utf-8") + b"\n")


def _box(bndbox: ET.Element | None) -> Box | None:
    if bndbox is None:
        return None
    # a few of VOC's own boxes have fractions of a pixel
    return tuple(round(float(bndbox.findtext(k))) for k in ("xmin", "ymin", "xmax", "ymax"))
