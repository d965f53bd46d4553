"""The one layout: how a dataset lies on disk, and the only code that knows its files.

It is the layout of PASCAL VOC (Everingham et al., IJCV 2015) plus ``labels.txt``::

    <root>/JPEGImages/<id>.jpg                    the photo
    <root>/Annotations/<id>.xml                   object names (the tags), and boxes where known
    <root>/SegmentationClass/<id>.png             0 background, 255 void; only where masks exist
    <root>/ImageSets/Segmentation/<split>.txt     ids, one a line
    <root>/labels.txt                             class names, one a line, background first
    <root>/<split>.csv                            what is known of the photos of a list, see `wsss_lib.data.index`

This module needs numpy and Pillow only, so that drawing and preparing data never waits for torch.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

try:
    from PIL.AvifImagePlugin import SUPPORTED as AVIF
except ImportError:  # an older Pillow
    AVIF = False

PHOTOS, ANNOTATIONS, MASKS = "JPEGImages", "Annotations", "SegmentationClass"
SPLITS, LABELS = "ImageSets/Segmentation", "labels.txt"
BACKGROUND = "background"
VOID = 255  # the mask value that means "not annotated"; it is never counted and never learnt
MAX_CLASSES = 254  # that a mask can hold, besides the background and void
BRING_MASKS = "bring it with wsss prepare --masks FOLDER"
PREPARE = "make the dataset with one of the scripts in data_scripts/"

# Pillow is told what to expect: it would start Ghostscript for a photo that is PostScript. (Its JPEG
# reads the MPO of double cameras as well.)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if AVIF else []))
Turn = Image.Transpose
TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}  # what brings a photo of that EXIF orientation upright
SIDEWAYS = (
    Turn.TRANSPOSE,
    Turn.ROTATE_270,
    Turn.TRANSVERSE,
    Turn.ROTATE_90,
)  # height becomes width
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class InputError(ValueError):
    """Something that the user gave cannot be used: one sentence naming the file and the remedy.

    Attributes:
        file: the file, if it is there to be read and cannot be.
    """

    def __init__(self, sentence: str = "", file: Path | None = None) -> None:
        super().__init__(sentence)
        self.file = file


def class_names(root: str | Path) -> list[str]:
    """The class names of a dataset, background first.

    Raises:
        InputError: the folder or ``labels.txt`` is missing, too short, repeats a name, or does
            not start with the background.
    """
    root = Path(root)
    if not root.is_dir() or not any(root.iterdir()):
        raise InputError(f"{root} is not a folder with data in it; give another one or {PREPARE}.")
    file = root / LABELS
    names = lines_of(file, f"write the class names into it, one a line, {BACKGROUND} first")
    if len(names) < 2 or names[0] != BACKGROUND:
        raise InputError(
            f"{file} must hold '{BACKGROUND}' in its first line and one class name in each line "
            f"after it; correct the file."
        )
    _refuse_repeats(file, names)
    return names


def split_ids(root: str | Path, split: str) -> list[str]:
    """The ids of one split, in the order of its file.

    Raises:
        InputError: the split is missing or empty, repeats an id, or an id has no photo.
    """
    root = Path(root)
    file = root / SPLITS / f"{split}.txt"
    known = ", ".join(sorted(p.stem for p in file.parent.glob("*.txt"))) or "none"
    ids = lines_of(file, f"choose another split (there are: {known}) or write its ids, one a line")
    if not ids:
        raise InputError(f"{file} is empty; write the ids of the split into it, one a line.")
    _refuse_repeats(file, ids)
    for id in ids:
        if os.path.basename(id) != id:
            raise InputError(
                f"{file} holds '{id}', which is not a bare id; write the photo's file "
                "name without folder and ending."
            )
    refuse_absent(root / PHOTOS, ids, ".jpg", f"add it or take the id out of {file}")
    return ids


def refuse_absent(folder: Path, ids: Iterable[str], ending: str, remedy: str) -> None:
    """Raise an InputError unless ``folder`` holds ``<id><ending>`` for each id (one listing)."""
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    absent = [id for id in ids if id + ending not in there]
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        file = folder / (absent[0] + ending)
        raise InputError(f"{file} is missing{more}; {remedy}.", file)


def regular(file: str | Path) -> str | Path:
    """The file, if it is one: neither a folder, nor a pipe that nobody fills and a reader would wait for.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it is something else.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError("it is not a file")
    return file


def read_photo(file: str | Path) -> Image.Image:
    """One photo in RGB, turned as its EXIF orientation says.

    Grey, CMYK, palette and 16-bit photos are converted; transparency is laid over white, as a
    browser shows it.

    Raises:
        InputError: the photo is missing, truncated, or no picture.
    """
    try:
        with Image.open(regular(file), formats=FORMATS) as image:
            image.load()
            return _to_rgb(_upright(image))
    except FileNotFoundError:
        raise InputError(f"{file} is missing; add it or take its id out of the split.") from None
    except UNREADABLE as error:
        raise InputError(
            f"{file} cannot be read as a photo ({error}); copy or download it again, "
            "or take its id out of the split."
        ) from error


def read_labels(file: str | Path) -> np.ndarray:
    """A mask as uint8 ``(H, W)``: 0 background, 1 ... K the classes, 255 void.

    Args:
        file: a palette or greyscale PNG, of 1 to 16 bits. A palette's indices are the labels; its colours mean nothing, but
            where index 0, the background, is not black, they may be what is meant.

    Raises:
        InputError: missing, unreadable, or in colours instead of indices.
    """
    try:
        with Image.open(regular(file), formats=("PNG",)) as image:
            mode, labels_HW = image.mode, np.array(image)
            first = image.getpalette("RGB")[:3] if mode == "P" else [0, 0, 0]
    except FileNotFoundError:
        raise InputError(f"{file} is missing; add the mask or make it first.", Path(file)) from None
    except UNREADABLE as error:
        raise InputError(
            f"{file} cannot be read as a mask ({error}); make or copy it anew.", Path(file)
        ) from error
    if mode not in ("P", "L", "1", "I", "I;16"):
        raise InputError(
            f"{file} holds colours ({mode}) instead of class indices; {BRING_MASKS}, which reads colours, or save it as a "
            "palette or greyscale PNG.",
            Path(file),
        )
    if any(first):
        raise InputError(
            f"{file} has a palette that shows 0, the background, as {tuple(first)} and not in black, so its indices may not be "
            f"the classes; {BRING_MASKS} --mask-values indices, or voc-colours if its colours count.",
            Path(file),
        )
    highest = int(labels_HW.max())
    if highest > VOID:
        raise InputError(
            f"{file} holds the number {highest}, but a mask holds 0, the classes and {VOID} (void); {BRING_MASKS}, which reads "
            "other numbers.",
            Path(file),
        )
    return labels_HW.astype(np.uint8)


def refuse_other_labels(file: str | Path, highest: int, classes: int) -> None:
    """Raise an InputError if the highest label of a mask is beyond the classes, or these beyond any mask."""
    if classes > MAX_CLASSES:
        raise InputError(
            f"{file} cannot be read: a mask holds {MAX_CLASSES} classes at most, but labels.txt names "
            f"{classes}; merge or drop some, or take the masks away."
        )
    if highest > classes:
        raise InputError(
            f"{file} holds the label {highest}, but there are {classes} classes; "
            f"correct the mask or labels.txt ({VOID} is void).",
            Path(file),
        )


def refuse_other_size(file: str | Path, mask_HW: Sequence[int], photo_HW: Sequence[int]) -> None:
    """Raise an InputError if a mask has another height or width than its photo."""
    if tuple(mask_HW) != tuple(photo_HW):
        (h, w), (H, W) = mask_HW, photo_HW
        across = ", turned as the EXIF orientation of the photo says" if (h, w) == (W, H) else ""
        raise InputError(
            f"{file} is {w} x {h} pixels, but its photo is {W} x {H}; make the mask "
            f"at the size of the photo{across}.",
            Path(file),
        )


def write_mask(file: str | Path | BinaryIO, mask_HW: np.ndarray) -> None:
    """Write a mask as a palette PNG in VOC's colours; a CPU tensor will do as well."""
    mask = np.asarray(mask_HW)
    if mask.ndim != 2 or mask.size == 0 or mask.min() < 0 or mask.max() > 255:
        raise ValueError(f"a mask is H x W with values 0 ... 255, not {mask.shape} {mask.dtype}")
    image = Image.fromarray(np.ascontiguousarray(mask, dtype=np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(file, format="PNG")


def write_lines(file: str | Path, lines: Iterable[str]) -> None:
    """Write a list (a split, the class names), one entry a line; folders are made."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes("".join(f"{line}\n" for line in lines).encode())


def voc_palette() -> np.ndarray:
    """VOC's colours, uint8 ``(256, 3)``: bit b of channel c is bit 3 (7 - b) + c of the label."""
    label, channel, bit = np.ogrid[:256, :3, :8]
    return ((label >> (3 * bit + channel) & 1) << (7 - bit)).sum(axis=2).astype(np.uint8)


def lines_of(file: Path, remedy: str) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        InputError: it is missing, which ``remedy`` mends, or is no text in UTF-8.
    """
    try:
        text = regular(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{file} is missing; {remedy}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not a UTF-8 text file; save it as one.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}).") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _refuse_repeats(file: Path, entries: Sequence[str]) -> None:
    if len(set(entries)) < len(entries):
        seen: set[str] = set()
        twice = next(entry for entry in entries if entry in seen or seen.add(entry))
        raise InputError(f"{file} holds '{twice}' more than once; leave one of them.")


def _upright(image: Image.Image) -> Image.Image:
    # ImageOps.exif_transpose also writes the EXIF anew, and fails where a camera wrote a tag oddly
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    return image if turn is None else image.transpose(turn)


def _eight_bits(grey_HW: np.ndarray) -> np.ndarray:
    # The files do not say how many bits a camera filled: the fewest that hold the brightest pixel (8, 10, 12, 14, 16, 32).
    # Fractions are taken as they are where they lie in [0, 1].
    grey_HW = np.nan_to_num(grey_HW, posinf=0.0).clip(0)
    brightest = grey_HW.max(initial=0)
    fractions = brightest <= 1 and (grey_HW % 1).any()
    whites = [1] if fractions else [2**bits - 1 for bits in (8, 10, 12, 14, 16, 32)]
    white = next((white for white in whites if brightest <= white), brightest)
    return np.round(grey_HW / white * 255).astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # Pillow would clip these at 255
        image = Image.fromarray(_eight_bits(np.asarray(image).astype(np.float64)))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")
