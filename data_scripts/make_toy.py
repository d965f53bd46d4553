"""Draw the embedded dataset: photos of eight drawn classes with tags, boxes and masks.

    python data_scripts/make_toy.py data/toy

takes seconds, downloads nothing, and writes the layout that every dataset of this project has:

    data/toy/JPEGImages/train_0000.jpg            the photo
    data/toy/Annotations/train_0000.xml           what is in it (the tags), and where (boxes)
    data/toy/SegmentationClass/train_0000.png     the true mask: 0 background, 255 void
    data/toy/ImageSets/Segmentation/train.txt     the ids of a split, one a line
    data/toy/labels.txt                           the class names, background first
    data/toy/toy.json                             the options it was drawn with

One seed gives the same bytes. Running it again does nothing; with other options it asks for another folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wsss_lib import toy
from wsss_lib.exits import in_one_sentence


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What to draw, and where to."""

    root: tyro.conf.Positional[Path]
    """The folder to write, for example data/toy."""
    seed: int = 0
    """Another seed is another dataset of the same kind."""
    train: int = 600
    """Photos to train on."""
    val: int = 300
    """Photos to measure on."""
    test: int = 100
    """Photos to measure on once, at the very end."""
    size: int = toy.STANDARD_SIZE
    """Side of a photo in pixels, 32 to 256."""
    classes: int = 8
    """The first so many of cat, dog, cow, horse, bus, car, train, boat; at least 2."""


def draw(options: Drawing) -> None:
    """Draw the dataset."""
    values = dict(vars(options))
    root = values.pop("root")
    drawn = toy.write(root, **values)
    print(f"{root} is ready" if drawn else f"{root} is already there, nothing to do")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, or say in one sentence why not."""
    with in_one_sentence("make_toy"):
        draw(tyro.cli(Drawing, args=arguments, description=__doc__))


if __name__ == "__main__":
    main()
