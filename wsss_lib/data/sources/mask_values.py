"""What the pixels of masks mean that people bring: one thing only.

A mask can say its labels as numbers (8 or 16 bits, a palette, one bit) or as colours, and 255 can mean "not annotated" or
"the object". All masks are looked at before one is read, so that they are all read in the same way, which is then said.
What has two meanings is asked about.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from wsss_lib.data import layout
from wsss_lib.data.layout import BACKGROUND, VOID, InputError

INDICES, COLOURS, FOREGROUND = "indices", "voc-colours", "foreground"
FORMATS = ("PNG", "BMP", "TIFF", "GIF")
REMEDY = "--mask-values"

Colour = tuple[int, ...]


@dataclass(frozen=True)
class Code:
    """How masks say their labels.

    Attributes:
        about: in words.
        labels: from a number, or a colour as three numbers, to a label: 0 background, 1 ... K, 255 void.
        foreground: everything that is not black is the one class of the photo.
    """

    about: str
    labels: Mapping[Colour, int]
    foreground: bool = False


@dataclass(frozen=True)
class Pixels:
    """A mask before its labels are known: ``value_HWc``, one number a pixel or three of a colour, and its palette."""

    file: Path
    value_HWc: np.ndarray
    palette: np.ndarray | None = None

    def values(self) -> list[Colour]:
        """The different numbers or colours."""
        flat = self.value_HWc.reshape(-1, self.value_HWc.shape[-1])
        packed = flat.astype(np.int64) @ (65536 ** np.arange(flat.shape[1]))
        return [tuple(int(v) for v in flat[i]) for i in np.unique(packed, return_index=True)[1]]


def read_pixels(file: Path) -> Pixels:
    """A mask as numbers or colours.

    Raises:
        InputError: it is missing or is no picture.
    """
    try:
        with Image.open(layout.regular(file), formats=FORMATS) as image:
            palette = None
            if image.mode == "P":
                given = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
                palette = np.zeros((256, 3), np.uint8)
                palette[: len(given)] = given
            if image.mode in ("RGBA", "CMYK", "LA", "YCbCr"):
                image = image.convert("RGB")
            value = np.array(image)
    except FileNotFoundError:
        raise InputError(f"{file} is missing.", file) from None
    except layout.UNREADABLE as error:
        raise InputError(f"{file} cannot be read as a mask ({error}).", file) from error
    if value.dtype.kind == "f" and not np.array_equal(value, np.round(value)):
        raise InputError(f"{file} holds fractions, not labels.", file)
    value = value.astype(np.int64)
    return Pixels(file, value if value.ndim == 3 else value[..., None], palette)


def decide(masks: Iterable[Pixels], asked: str | None, names: Sequence[str]) -> Code:
    """How all these masks are to be read.

    Args:
        masks: all of them.
        asked: what the user says: ``indices``, ``voc-colours``, ``foreground``, or the path of a table of colours.
        names: of the classes in the order of the masks' numbers, without the background.

    Raises:
        InputError: they have several meanings, or none.
    """
    if asked == FOREGROUND:
        return Code("everything that is not black is the class of its photo", {}, foreground=True)
    if asked not in (None, INDICES, COLOURS):
        return table_of_colours(Path(asked), names)
    colours: dict[Colour, Path] = {}
    numbers: dict[Colour, Path] = {}
    for mask in masks:
        if asked is None and mask.palette is not None:
            refuse_odd_palette(mask)
        if asked == COLOURS and mask.palette is not None:
            mask = in_colours(mask)
        for value in mask.values():
            (numbers if len(value) == 1 else colours).setdefault(value, mask.file)
    if numbers and colours:
        (one, other) = (next(iter(found.values())) for found in (numbers, colours))
        raise InputError(f"{one} holds numbers, but {other} colours; save all masks in one way.")
    return voc_colours(colours, asked, names) if colours else indices(numbers, asked, names)


def in_colours(mask: Pixels) -> Pixels:
    """A mask with a palette, by its colours."""
    return Pixels(mask.file, mask.palette[mask.value_HWc[..., 0]].astype(np.int64))


def refuse_odd_palette(mask: Pixels) -> None:
    """Raises an InputError for a palette whose first colour is not black: numbers or colours may be what is meant."""
    if mask.palette[0].any():
        raise InputError(
            f"the palette of {mask.file} gives the number 0, which stands for the background, the colour "
            f"{tuple(mask.palette[0].tolist())}: say whether its numbers count ({REMEDY} {INDICES}) or its colours "
            f"({REMEDY} {COLOURS}, or a table of colours)."
        )


def indices(found: Mapping[Colour, Path], asked: str | None, names: Sequence[str]) -> Code:
    """Numbers: 0 background, then the classes, 255 void."""
    values = {value for (value,) in found}
    if asked == COLOURS:
        raise InputError(f"{next(iter(found.values()))} holds numbers and no colours.")
    if asked is None and values and values <= {0, VOID} and VOID in values:
        raise InputError(
            f"the masks hold 0 and 255 only (the first is {found[(VOID,)]}), and 255 stands for pixels that are not annotated: "
            f"say {REMEDY} {FOREGROUND} if it is the object, or {REMEDY} {INDICES} if it is not."
        )
    labels = {(0,): 0, (VOID,): VOID} | {(i,): i for i in range(1, len(names) + 1)}
    other = sorted(values - {value for (value,) in labels})
    if other:
        known = f"0, 1 to {len(names)} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''}) and 255"
        raise InputError(
            f"{found[(other[0],)]} holds the number {other[0]}, but the labels are {known}: correct the masks, or say with "
            f"{REMEDY} FILE which number is which class (a line each: {other[0]},{names[0]})."
        )
    return Code("numbers, in the order of the classes", labels)


def voc_colours(found: Mapping[Colour, Path], asked: str | None, names: Sequence[str]) -> Code:
    """Colours of VOC's palette."""
    if asked == INDICES:
        raise InputError(f"{next(iter(found.values()))} holds colours and no numbers.")
    palette = [tuple(colour.tolist()) for colour in layout.voc_palette()]
    labels = {palette[label]: label for label in (*range(len(names) + 1), VOID)}
    other = sorted(set(found) - set(labels))
    if other:
        raise InputError(
            f"{found[other[0]]} has the colour {other[0]}, which none of the {len(names)} classes has in VOC's palette: say "
            f"with {REMEDY} FILE which colour is which class (a line each: {','.join(map(str, other[0]))},{names[0]})."
        )
    return Code("colours of VOC's palette, in the order of the classes", labels)


def table_of_colours(file: Path, names: Sequence[str]) -> Code:
    """Reads which colour, or number, is which class: ``255,0,0,cat``, ``#ff0000,cat``, ``7,cat``, or CVAT's ``cat:255,0,0::``.

    Raises:
        InputError: there is no such file, or a line is something else.
    """
    try:
        lines = layout.regular(file).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        known = f"{INDICES}, {COLOURS}, {FOREGROUND}, or the file of a table of colours"
        raise InputError(f"{REMEDY} must be {known}, but is {file}") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file} cannot be read ({error}).") from error
    label_of = {BACKGROUND: 0, "void": VOID, "ignore": VOID, "unlabeled": VOID}
    label_of |= {name.casefold(): label for label, name in enumerate(names, start=1)}
    labels: dict[Colour, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or re.match(r"#(?![0-9a-fA-F]{6}\b)", line):
            continue
        try:
            colour, name = colour_and_name(line)
            labels[colour] = label_of[name.strip().casefold()]
        except (ValueError, StopIteration):
            raise InputError(
                f"line {number} of {file} is not a colour and a class, such as 255,0,0,{names[0]}."
            ) from None
        except KeyError as error:
            known = ", ".join([BACKGROUND, *names, "void"])
            raise InputError(
                f"line {number} of {file} names the class {error}, but there are: {known}"
            ) from None
    return Code(f"the colours of {file.name}", labels)


def colour_and_name(line: str) -> tuple[Colour, str]:
    """Reads one line of a table of colours."""
    if line.count(":") >= 2:  # CVAT's labelmap.txt
        name, colour, *_ = line.split(":")
        return tuple(int(part) for part in colour.split(",")), name
    *colour, name = next(csv.reader([line]))
    if len(colour) == 1 and colour[0].strip().startswith("#"):
        return ImageColor.getrgb(colour[0].strip()), name
    if len(colour) not in (1, 3):
        raise ValueError
    return tuple(int(part) for part in colour), name


def labels_of(mask: Pixels, code: Code, tags: Sequence[int]) -> np.ndarray:
    """The labels of a mask: uint8 ``(H, W)``.

    Args:
        mask: as it was read.
        code: see :func:`decide`.
        tags: the labels that its photo has as tags.

    Raises:
        InputError: it holds a value that the code does not know; or everything that is not black would be one class, but
            its photo has several tags, or none.
    """
    if code.foreground:
        lit_HW = mask.value_HWc.any(axis=-1)
        if len(tags) != 1 and lit_HW.any():
            raise InputError(
                f"{mask.file} belongs to a photo with {len(tags)} tags, so {REMEDY} {FOREGROUND} cannot say which one it shows."
            )
        return np.where(lit_HW, tags[0] if tags else 0, 0).astype(np.uint8)
    if mask.palette is not None and all(len(value) == 3 for value in code.labels):
        mask = in_colours(mask)
    label_HW = np.zeros(mask.value_HWc.shape[:2], np.uint8)
    for value in mask.values():
        if value not in code.labels:
            known = value[0] if len(value) == 1 else value
            raise InputError(f"{mask.file} holds {known}, which is none of {code.about}.")
        label_HW[(mask.value_HWc == value).all(axis=-1)] = code.labels[value]
    return label_HW
