"""Recipes come back from JSON as they were."""

import json
import re
from dataclasses import replace

import pytest

from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.fingerprints import plain, restored
from wsss_lib.pipeline.runs import Run
from wsss_lib.recipes import RECIPES, Segmentation, as_made, recipe_of, toy


def stored(recipe) -> dict:
    return json.loads(json.dumps(plain(recipe)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_as_it_was(name):
    recipe = RECIPES[name]()
    again = restored(type(recipe), stored(recipe))
    assert again == recipe and plain(again) == plain(recipe)


def test_settings_that_are_not_there_take_their_defaults():
    older = stored(toy())
    del older["supervised"], older["advcam"]["score"], older["data"]["workers"]
    assert restored(Segmentation, older) == toy()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("backbone", "resnet0x", "recipe: backbone must be toy"),
        ("seed", 1.5, "recipe.seed cannot be 1.5"),
        ("seed", True, "recipe.seed cannot be true"),
        ("seed", -1, "recipe: seed must be"),
        ("data.root", None, "recipe.data.root cannot be null"),
        ("data.draw_photos", [1, 2], "recipe.data.draw_photos cannot be [1, 2]"),
        ("cam.scales", [1.0, "2"], 'recipe.cam.scales cannot be "2"'),
        ("cam.scales", 1.0, "recipe.cam.scales cannot be 1.0"),
        ("cam", 3, "recipe.cam cannot be 3"),
        ("amn.gate", 1, "recipe.amn.gate cannot be 1"),
        ("amn.dropout", 2, "recipe.amn: dropout must be"),
        ("cam.colour", "red", "recipe.cam has no setting 'colour'"),
        ("segmenter.backbone", "toy", None),
        ("segmenter.backbone", None, None),
        ("classifier.training.epochs", 0.5, None),
    ],
)
def test_what_a_setting_cannot_be_is_refused(place, value, words):
    asked = stored(toy())
    *folders, name = place.split(".")
    inner = asked
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    if words is None:
        assert stored(restored(Segmentation, asked)) == asked
        return
    with pytest.raises(InputError, match=re.escape(words)):
        restored(Segmentation, asked)


def test_a_missing_setting_is_named():
    asked = stored(toy())
    del asked["classifier"]["training"]
    with pytest.raises(InputError, match="recipe.classifier: .*training"):
        restored(Segmentation, asked)


def test_the_recipe_of_a_run(tmp_path):
    run = Run(tmp_path / "run")
    run.start(toy())
    assert recipe_of(run) == toy()
    for text in ("", "[]", '{"colour": "red"}'):
        (run.folder / "recipe.json").write_text(text or "{}")
        with pytest.raises(InputError, match="recipe.json is no recipe of this version"):
            recipe_of(run)


def test_settings_that_a_stage_was_made_with_go_before_those_asked_for():
    asked = toy()
    made = replace(asked, backbone="resnet50", seed=3)
    settings = {"rates": [1, 2], "refine": True}
    of = {
        "settings": {"wanted": True},
        "also": {
            "segmenter": settings,
            "truth": "x",
            "backbone": "resnet50",
            "weights": "x",
            "seed": 3,
        },
    }
    made = replace(made, segmenter=replace(asked.segmenter, rates=(1, 2), refine=True))
    assert restored(Segmentation, as_made(stored(asked), "supervised", of)) == made
    assert restored(Segmentation, as_made(stored(asked), "supervised", {})) == asked
