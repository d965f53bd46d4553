"""What a source of photos holds, as every reader says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsss_lib.data.annotations import Box


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photo as it was brought.

    Attributes:
        file: the photo.
        objects: tag, and box where known, of each object. Boxes are in pixels of the photo as it is stored, before it is
            turned; they are counted from 1, the last pixel included, as in `wsss_lib.data.annotations.objects`.
        part: "train", "val" ... where the source says so; None: it is to be divided.
        id: where the source has one; None: it is made from the file's name.
    """

    file: Path
    objects: tuple[tuple[str, Box | None], ...] = ()
    part: str | None = None
    id: str | None = None


@dataclass(kw_only=True)
class Collection:
    """What a source holds.

    Attributes:
        kind: "folders", "table", "voc" or "coco".
        about: what it was taken for, in words.
        items: the photos.
        names: class names in the source's own order, without the background; None: it has none.
        said: sentences that the user should read.
        left_out: files that were not taken, and why.
        masks: a folder of masks that belongs to it.
        mask_values: the file of a table of their colours.
    """

    kind: str
    about: str
    items: list[Item]
    names: list[str] | None = None
    said: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    masks: Path | None = None
    mask_values: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What only the user can know.

    Attributes:
        kind: what it is to be taken for; None: it is recognised.
        table: the table of tags; None: it is found.
        encoding: of the table; None: UTF-8, or UTF-16 with its mark.
        separator: between the tags of one cell; None: it is found.
        skip_missing: photos that are named and not there are left out, and named.
    """

    kind: str | None = None
    table: Path | None = None
    encoding: str | None = None
    separator: str | None = None
    skip_missing: bool = False


def boxed(corners: Sequence[float | str]) -> Box | None:
    """A box of left, top, right and bottom in pixels, counted from 1; None where these are no numbers, or no box."""
    try:
        left, top, right, bottom = (max(1, round(float(corner))) for corner in corners)
    except (TypeError, ValueError, OverflowError):
        return None
    return (left, top, right, bottom) if left <= right and top <= bottom else None
