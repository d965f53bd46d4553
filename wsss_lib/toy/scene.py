"""One photo of the embedded dataset: which objects it shows, where, and what is known about every pixel."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from wsss_lib.data.layout import VOID, InputError
from wsss_lib.toy.distances import Array
from wsss_lib.toy.objects import LOOKS, paint_object
from wsss_lib.toy.paint import (
    Canvas,
    Window,
    finish,
    paint_background,
    paint_clutter,
    paint_rails,
    paint_water,
)
from wsss_lib.toy.shapes import ANIMALS, SHAPES

NAMES = ("background", *LOOKS)
SPLITS = ("train", "val", "test")
STANDARD_SIZE = 128  # pixels; lengths below are pixels at this size, called units
SIZES = (32, 256)
MIN_VISIBLE = 40  # square units of a class below which it is void and loses its tag
PARTNER = {"cat": "dog", "dog": "cat", "cow": "horse", "horse": "cow", "bus": "car", "car": "bus"}
OBJECT_COUNT = (0.55, 0.33, 0.12)  # probabilities of one, two and three objects
REPEATS = (
    0.4  # probability that a further object is the partner of the first (boat and train: the same)
)
HEAD_SHOWS = 0.8  # probability that the head shows its pattern
CONTEXT, STRAY_CONTEXT = 0.9, 0.03  # probabilities of water and rails, with and without their class

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One drawn photo and everything that is known about it.

    Attributes:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W): 0 background, class index in NAMES, 255 void.
        part: uint8 (H, W): 0 no object, 1 body, 2 head (the discriminative part, where its pattern is visible).
        scenery: uint8 (H, W): 0 none, 1 water, 2 rails, where no object covers it.
        tags: names of the classes with enough visible pixels, in the order of NAMES.
        boxes: (name, (xmin, ymin, xmax, ymax)) of every visible object of a tagged class; pixels, counted from 1,
            the last one included.
    """

    image: Array
    mask: Array
    part: Array
    scenery: Array
    tags: tuple[str, ...]
    boxes: tuple[tuple[str, Box], ...]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An object's class and pose: centre and length in units, angle in radians, facing right (1) or left (-1)."""

    name: str
    cx: float = STANDARD_SIZE / 2
    cy: float = STANDARD_SIZE / 2
    length: float
    angle: float = 0.0
    facing: int = 1
    head_size: float = 1.0

    @property
    def bottom(self) -> float:
        """Roughly its lower edge, in units."""
        return self.cy + 0.35 * self.length

    def overlap(self, other: "Placed") -> float:
        """Roughly the area that two objects share, in square units: that of boxes of 1.0 x 0.7 lengths."""
        reach = (self.length + other.length) / 2, (self.length + other.length) * 0.35
        gaps = abs(self.cx - other.cx), abs(self.cy - other.cy)
        least = min(self.length, other.length), 0.7 * min(self.length, other.length)
        sides = [max(0.0, min(r - g, m)) for r, g, m in zip(reach, gaps, least, strict=True)]
        return sides[0] * sides[1]


def draw(
    seed: int, split: str, index: int, *, size: int = STANDARD_SIZE, classes: int = len(LOOKS)
) -> Scene:
    """Draw one photo.

    Args:
        seed: of the dataset.
        split: "train", "val" or "test".
        index: of the photo in its split.
        size: side in pixels, 32 to 256; the arrangement is the same at every size.
        classes: how many of the classes may appear (2 to 8, in the order of NAMES).

    Raises:
        InputError: an option is out of range.
    """
    if not 2 <= classes <= len(LOOKS) or not SIZES[0] <= size <= SIZES[1]:
        raise InputError(
            f"cannot draw {classes} classes at {size} pixels; ask for 2 to {len(LOOKS)} classes and "
            f"{SIZES[0]} to {SIZES[1]} pixels."
        )
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    canvas = Canvas.blank(size, size / STANDARD_SIZE)
    objects = place_objects(rng, NAMES[1 : classes + 1])
    paint_background(rng, canvas)
    paint_clutter(rng, canvas)
    scenery = paint_scenery(rng, canvas, objects)
    owner = np.zeros((size, size), np.uint8)  # which object is seen, counted from 1
    part = np.zeros((size, size), np.uint8)
    for number, one in enumerate(objects, start=1):
        window, whole, head = paint_placed(rng, canvas, one)
        owner[window][whole] = number
        part[window][whole] = 1
        part[window][head] = 2
    image = finish(rng, canvas)
    scenery[owner > 0] = 0
    mask, tags, boxes = annotate(
        owner, [one.name for one in objects], MIN_VISIBLE * canvas.scale**2
    )
    return Scene(image=image, mask=mask, part=part, scenery=scenery, tags=tags, boxes=boxes)


def place_objects(rng: np.random.Generator, names: tuple[str, ...]) -> list[Placed]:
    """Choose one to three objects and their poses; far ones, higher in the picture, come first."""
    count = rng.choice(len(OBJECT_COUNT), p=OBJECT_COUNT) + 1
    chosen: list[Placed] = []
    for _ in range(count):
        name = str(rng.choice(names))
        if chosen and rng.random() < REPEATS:
            partner = PARTNER.get(chosen[0].name, chosen[0].name)
            name = partner if partner in names else name
        one = Placed(
            name=name,
            length=np.exp(rng.uniform(np.log(52), np.log(130))) * (0.75 if count > 1 else 1.0),
            angle=rng.normal(0, np.deg2rad(9 if name in ANIMALS else 4)),
            facing=int(rng.choice((-1, 1))),
            head_size=rng.uniform(0.85, 1.15),
        )
        centres = STANDARD_SIZE * rng.uniform(0.15, 0.85, (12, 2))
        tries = [replace(one, cx=cx, cy=cy) for cx, cy in centres]
        chosen.append(min(tries, key=lambda new: sum(new.overlap(old) for old in chosen)))
    return sorted(chosen, key=lambda one: one.bottom)


def paint_scenery(rng: np.random.Generator, canvas: Canvas, objects: list[Placed]) -> Array:
    """Water around boats and rails under trains, seldom without them; returns Scene.scenery, objects not yet cut out."""
    scenery = np.zeros(canvas.x.shape, np.uint8)
    boats = [one for one in objects if one.name == "boat"]
    trains = [one for one in objects if one.name == "train"]
    waterlines = [one.cy + 0.2 * one.length for one in boats if rng.random() < CONTEXT]
    if not boats and rng.random() < STRAY_CONTEXT:
        waterlines = [STANDARD_SIZE * rng.uniform(0.4, 0.8)]
    if waterlines:
        scenery[paint_water(rng, canvas, min(waterlines)) > 0.5] = 1
    tracks = [one for one in trains if rng.random() < CONTEXT]
    if not trains and rng.random() < STRAY_CONTEXT:
        pose = {"cy": STANDARD_SIZE * rng.uniform(0.2, 0.7), "angle": rng.normal(0, np.deg2rad(4))}
        tracks = [Placed(name="train", length=rng.uniform(52, 130), **pose)]
    for one in tracks:
        bed = paint_rails(rng, canvas, one.cx, one.cy, one.angle, one.length)
        scenery[bed > 0.5] = 2
    return scenery


def paint_placed(
    rng: np.random.Generator, canvas: Canvas, one: Placed
) -> tuple[Window, Array, Array]:
    """Paint one object; returns a window of the canvas and, in it, where the object is and where its head shows."""
    window = canvas.window(one.cx, one.cy, 0.8 * one.length)
    part = canvas[window]
    frame = part.frame(one.cx, one.cy, one.length, one.angle, one.facing)
    shape = SHAPES[one.name](frame.x, frame.y, one.head_size)
    shows = rng.random() < HEAD_SHOWS
    whole, head = paint_object(rng, part, frame, shape, LOOKS[one.name], head=shows)
    return window, whole > 0.5, (head > 0.5) & shows


def annotate(
    owner: Array, names: list[str], least: float
) -> tuple[Array, tuple[str, ...], tuple[tuple[str, Box], ...]]:
    """Mask, tags and boxes of a photo.

    Args:
        owner: uint8 (H, W), which object is seen, counted from 1; 0 none.
        names: the class of each object.
        least: pixels below which a class becomes void.
    """
    mask = np.array([0, *(NAMES.index(name) for name in names)], np.uint8)[owner]
    visible = Counter(mask.ravel().tolist())
    tags = tuple(NAMES[k] for k in range(1, len(NAMES)) if visible[k] >= least)
    mask[~np.isin(mask, [0, *(NAMES.index(name) for name in tags)])] = VOID
    seen = [(name, owner == number) for number, name in enumerate(names, start=1) if name in tags]
    return mask, tags, tuple((name, bounding_box(mine)) for name, mine in seen if mine.any())


def bounding_box(mine: Array) -> Box:
    """(xmin, ymin, xmax, ymax) of the true pixels, counted from 1, the last one included."""
    rows, columns = np.nonzero(mine)
    return tuple(int(v) + 1 for v in (columns.min(), rows.min(), columns.max(), rows.max()))
