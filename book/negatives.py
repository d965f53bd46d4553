"""Measures what photos without a tag are worth, on drawn ones: scenery without the objects that come with it.

    .venv/bin/python book/negatives.py

Boats come with water and trains with rails. Photos of water and rails alone, without a tag, are added to those that the
classifier learns from; for comparison, photos of nothing at all, and none but as many steps. The maps are those of the same
tagged photos each time. Three data seeds, about two minutes each.
"""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from wsss_lib import recipes, toy
from wsss_lib.data import annotations, layout
from wsss_lib.pipeline.make import make_stages
from wsss_lib.recipes import Segmentation
from wsss_lib.toy import scene

SEEDS = (31, 32, 33)
TAGGED, VAL = 300, 100
ADDED = (  # what is added, how many of them, and as how many of them the steps are counted
    ("nothing", 0, 0),
    ("nothing", 0, 150),
    ("scenery", 50, 50),
    ("scenery", 150, 150),
    ("nothing", 150, 150),
)
SHOWN = ("boat", "train")


def main() -> None:
    """Prints a table: one line for each seed and each number of photos that are added."""
    heads = ("mAP", "CAM", "at best", *SHOWN)
    print(f"{'seed':5}{'photos of':10}{'added':>6}{'steps':>6}", *(f"{head:>8}" for head in heads))
    for seed in SEEDS:
        root = Path(f"data/negatives-{seed}")
        toy.write(root, seed=seed, train=TAGGED, val=VAL, test=0, progress=False)
        for kind, count, counted in ADDED:
            one = recipe(root, seed, add(root, seed, kind, count), TAGGED + count, TAGGED + counted)
            folder = f"runs/negatives-{seed}-{kind}-{count}-{counted}"
            metrics = make_stages(one, folder, targets=["cam"], progress=False).run.metrics()
            training = one.classifier.training
            steps = round(training.epochs * (TAGGED + count) / training.batch_size)
            maps = metrics["cam"]
            figures = [metrics["classifier"]["val_map"], maps["miou"], maps["miou_best"]]
            figures += [maps["iou"][each] for each in SHOWN]
            said = f"{seed:<5}{kind:10}{count:6}{steps:6}"
            print(said, *(f"{100 * each:8.1f}" for each in figures), flush=True)


def recipe(root: Path, seed: int, split: str, photos: int, counted: int) -> Segmentation:
    """The toy recipe on some photos, with as many steps as ``counted`` photos take."""
    plain = recipes.toy()
    training = plain.classifier.training
    training = replace(training, epochs=training.epochs * counted / photos)
    data = replace(plain.data, root=str(root), draw_seed=None, train=split, maps="train")
    classifier = replace(plain.classifier, training=training)
    return replace(plain, data=data, classifier=classifier, seed=seed)


def add(root: Path, seed: int, kind: str, count: int) -> str:
    """Draws photos without an object into a drawn dataset; returns the list of these and the tagged ones."""
    ids = [f"{kind}_{number:04d}" for number in range(count)]
    for number, id in enumerate(ids):
        with without_objects([("boat", "train")[number % 2]] if kind == "scenery" else []):
            drawn = scene.draw(seed, "test", number)
        Image.fromarray(drawn.image).save(
            root / layout.PHOTOS / f"{id}.jpg", quality=95, subsampling=0
        )
        layout.write_mask(root / layout.MASKS / f"{id}.png", drawn.mask)
        annotation = root / layout.ANNOTATIONS / f"{id}.xml"
        annotations.write_annotation(annotation, id=id, size_HW=drawn.mask.shape, objects=[])
    split = f"train_{count}_{kind}"
    tagged = layout.split_ids(root, "train")
    layout.write_lines(root / layout.SPLITS / f"{split}.txt", [*tagged, *ids])
    return split


@contextmanager
def without_objects(names: list[str]):
    """Scenes are drawn with the scenery of these classes, and without any object."""
    paint, place = scene.paint_scenery, scene.place_objects

    def scenery(rng: np.random.Generator, canvas, objects):
        return paint(rng, canvas, place(rng, tuple(names))[:1] if names else [])

    with mock.patch.multiple(scene, paint_scenery=scenery, place_objects=lambda rng, names: []):
        yield


if __name__ == "__main__":
    main()
