"""Photos that lie anywhere: found, measured, and named."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.layout import InputError, read_photo
from wsss_lib.data.photo_files import (
    find_photos,
    names_of,
    photo_endings,
    refuse_inside,
    upright_size,
)


def draw(file: Path, size=(6, 4), **options) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(file, **options)
    return file


def test_endings_are_those_of_the_formats_that_are_read():
    endings = photo_endings()
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"} <= endings
    assert not endings & {".eps", ".pdf", ".txt", ".ico", ""}


def test_folders_are_gone_through_in_order_and_what_is_hidden_is_passed_over(tmp_path):
    shown = [draw(tmp_path / name) for name in ("a/1.jpg", "a/b/2.PNG", "c.jpg")]
    for hidden in (".x/3.jpg", "a/.4.jpg", "@eaDir/5.jpg", "__MACOSX/6.jpg"):
        draw(tmp_path / hidden)
    (tmp_path / "a/notes.txt").write_text("x")
    photos, others = find_photos([tmp_path])
    assert sorted(photos) == sorted(shown) and others == [tmp_path / "a/notes.txt"]
    assert photos == find_photos([tmp_path])[0]


def test_a_photo_that_is_given_twice_counts_once(tmp_path):
    file = draw(tmp_path / "a.jpg")
    os.symlink(file, tmp_path / "link.jpg")
    assert find_photos([file, tmp_path, tmp_path / "link.jpg"])[0] == [file]


def test_a_file_that_is_given_is_taken_whatever_it_is_called(tmp_path):
    file = draw(tmp_path / "photo", format="PNG")
    assert find_photos([file]) == ([file], [])


def test_places_without_photos_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="there is no photo .*\\.jpg"):
        find_photos([tmp_path])
    with pytest.raises(InputError, match="nowhere does not exist"):
        find_photos([tmp_path / "nowhere"])


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_size_is_that_of_the_upright_photo(tmp_path, format, orientation):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = draw(tmp_path / f"a.{format}", exif=exif)
    assert upright_size(file) == np.asarray(read_photo(file)).shape[:2]
    assert upright_size(file) == ((6, 4) if orientation and orientation > 4 else (4, 6))


@pytest.mark.parametrize("content", [None, b"", b"no photo"])
def test_a_head_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match="a.jpg cannot be read as a photo"):
        upright_size(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/1.jpg", "b/2.jpg"], ["1", "2"]),
        (["a/1.jpg", "b/1.jpg", "b/2.jpg"], ["a_1", "b_1", "2"]),
        (["a/x/1.jpg", "b/x/1.jpg", "c/1.jpg"], ["a_x_1", "b_x_1", "c_1"]),
        (["a/1.jpg", "a/1.png", "a/2.png"], ["1_jpg", "1_png", "2"]),
        (["a/1.jpg", "b/1.JPG", "b/1.png"], ["1", "1_JPG", "1_png"]),
        (["a/Cat.jpg", "b/cat.jpg"], ["a_Cat", "b_cat"]),
        (["a/1.jpg", "b/1.jpg", "c/a_1.jpg"], ["x_a_1", "b_1", "c_a_1"]),
    ],
)
def test_names_differ_and_are_as_short_as_can_be(tmp_path, files, names):
    files = [tmp_path / "x" / file for file in files]
    assert list(names_of(files).values()) == names


def test_names_that_cannot_differ_are_refused():
    with pytest.raises(InputError, match="rename"):
        names_of([Path("/a_b/c.jpg"), Path("/a/b_c.jpg"), Path("/a/b/c.jpg")])


def test_what_is_written_does_not_lie_among_the_photos(tmp_path):
    file = draw(tmp_path / "a/b/1.jpg")
    for to in ("a", "a/masks", "a/b/masks"):
        with pytest.raises(InputError, match="is among the photos"):
            refuse_inside(tmp_path / to, [tmp_path / "a"])
    with pytest.raises(InputError, match="is among the photos"):
        refuse_inside(tmp_path / "a/b", [file])
    refuse_inside(tmp_path / "a/masks", [file])
    refuse_inside(tmp_path / "masks", [tmp_path / "a"])
