"""Other drawn classes, on which the backbone of the embedded dataset is pretrained, as photos use ImageNet.

No class, silhouette or pair of head colours of `wsss_lib.toy` occurs here. The kinds of pattern, the hues of bodies and
the backgrounds overlap on purpose: they are what makes the features useful.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wsss_lib.toy.distances import Array, box, capsule, ellipse, polygon, union
from wsss_lib.toy.objects import LOOKS, Look, paint_object
from wsss_lib.toy.paint import (
    WAVES,
    Canvas,
    finish,
    paint_background,
    paint_clutter,
    paint_rails,
    paint_water,
)
from wsss_lib.toy.shapes import Silhouette

CLASSES = 24
CLASS_SEED, PHOTO_SEED = 4242, 9000
VIEWS = {"whole": 0.45, "body": 0.30, "head": 0.25}  # what is shown of the object, with probability
COLOUR_DISTANCE = 0.8  # least summed L1 distance of a pair of head colours to all of LOOKS
SCENERY = 0.06  # probability of water and of rails, whatever the class


class AuxiliaryPhoto(NamedTuple):
    """One photo of one object: uint8 (H, W, 3), class 0 to CLASSES - 1, and which view of VIEWS it shows."""

    image: Array
    label: int
    view: str


class AuxiliaryClass(NamedTuple):
    """What all objects of one class share; lengths in units of the object's length."""

    look: Look
    outline: str
    half_height: float
    limbs: tuple[tuple[tuple[float, float], tuple[float, float], float], ...]
    head: str
    head_radius: float
    head_angle: float


@lru_cache
def auxiliary_class(label: int) -> AuxiliaryClass:
    """Invent class `label`; two neighbouring classes share the hue of their bodies."""
    rng = np.random.default_rng([CLASS_SEED, label])
    look = Look(
        colours=_head_colours(rng), kind=str(rng.choice(list(WAVES))), period=rng.uniform(5, 8), angle=rng.uniform(0, np.pi),
        hue=label // 2 / 12 + rng.uniform(-0.02, 0.02), hue_spread=0.03,
        body_kind=str(rng.choice(list(WAVES))), body_period=rng.uniform(7, 12), body_amplitude=rng.uniform(0.06, 0.16),
    )  # fmt: skip
    limbs = []
    for _ in range(rng.integers(0, 5)):
        at, reach = rng.uniform(-0.3, 0.3), rng.uniform(0.15, 0.3)
        lean, side = rng.uniform(-0.1, 0.1), rng.choice((-1, 1))
        limbs.append(
            ((at, 0.0), (at + lean, float(side * (0.12 + reach))), rng.uniform(0.03, 0.06))
        )
    return AuxiliaryClass(
        look=look, outline=str(rng.choice(("ellipse", "box", "trapezoid"))), half_height=0.36 * rng.uniform(0.35, 0.8),
        limbs=tuple(limbs), head=str(rng.choice(("ellipse", "box", "triangle"))), head_radius=rng.uniform(0.16, 0.22),
        head_angle=rng.uniform(0, 2 * np.pi),
    )  # fmt: skip


def _head_colours(rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two contrasting colours, unlike every pair of the embedded dataset in either order."""
    taken = np.array([look.colours for look in LOOKS.values()])
    while True:
        pair = rng.uniform(0.05, 0.97, (2, 3))
        distance = min(
            np.abs(taken - candidate).sum(axis=(1, 2)).min() for candidate in (pair, pair[::-1])
        )
        if distance >= COLOUR_DISTANCE and np.abs(pair[0] - pair[1]).sum() >= 0.9:
            return tuple(map(tuple, pair.tolist()))


def _blob(kind: str, x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    """Distance to a simple shape of half-axes rx, ry."""
    if kind == "ellipse":
        return ellipse(x, y, cx, cy, rx, ry)
    if kind == "box":
        return box(x, y, cx, cy, rx, ry, 0.2 * ry)
    top = 0.0 if kind == "triangle" else 0.55 * rx
    return polygon(
        x,
        y,
        (cx - top, cy - ry),
        (cx + top + 1e-3, cy - ry),
        (cx + rx, cy + ry),
        (cx - rx, cy + ry),
    )


def _silhouette(one: AuxiliaryClass, view: str, x: Array, y: Array, size: float) -> Silhouette:
    """The object's body and head, or the one that the view shows."""
    nothing = np.full_like(x, 10)
    radius = one.head_radius * size
    if view == "head":
        head = _blob(one.head, x, y, 0.0, 0.0, 0.5, 0.5)
        return Silhouette(body=nothing, head=head)
    body = _blob(one.outline, x, y, 0.0, 0.0, 0.36, one.half_height)
    body = union(body, *(capsule(x, y, start, end, width) for start, end, width in one.limbs))
    cx, cy = 0.36 * np.cos(one.head_angle), one.half_height * np.sin(one.head_angle)
    head = _blob(one.head, x, y, cx, cy, radius, radius) if view == "whole" else nothing
    return Silhouette(body=body, head=head)


def draw_auxiliary(index: int, *, size: int = 96) -> AuxiliaryPhoto:
    """Draw photo `index` of the auxiliary set: one object of a random class, whole or in part.

    Args:
        index: of the photo; there is no end to them.
        size: side in pixels. Objects do not grow with it.
    """
    rng = np.random.default_rng([PHOTO_SEED, index])
    label = int(rng.integers(CLASSES))
    view = str(rng.choice(list(VIEWS), p=list(VIEWS.values())))
    canvas = Canvas.blank(size)
    cx, cy = rng.uniform(0.25 * size, 0.75 * size, 2)
    length = (
        float(np.exp(rng.uniform(np.log(38), np.log(100))))
        if view != "head"
        else 2 * rng.uniform(9, 24)
    )
    angle, facing = rng.normal(0, np.deg2rad(9)), int(rng.choice((-1, 1)))
    paint_background(rng, canvas)
    paint_clutter(rng, canvas)
    if rng.random() < SCENERY:
        paint_water(rng, canvas, rng.uniform(0.4, 0.8) * size)
    if rng.random() < SCENERY:
        paint_rails(
            rng,
            canvas,
            size / 2,
            rng.uniform(0.2, 0.7) * size,
            rng.normal(0, 0.07),
            rng.uniform(40, 100),
        )
    part = canvas[canvas.window(cx, cy, 0.8 * length)]
    frame = part.frame(cx, cy, length, angle, facing)
    one = auxiliary_class(label)
    shape = _silhouette(one, view, frame.x, frame.y, rng.uniform(0.85, 1.15))
    paint_object(rng, part, frame, shape, one.look, head=view != "body")
    return AuxiliaryPhoto(image=finish(rng, canvas), label=label, view=view)
