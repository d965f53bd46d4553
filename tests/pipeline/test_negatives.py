"""Photos without a tag: the classifier learns from them, and nothing else is made of them."""

from dataclasses import replace

import pytest

from tests.small_runs import small_recipe
from wsss_lib.data import layout
from wsss_lib.data.annotations import write_annotation
from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.make import make_stages, opened, plan, run_stages
from wsss_lib.pipeline.work import Work


def without_tags(root, *ids) -> None:
    """Photos lose their tags."""
    for id in ids:
        write_annotation(root / f"Annotations/{id}.xml", id=id, size_HW=(8, 8), objects=[])


def test_the_classifier_alone_learns_from_photos_without_a_tag(own_root, tmp_path, monkeypatch):
    without_tags(own_root, "train_2", "train_5")
    learned, train = {}, Work.train

    def noted(work, model, loss, photos, stage=None):
        learned[work.name] = photos.ids
        return train(work, model, loss, photos, stage)

    monkeypatch.setattr(Work, "train", noted)
    run = run_stages(small_recipe(own_root), tmp_path / "run", progress=False)
    everything = [f"train_{number}" for number in range(8)]
    tagged = [id for id in everything if id not in ("train_2", "train_5")]
    assert learned.pop("classifier") == everything
    assert learned.pop("supervised") == everything  # it learns from masks and needs no tags
    assert learned == {"amn": tagged, "segmenter": tagged}
    assert run.metrics()["classifier"]["negatives"] == 2
    for folder in ("maps/cam", "maps/advcam", "maps/amn", "masks/seeds", "masks/amn_masks"):
        assert sorted(file.stem for file in (run.folder / folder).iterdir()) == tagged


def also_of(recipe, folder) -> dict:
    """What decides the classifier besides its settings and its photos."""
    stages = plan(opened(recipe, folder, False))
    return next(each.of["also"] for each in stages if each.name == "classifier")


def test_runs_of_photos_that_all_have_a_tag_stay_finished(own_root, tmp_path):
    """Earlier versions left the others out; only where there are some is the classifier another."""
    recipe = small_recipe(own_root)
    assert also_of(recipe, tmp_path / "run").keys() == {"backbone", "weights", "seed"}
    without_tags(own_root, "train_2")
    assert also_of(recipe, tmp_path / "run")["negatives"] == 1


def test_a_list_without_any_tag_is_refused(own_root, tmp_path):
    without_tags(own_root, "train_2", "train_5")
    layout.write_lines(own_root / layout.SPLITS / "few.txt", ["train_2", "train_5"])
    recipe = small_recipe(own_root)
    for part in ("train", "maps"):
        one = replace(recipe, data=replace(recipe.data, **{part: "few", "val": "val"}))
        with pytest.raises(InputError, match="no photo of the list few of .* has a tag"):
            make_stages(one, tmp_path / "run", targets=["cam"], progress=False)
    assert not (tmp_path / "run").exists()


def test_a_class_that_is_in_every_photo_is_said(own_root, tmp_path, capsys):
    ids = [f"train_{number}" for number in (0, 3, 5)]
    layout.write_lines(own_root / layout.SPLITS / "few.txt", ids)  # all have apples
    recipe = small_recipe(own_root)
    few = replace(recipe, data=replace(recipe.data, train="few"))
    run = run_stages(few, tmp_path / "run", targets=["cam"], progress=False)
    said = "every photo of the list few has the tag apple"
    assert capsys.readouterr().err.count(said) == 1
    assert said.capitalize() in (run.folder / "report.html").read_text(encoding="utf-8")
    without_tags(own_root, "train_5")
    run = run_stages(few, tmp_path / "other", targets=["cam"], progress=False)
    assert said not in capsys.readouterr().err
    assert said.capitalize() not in (run.folder / "report.html").read_text(encoding="utf-8")
