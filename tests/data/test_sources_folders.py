"""Folders of photos: which of them are tags, which are lists, and which vanish; nothing of it without a word."""

import os

import pytest

from tests.data.test_sources import found, photos, tags_of
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.dataset import Wanted
from wsss_lib.data.sources.prepare import prepare


@pytest.mark.parametrize(
    "names",
    [
        ["train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg", "extra/e.jpg"],
        ["train/a.jpg", "val/b.jpg", "boat/c.jpg"],
        ["train/cat/a.jpg", "boat/c.jpg"],
        ["test/a.jpg", "cat/b.jpg"],
    ],
)
def test_lists_beside_tags_are_asked_about(tmp_path, names):
    photos(tmp_path, *names)
    with pytest.raises(
        InputError, match="usually lists: take the others away, or say --as folders"
    ):
        found(tmp_path)
    tops = {name: {name.split("/")[0]} for name in names}
    assert tags_of(tmp_path, kind="folders") == tops


def test_a_lone_train_among_tags_is_said(tmp_path):
    photos(tmp_path, "train/a.jpg", "boat/b.jpg")
    assert found(tmp_path).said == ["the folder train is taken for a tag"]


@pytest.mark.parametrize(
    "names", [("train", "dev"), ("Training", "Validation"), ("train2017", "val2017")]
)
def test_lists_have_several_names(tmp_path, names):
    photos(tmp_path, *(f"{name}/cat/{name}.jpg" for name in names))
    assert [item.part for item in sorted(found(tmp_path).items, key=lambda item: item.part)] == [
        "train",
        "val",
    ]


def test_photos_that_are_all_in_one_list_are_to_be_divided(tmp_path):
    photos(tmp_path, *(f"val/cat/{number}.jpg" for number in range(10)))
    assert {item.part for item in found(tmp_path).items} == {None}
    dataset = prepare(tmp_path, None, wanted=Wanted(), progress=False)
    assert {split: len(ids) for split, ids in dataset.lists.items()} == {"train": 8, "val": 2}


def test_loose_photos_are_left_out_with_a_reason(tmp_path):
    photos(tmp_path, "cat/a.jpg", "loose.jpg", "masks/m.png", "images/x.jpg")
    assert tags_of(tmp_path) == {"cat/a.jpg": {"cat"}}
    reasons = {file.rsplit("/", 1)[1]: why for file, why in found(tmp_path).left_out}
    assert reasons["loose.jpg"] == reasons["x.jpg"] == "lies in no folder of a tag"
    assert reasons["m.png"].startswith("lies in a folder of masks")


def test_every_tag_that_vanishes_is_named(tmp_path):
    photos(tmp_path, "train/cat/a.jpg", "valid/cat/b.jpg")
    for name in ("train/bird/x.heic", "train/dog/y.mp4", "train/dog/z", "train/cat/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "train/emu").mkdir()
    assert found(tmp_path).said == [
        "the folder bird gives no tag: it holds no photo that is read (1 .heic)",
        "the folder dog gives no tag: it holds no photo that is read (1 .mp4, 1 without an ending)",
        "the folder emu gives no tag: it is empty",
        "files that are no photos: 1 .mp4, 1 .txt, 1 without an ending",
    ]


def test_links_are_followed_but_not_in_circles(tmp_path):
    photos(tmp_path, "cat/a.jpg", "elsewhere/b.jpg")
    source = tmp_path / "source"
    source.mkdir()
    for tag, to in (("cat", "cat"), ("pet", "cat"), ("dog", "elsewhere")):
        (source / tag).symlink_to(tmp_path / to)
    (tmp_path / "elsewhere/up").symlink_to(source)
    (source / "cow").mkdir()
    (source / "cow/c.jpg").symlink_to(tmp_path / "cat/a.jpg")
    assert tags_of(source) == {
        "cat/a.jpg": {"cat"}, "pet/a.jpg": {"pet"}, "dog/b.jpg": {"dog"}, "cow/c.jpg": {"cow"},
    }  # fmt: skip
    (tmp_path / "elsewhere/up").unlink()
    (one,) = (
        item
        for id, item in prepare(source, None, wanted=Wanted(val=0), progress=False).items.items()
        if id == "cat_a"
    )
    assert {name for name, _ in one.objects} == {"cat", "pet", "cow"}


def test_the_folder_of_the_tags_is_found_behind_others(tmp_path):
    photos(tmp_path, "set/images/ant/a.jpg", "set/images/bee/1/b.jpg")
    with pytest.raises(
        InputError, match="give .*set/images if these are tags .ant, bee., or say --as"
    ):
        found(tmp_path)
    assert tags_of(tmp_path / "set/images") == {"ant/a.jpg": {"ant"}, "bee/1/b.jpg": {"bee"}}


def test_what_is_no_file_is_left_out(tmp_path):
    photos(tmp_path, "cat/a.jpg")
    for name in ("cat/pipe.jpg", "tags.csv", "x.json", "y.xml"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "z.json").symlink_to("nowhere")
    collection = found(tmp_path)
    assert [item.file.name for item in collection.items] == ["a.jpg"]
    assert sorted(why for _, why in collection.left_out) == [
        "is a link to a file that is gone",
        *4 * ["is no file"],
    ]


@pytest.mark.parametrize("name", ["cat/a.jpg", "photos.zip", "cat.xml"])
def test_a_single_file_is_never_taken_for_its_folder(tmp_path, name):
    photos(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="neither a folder, nor a table.*unpack an archive first"):
        found(tmp_path / name)
