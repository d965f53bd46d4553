"""Photos and masks: items, what they cannot reach, and what is said when they are wrong."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from wsss_lib.data import annotations, layout
from wsss_lib.data import photos as data
from wsss_lib.data.augmentation import Augmentation, paired_augmentation
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import MaskedPhotos, Photos, read_mask


def masked(root, split="train"):
    return Photos(root, split).with_masks(root / "SegmentationClass")


def test_an_item_is_the_photo_and_its_tags(tiny_root):
    photos = Photos(tiny_root, "train")
    item = photos[3]
    assert sorted(item) == ["id", "image", "index", "tags"]
    assert (item["id"], item["index"]) == ("train_3", 3)
    assert item["tags"].dtype == torch.float32 and item["tags"].tolist() == [1, 1, 0]
    jpeg = np.asarray(Image.open(tiny_root / "JPEGImages/train_3.jpg"))
    assert item["image"].dtype == torch.uint8
    assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), jpeg)
    assert (len(photos), photos.num_classes, photos.names[0]) == (8, 3, "background")
    assert len(list(iter(photos))) == 8


def test_ids_tags_and_sizes_are_those_of_the_files(tiny_root):
    photos = Photos(tiny_root, "train")
    assert photos.ids == (tiny_root / "ImageSets/Segmentation/train.txt").read_text().split()
    for index, id in enumerate(photos.ids):
        xml = (tiny_root / f"Annotations/{id}.xml").read_text()
        tags = [f"<name>{name}</name>" in xml for name in photos.names[1:]]
        assert photos.tags_NK[index].tolist() == tags
        assert photos.size(index) == tuple(photos[index]["image"].shape[1:]) == photos.sizes[index]


def test_a_class_that_is_not_in_the_list_is_named(own_root):
    file = own_root / "Annotations/train_3.xml"
    file.write_text(file.read_text().replace("leaf", "fig"))
    for _ in range(2):
        with pytest.raises(InputError, match=f"{file} names the class 'fig'; add it to"):
            Photos(own_root, "train")


def test_with_transform_is_a_copy(tiny_root):
    photos = Photos(tiny_root, "train")
    dark = photos.with_transform(lambda item: item | {"image": item["image"] // 2})
    assert torch.equal(dark[1]["image"], photos[1]["image"] // 2)
    assert type(masked(tiny_root).with_transform(None)) is MaskedPhotos


def test_photos_work_without_any_mask_and_cannot_reach_one(tiny_root, own_root):
    shutil.rmtree(own_root / "SegmentationClass")
    photos, whole = Photos(own_root, "train"), Photos(tiny_root, "train")
    assert all(torch.equal(photos[i]["image"], whole[i]["image"]) for i in range(len(photos)))
    assert [name for name in dir(photos) if "mask" in name.lower()] == ["with_masks"]
    assert not isinstance(photos, MaskedPhotos)


def test_masks_come_along_when_asked_for(tiny_root):
    photos = masked(tiny_root)
    item = photos[3]
    truth = np.asarray(Image.open(tiny_root / "SegmentationClass/train_3.png"))
    assert item["mask"].dtype == torch.uint8 and np.array_equal(item["mask"].numpy(), truth)
    assert item["mask"].unique().tolist() == [0, 1, 2, 255]
    assert len(photos.subset([0, 5])) == 2 and photos.subset([5])[0]["mask"].shape == (64, 48)


def test_pseudo_masks_written_anew_are_read_anew(own_root):
    photos, folder = Photos(own_root, "train"), own_root / "pseudo"
    folder.mkdir()
    for label in (1, 2):
        for index, id in enumerate(photos.ids):
            layout.write_mask(folder / f"{id}.png", np.full(photos.image(index).shape[1:], label))
        assert photos.with_masks(folder)[0]["mask"].unique().tolist() == [label]


def test_subset_and_tagged_keep_the_order(own_root):
    annotations.write_annotation(
        own_root / "Annotations/train_1.xml", id="x", size_HW=(9, 9), objects=[]
    )
    photos = Photos(own_root, "train")
    tagged = photos.tagged()
    assert (len(photos), len(tagged)) == (8, 7)
    assert tagged.ids == [id for id in photos.ids if id != "train_1"]
    assert torch.equal(tagged.tags_NK, photos.tags_NK[[0, *range(2, 8)]])
    few = photos.subset([5, 2])
    assert few.ids == ["train_5", "train_2"] and torch.equal(few[0]["image"], photos[5]["image"])


def test_nobody_can_write_into_a_kept_photo(tiny_root):
    photos = masked(tiny_root)
    for _ in range(3):
        item = photos[0]
        assert item["image"].float().std() > 0 and item["mask"].max() == 255
        item["image"].zero_(), item["mask"].zero_()


def test_a_large_split_is_not_kept_in_memory(tiny_root, monkeypatch):
    """Decided once, for all its photos: a part of a large split is not kept either."""
    for limit, kept in ((8 * 64 * 64 * 3, 8), (100, None)):
        monkeypatch.setattr(data, "KEEP_BYTES", limit)
        photos = Photos(tiny_root, "train")
        list(photos), list(photos.subset([1]))
        assert (photos._kept and len(photos._kept)) == kept


def test_an_item_depends_on_seed_and_index_only(tiny_root):
    everything = Augmentation(flip=True, shift=5, jitter=(0.2, 0.2, 0.2), noise=0.3, crop=40)
    photos = masked(tiny_root)
    photos.transform = paired_augmentation(everything)

    def item(seed, index, np_seed):
        np.random.seed(np_seed)
        torch.manual_seed(seed)
        return photos[index]

    first = item(1, 0, 0)
    item(7, 3, 1)
    again, other = item(1, 0, 2), item(2, 0, 0)
    assert torch.equal(first["image"], again["image"]) and torch.equal(first["mask"], again["mask"])
    assert not torch.equal(first["image"], other["image"])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_makes_batches(tiny_root, num_workers):
    photos = masked(tiny_root)
    photos.transform = paired_augmentation(Augmentation(crop=48))
    batch = next(iter(DataLoader(photos, batch_size=4, num_workers=num_workers)))
    assert batch["id"] == photos.ids[:4] and batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["image"].shape == (4, 3, 48, 48) and batch["image"].dtype == torch.uint8
    assert batch["mask"].shape == (4, 48, 48) and batch["mask"].dtype == torch.uint8
    assert torch.equal(batch["tags"], photos.tags_NK[:4].float())


def test_photos_survive_the_way_to_another_process(tiny_root):
    photos = pickle.loads(pickle.dumps(Photos(tiny_root, "val")))
    assert photos[3]["id"] == "val_3"


def test_truncated_photo_is_named_when_its_list_is_opened(own_root):
    file = own_root / "JPEGImages/train_2.jpg"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match=f"{file} cannot be read"):
        Photos(own_root, "train")


def test_missing_mask_is_named_at_once(own_root):
    file = own_root / "SegmentationClass/train_2.png"
    file.unlink()
    with pytest.raises(InputError, match=f"{file} is missing; give the folder"):
        masked(own_root)
    with pytest.raises(InputError, match=f"{file} is missing; add the mask") as error:
        read_mask(file)
    assert error.value.file == file


def test_mask_of_another_size_is_named(own_root):
    file = own_root / "SegmentationClass/train_2.png"
    layout.write_mask(file, np.zeros((10, 20)))
    sentence = f"{file} is 20 x 10 pixels, but its photo is 56 x 56; make the mask"
    with pytest.raises(InputError, match=sentence):
        masked(own_root)[2]
    with pytest.raises(InputError, match=sentence):
        read_mask(file, size=(56, 56))


def test_mask_values_beyond_the_classes_are_named(own_root):
    file = own_root / "SegmentationClass/train_2.png"
    for label in (3, 255):
        layout.write_mask(file, np.full((56, 56), label))
        assert masked(own_root)[2]["mask"].unique().tolist() == [label]
    layout.write_mask(file, np.full((56, 56), 4))
    with pytest.raises(InputError, match=f"{file} holds the label 4, but there are 3 classes"):
        masked(own_root)[2]


def test_mask_in_colours_and_broken_mask_are_named(tmp_path):
    file = tmp_path / "m.png"
    Image.new("RGB", (5, 5), (128, 0, 0)).save(file)
    with pytest.raises(InputError, match=f"^{file} holds colours") as error:
        read_mask(file)
    assert error.value.file == file  # a run makes its own anew
    layout.write_mask(file, np.arange(256).reshape(16, 16))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"{file} cannot be read as a mask") as error:
        read_mask(str(file))
    sent = pickle.loads(pickle.dumps(error.value))  # from another process
    assert (sent.file, str(sent)) == (file, str(error.value))


def test_masks_hold_254_classes(tmp_path):
    file = tmp_path / "m.png"
    layout.write_mask(file, np.array([[0, 254, 255]]))
    assert read_mask(file, classes=layout.MAX_CLASSES).tolist() == [[0, 254, 255]]
    with pytest.raises(InputError, match="holds 254 classes at most, but labels.txt names 255"):
        read_mask(file, classes=layout.MAX_CLASSES + 1)


def test_grey_masks_are_read_too(tmp_path):
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", classes=2, size=(2, 2)).numpy(), labels)
