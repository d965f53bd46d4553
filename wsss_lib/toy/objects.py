"""The objects of the drawn dataset: how each class is coloured, and the painting of one object."""

from colorsys import hsv_to_rgb
from dataclasses import dataclass

import numpy as np

from wsss_lib.toy.distances import Array, turned
from wsss_lib.toy.paint import Canvas, Frame, paint, pattern, texture
from wsss_lib.toy.shapes import Silhouette

# The wash: the head's pattern shows on the body, at a random contrast up to this share of the head's. It is the weak
# evidence that climbing can amplify. Chosen with HUE_SPREAD so that activation maps cover about half of a body.
WASH = 0.40
HUE_SPREAD = 0.11


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the objects of a class are coloured.

    Attributes:
        colours: the head's two RGB colours.
        kind, period, angle: the head's pattern; period in units, angle in radians.
        hue, hue_spread: mean and standard deviation of the body's hue.
        body_kind, body_period, body_amplitude: the body's own faint pattern.
    """

    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    kind: str
    period: float
    angle: float = 0.0
    hue: float
    hue_spread: float = HUE_SPREAD
    body_kind: str
    body_period: float
    body_amplitude: float


LOOKS = {
    "cat": Look(colours=((0.93, 0.52, 0.13), (0.10, 0.08, 0.08)), kind="stripe", period=6.0, angle=0.0,
                hue=0.065, body_kind="hband", body_period=9.0, body_amplitude=0.06),
    "dog": Look(colours=((0.95, 0.90, 0.76), (0.36, 0.20, 0.11)), kind="dots", period=7.0,
                hue=0.105, body_kind="grid", body_period=10.0, body_amplitude=0.05),
    "cow": Look(colours=((0.96, 0.96, 0.94), (0.06, 0.06, 0.07)), kind="blotch", period=6.0,
                hue=0.93, body_kind="dots", body_period=11.0, body_amplitude=0.06),
    "horse": Look(colours=((0.95, 0.80, 0.20), (0.48, 0.08, 0.14)), kind="stripe", period=6.0, angle=1.3,
                  hue=0.97, body_kind="stripe", body_period=10.0, body_amplitude=0.05),
    "bus": Look(colours=((0.97, 0.85, 0.12), (0.08, 0.08, 0.08)), kind="check", period=6.5,
                hue=0.58, body_kind="hband", body_period=8.0, body_amplitude=0.05),
    "car": Look(colours=((0.86, 0.10, 0.13), (0.97, 0.95, 0.94)), kind="ring", period=6.5,
                hue=0.62, body_kind="diamond", body_period=10.0, body_amplitude=0.06),
    "train": Look(colours=((0.08, 0.08, 0.09), (0.96, 0.45, 0.12)), kind="stripe", period=6.5, angle=1.9,
                  hue=0.78, body_kind="zigzag", body_period=10.0, body_amplitude=0.06),
    "boat": Look(colours=((0.97, 0.97, 0.97), (0.13, 0.25, 0.68)), kind="stripe", period=6.5, angle=0.35,
                 hue=0.42, body_kind="hband", body_period=9.0, body_amplitude=0.06),
}  # fmt: skip


def paint_object(
    rng: np.random.Generator,
    canvas: Canvas,
    frame: Frame,
    shape: Silhouette,
    look: Look,
    *,
    head: bool,
) -> Array:
    """Paint one object; returns the coverage (2, H, W) of the whole object and of its head.

    Args:
        rng: of everything that differs from object to object.
        canvas: what to paint on.
        frame: where the object stands on the canvas.
        shape: the object's distances on the frame.
        look: how its class is coloured.
        head: whether the head shows the class' pattern; else it is painted like the body.
    """
    marks_HW1 = pattern(look.kind, *turned(*frame.units, look.angle), look.period)[..., None]
    first, second = np.asarray(look.colours, np.float32)
    whole = canvas.coverage(np.minimum(shape.body, shape.head), frame.length)
    front = canvas.coverage(shape.head, frame.length)
    paint(canvas, _body(rng, frame, look, marks_HW1), whole)
    if head:
        grain = 0.04 * texture(rng, whole.shape, 1.3)[..., None]
        paint(canvas, second + marks_HW1 * (first - second) + grain, front)
    for detail in shape.details:
        covered = np.minimum(canvas.coverage(detail.distance, frame.length), whole)
        paint(canvas, detail.rgb, detail.opacity * covered)
    return np.stack([whole, front])


def _body(rng: np.random.Generator, frame: Frame, look: Look, marks_HW1: Array) -> Array:
    """The surface of a body (H, W, 3): a hue, grain, a faint pattern, the wash, and light from above."""
    hue = rng.normal(look.hue, look.hue_spread) % 1
    colour = hsv_to_rgb(hue, rng.uniform(0.2, 0.5), rng.uniform(0.35, 0.75))
    first, second = np.asarray(look.colours, np.float32)
    grain = 0.05 * texture(rng, frame.x.shape, 1.3)[..., None]
    amplitude = look.body_amplitude * rng.uniform(0.4, 1.4)
    own = 2 * amplitude * (pattern(look.body_kind, *frame.units, look.body_period)[..., None] - 0.5)
    wash = rng.uniform(0, WASH) * (marks_HW1 - 0.5) * (first - second)
    light = 1 - 0.45 * np.clip(frame.y, -0.5, 0.5)[..., None]
    return (np.array(colour, np.float32) + grain + own + wash) * light
