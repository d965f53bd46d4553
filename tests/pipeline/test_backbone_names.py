"""The backbone of a recipe is one of ours, or any of timm; what is neither is refused before anything is read."""

import json
from dataclasses import asdict, replace

import pytest

from wsss_lib.commands.run import asked
from wsss_lib.learning.architectures import NAMES
from wsss_lib.pipeline.fingerprints import restored
from wsss_lib.recipes import Segmentation, toy


@pytest.mark.parametrize("name", [*NAMES, "timm/convnext_tiny.in12k_ft_in1k"])
def test_a_recipe_and_its_stages_may_have_it(name):
    recipe = replace(toy(), backbone=name)
    recipe = replace(recipe, segmenter=replace(recipe.segmenter, backbone=name))
    again = restored(Segmentation, json.loads(json.dumps(asdict(recipe))), "recipe")
    assert again.backbone == again.segmenter.backbone == name and again.amn.backbone is None


def test_a_mistyped_name_is_refused():
    recipe = toy()
    for part in (recipe, recipe.classifier):
        with pytest.raises(
            ValueError, match="backbone must be .*resnet50.* or timm/NAME, but is resnet5"
        ):
            replace(part, backbone="resnet5")


def test_help_names_them(capsys):
    with pytest.raises(SystemExit):
        asked("run", "toy", toy(), "", ["--help"])
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert f"{', '.join(NAMES)}, or timm/NAME" in said
