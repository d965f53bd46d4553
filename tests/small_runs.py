"""Whole runs that take seconds: the recipe of the toy on a dataset of a dozen photos."""

import json
from dataclasses import replace

from wsss_lib.data.augmentation import Augmentation
from wsss_lib.recipes import Segmentation, toy


def small_recipe(root) -> Segmentation:
    """Every stage of the toy recipe, briefly, on a dataset that is there."""
    recipe = toy()
    crop = Augmentation(flip=True, crop=32)

    def brief(stage):
        training = replace(stage.training, epochs=1, batch_size=4, checkpoint_every=1)
        return replace(stage, training=training, augmentation=crop)

    return replace(
        recipe,
        data=replace(recipe.data, root=str(root), draw_seed=None),
        classifier=brief(recipe.classifier),
        advcam=replace(recipe.advcam, steps=2, batch_pixels=20_000),
        crf=replace(recipe.crf, iterations=2),
        amn=brief(recipe.amn),
        segmenter=brief(recipe.segmenter),
    )


def files(folder, *kinds) -> dict[str, bytes]:
    """What a run has made: the bytes of its files with one of the endings."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds
    }


def figures(folder) -> dict:
    """The metrics of a run without the times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    timeless = {"seconds", "starts", "reused_from"}
    return {
        stage: {name: value for name, value in values.items() if name not in timeless}
        for stage, values in metrics.items()
    }
