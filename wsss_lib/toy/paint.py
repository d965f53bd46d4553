"""Paint for the drawn dataset: natural textures, patterns, grounds, clutter, scenery and light.

Every function works in place on a float32 image (H, W, 3) with values about [0, 1]. Lengths are in units that are
pixels at the standard size, so that a dataset drawn at another size is the same picture at another resolution.
"""

from collections.abc import Callable, Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsss_lib.toy.distances import Array, box, ellipse, turned

Window = tuple[slice, slice]  # rows and columns of a canvas

GROUNDS = {  # hue, saturation, value
    "grass": (0.27, 0.42, 0.44),
    "dirt": (0.08, 0.35, 0.46),
    "sky": (0.57, 0.35, 0.78),
    "indoor": (0.09, 0.16, 0.64),
    "road": (0.62, 0.06, 0.45),
}
TEXTURE_SEED, TEXTURES, TEXTURE_SIDE = 777, 40, 192
EXPONENTS = (1.0, 1.3, 1.7)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """An object's own grid on a canvas.

    Attributes:
        x, y: float32 (H, W), forward and down from the object's centre, in units of its length.
        length: of the object, in units of the canvas.
    """

    x: Array
    y: Array
    length: float

    @property
    def units(self) -> tuple[Array, Array]:
        """The grid in units of the canvas."""
        return self.x * np.float32(self.length), self.y * np.float32(self.length)


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """An image under construction and its pixel grid, in units.

    Attributes:
        image: float32 (H, W, 3).
        x, y: float32 (H, W), pixel centres in units.
        scale: pixels per unit.
    """

    image: Array
    x: Array
    y: Array
    scale: float

    @classmethod
    def blank(cls, size: int, scale: float = 1.0) -> "Canvas":
        """A black square canvas of `size` pixels."""
        y, x = (np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)) / np.float32(scale)
        return cls(image=np.zeros((size, size, 3), np.float32), x=x, y=y, scale=scale)

    @property
    def side(self) -> float:
        """The canvas' side in units."""
        return self.image.shape[0] / self.scale

    def coverage(self, distance: Array, unit: float = 1.0) -> Array:
        """Share of each pixel that a shape covers: clip(0.5 - d, 0, 1), with d its signed distance in pixels."""
        return np.clip(0.5 - distance * np.float32(unit * self.scale), 0, 1)

    def window(self, cx: float, cy: float, radius: float) -> Window:
        """Rows and columns of the pixels within `radius` units of a point."""
        ends = [((c - radius) * self.scale, (c + radius) * self.scale + 1) for c in (cy, cx)]
        return tuple(slice(*np.clip(pair, 0, self.image.shape[0]).astype(int)) for pair in ends)

    def __getitem__(self, window: Window) -> "Canvas":
        """A part of the canvas; painting it paints the canvas."""
        return Canvas(
            image=self.image[window], x=self.x[window], y=self.y[window], scale=self.scale
        )

    def frame(self, cx: float, cy: float, length: float, angle: float, facing: int) -> Frame:
        """The grid of an object: its centre, its angle in radians, and whether it faces right (1) or left (-1)."""
        x, y = turned(self.x - cx, self.y - cy, angle)
        return Frame(x=x * np.float32(facing / length), y=y / np.float32(length), length=length)


def paint(canvas: Canvas, colour: Array | Sequence[float], coverage: Array) -> None:
    """Lay a colour (3,) or (H, W, 3) over the canvas where `coverage` says."""
    canvas.image[...] += coverage[..., None] * (np.asarray(colour, np.float32) - canvas.image)


def around(rng: np.random.Generator, hsv: Sequence[float], spread: Sequence[float]) -> Array:
    """A random RGB colour near a hue, saturation and value (normal, standard deviations `spread`)."""
    hue, saturation, value = rng.normal(hsv, spread)
    return np.array(
        hsv_to_rgb(hue % 1, np.clip(saturation, 0, 1), np.clip(value, 0.05, 0.95)), np.float32
    )


@lru_cache
def _bank(exponent: float) -> Array:
    """Periodic random fields with amplitude spectrum 1/f^exponent, as photos have; unit variance."""
    side = TEXTURE_SIDE
    rng = np.random.default_rng([TEXTURE_SEED, EXPONENTS.index(exponent)])
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    phase = rng.uniform(0, 2 * np.pi, (TEXTURES, *frequency.shape))
    field = np.fft.irfft2(np.exp(1j * phase) / frequency**exponent, s=(side, side))
    return (field / field.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def texture(rng: np.random.Generator, shape: tuple[int, int], exponent: float) -> Array:
    """A random field with a natural spectrum: any place of a bank's field, mirrored and transposed at random."""
    field = _bank(float(exponent))[rng.integers(TEXTURES)]
    corner = rng.integers(TEXTURE_SIDE, size=2)
    rows, columns = (
        np.arange(start, start + length) % TEXTURE_SIDE
        for start, length in zip(corner, shape, strict=True)
    )
    flip_rows, flip_columns, transpose = rng.random(3) < 0.5
    if transpose:
        field = field.T
    return field[rows[:: -1 if flip_rows else 1, None], columns[:: -1 if flip_columns else 1]]


# ------------------------------------------------------------------------------------------------------- patterns


def _triangle(phase: Array) -> Array:
    """A triangle wave of period 2 pi between -1 and 1."""
    return 2 / np.pi * np.arcsin(np.sin(phase))


WAVES: dict[
    str, Callable[[Array, Array], Array]
] = {  # of two phases in radians, positive in the first colour
    "stripe": lambda a, b: np.sin(0.8 * a + 0.6 * b),
    "dots": lambda a, b: 0.35 + 0.5 * (np.cos(a) + np.cos(b)),
    "check": lambda a, b: 1.5 * np.sin(a / 1.4) * np.sin(b / 1.4),
    "ring": lambda a, b: np.sin(np.hypot(a, b)),
    "blotch": lambda a, b: (
        np.sin(0.6 * a + 1.3 * np.sin(0.5 * b)) + np.sin(0.6 * b + 1.7 * np.sin(0.55 * a + 1))
    ),
    "hband": lambda a, b: np.sin(b),
    "zigzag": lambda a, b: np.sin(b + 1.6 * _triangle(0.7 * a)),
    "grid": lambda a, b: np.maximum(np.cos(a), np.cos(b)) - 0.45,
    "diamond": lambda a, b: 1.5 * np.sin((a + b) / 2) * np.sin((a - b) / 2),
}


def pattern(kind: str, x: Array, y: Array, period: float) -> Array:
    """A two-tone pattern with soft edges: 1 in its first colour, 0 in its second.

    Args:
        kind: a key of WAVES.
        x, y: coordinates (H, W) in units.
        period: length of one repetition in units.
    """
    turn = np.float32(2 * np.pi / period)
    return np.clip(0.5 + 1.6 * WAVES[kind](x * turn, y * turn), 0, 1)


# ---------------------------------------------------------------------------------------------------- backgrounds


def _ground(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> Array:
    """One patch of ground (H, W, 3): a base colour and two natural textures of random tint."""
    image = np.broadcast_to(around(rng, GROUNDS[kind], (0.02, 0.07, 0.08)), (*shape, 3))
    amplitude = 0.10 * rng.uniform(0.6, 1.5)
    for exponent, share in ((rng.choice(EXPONENTS[:2]), 1.0), (1.7, 0.5)):
        tint = 1 + rng.normal(0, 0.4, 3)  # mostly lightness, partly colour
        tint *= 0.8 * share * amplitude / np.sqrt(np.mean(tint**2))
        image = image + texture(rng, shape, exponent)[..., None] * tint.astype(np.float32)
    return image


def paint_background(rng: np.random.Generator, canvas: Canvas) -> None:
    """Fill the canvas with a ground; below a wavy horizon (always under sky, else 45%) with a second one."""
    shape = canvas.x.shape
    kind = rng.choice(list(GROUNDS))
    canvas.image[...] = _ground(rng, kind, shape)
    if kind == "sky" or rng.random() < 0.45:
        horizon = canvas.side * rng.uniform(0.30, 0.65)
        waves = rng.uniform(0, 3) * np.sin(canvas.x / rng.uniform(6, 20) + rng.uniform(0, 6))
        below = _ground(
            rng, rng.choice([name for name in GROUNDS if name not in (kind, "sky")]), shape
        )
        paint(canvas, below, canvas.coverage(horizon + waves.astype(np.float32) - canvas.y))


def paint_clutter(rng: np.random.Generator, canvas: Canvas) -> None:
    """Strew 3-6 ellipses and boxes of random colour; 30% carry a weak pattern of some kind."""
    for _ in range(rng.integers(3, 7)):
        cx, cy = rng.uniform(0, canvas.side, 2)
        hx, hy = rng.uniform(4, 22, 2)
        angle = rng.uniform(0, np.pi)
        part = canvas[canvas.window(cx, cy, 1.5 * max(hx, hy))]
        distance = (ellipse if rng.random() < 0.5 else box)(
            part.x, part.y, cx, cy, hx, hy, angle=angle
        )
        colour = np.array(
            hsv_to_rgb(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.85)), np.float32
        )
        surface = colour + 0.09 * texture(rng, part.x.shape, 1.3)[..., None]
        if rng.random() < 0.3:
            u, v = turned(part.x - cx, part.y - cy, angle)
            marks = pattern(rng.choice(list(WAVES)), u, v, rng.uniform(6, 12)) - 0.5
            surface += 2 * rng.uniform(0.05, 0.12) * marks[..., None]
        paint(part, surface, part.coverage(distance))


# -------------------------------------------------------------------------------------------------------- scenery


def paint_water(rng: np.random.Generator, canvas: Canvas, waterline: float) -> Array:
    """Flood the canvas below `waterline` (units); returns the coverage (H, W)."""
    wave = 0.7 * np.sin(canvas.x / rng.uniform(3, 6) + rng.uniform(0, 6)).astype(np.float32)
    ripples = np.sin(canvas.y * rng.uniform(0.9, 1.5) + 1.5 * np.sin(canvas.x / rng.uniform(5, 9)))
    lightness = 0.05 * ripples + 0.05 * texture(rng, canvas.x.shape, 1.3)
    coverage = canvas.coverage(waterline + wave - canvas.y)
    paint(
        canvas,
        around(rng, (0.56, 0.55, 0.50), (0.02, 0.06, 0.06))
        + lightness[..., None].astype(np.float32),
        coverage,
    )
    return coverage


def paint_rails(
    rng: np.random.Generator, canvas: Canvas, cx: float, cy: float, angle: float, length: float
) -> Array:
    """Lay a track across the whole canvas, under a train of this centre, angle and length; returns the coverage."""
    unit = np.float32(length / 100)
    x, y = turned(canvas.x - cx, canvas.y - cy, angle)
    y = y - 17 * unit  # where the wheels stand
    bed = canvas.coverage(np.abs(y - 4 * unit) - 5.5 * unit)
    gravel = (
        around(rng, (0.08, 0.12, 0.42), (0.02, 0.03, 0.04))
        + 0.09 * texture(rng, canvas.x.shape, 1.0)[..., None]
    )
    paint(canvas, gravel, bed)
    period = 8 * unit
    sleepers = np.maximum(
        np.abs((x % period) - period / 2) - 1.6 * unit, np.abs(y - 4 * unit) - 4.5 * unit
    )
    paint(canvas, (0.27, 0.2, 0.15), canvas.coverage(sleepers))
    for at in (1.0, 7.0):
        paint(canvas, (0.72, 0.72, 0.74), canvas.coverage(np.abs(y - at * unit) - 0.8 * unit))
    return bed


def finish(rng: np.random.Generator, canvas: Canvas) -> Array:
    """Light, colour cast and sensor noise; returns the photo, uint8 (H, W, 3)."""
    cast = rng.uniform(0.85, 1.12) + rng.normal(0, 0.02, 3)
    noise = rng.normal(0, 0.02, canvas.image.shape)
    return np.clip((canvas.image * cast + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
