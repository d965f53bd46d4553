"""Signed distances: the geometry that everything in the drawn dataset is cut out of.

A signed distance is negative inside a shape, positive outside, zero on its edge. Distances make drawing short: the
union of two shapes is a minimum, an intersection a maximum, and an edge is anti-aliased by turning the distance in
pixels into a coverage (I. Quilez, "2D distance functions", iquilezles.org/articles/distfunctions2d).

All functions take coordinates x (right) and y (down), and return the distance at each, in the same unit.
"""

from functools import reduce

import numpy as np

Array = np.ndarray


def circle(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    """Distance to a disc."""
    return np.hypot(x - cx, y - cy) - radius


def ellipse(
    x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, angle: float = 0.0
) -> Array:
    """Distance to an ellipse, to first order (exact on the edge); `angle` in radians, clockwise on the screen."""
    x, y = turned(x - cx, y - cy, angle)
    inside = np.hypot(x / rx, y / ry)
    return inside * (inside - 1) / (np.hypot(x / rx**2, y / ry**2) + 1e-6)


def capsule(
    x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Array:
    """Distance to a thick line with round ends."""
    (ax, ay), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - ax - along * dx, y - ay - along * dy) - radius


def box(
    x: Array,
    y: Array,
    cx: float,
    cy: float,
    hx: float,
    hy: float,
    rounding: float = 0.0,
    angle: float = 0.0,
) -> Array:
    """Distance to a box of half-sides hx, hy with rounded corners."""
    x, y = turned(x - cx, y - cy, angle)
    dx, dy = np.abs(x) - hx + rounding, np.abs(y) - hy + rounding
    return (
        np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        + np.minimum(np.maximum(dx, dy), 0)
        - rounding
    )


def polygon(x: Array, y: Array, *corners: tuple[float, float]) -> Array:
    """Distance to a convex polygon (a lower bound beyond its corners); corners clockwise on the screen."""
    sides = zip(corners, corners[1:] + corners[:1], strict=True)
    return reduce(np.maximum, [
        ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / np.hypot(bx - ax, by - ay) for (ax, ay), (bx, by) in sides
    ])  # fmt: skip


def turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates in a frame that is turned by `angle` radians (clockwise on the screen)."""
    if angle == 0:
        return x, y
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def union(*distances: Array) -> Array:
    """Distance to whatever lies in any of the shapes."""
    return reduce(np.minimum, distances)


def blend(*distances: Array, radius: float = 0.06) -> Array:
    """A union with fillets, as limbs grow out of a body (the polynomial smooth minimum)."""

    def smooth_minimum(a: Array, b: Array) -> Array:
        mix = np.clip(0.5 + 0.5 * (b - a) / radius, 0, 1)
        return b + mix * (a - b) - radius * mix * (1 - mix)

    return reduce(smooth_minimum, distances)


def path(x: Array, y: Array, *points: tuple[float, float], radius: float) -> Array:
    """Distance to a thick polyline: tails, manes, trunks."""
    return union(*(capsule(x, y, a, b, radius) for a, b in zip(points, points[1:], strict=False)))
