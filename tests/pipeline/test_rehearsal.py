"""What would stop a run after hours is said before its first stage begins."""

import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.small_runs import small_recipe
from wsss_lib.data import layout
from wsss_lib.data.layout import LABELS, MASKS, PHOTOS, InputError
from wsss_lib.pipeline import ranks, rehearsal
from wsss_lib.pipeline.make import make_stages, opened
from wsss_lib.pipeline.stages.cam import CamStage
from wsss_lib.pipeline.stages.segmenter import SegmenterStage


def refused(recipe, tmp_path, *words, targets=None) -> None:
    """Refused with the words, and before anything is there."""
    with pytest.raises(InputError) as said:
        make_stages(recipe, tmp_path / "run", targets=targets, progress=False)
    for word in words:
        assert word in str(said.value), said.value
    assert not (tmp_path / "run").exists()


def test_a_photo_that_cannot_be_read(own_root, tmp_path):
    file = own_root / PHOTOS / "train_5.jpg"
    file.write_bytes(file.read_bytes()[:700])
    refused(small_recipe(own_root), tmp_path, "train_5.jpg", "copy or download it again")


def test_a_mask_of_another_size_a_label_too_many_or_in_colours(own_root, tmp_path):
    file = own_root / MASKS / "val_3.png"
    mask = np.asarray(Image.open(file))
    layout.write_mask(file, mask[:-1])
    refused(small_recipe(own_root), tmp_path, "val_3.png", "at the size of the photo")
    layout.write_mask(file, np.where(mask == 0, 7, mask))
    refused(small_recipe(own_root), tmp_path, "val_3.png", "label 7", "3 classes")
    Image.fromarray(mask).convert("RGB").save(file)
    refused(small_recipe(own_root), tmp_path, "val_3.png", "colours")


def test_weights_of_any_network_of_the_recipe(tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    last = replace(recipe, segmenter=replace(recipe.segmenter, weights="nowhere.pth"))
    refused(last, tmp_path, "nowhere.pth")


def test_what_several_networks_lack_is_said_at_once(tiny_root, tmp_path, monkeypatch):
    def lacking(name, **_):
        raise InputError(f"the weights of {name} are not there")

    monkeypatch.setattr("wsss_lib.pipeline.stage.backbone", lacking)
    recipe = small_recipe(tiny_root)
    both = replace(recipe, segmenter=replace(recipe.segmenter, backbone="resnet18"))
    said = "the weights of toy are not there; the weights of resnet18 are not there"
    refused(both, tmp_path, said)
    with pytest.raises(InputError, match=f"^{said}$"):
        make_stages(both, tmp_path / "run", progress=False)


def test_a_batch_that_cannot_be_dealt(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 3)
    work = opened(small_recipe(tiny_root), tmp_path / "run", False)
    with pytest.raises(InputError, match=r"batch of 4 .* 3 process.*--segmenter\.training\.batch"):
        rehearsal.rehearse(work, ["segmenter"])


def test_a_small_disk(tiny_root, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5000))
    refused(small_recipe(tiny_root), tmp_path, "GB", "free some space")


def test_what_is_expected_on_the_disk_is_about_what_comes(tiny_root, tmp_path):
    work = make_stages(
        small_recipe(tiny_root), tmp_path / "run", targets=["cam_masks"], progress=False
    )
    for name, folder in (("cam", "maps/cam"), ("cam_masks", "masks/cam_masks")):
        made = sum(file.stat().st_size for file in (work.run.folder / folder).iterdir())
        assert 0.3 < made / rehearsal.bytes_to_write(work, name) < 1.5


def test_more_classes_than_a_mask_holds(own_root, tmp_path):
    """They are fine as far as the maps."""
    names = (own_root / LABELS).read_text().split()
    layout.write_lines(own_root / LABELS, names + [f"class_{i}" for i in range(300)])
    shutil.rmtree(own_root / MASKS)
    recipe = small_recipe(own_root)
    refused(recipe, tmp_path, "seeds", "254 classes", "303", targets=["seeds"])
    work = make_stages(recipe, tmp_path / "run", targets=["advcam"], progress=False)
    assert len(list((work.run.folder / "maps/advcam").iterdir())) == 8


def test_the_largest_batch_is_tried_and_nothing_is_written(tiny_root, tmp_path):
    """As on a GPU, where memory may not do."""
    work = opened(small_recipe(tiny_root), tmp_path / "run", False)
    looked = []
    for name in work.recipe.stages:
        rehearsal.try_largest(work.of(name))
        looked.append(name)
    assert looked and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stage", "name", "option"),
    [
        (CamStage, "cam", "--cam.batch-pixels"),
        (SegmenterStage, "segmenter", "--segmenter.training.accumulate"),
    ],
)
def test_too_little_memory_is_said(stage, name, option, tiny_root, tmp_path, monkeypatch):
    def too_much(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stage, "look" if name == "cam" else "loss", too_much)
    work = opened(small_recipe(tiny_root), tmp_path / "run", False)
    with pytest.raises(InputError, match=option):
        rehearsal.try_largest(work.of(name))


def test_the_largest_photos_come_first(tiny_root, tmp_path):
    work = opened(small_recipe(tiny_root), tmp_path / "run", False).of("cam")
    sizes = [h * w for h, w in (batch.size for batch in work.stage.batches(work))]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 1
