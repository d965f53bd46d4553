"""A mask laid over its photo, with the names of the classes that were found: a picture to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wsss_lib.data.layout import VOID
from wsss_lib.pipeline import plots

SIDES = 480, 1600  # pixels of the longer side, at least and at most
FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
GROUND, TEXT = plots.CARD, "#e8eaed"


def overlay_with_legend(
    image: Image.Image, label_HW: np.ndarray, names: Sequence[str]
) -> Image.Image:
    """A mask over its photo, and below it what its colours mean and how much of the photo they cover.

    Args:
        image: the photo in RGB.
        label_HW: uint8, at any size of the same proportion.
        names: class names, background first.
    """
    colours = plots.palette(len(names))
    size = shown_size(*image.size)
    image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    label = Image.fromarray(label_HW).resize(size, Image.Resampling.NEAREST)
    drawn = Image.fromarray(plots.overlay(np.asarray(image), np.asarray(label), colours))
    counts = np.bincount(label_HW.ravel(), minlength=VOID + 1)
    found = sorted(np.flatnonzero(counts[1:VOID]) + 1, key=lambda label: -counts[label])
    entries = [
        (
            f"{names[label]}  {percent(counts[label] / label_HW.size)}",
            tuple(colours[label].tolist()),
        )
        for label in found
    ]
    return above_legend(drawn, entries or [("nothing but background", None)])


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Width and height at which a photo is shown: neither tiny nor huge."""
    least, most = SIDES
    factor = min(max(1.0, least / max(width, height)), most / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def percent(share: float) -> str:
    """A share of a photo in words."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "under 1 %"


def above_legend(drawn: Image.Image, entries: Sequence[tuple[str, tuple | None]]) -> Image.Image:
    """A picture with a line of names below it, in as many rows as they need."""
    unit = max(13, max(drawn.size) // 50)
    font, row = ImageFont.truetype(str(FONT), unit), 2 * unit
    places, x, y = [], unit, unit // 2
    for text, _ in entries:
        width = int(font.getlength(text)) + 3 * unit
        if x > unit and x + width > drawn.width:
            x, y = unit, y + row
        places.append((x, y))
        x += width
    height = y + row
    picture = Image.new("RGB", (drawn.width, drawn.height + height), GROUND)
    picture.paste(drawn)
    pen = ImageDraw.Draw(picture)
    for (x, y), (text, colour) in zip(places, entries):
        top = drawn.height + y
        if colour:
            pen.rectangle((x, top + unit // 8, x + unit, top + unit // 8 + unit), fill=colour)
        pen.text((x + (1.5 * unit if colour else 0), top), text, fill=TEXT, font=font)
    return picture
