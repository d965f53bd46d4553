"""A user's own photos, in folders or with a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos


def photo(file, colour, size=(30, 20), **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(colour).integers(0, 60, (size[1], size[0], 3)) + colour
    Image.fromarray(pixels.astype(np.uint8)).save(file, **options)
    return file


@pytest.fixture
def source(tmp_path):
    """Ten photos of cats and ten of dogs; one lies in both folders, one shows neither."""
    for number in range(10):
        photo(tmp_path / f"mine/cat/{number}.jpg", 10 + number)
        photo(tmp_path / f"mine/dog/{number}.png", 110 + number)
    both = (tmp_path / "mine/cat/3.jpg").read_bytes()
    (tmp_path / "mine/dog/same as a cat.JPG").write_bytes(both)
    photo(tmp_path / "mine/background/wall.jpg", 190)
    return tmp_path / "mine"


def prepared(script, source, **options):
    root = source.parent / "data" / "mine"
    script.prepare(script.Folder(source=source, root=root, **options))
    splits = {split: Photos(root, split) for split in ("train", "val")}
    tags = {
        id: {photos.names[k + 1] for k in row.nonzero().flatten().tolist()}
        for photos in splits.values()
        for id, row in zip(photos.ids, photos.tags_NK, strict=True)
    }
    return root, splits, tags


def test_folders_are_tags_and_equal_photos_are_one(prepare_folder, source):
    root, splits, tags = prepared(prepare_folder, source)
    assert splits["train"].names == ["background", "cat", "dog"]
    assert len(tags) == 21 and len(list((root / "JPEGImages").iterdir())) == 21
    assert tags["cat_3"] == {"cat", "dog"} and tags["background_wall"] == set()
    assert tags["cat_1"] == {"cat"} and tags["dog_1"] == {"dog"}
    assert [path.name for path in root.parent.iterdir()] == ["mine"]
    assert sum(len(each) - len(each.tagged()) for each in splits.values()) == 1


def test_a_plain_jpeg_keeps_its_bytes_and_others_become_jpegs(prepare_folder, source):
    photo(source / "cat/turned.jpg", 60, size=(40, 20), exif=b"Exif\0\0" + orientation(6))
    root, splits, _ = prepared(prepare_folder, source)
    written = root / "JPEGImages"
    assert (written / "cat_1.jpg").read_bytes() == (source / "cat/1.jpg").read_bytes()
    with Image.open(written / "dog_1.jpg") as image, Image.open(source / "dog/1.png") as png:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - np.asarray(png)).mean() < 6
    with Image.open(written / "cat_turned.jpg") as image:
        assert image.size == (20, 40) and not image.getexif()
    for photos in splits.values():
        assert all(item["image"].shape[0] == 3 for item in photos)


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


def test_every_tag_is_in_both_splits_and_the_seed_decides(prepare_folder, source):
    photos = prepare_folder.read(source)
    train, val = prepare_folder.divide(photos, 0.2, seed=0)
    assert len(val) == 4 and not set(train) & set(val) and len(train) == 17
    for files in (train, val):
        assert set().union(*(photos[file] for file in files)) == {"cat", "dog"}
    assert (train, val) == prepare_folder.divide(photos, 0.2, seed=0)
    assert val != prepare_folder.divide(photos, 0.2, seed=1)[1]


def test_a_table_gives_several_tags(prepare_folder, source):
    table = "file,tags\ncat/1.jpg, cat ;red cat\n\ncat/2.jpg,cat\ncat/4.jpg\ncat/5.jpg,red cat;\n"
    (source / "tags.csv").write_text(table, encoding="utf-8-sig")
    _, splits, tags = prepared(prepare_folder, source, val=0.25)
    assert tags == {
        "cat_1": {"cat", "red cat"}, "cat_2": {"cat"}, "cat_4": set(), "cat_5": {"red cat"},
    }  # fmt: skip
    assert len(splits["val"]) == 1


def test_ids_are_bare_names_and_never_collide(prepare_folder, tmp_path):
    names = ["A b/C.jpg", "a_b/c.png", "a_b/c.bmp", "größe/ü.jpg", "../up.jpg", "x/!.jpg"]
    files = {tmp_path / "mine" / name: set() for name in names}
    ids = list(prepare_folder.ids_of(files, tmp_path / "mine").values())
    assert ids == ["A_b_C", "a_b_c_2", "a_b_c_3", "größe_ü", "up", "x"]


def table_with(source, text):
    (source / "tags.csv").write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda source: table_with(source, "gone.jpg,cat\n"), "gone.jpg is missing.*line 1"),
        (lambda source: table_with(source, "cat/1.jpg,cat,dog\n"), "tags.csv has too many commas"),
        (
            lambda source: table_with(source, "cat/1.jpg,k\xe4fer\n"),
            "tags.csv cannot be read.*UTF-8",
        ),
        (lambda source: table_with(source, "cat/1.jpg,\n"), "holds no tagged photos"),
        (lambda source: table_with(source, "cat/1.jpg,cat\n"), "1 photos cannot be divided"),
        (lambda source: (source / "dog/1.png").write_bytes(b"no png"), "dog/1.png cannot be read"),
        (lambda source: (source.parent / "data/mine/old").mkdir(parents=True), "is there already"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(prepare_folder, source, spoil, sentence):
    spoil(source)
    with pytest.raises(InputError, match=sentence):
        prepared(prepare_folder, source)
    left = source.parent / "data"
    assert not left.exists() or [p.name for p in left.rglob("*")] in ([], ["mine", "old"])


def test_a_tag_without_a_photo_to_learn_from_is_named(prepare_folder):
    photos = {Path("a.jpg"): {"cat"}, Path("b.jpg"): {"emu"}}
    with pytest.raises(InputError, match="'emu'.*another --seed"):
        prepare_folder.divide(photos, 0.5, seed=0)


def test_files_that_are_no_photos_are_counted_aloud(prepare_folder, source, capsys):
    (source / "cat/film.heic").write_bytes(b"?")
    (source / "cat/.DS_Store").write_bytes(b"?")
    prepare_folder.read(source)
    assert "left out 1 files that are no photos" in capsys.readouterr().out


def test_the_exit_code_is_2_when_something_is_wrong(prepare_folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        prepare_folder.main([str(tmp_path / "none"), str(tmp_path / "out")])
    assert exit.value.code == 2 and "holds no tagged photos" in capsys.readouterr().err
