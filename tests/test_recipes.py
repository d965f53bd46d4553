import dataclasses
import json

import pytest

from wsss_lib.methods.advcam import Climbing
from wsss_lib.pipeline.fingerprints import plain
from wsss_lib.recipes import RECIPES, voc12


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_whole_and_can_be_written_as_json(name):
    recipe = RECIPES[name]()
    assert json.loads(json.dumps(plain(recipe)))["advcam"]["steps"] >= 1
    assert RECIPES[name].__doc__.endswith(".") and recipe == RECIPES[name]()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1


def test_voc12_has_the_settings_of_the_official_code():
    recipe = voc12()
    for field in dataclasses.fields(Climbing):
        assert getattr(recipe.advcam, field.name) == field.default, field.name
    climbing = recipe.advcam
    assert (climbing.steps, climbing.step_size, climbing.regularization) == (27, 0.08, 7.0)
    assert climbing.mask_threshold == 0.5 and climbing.scales == (0.5, 1.0, 1.5, 2.0)
    classifier = recipe.classifier
    assert (classifier.training.backbone_lr, classifier.training.head_lr) == (0.1, 1.0)
    assert classifier.output_stride == 16 and not classifier.dilated
    assert classifier.augmentation.long_side == (320, 640) and classifier.augmentation.crop == 512
    assert recipe.cam.seed_thresholds == (0.30, 0.05)
    assert recipe.advcam.seed_thresholds == (0.35, 0.15)
    thresholds = [stage.threshold for stage in (recipe.cam, recipe.advcam, recipe.amn)]
    assert thresholds == [0.15, 0.19, 0.25]
    amn = recipe.amn
    assert amn.training.optimizer == "adam" and amn.smoothing == 0.4 and amn.gate
    assert (amn.training.backbone_lr, amn.training.head_lr) == (5e-6, 1e-4)
    segmenter = recipe.segmenter
    assert segmenter.backbone == "resnet101" and segmenter.rates == (6, 12, 18, 24)
    assert (segmenter.output_stride, segmenter.dilated, segmenter.balanced) == (8, True, True)
