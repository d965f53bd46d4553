"""VOC 2012 from its archive or from a folder, on a tiny one of the same make."""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import data_script
from wsss_lib.data.layout import InputError, write_mask
from wsss_lib.data.photos import Photos
from wsss_lib.data.sources import voc2012


@pytest.fixture
def voc(own_root):
    """The tiny dataset under VOC's names, without labels.txt, as it comes out of the archive."""
    (own_root / "labels.txt").unlink()
    for file in (own_root / "Annotations").iterdir():
        text = file.read_text()
        for tiny, name in (("apple", "aeroplane"), ("leaf", "bicycle"), ("plum", "bird")):
            text = text.replace(tiny, name)
        file.write_text(text)
    return own_root


def archive(voc, file, *more):
    with tarfile.open(file, "w") as tar:
        tar.add(voc, "VOCdevkit/VOC2012")
        for name in more:
            tar.addfile(tarfile.TarInfo(f"VOCdevkit/VOC2012/{name}"), io.BytesIO())
    return hashlib.md5(file.read_bytes()).hexdigest()


def test_an_unpacked_folder_becomes_readable(voc, capsys):
    voc2012.prepare(voc, voc)
    photos = Photos(voc, "train")
    assert photos.num_classes == 20 and photos.names[15] == "person"
    assert photos.tags_NK.sum(dim=0).tolist() == [3, 3, 3] + [0] * 17
    assert "train: 8 photos, 9 tags, 1.125 a photo" in capsys.readouterr().out
    voc2012.prepare(voc, voc)  # a second time does no harm


def test_the_archive_is_unpacked_as_far_as_needed(voc, tmp_path):
    tar, root = tmp_path / "voc.tar", tmp_path / "data" / "voc12"
    md5 = archive(voc, tar, "SegmentationObject/a.png", "ImageSets/Main/cat_train.txt")
    voc2012.prepare(tar, root, md5=md5)
    assert len(Photos(root, "val").with_masks(root / "SegmentationClass")) == 4
    assert not (root / "SegmentationObject").exists() and not (root / "ImageSets/Main").exists()
    assert [path.name for path in root.parent.iterdir()] == ["voc12"]
    with pytest.raises(InputError, match=f"{root} is there already"):
        voc2012.unpack(tar, root, md5)


def test_a_wrong_damaged_or_evil_archive_leaves_nothing_behind(voc, tmp_path):
    tar, root = tmp_path / "voc.tar", tmp_path / "data" / "voc12"

    def refused(md5, sentence):
        with pytest.raises(InputError, match=sentence) as error:
            voc2012.unpack(tar, root, md5)
        assert str(tar) in str(error.value)
        assert not root.parent.exists() or not list(root.parent.iterdir())

    refused("", "is missing; download it")
    archive(voc, tar)
    refused(voc2012.MD5, "not the official archive.*download it again")
    cut = tar.read_bytes()[:30000]
    tar.write_bytes(cut)
    refused(hashlib.md5(cut).hexdigest(), "cannot be unpacked.*download it again")
    for evil in ("JPEGImages/../../../../../evil.jpg", "JPEGImages/../../../../evil.jpg"):
        refused(archive(voc, tar, evil), "cannot be unpacked.*outside")
    assert not list(tmp_path.rglob("evil.jpg"))
    with tarfile.open(tar, "w") as other:
        other.addfile(tarfile.TarInfo("VOCdevkit/VOC2007/JPEGImages/a.jpg"), io.BytesIO())
    refused(hashlib.md5(tar.read_bytes()).hexdigest(), "cannot be unpacked")


def test_train_aug_leaves_out_val_and_keeps_vocs_own_masks(voc, tmp_path):
    aug, masks = tmp_path / "SegmentationClassAug", voc / "SegmentationClass"
    aug.mkdir()
    own = (masks / "train_0.png").read_bytes()
    (masks / "train_1.png").unlink()  # most photos of train_aug have no mask by VOC
    (voc / "ImageSets/Segmentation/train.txt").write_text("train_0\ntrain_2\n")
    for id in ("train_0", "train_1", "val_2"):
        with Image.open(voc / f"JPEGImages/{id}.jpg") as photo:
            Image.new("L", photo.size, 7).save(aug / f"{id}.png")
    voc2012.prepare(voc, voc, aug)
    photos = Photos(voc, "train_aug").with_masks(masks)
    assert photos.ids == ["train_0", "train_1"]
    assert (masks / "train_0.png").read_bytes() == own
    assert photos.mask(1).unique().tolist() == [7]


def test_folders_that_cannot_be_used_are_named(voc, tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/JPEGImages is missing; give the folder"):
        voc2012.prepare(tmp_path, tmp_path)
    aug = tmp_path / "aug"
    with pytest.raises(InputError, match=f"{aug} is missing"):
        voc2012.add_train_aug(voc, aug)
    aug.mkdir()
    write_mask(aug / "elsewhere.png", np.zeros((5, 5)))
    with pytest.raises(InputError, match="elsewhere.jpg is missing.*other photos"):
        voc2012.add_train_aug(voc, aug)
    (aug / "elsewhere.png").rename(aug / "train_1.png")
    (voc / "SegmentationClass/train_1.png").unlink()
    with pytest.raises(InputError, match="train_1.png is 5 x 5 pixels, but its photo is 48 x 64"):
        voc2012.add_train_aug(voc, aug)  # and writes nothing, so that a corrected mask is taken
    assert not (voc / "SegmentationClass/train_1.png").exists()
    write_mask(aug / "train_1.png", np.full((64, 48), 21))
    with pytest.raises(InputError, match="train_1.png holds the label 21"):
        voc2012.add_train_aug(voc, aug)


def test_a_broken_photo_is_found_at_once_and_the_exit_code_is_2(voc, capsys):
    photo = voc / "JPEGImages/val_1.jpg"
    photo.write_bytes(photo.read_bytes()[:400])
    with pytest.raises(SystemExit) as exit:
        data_script("prepare_voc").main([str(voc)])
    assert exit.value.code == 2
    assert f"{photo} cannot be read" in capsys.readouterr().err


def test_class_names_of_another_dataset_stay(voc):
    names = "background\naeroplane\nbicycle\nbird\n"
    (voc / "labels.txt").write_text(names)
    with pytest.raises(InputError, match="other classes than VOC's"):
        voc2012.prepare(voc, voc)
    assert (voc / "labels.txt").read_text() == names


def test_a_folder_that_is_refused_gets_no_class_names(voc):
    (voc / "JPEGImages/val_1.jpg").write_bytes(b"no photo")
    with pytest.raises(InputError, match="val_1.jpg"):
        voc2012.prepare(voc, voc)
    assert not (voc / "labels.txt").exists()
