"""Photos as they are brought, written as the one layout has them: upright, in RGB, JPEG, not larger than wished."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from PIL import ExifTags, Image
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError

DARK = 4  # of 255: a photo in which no pixel is brighter


@dataclass(frozen=True)
class Written:
    """What is known of a photo once it has been decoded.

    Attributes:
        stored_HW: height and width in the file.
        size_HW: height and width as it was written: upright, and made smaller.
        turn: what brings it upright, where the file says that it is to be turned or mirrored.
        dark: it is black, or nearly so.
        error: why it cannot be read; all else means nothing then.
    """

    stored_HW: tuple[int, int] = (0, 0)
    size_HW: tuple[int, int] = (0, 0)
    turn: Image.Transpose | None = None
    dark: bool = False
    error: str = ""

    @property
    def upright_HW(self) -> tuple[int, int]:
        """Height and width in the file, turned upright."""
        return self.stored_HW[::-1] if self.turn in layout.SIDEWAYS else self.stored_HW


def write_photo(file: Path, target: Path | None, max_side: int | None) -> Written:
    """Writes one photo as JPEG; a plain one that is small enough is copied byte for byte.

    Args:
        file: the photo as it was brought.
        target: the file to write; None: it is only looked at.
        max_side: the longer side it has at most, in pixels; None: any.
    """
    try:
        with Image.open(layout.regular(file), formats=layout.FORMATS) as image:
            stored_HW = image.height, image.width
            turn = layout.TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
            tiff = image.format == "TIFF"
        image = layout.read_photo(file)
    except (InputError, *layout.UNREADABLE) as error:
        return Written(error=str(error.__cause__ or error))
    if tiff:  # Pillow turns it by itself, when it is opened or when it is read
        stored_HW, turn = (image.height, image.width), None
    plain = image.format == "JPEG"  # it is gone as soon as anything had to be changed
    height, width = within(max_side, image.height, image.width)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
        plain = False
    if target is not None and plain:
        shutil.copyfile(file, target)
    elif target is not None:
        image.save(target, format="JPEG", quality=95, subsampling=0)
    brightest = max(high for _, high in image.getextrema())
    return Written(stored_HW, (height, width), turn, brightest <= DARK)


def within(max_side: int | None, height: int, width: int) -> tuple[int, int]:
    """Height and width in the same proportion, none of them larger than ``max_side``."""
    if not max_side or max(height, width) <= max_side:
        return height, width
    factor = max_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def in_threads(job: Callable, items: Iterable, title: str, total: int, progress: bool) -> Iterator:
    """What ``job`` makes of each item, in order; Pillow works while other threads wait for the disk."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        made = threads.map(job, items)
        yield from tqdm(made, desc=title, total=total, unit=" photos", disable=not progress)


def equal_files(files: Iterable[Path]) -> dict[Path, Path]:
    """For each file the first one that holds the same bytes: itself, unless it is a copy."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_size[file.stat().st_size].append(file)
    first: dict[Path, Path] = {}
    for alike in by_size.values():
        known: dict[bytes, Path] = {}
        for file in alike:
            key = blake2b(file.read_bytes()).digest() if len(alike) > 1 else b""
            first[file] = known.setdefault(key, file)
    return first
