"""Pictures of photos, maps and masks, and the figures of the report and the book.

A class keeps one colour everywhere. Pictures are uint8 arrays ``(H, W, 3)``; figures are Matplotlib figures outside of pyplot,
transparent, and drawn in inks that can be read on white and on black.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from torch import Tensor

from wsss_lib.data.layout import VOID, voc_palette

Array = np.ndarray
Line = tuple[str, object]  # a colour, and dashes as Matplotlib takes them

# Eight colours that stay apart for every kind of colour blindness: a random search for the largest smallest distance in OKLab
# (Ottosson, 2020), as seen with full protanopia, deuteranopia and tritanopia (simulated after Machado et al., 2009).
CLASS_COLOURS = (
    "#fb7a02",
    "#4354c7",
    "#f4d13b",
    "#2ca19a",
    "#ba78ff",
    "#7a6611",
    "#9ac8fb",
    "#a00476",
)
BACKGROUND_COLOUR, VOID_COLOUR = "#23272e", "#f2f3f5"
CARD = "#14171c"  # what photos are shown on, on a white page and on a black one
INK = "#78818d"  # between black and white: contrast above 3.9 with either

# Curves differ in colour and in the kind of line. Stages bring their own, CAM, AdvCAM and AMN the first three; the others are
# for what has none.
LINES = (
    ("#8a94a0", (0, (1, 1.4))),
    ("#e06c1c", (0, (5, 2))),
    ("#3d6fe0", "solid"),
    ("#b53f0c", (0, (3, 1, 1, 1))),
    ("#745f73", (0, (7, 1.5, 1.5, 1.5))),
)


def palette(num_labels: int) -> Array:
    """The colour of each label, uint8 ``(256, 3)``: dark background, light void, and one colour for each class.

    Up to eight classes get :data:`CLASS_COLOURS`; more get those of VOC, which are not safe for the colour-blind (no twenty
    colours are).
    """
    colours = voc_palette()
    if num_labels <= 1 + len(CLASS_COLOURS):
        colours[1 : 1 + len(CLASS_COLOURS)] = [_rgb(colour) for colour in CLASS_COLOURS]
    colours[0], colours[VOID] = _rgb(BACKGROUND_COLOUR), _rgb(VOID_COLOUR)
    return colours


def picture(image: Array | Tensor) -> Array:
    """A photo as uint8 ``(H, W, 3)``, given so or as a tensor ``(3, H, W)``."""
    if isinstance(image, Tensor):
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a photo is uint8 with three channels, not {image.dtype} {image.shape}")
    return image


def colour_mask(mask_HW: Array | Tensor, colours: Array) -> Array:
    """Each label in its colour.

    Args:
        mask_HW: labels, 255 void.
        colours: uint8 ``(256, 3)``, see :func:`palette`.
    """
    return colours[np.asarray(mask_HW, dtype=np.uint8)]


def faded(image: Array | Tensor) -> Array:
    """The photo in dull grey, float ``(H, W, 3)``: ground for something in colour."""
    grey = picture(image) @ np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
    return np.repeat(24 + 0.62 * grey[..., None], 3, axis=2)


def overlay(
    image: Array | Tensor, mask_HW: Array | Tensor, colours: Array, *, strength: float = 0.72
) -> Array:
    """A mask laid over the faded photo: classes in their colours, void as a light veil, background bare.

    Args:
        image: the photo.
        mask_HW: labels, 255 void.
        colours: see :func:`palette`.
        strength: opacity of the colours, from 0 to 1.
    """
    mask = np.asarray(mask_HW, dtype=np.uint8)
    opacity = strength * (mask != 0)
    return _blend(faded(image), colours[mask], opacity)


def overlay_map(
    image: Array | Tensor,
    map_kHW: Array | Tensor,
    classes_k: Sequence[int] | Tensor,
    colours: Array,
    *,
    strength: float = 0.9,
) -> Array:
    """Maps laid over the faded photo: the strongest class of each pixel in its colour, the more opaque the stronger.

    Args:
        image: the photo.
        map_kHW: a map in [0, 1] for each class, at the size of the photo.
        classes_k: the classes, counted from 0 without background.
        colours: see :func:`palette`.
        strength: opacity of the colour where a map is 1.
    """
    maps, classes = np.asarray(map_kHW, dtype=np.float64), np.asarray(classes_k, dtype=int)
    if len(maps) == 0:
        return faded(image).astype(np.uint8)
    labels = classes[maps.argmax(axis=0)] + 1
    return _blend(faded(image), colours[labels], strength * maps.max(axis=0))


def heat(map_HW: Array | Tensor, colours: str = "inferno") -> Array:
    """One map in [0, 1] as a heat map, in a colour map of Matplotlib whose lightness rises evenly."""
    rgba = matplotlib.colormaps[colours](np.asarray(map_HW, dtype=np.float64))
    return (rgba[..., :3] * 255).round().astype(np.uint8)


def threshold_curves(
    curves: Mapping[str, Sequence[tuple[float, float | None]]],
    *,
    chosen: Mapping[str, float | None] | None = None,
    lines: Mapping[str, Line | None] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The mIoU of maps against the background threshold, a line for each method.

    Args:
        curves: threshold and mIoU (fraction) pairs by method.
        chosen: the threshold that the run uses, by method; marked by a dot.
        lines: colour and dashes by method, also as they stand in JSON; where there are none, they are not those of another.
        ax: where to draw; a new figure when not given.
    """
    figure = Figure(figsize=(5.8, 3.2), layout="constrained") if ax is None else ax.figure
    ax = figure.subplots() if ax is None else ax
    figure.patch.set_alpha(0)
    given = {name: as_line((lines or {}).get(name)) for name in curves}
    free = free_lines(given.values())
    for name, curve in curves.items():
        colour, dashes = given[name] or next(free)
        points = np.array([[t, np.nan if miou is None else 100 * miou] for t, miou in curve])
        shown = f" {name}" if name.startswith("_") else name  # Matplotlib hides what begins so
        ax.plot(*points.T, color=colour, linestyle=dashes, linewidth=2.2, label=shown)
        if chosen and chosen.get(name) is not None:
            nearest = points[np.abs(points[:, 0] - chosen[name]).argmin()]
            ax.plot(*nearest, "o", color=colour, markersize=8, markeredgewidth=0)
    ax.set(xlim=(0, 1), ylim=(0, None), xlabel="background threshold", ylabel="mIoU in %")
    quiet(ax)
    legend_above(ax)
    return figure


def as_line(look: object) -> Line | None:
    """Colour and dashes as Matplotlib takes them, also from JSON, where a tuple is a list; None if they are none."""
    try:
        colour, dashes = look
        if not isinstance(dashes, str):
            start, lengths = dashes
            dashes = (start, tuple(lengths))
            if not all(0 < length < 1000 for length in lengths) or not 0 <= start < 1000:
                return None
        elif dashes not in ("solid", "dashed", "dashdot", "dotted"):
            return None
    except (TypeError, ValueError):
        return None
    return (colour, dashes) if isinstance(colour, str) and is_color_like(colour) else None


def free_lines(taken: Collection[Line | None]) -> Iterator[Line]:
    """Those of :data:`LINES` that are not taken, then their colours with the dashes of one another."""
    for turn in itertools.count():
        for i, (colour, _) in enumerate(LINES):
            line = colour, LINES[(i + turn) % len(LINES)][1]
            if line not in taken or turn >= len(LINES):
                yield line


def legend_above(ax: Axes) -> None:
    """Says above the curves what they are; names are shown as they are, a dollar is no formula."""
    legend = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=legend_columns(ax.get_legend_handles_labels()[1]),
        frameon=False,
        labelcolor=INK,
        handlelength=3,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_columns(names: Sequence[str]) -> int:
    """How many names stand side by side above a figure of 5.8 inches, at most four: it has room for some 62 letters."""
    for count in (4, 3, 2):
        columns = np.array_split([len(name) for name in names], count)
        if sum(10 + column.max() for column in columns if column.size) <= 62:  # 10: line and gaps
            return count
    return 1


def quiet(ax: Axes) -> None:
    """Takes away what a figure does not need and draws the rest in the ink that both themes can show."""
    ax.patch.set_alpha(0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(INK)
    ax.tick_params(colors=INK, length=0, pad=7)
    ax.grid(axis="y", color=INK, alpha=0.25, linewidth=0.8)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)


def example_grid(
    rows: Sequence[Sequence[Array | None]],
    heads: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    side: float = 1.5,
) -> Figure:
    """Pictures in rows and columns.

    Args:
        rows: for each example its pictures, None where there is none.
        heads: the head of each column.
        names: the name of each row.
        side: height of a row and width of a column in inches.
    """
    gap, left, top = 0.05 * side, 0.25 if names else 0.0, 0.3
    step = side + gap
    width, height = left + step * len(heads) - gap, top + step * len(rows) - gap
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0)
    for y, x in itertools.product(range(len(rows)), range(len(heads))):
        corner = (left + x * step) / width, (height - top - y * step - side) / height
        ax = figure.add_axes((*corner, side / width, side / height), xticks=[], yticks=[])
        ax.set_frame_on(False)
        if rows[y][x] is not None:
            ax.imshow(rows[y][x], interpolation="nearest")
        if y == 0:
            ax.set_title(heads[x], color=INK, fontsize="medium", pad=5)
        if names and x == 0:
            ax.set_ylabel(names[y], color=INK)
    return figure


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element for a page: its ink is the colour of the text around it, its letters are text.

    The same figure always gives the same characters.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wsss"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor").strip()


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _blend(ground: Array, colour: Array, opacity_HW: Array) -> Array:
    opacity = opacity_HW[..., None]
    return (ground * (1 - opacity) + colour * opacity).round().clip(0, 255).astype(np.uint8)
