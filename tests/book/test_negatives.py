"""The photos without a tag that the book measures with."""

import importlib.util

from tests.test_house import ROOT
from wsss_lib import toy
from wsss_lib.data.photos import Photos
from wsss_lib.toy import scene

SPEC = importlib.util.spec_from_file_location("negatives", ROOT / "book/negatives.py")
negatives = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(negatives)


def test_scenery_is_drawn_without_objects_and_photos_as_before():
    before = scene.draw(5, "test", 0)
    water, rails, nothing = [], [], []
    for names, found in ((["boat"], water), (["train"], rails), ([], nothing)):
        with negatives.without_objects(names):
            drawn = [scene.draw(5, "test", number) for number in range(8)]
        assert not any(one.mask.any() or one.tags for one in drawn)
        found += [set(one.scenery.flat) - {0} for one in drawn]
    assert sum(1 in each for each in water) > 5 and sum(2 in each for each in rails) > 5
    assert sum(bool(each) for each in nothing) <= 2
    assert (scene.draw(5, "test", 0).image == before.image).all()


def test_they_are_added_to_the_photos_with_a_tag(tmp_path):
    toy.write(tmp_path / "toy", seed=5, train=3, val=1, test=0, size=32, progress=False)
    split = negatives.add(tmp_path / "toy", 5, "scenery", 2)
    photos = Photos(tmp_path / "toy", split)
    assert photos.tags_NK.any(dim=1).tolist() == [True] * 3 + [False] * 2
