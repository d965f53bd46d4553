"""The silhouettes of the eight drawn classes, cut out of signed distances.

Coordinates are those of the object: x forward, y down, origin at the centre, in units of the object's length.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wsss_lib.toy.distances import Array, blend, box, capsule, circle, ellipse, path, polygon, union

DARK = (0.10, 0.10, 0.12)
GLASS = (0.74, 0.84, 0.90)
METAL = (0.62, 0.62, 0.60)


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A small part in one colour, painted on top of body and head."""

    distance: Array
    rgb: tuple[float, float, float]
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Silhouette:
    """Distances of one object's two parts, in units of its length, and its details.

    Attributes:
        body: everything the object covers (the head may stick out of it).
        head: the part that carries the class-specific pattern.
        details: eyes, wheels, windows; they never reach beyond the union of body and head.
    """

    body: Array
    head: Array
    details: tuple[Detail, ...] = ()


# --------------------------------------------------------------------------------------------------------- animals


def _legs(
    x: Array, y: Array, *, top: float, foot: float, radius: float, feet: tuple[float, ...]
) -> tuple[Array, Array]:
    """Near legs and far legs; of `feet` (x positions) every second one is far."""
    legs = [capsule(x, y, (at, top), (at + 0.01, foot), radius) for at in feet]
    return union(*legs[0::2]), union(*legs[1::2])


def _animal(
    torso: Array, near: Array, far: Array, *limbs: Array, head: Array, details: tuple[Detail, ...]
) -> Silhouette:
    """Put an animal together; its far legs are darker where the rest does not cover them."""
    front = blend(torso, near, *limbs)
    shade = Detail(distance=np.maximum(far, -front), rgb=DARK, opacity=0.35)
    return Silhouette(body=union(blend(front, far), front), head=head, details=(shade, *details))


def _eye(x: Array, y: Array, cx: float, cy: float, radius: float) -> tuple[Detail, Detail]:
    """A pale eye with a dark pupil that looks ahead."""
    pupil = circle(x, y, cx + 0.2 * radius, cy, 0.6 * radius)
    return Detail(distance=circle(x, y, cx, cy, radius), rgb=(0.93, 0.92, 0.72)), Detail(
        distance=pupil, rgb=DARK
    )


def cat(x: Array, y: Array, size: float) -> Silhouette:
    """A cat: round head, two pointed ears, a long raised tail."""
    near, far = _legs(x, y, top=0.06, foot=0.34, radius=0.045, feet=(-0.29, -0.19, 0.20, 0.10))
    torso = ellipse(x, y, -0.05, 0.02, 0.34, 0.165)
    tail = path(x, y, (-0.34, -0.04), (-0.45, -0.13), (-0.48, -0.26), (-0.43, -0.38), radius=0.032)
    neck = capsule(x, y, (0.16, -0.04), (0.30, -0.12), 0.10)
    cx, cy, r = 0.34, -0.17, 0.185 * size
    ears = union(
        polygon(
            x,
            y,
            (cx - r, cy - 1.6 * r),
            (cx - 0.1 * r, cy - 0.7 * r),
            (cx - 0.95 * r, cy - 0.1 * r),
        ),
        polygon(
            x,
            y,
            (cx + r, cy - 1.6 * r),
            (cx + 0.95 * r, cy - 0.1 * r),
            (cx + 0.1 * r, cy - 0.7 * r),
        ),
    )
    nose = Detail(
        distance=ellipse(x, y, cx + 0.12 * r, cy + 0.36 * r, 0.16 * r, 0.11 * r),
        rgb=(0.85, 0.5, 0.5),
    )
    eyes = (
        *_eye(x, y, cx - 0.3 * r, cy - 0.08 * r, 0.22 * r),
        *_eye(x, y, cx + 0.5 * r, cy - 0.08 * r, 0.22 * r),
    )
    head = union(circle(x, y, cx, cy, r), ears)
    return _animal(torso, near, far, tail, neck, head=head, details=(nose, *eyes))


def dog(x: Array, y: Array, size: float) -> Silhouette:
    """A dog: a muzzle, a hanging ear, a straight tail."""
    near, far = _legs(x, y, top=0.06, foot=0.35, radius=0.05, feet=(-0.30, -0.20, 0.20, 0.11))
    torso = blend(ellipse(x, y, -0.06, 0.0, 0.33, 0.155), circle(x, y, 0.12, 0.02, 0.175))
    tail = capsule(x, y, (-0.34, -0.06), (-0.50, -0.26), 0.033)
    neck = capsule(x, y, (0.18, -0.03), (0.28, -0.18), 0.10)
    cx, cy, r = 0.32, -0.22, 0.165 * size
    muzzle = box(x, y, cx + 1.05 * r, cy + 0.35 * r, 0.62 * r, 0.42 * r, 0.3 * r, 0.12)
    ear = ellipse(x, y, cx - 0.62 * r, cy + 0.32 * r, 0.38 * r, 0.85 * r, 0.25)
    head = union(blend(circle(x, y, cx, cy, r), muzzle, radius=0.04), ear)
    nose = Detail(distance=circle(x, y, cx + 1.5 * r, cy + 0.12 * r, 0.22 * r), rgb=DARK)
    eye = _eye(x, y, cx + 0.38 * r, cy - 0.2 * r, 0.23 * r)
    rim = Detail(distance=np.maximum(ear, -ear - 0.1 * r), rgb=DARK, opacity=0.6)
    return _animal(torso, near, far, tail, neck, head=head, details=(rim, nose, *eye))


def cow(x: Array, y: Array, size: float) -> Silhouette:
    """A cow: a heavy square trunk, horns, a broad muzzle, a thin tail that hangs."""
    near, far = _legs(x, y, top=0.08, foot=0.34, radius=0.05, feet=(-0.33, -0.23, 0.22, 0.12))
    torso = box(x, y, -0.06, -0.01, 0.35, 0.185, 0.13)
    tail = union(
        path(x, y, (-0.38, -0.14), (-0.46, -0.04), (-0.46, 0.12), radius=0.02),
        circle(x, y, -0.46, 0.14, 0.04),
    )
    neck = capsule(x, y, (0.2, -0.08), (0.30, -0.16), 0.12)
    cx, cy, r = 0.36, -0.18, 0.165 * size
    muzzle = box(x, y, cx + 0.75 * r, cy + 0.55 * r, 0.65 * r, 0.52 * r, 0.35 * r, 0.5)
    ear = ellipse(x, y, cx - 0.95 * r, cy - 0.45 * r, 0.5 * r, 0.24 * r, 0.45)
    horns = union(
        path(
            x,
            y,
            (cx - 0.45 * r, cy - 0.8 * r),
            (cx - 0.75 * r, cy - 1.1 * r),
            (cx - 0.55 * r, cy - 1.5 * r),
            radius=0.15 * r,
        ),
        path(
            x,
            y,
            (cx + 0.45 * r, cy - 0.8 * r),
            (cx + 0.8 * r, cy - 1.1 * r),
            (cx + 0.65 * r, cy - 1.5 * r),
            radius=0.15 * r,
        ),
    )
    head = union(blend(circle(x, y, cx, cy, r), muzzle, radius=0.05), ear, horns)
    details = (
        Detail(distance=horns, rgb=(0.9, 0.87, 0.78)),
        *_eye(x, y, cx + 0.3 * r, cy - 0.2 * r, 0.24 * r),
    )
    return _animal(torso, near, far, tail, neck, head=head, details=details)


def horse(x: Array, y: Array, size: float) -> Silhouette:
    """A horse: a long raised neck, a long head, high legs, a bushy tail."""
    near, far = _legs(x, y, top=0.02, foot=0.42, radius=0.04, feet=(-0.31, -0.22, 0.19, 0.11))
    torso = blend(ellipse(x, y, -0.06, 0.0, 0.32, 0.15), circle(x, y, -0.24, -0.01, 0.14))
    tail = path(x, y, (-0.37, -0.06), (-0.46, 0.04), (-0.47, 0.22), radius=0.042)
    neck = capsule(x, y, (0.14, -0.04), (0.27, -0.28), 0.095)
    cx, cy, r = 0.36, -0.27, 0.17 * size
    skull = ellipse(x, y, cx, cy, 1.32 * r, 0.72 * r, 0.62)
    ears = polygon(
        x,
        y,
        (cx - 0.8 * r, cy - 1.6 * r),
        (cx - 0.35 * r, cy - 0.7 * r),
        (cx - 1.05 * r, cy - 0.65 * r),
    )
    mane = path(x, y, (0.27, -0.42), (0.17, -0.28), (0.08, -0.14), radius=0.04)
    nostril = circle(x, y, cx + 0.85 * r, cy + 0.6 * r, 0.1 * r)
    details = (
        Detail(distance=union(mane, tail), rgb=DARK, opacity=0.55),
        Detail(distance=nostril, rgb=DARK),
        *_eye(x, y, cx - 0.2 * r, cy - 0.32 * r, 0.22 * r),
    )
    return _animal(torso, near, far, tail, neck, mane, head=union(skull, ears), details=details)


# -------------------------------------------------------------------------------------------------------- vehicles


def _wheels(
    x: Array, y: Array, radius: float, height: float, *at: float
) -> tuple[Array, tuple[Detail, ...]]:
    """Wheels at the given x positions: their distance, and tyre and hub as details."""
    wheels = union(*(circle(x, y, cx, height, radius) for cx in at))
    return wheels, (
        Detail(distance=wheels, rgb=DARK),
        Detail(distance=wheels + 0.6 * radius, rgb=METAL),
    )


def _windows(x: Array, y: Array, cy: float, hx: float, hy: float, *at: float) -> Detail:
    """A row of panes at the given x positions."""
    return Detail(
        distance=union(*(box(x, y, cx, cy, hx, hy, 0.015) for cx in at)), rgb=GLASS, opacity=0.9
    )


def bus(x: Array, y: Array, size: float) -> Silhouette:
    """A bus: one tall box with a row of windows."""
    hull = box(x, y, 0.0, -0.02, 0.46, 0.22, 0.05)
    wheels, tyres = _wheels(x, y, 0.075, 0.19, -0.26, 0.27)
    sill = Detail(distance=box(x, y, 0.0, 0.06, 0.45, 0.008), rgb=DARK, opacity=0.4)
    panes = _windows(x, y, -0.10, 0.05, 0.065, -0.37, -0.245, -0.12, 0.005, 0.13)
    head = np.maximum(hull, 0.46 - 0.24 * size - x)
    screen = _windows(x, y, -0.10, 0.025, 0.075, 0.42)
    return Silhouette(body=union(hull, wheels), head=head, details=(sill, panes, screen, *tyres))


def car(x: Array, y: Array, size: float) -> Silhouette:
    """A car: a low body, a cabin with sloping screens, two wheels."""
    hull = box(x, y, 0.0, 0.05, 0.45, 0.115, 0.06)
    cabin = polygon(x, y, (-0.22, -0.20), (0.10, -0.20), (0.24, 0.0), (-0.34, 0.0)) - 0.015
    wheels, tyres = _wheels(x, y, 0.095, 0.15, -0.26, 0.27)
    panes = union(
        polygon(x, y, (-0.20, -0.17), (-0.08, -0.17), (-0.08, -0.03), (-0.27, -0.03)),
        polygon(x, y, (-0.04, -0.17), (0.08, -0.17), (0.17, -0.03), (-0.04, -0.03)),
    )
    head = np.maximum(hull, 0.45 - 0.24 * size - x)
    lamp = Detail(distance=ellipse(x, y, 0.41, 0.0, 0.025, 0.035), rgb=(1.0, 0.95, 0.7))
    details = (Detail(distance=panes, rgb=GLASS, opacity=0.9), lamp, *tyres)
    return Silhouette(
        body=union(blend(hull, cabin, radius=0.03), wheels), head=head, details=details
    )


def train(x: Array, y: Array, size: float) -> Silhouette:
    """A train: a long low carriage with many wheels and a sloping nose."""
    hull = np.maximum(
        box(x, y, 0.0, -0.02, 0.50, 0.16, 0.03),
        polygon(x, y, (-0.6, -0.3), (0.36, -0.3), (0.58, 0.2), (-0.6, 0.2)),
    )
    roof = box(x, y, -0.12, -0.185, 0.14, 0.022, 0.01)
    wheels, tyres = _wheels(x, y, 0.052, 0.145, -0.40, -0.28, -0.08, 0.04, 0.26, 0.38)
    panes = _windows(x, y, -0.07, 0.042, 0.042, -0.43, -0.315, -0.2, -0.085, 0.03)
    joint = Detail(distance=box(x, y, 0.11, -0.02, 0.007, 0.16), rgb=DARK, opacity=0.7)
    head = np.maximum(hull, 0.48 - 0.25 * size - x)
    screen = Detail(
        distance=polygon(x, y, (0.33, -0.13), (0.375, -0.13), (0.42, -0.04), (0.33, -0.04)),
        rgb=GLASS,
    )
    return Silhouette(
        body=union(hull, roof, wheels), head=head, details=(panes, joint, screen, *tyres)
    )


def boat(x: Array, y: Array, size: float) -> Silhouette:
    """A boat: a hull, a small cabin, a mast, one sail."""
    hull = polygon(x, y, (-0.46, 0.12), (0.48, 0.08), (0.36, 0.29), (-0.36, 0.29)) - 0.01
    cabin = box(x, y, -0.18, 0.05, 0.14, 0.09, 0.03)
    mast = capsule(x, y, (0.06, 0.1), (0.06, -0.47), 0.016)
    rim = Detail(distance=np.maximum(hull, y - 0.135), rgb=(0.95, 0.93, 0.88), opacity=0.6)
    panes = _windows(x, y, 0.04, 0.03, 0.03, -0.26, -0.18, -0.10)
    s = 0.5 * size
    head = polygon(x, y, (0.085, 0.04 - s), (0.085 + 0.72 * s, 0.04), (0.085, 0.04))
    spar = Detail(distance=mast, rgb=(0.35, 0.25, 0.18))
    return Silhouette(body=union(hull, cabin, mast), head=head, details=(rim, panes, spar))


SHAPES: dict[str, Callable[[Array, Array, float], Silhouette]] = {
    "cat": cat, "dog": dog, "cow": cow, "horse": horse, "bus": bus, "car": car, "train": train, "boat": boat,
}  # fmt: skip
ANIMALS = frozenset({"cat", "dog", "cow", "horse"})
