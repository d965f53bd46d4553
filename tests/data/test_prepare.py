"""What people bring, written in the one layout."""

import csv
import zlib

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import annotations, layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos
from wsss_lib.data.sources.collection import Collection, Item
from wsss_lib.data.sources.dataset import Wanted
from wsss_lib.data.sources.look import lines, write_page
from wsss_lib.data.sources.prepare import merged, write


def photo(file, seed=0, size=(30, 20), **options):
    """A photo of noise, width x height."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, **options)
    return file


def seed(*words):
    return zlib.crc32(repr(words).encode())


def items(folder, cats=8, dogs=8, **more):
    """Items of photos of cats and dogs."""
    named = [("cat", i) for i in range(cats)] + [("dog", i) for i in range(dogs)]
    return [
        Item(
            file=photo(folder / f"{tag}/{i}.jpg", seed(folder, tag, i)),
            objects=((tag, None),),
            **more,
        )
        for tag, i in named
    ]


def written(found, root, order=None, **wanted):
    collection = Collection(kind="folders", about="a test", items=found, names=order)
    dataset = merged(collection)
    root.mkdir()
    write(dataset, root, Wanted(**wanted), progress=False)
    return dataset


def lists_of(root):
    splits = root / "ImageSets/Segmentation"
    return {file.stem: set(layout.split_ids(root, file.stem)) for file in splits.iterdir()}


def test_the_layout_is_read_by_photos(tmp_path):
    found = [*items(tmp_path), Item(file=photo(tmp_path / "none.png", 99))]
    written(found, tmp_path / "out")
    train, val = (Photos(tmp_path / "out", split) for split in ("train", "val"))
    assert train.names == ["background", "cat", "dog"] and (len(train), len(val)) == (14, 3)
    tags = {id: row.tolist() for each in (train, val) for id, row in zip(each.ids, each.tags_NK)}
    assert tags["cat_3"] == [True, False] and tags["none"] == [False, False]
    rows = dict(csv.reader((tmp_path / "out/originals.csv").open(encoding="utf-8")))
    assert rows["id"] == "file" and rows["cat_3"] == str(tmp_path / "cat/3.jpg")


def test_equal_files_are_one_photo_with_all_tags(tmp_path):
    found = items(tmp_path)
    copy = tmp_path / "dog/same.jpg"
    copy.write_bytes((tmp_path / "cat/1.jpg").read_bytes())
    dataset = written([*found, Item(file=copy, objects=(("dog", None),))], tmp_path / "out")
    assert dataset.tags("cat_1") == ["cat", "dog"] and len(dataset.items) == 16
    assert dataset.copies == {copy: tmp_path / "cat/1.jpg"}
    assert any("copies of another one" in line for line in lines(dataset))
    bare = [*found, Item(file=copy)]
    assert any("it keeps the tags" in line for line in written(bare, tmp_path / "bare").said)


def test_a_photo_in_two_lists_stays_in_the_first(tmp_path):
    found = items(tmp_path, part="train")
    twice = Item(file=found[0].file, objects=found[0].objects, part="val")
    other = Item(file=photo(tmp_path / "v.jpg", 5), objects=(("cat", None),), part="val")
    dataset = written([*found, twice, other], tmp_path / "out")
    assert dataset.lists["val"] == ["v"] and any("stays there" in line for line in dataset.said)


def test_large_photos_become_smaller_and_boxes_with_them(tmp_path):
    found = items(tmp_path)
    file = photo(tmp_path / "wide.jpg", 7, (400, 100))
    box = (101, 1, 200, 100)  # from 1, the last pixel included
    written([*found, Item(file=file, objects=(("cat", box),))], tmp_path / "out", max_side=200)
    with Image.open(tmp_path / "out/JPEGImages/wide.jpg") as image:
        assert image.size == (200, 50)
    assert annotations.boxes(tmp_path / "out", "wide") == [("cat", (51, 1, 100, 50))]
    plain = tmp_path / "out/JPEGImages/cat_1.jpg"
    assert plain.read_bytes() == (tmp_path / "cat/1.jpg").read_bytes()


def test_a_turned_photo_is_written_upright_without_its_boxes(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = photo(tmp_path / "turned.jpg", 7, (40, 20), exif=exif)
    turned = Item(file=file, objects=(("cat", (1, 1, 5, 5)),))
    dataset = written([*items(tmp_path), turned], tmp_path / "out")
    with Image.open(tmp_path / "out/JPEGImages/turned.jpg") as image:
        assert image.size == (20, 40) and not image.getexif()
    assert annotations.objects(tmp_path / "out", "turned") == [("cat", None)]
    assert any("lose their boxes" in line for line in dataset.said)


def test_sixteen_bits_are_scaled_by_their_range_and_black_photos_are_named(tmp_path):
    ramp = np.linspace(0, 4000, 600).reshape(20, 30).astype(np.uint16)
    for name, pixels in (("twelve.png", ramp), ("black.png", ramp * 0)):
        Image.fromarray(pixels).save(tmp_path / name)
    more = [
        Item(file=tmp_path / name, objects=(("cat", None),)) for name in ("twelve.png", "black.png")
    ]
    dataset = written([*items(tmp_path), *more], tmp_path / "out")
    with Image.open(tmp_path / "out/JPEGImages/twelve.jpg") as image:
        assert image.convert("L").getextrema()[1] == pytest.approx(4000 / 4095 * 255, abs=4)
    assert any("1 photos come out black" in line and "black.png" in line for line in dataset.said)


def test_all_broken_photos_are_named_at_once_or_left_out(tmp_path):
    found = items(tmp_path)
    for number in (2, 5):
        (tmp_path / f"cat/{number}.jpg").write_bytes(b"no photo %d" % number)
    with pytest.raises(
        InputError, match=r"2 of 16 photos.*cat/2.jpg \(and 1 more\).*--skip-broken"
    ):
        written(found, tmp_path / "refused")
    dataset = written(found, tmp_path / "out", skip_broken=True)
    assert len(dataset.items) == 14 and len(dataset.collection.left_out) == 2
    assert sum(map(len, lists_of(tmp_path / "out").values())) == 14


# lists


def test_the_lists_of_the_source_are_kept(tmp_path):
    found = [*items(tmp_path / "a", part="train"), *items(tmp_path / "b", 2, 2, part="val")]
    found += items(tmp_path / "c", 1, 1, part="test")
    dataset = written(found, tmp_path / "out")
    assert {split: len(ids) for split, ids in dataset.lists.items()} == {
        "train": 16,
        "val": 4,
        "test": 2,
    }
    anew = written(found, tmp_path / "anew", val=0.5)
    assert len(anew.lists["val"]) == 11 and "test" not in anew.lists


def test_a_source_with_train_alone_is_divided(tmp_path):
    dataset = written(items(tmp_path, part="train"), tmp_path / "out")
    assert {split: len(ids) for split, ids in dataset.lists.items()} == {"train": 13, "val": 3}


def test_no_photo_need_be_held_out(tmp_path):
    dataset = written(items(tmp_path), tmp_path / "out", val=0)
    assert list(lists_of(tmp_path / "out")) == ["train"] and len(dataset.lists["train"]) == 16
    assert any("--data.val train" in line for line in lines(dataset))


def test_a_tag_with_one_photo_is_learned_from(tmp_path):
    found = [*items(tmp_path), Item(file=photo(tmp_path / "emu.jpg", 7), objects=(("emu", None),))]
    for seed in range(12):
        dataset = written(found, tmp_path / f"out{seed}", val=0.5, seed=seed)
        assert "emu" in dataset.lists["train"]


def test_every_tag_is_in_both_lists_and_the_seed_decides(tmp_path):
    found = items(tmp_path, 10, 10)
    one, same, other = (
        written(found, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one.lists == same.lists and one.lists != other.lists
    assert {tag for id in one.lists["val"] for tag in one.tags(id)} == {"cat", "dog"}


def test_too_few_photos_to_divide(tmp_path):
    with pytest.raises(InputError, match="1 photos cannot be divided.*--val 0"):
        written(items(tmp_path, 1, 0), tmp_path / "out")


# names


def test_classes_stand_in_the_order_of_the_source(tmp_path):
    dataset = written(items(tmp_path), tmp_path / "out", order=["emu", "dog", "cat"])
    assert dataset.names == ["background", "dog", "cat"]
    assert any("1 classes have no photo and are left out: emu" in line for line in dataset.said)
    anew = written(items(tmp_path), tmp_path / "anew", names=("dog", "cat"))
    assert anew.names == ["background", "dog", "cat"]
    with pytest.raises(InputError, match="--names lacks the tag 'dog' .8 photos."):
        written(items(tmp_path), tmp_path / "other", names=("cat",))


@pytest.mark.parametrize("name", ["two\nlines", "a\x07bell"])
def test_a_name_that_no_list_can_hold(tmp_path, name):
    found = [*items(tmp_path), Item(file=photo(tmp_path / "a.jpg", 7), objects=((name, None),))]
    with pytest.raises(InputError, match="control character"):
        written(found, tmp_path / "out")


def test_more_tags_than_a_mask_can_hold(tmp_path):
    found = [
        Item(file=photo(tmp_path / f"{i}.jpg", i, (4, 4)), objects=((f"t{i}", None),))
        for i in range(255)
    ]
    with pytest.raises(InputError, match="255 tags, but masks hold 254"):
        written(found, tmp_path / "out")


def test_ids_are_bare_names_and_never_collide(tmp_path):
    names = ["A b/C.jpg", "a_b/c.png", "a_b/c.bmp", "größe/ü.jpg", "x/!.jpg"]
    found = [
        Item(file=photo(tmp_path / name, i), objects=(("t", None),)) for i, name in enumerate(names)
    ]
    dataset = written(found, tmp_path / "out", val=0)
    assert list(dataset.items) == ["A_b_C", "a_b_c_2", "a_b_c_3", "größe_ü", "x"]


# masks


def masks_of(dataset_items, folder, label_of, name="{}.png"):
    """Masks whose left half is the label of the photo's tag, by the names of the photos."""
    folder.mkdir(parents=True)
    for item in dataset_items:
        with Image.open(item.file) as image:
            label_HW = np.zeros((image.height, image.width), np.uint8)
        label_HW[:, : label_HW.shape[1] // 2] = label_of[item.objects[0][0]]
        file = folder / name.format(f"{item.file.parent.name}_{item.file.stem}")
        Image.fromarray(label_HW).save(file)
    return folder


def test_masks_are_written_at_the_size_of_the_photos(tmp_path):
    found = items(tmp_path)
    folder = masks_of(found[:6], tmp_path / "masks", {"cat": 1, "dog": 2}, "{}_mask.png")
    dataset = written(found, tmp_path / "out", masks=folder, max_side=15)
    label_HW = layout.read_labels(tmp_path / "out/SegmentationClass/cat_3.png")
    assert label_HW.shape == (10, 15) and set(np.unique(label_HW)) == {0, 1}
    assert len(list((tmp_path / "out/SegmentationClass").iterdir())) == 6
    assert any("6 of 16 photos have a mask" in line for line in dataset.said)


def test_masks_of_other_classes_are_noticed(tmp_path):
    """Nobody's masks are read in an order that the tags contradict."""
    found = items(tmp_path)
    folder = masks_of(found, tmp_path / "masks", {"cat": 2, "dog": 1})
    with pytest.raises(InputError, match="16 of 16 masks show a class that is no tag.*--names"):
        written(found, tmp_path / "refused", masks=folder)
    written(found, tmp_path / "out", masks=folder, names=("dog", "cat"))
    assert (tmp_path / "out/labels.txt").read_text().split() == ["background", "dog", "cat"]
    assert layout.read_labels(tmp_path / "out/SegmentationClass/cat_3.png").max() == 2


def test_a_mask_of_a_class_without_photos_becomes_void(tmp_path):
    found = items(tmp_path, 12, 12)
    folder = masks_of(found, tmp_path / "masks", {"cat": 2, "dog": 3})
    label_HW = np.array(Image.open(folder / "cat_0.png"))
    label_HW[:, -1] = 1  # emu
    Image.fromarray(label_HW).save(folder / "cat_0.png")
    dataset = written(found, tmp_path / "out", masks=folder, order=["emu", "cat", "dog"])
    assert dataset.names == ["background", "cat", "dog"]
    known = layout.read_labels(tmp_path / "out/SegmentationClass/cat_0.png")
    assert known[0, 0] == 1 and known[0, -1] == 255
    assert any("1 of 24 masks show a class that is no tag" in line for line in dataset.said)


def test_a_mask_of_another_size_is_refused(tmp_path):
    found = items(tmp_path)
    folder = masks_of(found, tmp_path / "masks", {"cat": 1, "dog": 2})
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "cat_3.png")
    with pytest.raises(InputError, match="cat_3.png is 9 x 9 pixels, but its photo is 30 x 20"):
        written(found, tmp_path / "out", masks=folder)


def test_a_tiff_is_turned_by_pillow(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    item = Item(file=photo(tmp_path / "t/1.tif", 7, (40, 20), exif=exif), objects=(("cat", None),))
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.zeros((40, 20), np.uint8)).save(masks / "t_1.png")
    dataset = written([*items(tmp_path), item], tmp_path / "out", masks=masks)
    assert dataset.written["t_1"].size_HW == (40, 20)


@pytest.mark.parametrize("turned", [False, True])
def test_a_mask_is_turned_with_its_photo_unless_it_is_upright(tmp_path, turned):
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees clockwise brings it upright
    item = Item(file=photo(tmp_path / "t/1.jpg", 7, (40, 20), exif=exif), objects=(("cat", None),))
    label_HW = np.zeros((20, 40), np.uint8)
    label_HW[0, 0] = 1
    if turned:
        label_HW = np.rot90(label_HW, -1)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.ascontiguousarray(label_HW)).save(tmp_path / "masks/t_1.png")
    written([*items(tmp_path), item], tmp_path / "out", masks=tmp_path / "masks")
    known = layout.read_labels(tmp_path / "out/SegmentationClass/t_1.png")
    assert known.shape == (40, 20) and known[0, -1] == 1 and known.sum() == 1


# what was found


def test_the_page_says_what_was_found(tmp_path):
    found = [*items(tmp_path), Item(file=photo(tmp_path / "none.jpg", 99))]
    dataset = written(found, tmp_path / "out")
    dataset.collection.left_out.append(("<b>film</b>.heic", "cannot be read"))
    text = write_page(dataset, tmp_path / "out", "mine").read_text(encoding="utf-8")
    assert "<b>film" not in text and "&lt;b&gt;film" in text and "data:image/jpeg" in text
    assert "photos with no tags" in text and "17" in text
    said = list(lines(dataset))
    assert "2 tags: cat 8, dog 8; 1 photos without a tag" in said
    assert said[-1] == "14 photos in train, 3 photos in val"


def test_a_class_that_every_photo_has_is_said_to_need_others(tmp_path):
    assert any(
        "not: add photos without it" in line
        for line in lines(written(items(tmp_path, 9, 0), tmp_path / "out"))
    )
