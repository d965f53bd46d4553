"""Masks of new photos, and masks for other tools, as a user asks for them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_runs import small_recipe
from tests.test_cli import refused, wsss  # noqa: F401
from wsss_lib.data import layout
from wsss_lib.data.layout import MASKS, PHOTOS
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline.make import run_stages


@pytest.fixture(scope="module")
def run(tiny_root, tmp_path_factory):
    """A run without the ceiling."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    targets = ["segmenter", "cam_masks"]
    return run_stages(small_recipe(tiny_root), folder, targets=targets, progress=False).folder


@pytest.fixture
def photos(tiny_root, tmp_path):
    """Two folders of photos; one name is in both."""
    folder = tmp_path / "photos"
    for name, source in {"a/1": "val_0", "a/2": "val_1", "b/1": "val_2"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tiny_root / PHOTOS / f"{source}.jpg", folder / f"{name}.jpg")
    (folder / "notes.txt").write_text("x")
    return folder


def written(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_masks_are_written_and_what_is_there_is_kept(wsss, run, photos, tmp_path):  # noqa: F811
    code, output, _ = wsss("predict", run, photos, "--to", "masks", "--quiet")
    assert code == 0
    assert output.splitlines() == ["1 other files were passed over (.txt)", "3 masks in masks"]
    names = {"a_1": "val_0", "2": "val_1", "b_1": "val_2"}
    assert written(tmp_path / "masks") == sorted([*(f"{n}.png" for n in names), "predict.json"])
    for name, source in names.items():
        expected = (run / f"predictions/segmenter/{source}.png").read_bytes()
        assert (tmp_path / f"masks/{name}.png").read_bytes() == expected
    corrected = np.zeros((64, 48), np.uint8)
    layout.write_mask(tmp_path / "masks/2.png", corrected)
    (tmp_path / "masks/a_1.png").write_bytes(b"half")
    kept = (tmp_path / "masks/2.png").read_bytes()
    code, output, _ = wsss("predict", run, photos, "--to", "masks", "--quiet")
    assert code == 0 and "3 masks in masks, 2 of them were there" in output
    assert (tmp_path / "masks/2.png").read_bytes() == kept
    expected = (run / "predictions/segmenter/val_0.png").read_bytes()
    assert (tmp_path / "masks/a_1.png").read_bytes() == expected
    wsss("predict", run, photos, "--to", "masks", "--quiet", "--again")
    expected = (run / "predictions/segmenter/val_1.png").read_bytes()
    assert (tmp_path / "masks/2.png").read_bytes() == expected


def test_overlays_and_probabilities(wsss, run, photos, tmp_path):  # noqa: F811
    options = ["--to", "masks", "--quiet", "--overlays", "--probabilities"]
    assert wsss("predict", run, photos / "a/2.jpg", *options)[0] == 0
    assert written(tmp_path / "masks") == [
        "2.png", "overlays/2.jpg", "predict.json", "probabilities/2.npz",
    ]  # fmt: skip
    with np.load(tmp_path / "masks/probabilities/2.npz", allow_pickle=False) as file:
        probability_LHW, names = file["probability"], file["names"]
    assert probability_LHW.dtype == np.float16 and names.tolist()[1:] == ["apple", "leaf", "plum"]
    label_HW = layout.read_labels(tmp_path / "masks/2.png")
    chosen_HW = np.take_along_axis(probability_LHW, label_HW[None].astype(int), axis=0)[0]
    assert probability_LHW.shape == (4, *label_HW.shape)
    assert (chosen_HW == probability_LHW.max(axis=0)).all()
    with Image.open(tmp_path / "masks/overlays/2.jpg") as picture:
        assert picture.format == "JPEG" and max(picture.size) >= 480


def test_amn_is_told_the_tags(wsss, run, photos, tmp_path):  # noqa: F811
    told = ["predict", run, photos, "--network", "amn", "--quiet"]
    refused(wsss(*told, "--to", "m"), "amn is told the tags", "--tags")
    refused(wsss(*told, "--to", "m", "--tags", "appel"), "did you mean apple", "leaf, plum")
    refused(wsss(*told, "--to", "m", "--tags", "none.csv"), "none.csv is missing")
    assert wsss(*told, "--to", "m", "--tags", "apple;leaf")[0] == 0
    for name in ("a_1", "2", "b_1"):
        assert layout.read_labels(tmp_path / f"m/{name}.png").max() < 3
    refused(wsss(*told, "--to", "m", "--tags", "plum"), "another photo or other tags")
    (tmp_path / "tags.csv").write_text("a/1.jpg,plum\nb/1.jpg,\n2,apple\n")
    assert wsss(*told, "--to", "t", "--tags", "tags.csv")[0] == 0
    assert not layout.read_labels(tmp_path / "t/b_1.png").any()
    assert set(np.unique(layout.read_labels(tmp_path / "t/a_1.png"))) == {0, 3}
    refused(wsss("predict", run, photos, "--to", "n", "--tags", "plum"), "is told no tags")


def test_prediction_refuses_what_it_cannot_use(wsss, run, photos, tmp_path):  # noqa: F811
    to = ["--to", "m", "--quiet"]
    refused(wsss("predict", "nowhere", photos, *to), "nowhere holds no run")
    refused(wsss("predict", run, *to), "give photos")
    refused(wsss("predict", run, "none.jpg", *to), "none.jpg does not exist")
    (tmp_path / "empty").mkdir()
    refused(wsss("predict", run, "empty", *to), "there is no photo")
    refused(wsss("predict", run, photos, "--to", photos / "masks"), "is among the photos")
    refused(wsss("predict", run, photos, *to, "--network", "segmnter"), "did you mean segmenter?")
    refused(
        wsss("predict", run, photos, *to, "--network", "supervised"),
        "no trained supervised yet", "wsss supervised RECIPE --name small",
    )  # fmt: skip
    for options in (["--max-side", "-1"], ["--batch-pixels", "0"], ["--refine", "--no-refine"]):
        code, _, errors = wsss("predict", run, photos, *to, *options)
        assert code == 2 and "Traceback" not in errors
    assert not (tmp_path / "m").exists()


def test_a_folder_of_other_things_is_left_alone(wsss, run, photos, tiny_root, tmp_path):  # noqa: F811
    truth = shutil.copytree(tiny_root / MASKS, tmp_path / "truth")
    before = {file.name: file.read_bytes() for file in truth.iterdir()}
    refused(wsss("predict", run, photos, "--to", truth, "--again"), "holds other things")
    assert {file.name: file.read_bytes() for file in truth.iterdir()} == before
    wsss("predict", run, photos, "--to", "m", "--quiet")
    refused(wsss("predict", run, photos, "--to", "m", "--refine"), "refined was false, now true")
    os.rename(photos / "a/2.jpg", photos / "a/3.jpg")
    shutil.copyfile(photos / "a/3.jpg", tmp_path / "2.jpg")
    refused(wsss("predict", run, "2.jpg", "--to", "m"), "a mask of another photo")


def test_unreadable_photos_are_named_after_the_others_are_done(wsss, run, photos, tmp_path):  # noqa: F811
    (photos / "broken.jpg").write_text("x")
    (photos / "half.jpg").write_bytes((photos / "a/1.jpg").read_bytes()[:800])
    result = wsss("predict", run, photos, "--to", "m", "--quiet")
    refused(result, "2 of 5 photos cannot be read", "broken.jpg", "half.jpg")
    assert len(written(tmp_path / "m")) == 4


def test_the_masks_that_are_learned_from_are_exported_unasked(wsss, run, tiny_root, tmp_path):  # noqa: F811
    code, output, _ = wsss("export", run, "--as", "voc", "--to", "voc", "--quiet")
    assert code == 0 and "masks of amn_masks" in output and "train 8, val 4" in output
    for split, masks in (("train", run / "masks/amn_masks"), ("val", tiny_root / MASKS)):
        before = Photos(tiny_root, split).with_masks(masks)
        after = Photos("voc", split).with_masks(Path("voc") / MASKS)
        assert all(after.mask(i).equal(before.mask(i)) for i in range(len(before)))
    code, *_ = wsss(
        "export", run, "--as", "mmseg", "--to", "cam", "--stage", "cam_masks", "--quiet"
    )
    mask = layout.read_labels(tmp_path / "cam/ann_dir/train/train_0.png")
    assert code == 0 and np.array_equal(
        mask, layout.read_labels(run / "masks/cam_masks/train_0.png")
    )
    wsss("export", run, "--as", "labelstudio", "--to", "ls", "--stage", "segmenter", "--quiet")
    assert len(json.loads((tmp_path / "ls/tasks.json").read_text())) == 4


def test_any_folder_of_masks_can_be_exported(wsss, run, photos, tiny_root, tmp_path):  # noqa: F811
    wsss("predict", run, photos, "--to", "masks", "--quiet")
    assert wsss("export", "masks", "--as", "labelstudio", "--to", "ls", "--photos")[0] == 0
    assert len(list((tmp_path / "ls/images").iterdir())) == 3
    options = ["--as", "labelstudio", "--to", "other", "--data", tiny_root]
    assert wsss("export", run / "masks/seeds", *options)[0] == 0
    assert len(json.loads((tmp_path / "other/tasks.json").read_text())) == 8


def test_export_refuses_what_it_cannot_use(wsss, run, tiny_root, tmp_path):  # noqa: F811
    to = ["--as", "labelstudio", "--to", "new"]
    refused(wsss("export", "nowhere", *to), "nowhere is not a folder")
    refused(wsss("export", run / "masks/seeds", *to), "--data")
    refused(wsss("export", run / "masks/seeds", *to, "--stage", "cam"), "is no run")
    refused(wsss("export", run, *to, "--stage", "amn_mask"), "did you mean amn_masks?")
    refused(wsss("export", run, *to, "--stage", "supervised"), "has not finished supervised")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine.txt").write_text("x")
    refused(wsss("export", run, *to), "new is there already")
    (tmp_path / "new/mine.txt").unlink()
    moved = shutil.copytree(run, tmp_path / "moved")
    recipe = json.loads((moved / "recipe.json").read_text())
    recipe["data"]["root"] = "gone"
    (moved / "recipe.json").write_text(json.dumps(recipe))
    refused(wsss("export", moved, *to), "gone, is gone", "--data")
    for options in (["--whole"], ["--as", "coco", "--prefix", "x"], ["--as", "cocoa"]):
        code, _, errors = wsss("export", run, *to, *options)
        assert code == 2 and "Traceback" not in errors
    assert not list((tmp_path / "new").iterdir())
    assert wsss("export", moved, *to, "--data", tiny_root, "--quiet")[0] == 0


def test_coco_without_its_library_is_refused_before_anything_is_read(wsss, run, monkeypatch):  # noqa: F811
    monkeypatch.setattr("wsss_lib.commands.export.find_spec", lambda name: None)
    refused(wsss("export", run, "--as", "coco", "--to", "new"), "pip install pycocotools")


@pytest.mark.parametrize("command", ["predict", "export"])
def test_help_teaches_by_examples(wsss, command):  # noqa: F811
    code, output, _ = wsss(command, "--help")
    assert code == 0 and output.count(f"wsss {command} ") >= 4
    code, output, _ = wsss()
    assert f"wsss {command} RUN" in output
